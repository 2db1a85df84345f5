"""Configuration: types, overlays, options, and refusals that name the key."""

import argparse
import re
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path

import pytest
import yaml

from model_utils.config import DEFAULTS, Config, describe_keys, load_config, save_config
from model_utils.errors import UserError, run
from model_utils.field_types import user_path

ROOT = Path(__file__).resolve().parent.parent


def write(folder: Path, text: str) -> list[str]:
    path = folder / "some.yaml"
    path.write_text(text, encoding="utf-8")
    return ["--config_path", str(path)]


def test_defaults_are_adaptsegnets():
    config = load_config([])
    assert (config.learning_rate, config.learning_rate_D, config.num_steps) == (2.5e-4, 1e-4, 250000)
    assert config.input_size == (720, 1280)  # the file says 1280,720
    assert config.depths == (3, 4, 23, 3)


def test_every_key_is_documented_with_its_whole_comment():
    text = describe_keys(DEFAULTS)
    assert [f.name for f in fields(Config) if f"--{f.name} " not in text] == []
    words = [line.strip() for line in text.splitlines()]
    for line in DEFAULTS.read_text(encoding="utf-8").splitlines():
        comment = line.partition(" # ")[2].strip()
        assert line.startswith("#") or not comment or comment in words


FAULTS = [
    ("batch_size: .inf", "1: batch_size must be a finite number, not 'inf'"),
    ("gan: LS\nlearning_rate: .nan", "2: learning_rate must be a finite number, not 'nan'"),
    ("learning_rate: 1e999", "1: learning_rate must be a finite number, not 'inf'"),
    ("batch_size: 9999999999", "1: batch_size must be at most 2147483647, not '9999999999'"),
    ("random_seed: 4294967296", "1: random_seed must be at most 4294967295, not '4294967296'"),
    ("num_classes: 255", "1: num_classes must be at most 254"),
    ("width: -1", "1: width must be above 0, not '-1'"),
    ("warmup_steps: -1", "1: warmup_steps must be at least 0, not '-1'"),
    ("fda_beta: 0.5", "1: fda_beta must be below 0.5, not '0.5'"),
    ("input_size: 65536,5", "1: input_size must be W,H like 1024,512 (each from 0 to 65535), not '65536,5'"),
    ("batch_size: " + 5000 * "9", "1: '" + 80 * "9" + "' cannot be read as int"),
    ("scales: []", "1: scales must be one value or several with commas between them, not '[]'"),
    ("scales: ''", "1: scales must be one value or several"),
    ("milestones: {a: 1}", "1: milestones must be values with commas between them"),
    ("scales: [[1]]", "1: scales must be a number, not '[1]'"),
    ("lambda_easy: 1", "1: lambda_easy must be between 0 and 1 (both excluded), not '1'"),
    ("num_steps: {{ steps }}", "1: a key must be a word, not a list or a mapping; is this a template"),
    ("? [a, b]\n: c", "1: a key must be a word"),
    ("batch_size: 2001-12-14", "1: batch_size must be a whole number, not '2001-12-14'"),
    ("batch_size: 2001-13-45", "1: batch_size must be a whole number, not '2001-13-45'"),
    ("batch_size: !!timestamp abc", "1: is not valid YAML: could not determine a constructor"),
    ("flip: !!bool maybe", "1: 'maybe' cannot be read as bool"),
    ("width: " + 3000 * "[", "1: is nested too deeply"),
    ("width: &w [*w]", "1: width must be a whole number, not '[["),
    ("gan: LS\n\nbase: nowhere.yaml", "some.yaml:3: base "),
    ("base: [a, [b]]", "1: base must be a file or a list of files, not '['b']'"),
    ('base: "\\0"', "1: base must be a file"),
    ("width: !!float ''", "1: '' cannot be read as float"),
    ("width: |\n  wide\n", "1: width must be a whole number, not 'wide'"),
    ('input_size: "\\ud800"', "1: input_size must be W,H"),
    ('"wi\\ndth": 5', "1: unknown key 'wi dth'; did you mean 'width'?"),
    ('data_dir: "a\\0"', "1: data_dir must be text without control characters"),
    ("data_dir: ${NOWHERE}/a", "1: data_dir must name variables that are set, and ${NOWHERE} is not, not"),
    ("data_dir: ~nobody-of-this-name/a", "1: data_dir must start with a home folder that exists"),
    ("base: " + 5000 * "a", f"1: base '{80 * 'a'}' cannot be read (File name too long)"),
    ("config_path: a.yaml", "1: unknown key 'config_path'"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=[text[:30] for text, _ in FAULTS])
def test_what_no_run_can_use_is_one_sentence_with_file_and_line(tmp_path, text, message):
    argv = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_config(argv)
    sentence = str(caught.value)
    assert sentence.startswith(argv[1]) and message in sentence
    assert "\n" not in sentence and len(sentence) < 500


def test_encodings(tmp_path):
    path = tmp_path / "some.yaml"
    argv = ["--config_path", str(path)]
    path.write_bytes("width: 8\r\ngan: LS\r\nset: 街\r\n".encode("utf-8-sig"))
    config = load_config(argv)
    assert (config.width, config.gan, config.set) == (8, "LS", "街")
    for wrong in ("width: 8".encode("utf-16"), "width: 8".encode("utf-16-le"), "set: é".encode("latin-1")):
        path.write_bytes(wrong)
        with pytest.raises(UserError, match=r"some.yaml: is not text in UTF-8"):
            load_config(argv)


def test_text_stays_what_was_written(tmp_path):
    config = load_config(write(tmp_path, "set: no\neval_set: 2001-12-14\nsnapshot_prefix: 007\nclasses: ~\n"))
    assert (config.set, config.eval_set, config.snapshot_prefix, config.classes) == ("no", "2001-12-14", "007", "")


def test_home_and_variables_in_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", str(tmp_path))
    config = load_config([*write(tmp_path, "data_path: ${DATA}/x\nset: ~/y"), "--snapshot_dir", "~/runs"])
    assert (config.data_path, config.set, config.snapshot_dir) == (f"{tmp_path}/x", "~/y", "/home/me/runs")
    assert load_config(["--config_path", "${DATA}/some.yaml"]).data_path == f"{tmp_path}/x"
    save_config(load_config(["--width", "8"]), tmp_path)
    assert load_config(["--restore_from", "${DATA}/x.ckpt"], beside="restore_from").width == 8


def test_errors_name_the_file_that_the_value_comes_from(tmp_path):
    (tmp_path / "below.yaml").write_text("gan: LS\nwidth: wide\n", encoding="utf-8")
    argv = write(tmp_path, "base: below.yaml\nnum_steps: 10")
    with pytest.raises(UserError, match=r"below.yaml:2: width must be"):
        load_config(argv)
    with pytest.raises(UserError, match=r"some.yaml:2: num_steps_stop \(150000\) must not be above num_steps \(10\)"):
        load_config([*argv, "--width", "8"])
    with pytest.raises(UserError, match=r"^command line and .*some.yaml:2: num_steps_stop \(11\)"):
        load_config([*argv, "--width", "8", "--num_steps_stop", "11"])
    with pytest.raises(UserError, match=r"^command line: width must be above 0, not '0'"):
        load_config([*argv, "--width", "0"])


def test_the_configuration_is_frozen_and_replaceable():
    config = load_config([])
    with pytest.raises(FrozenInstanceError):
        config.width = 8
    other = replace(config, width=8, method="supervised")
    assert (other.width, other.two_domains, config.two_domains) == (8, False, True)
    assert asdict(other)["input_size"] == (720, 1280)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_overlay_loads_and_says_only_what_differs(path):
    config = load_config(["--config_path", str(path)])
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = load_config(["--config_path", str((path.parent / raw.pop("base")).resolve())])
    same = [key for key in raw if getattr(config, key) == getattr(base, key)]
    assert same == []


def test_exponents_are_numbers_and_options_win(tmp_path):
    argv = write(tmp_path, "learning_rate: 1e-4\nflip: yes\n")
    assert load_config(argv).learning_rate == 1e-4
    config = load_config([*argv, "--learning-rate=3e-4", "--input-size", "640,360", "--flip", "false"])
    assert (config.learning_rate, config.input_size, config.flip) == (3e-4, (360, 640), False)
    assert load_config([*argv, "--deterministic"]).deterministic is True


def test_saved_configuration_is_read_back_equal_and_found_beside_a_checkpoint(tmp_path):
    config = load_config(["--width", "8", "--scales", "0.5,1.0"])
    save_config(config, tmp_path)
    assert load_config(["--config_path", str(tmp_path / "config.yaml")]) == config
    beside = load_config(["--restore_from", str(tmp_path / "x.ckpt")], beside="restore_from")
    assert beside.width == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: 1", "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ("width: 8\nwidth: 9", "'width' stands twice"),
        ("width: wide", "width must be a whole number, not 'wide'"),
        ("width: 1.5", "width must be a whole number, not '1.5'"),
        ("width: true", "width must be a whole number"),
        ("input_size: 5", "input_size must be W,H"),
        ("input_size: 5,0", "input_size must be above 0"),
        ("gan: W", "gan must be one of Vanilla, LS, not 'W'"),
        ("flip: perhaps", "flip must be true or false"),
        ("depths: 1,2,3", "depths must be four"),
        ("num_steps: 10", "num_steps_stop (150000) must not be above num_steps (10)"),
        ("set: [train]", "set must be text"),
        ("base: nowhere.yaml", "nowhere.yaml: cannot be read"),
        ("base: some.yaml", "leads back to itself"),
        ("a: b: c", "is not valid YAML"),
        ("- a", "must be lines of 'key: value'"),
    ],
)
def test_wrong_files_are_refused_by_key(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        load_config(write(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--learnin_rate", "1"], "did you mean 'learning_rate'?"),
        (["--width"], "--width needs a value"),
        (["--width", "1", "--width", "2"], "--width is given twice"),
        (["train"], "'train' is not an option"),
        (["--config_path", "no.yaml"], "no.yaml: cannot be read"),
    ],
)
def test_wrong_options_are_refused_by_name(argv, message):
    with pytest.raises(UserError) as caught:
        load_config(argv)
    assert message in str(caught.value)


def test_a_wrong_input_is_exit_code_2_and_one_line(capsys):
    assert run(lambda argv: load_config(argv) and None, ["--widht", "3"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_lists_the_keys(capsys):
    with pytest.raises(SystemExit) as caught:
        load_config(["--help"])
    assert caught.value.code == 0
    assert "--lambda_adv_target1 2.0e-4" in capsys.readouterr().out


def test_defaults_must_be_complete(tmp_path, monkeypatch):
    broken = tmp_path / "advnet_config.yaml"
    broken.write_text(DEFAULTS.read_text(encoding="utf-8").replace("width: 64", "# width"), encoding="utf-8")
    monkeypatch.setattr("model_utils.config.DEFAULTS", broken)
    with pytest.raises(UserError, match="key width is missing"):
        load_config([])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--backbone resnet18", "backbone must be one of resnet50, resnet101, resnet152, not 'resnet18'"),
        ("--init_lr 0.1 --learning_rate 0.2", "'learning_rate' sets learning_rate, which is set already"),
        ("--epochs many", "num_steps must be a whole number, not 'many'"),
        ("--epochs 5", "count_in: two domains have no common epoch"),
        ("--crop_size 1,2,3", "crop_size must be W,H"),
        ("--is_distributed 2", "is_distributed must be one of auto, 0, 1"),
    ],
)
def test_refusals_of_icnets_options(words, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_config(words.split())


def test_names_of_icnets_original():
    words = "--method supervised --cityscapes_root /c --backbone resnet152 --train_batch_size 16 --init_lr 0.1"
    words += " --epochs 200 --crop_size 720"
    config = load_config(words.split())
    assert (config.data_dir_target, config.depths, config.batch_size) == ("/c", (3, 8, 36, 3), 16)
    assert (config.learning_rate, config.num_steps, config.num_steps_stop, config.count_in) == (0.1, 200, 200, "epochs")
    assert config.crop_size == (720, 720)
    words = "--base_size 512 --valid_batch_size 2 --momentum 0.8 --weight_decay 1e-4 --is_distributed 1 --crop_size 9,5"
    config = load_config(words.split())
    assert (config.base_size, config.valid_batch_size, config.is_distributed) == (512, 2, "1")
    assert config.crop_size == (5, 9)


def test_data_path_of_the_command_line_wins_over_saved_folders(tmp_path):
    save_config(load_config(["--data_dir_target", "/old/Cityscapes", "--data_path", "/old"]), tmp_path)
    weights = ["--restore_from", str(tmp_path / "x.ckpt")]
    assert load_config(weights, beside="restore_from").data_dir_target == "/old/Cityscapes"
    config = load_config([*weights, "--data_path", "/new"], beside="restore_from")
    assert (config.data_path, config.data_dir_target) == ("/new", "")
    config = load_config([*weights, "--data_path", "/new", "--data_dir_target", "/mine"], beside="restore_from")
    assert config.data_dir_target == "/mine"


def test_another_data_set_on_the_command_line_forgets_the_saved_folder_of_the_first(tmp_path):
    save_config(load_config(["--data_dir_target", "/old/Cityscapes", "--data_dir", "/old/GTA5"]), tmp_path)
    config = load_config(
        ["--restore_from", str(tmp_path / "x.ckpt"), "--target_dataset", "acdc"], beside="restore_from"
    )
    assert (config.data_dir, config.data_dir_target) == ("/old/GTA5", "")


def test_keys_are_read_as_the_documents_spell_them(tmp_path):
    config = load_config([*write(tmp_path, "snapshot-dir: ./here\nlambda-seg: 0.2\n"), "--device_target", "Ascend"])
    assert (config.snapshot_dir, config.lambda_seg, config.device) == ("./here", 0.2, "Ascend")
    config = load_config(["----config_path", str(tmp_path / "some.yaml"), "--is_distributed", "--name", "icnet"])
    assert (config.lambda_seg, config.is_distributed, config.snapshot_prefix) == (0.2, "1", "icnet")
    assert load_config(["--device", "npu"]).device == "Ascend"
    with pytest.raises(UserError, match=r"device must be a kind: .*number is --device_id 3"):
        load_config(["--device", "3"])
    with pytest.raises(UserError, match=r"'batch-size' sets batch_size, which is set already"):
        load_config(write(tmp_path, "batch_size: 1\nbatch-size: 2"))


@pytest.mark.parametrize(("name", "branches"), [("gta2cityscapes_advent.pth", 4), ("GTA5_baseline.pth", 2)])
def test_published_files_bring_their_configuration(tmp_path, capsys, name, branches):
    weights = ["--restore_from", str(tmp_path / name)]
    assert load_config(weights, beside="restore_from").aspp_branches == branches
    assert f"{name}: published weights, read as " in capsys.readouterr().out
    assert load_config(["--config_path", str(DEFAULTS), *weights], beside="restore_from").aspp_branches == 2


def test_paths_on_the_command_line_are_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("${PLACE}/a") == user_path("~/a") == tmp_path / "a"
    with pytest.raises(argparse.ArgumentTypeError, match="NOWHERE} is not"):
        user_path("${NOWHERE}/a")
    for text, message in (("", "must be a path"), ("a\0b", "control characters"), ("x" * 999, "File name too long")):
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            user_path(text)
