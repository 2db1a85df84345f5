"""Configuration: types, overlays, options, and refusals that name the key."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from model_utils.config import DEFAULTS, Config, describe_keys, load_config, save_config
from model_utils.errors import UserError, run

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


def test_every_key_is_documented():
    text = describe_keys()
    assert [f.name for f in fields(Config) if f"--{f.name} " not in text] == []


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
