"""The experiment runner: a tiny experiment from start to page, what a second start does, what is refused."""

import csv
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from model_utils.errors import UserError
from model_utils.errors import run as run_program
from model_utils.files import write_json
from src.experiment import runs
from src.experiment.in_turn import calls_in
from src.experiment.page import gains
from src.experiment.plan import load_experiment
from tests.helpers import ROOT
from tools.experiment import main

TINY = """
config_path: {base}
output: {output}
seeds: [3, 4]
options:
  {{depths: "1,1,1,1", width: 4, input_size: "64,40", input_size_target: "64,32", output_size: "96,48", mode: eager,
   device: CPU, num_workers: 1, num_steps: 2, num_steps_stop: 2, eval_every: 1, data_path: {world}}}
rows:
  start: {{method: supervised, random_seed: 0, num_steps_stop: 1, eval_every: 0, report: false}}
  source_only: {{from: start, method: supervised}}
  control: {{from: start, config_path: {root}/configs/statistics_only.yaml}}
source_only: source_only
control: control
evaluations:
  val: {{eval_list: one.txt}}
  test: {{eval_list: two.txt}}
"""


@pytest.fixture
def here(monkeypatch) -> list[str]:
    """Programs run in this process, which saves importing MindSpore; the list has their names."""
    return replace_programs(monkeypatch, lambda module, words: run_program(import_module(module).main, words))


@pytest.fixture
def played(monkeypatch) -> list[str]:
    """Programs only leave the files of a program; the score is 10 times the seed, 5 more with target statistics."""
    return replace_programs(monkeypatch, play)


def replace_programs(monkeypatch, program: Callable[[str, list[str]], int]) -> list[str]:
    called = []

    def call(command: list[str], **_) -> int:
        module, *words = command[2:] if command[1] == "-m" else [Path(command[1]).stem, *command[2:]]
        called.append(module)
        return program(module, words)

    monkeypatch.setattr(runs.subprocess, "call", call)
    return called


def play(module: str, words: list[str]) -> int:
    if module == "src.experiment.in_turn":
        return max(play(name, rest) for name, *rest in calls_in(words))
    keys = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
    if module.startswith("train"):
        folder = Path(keys["snapshot_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"GTA5_{keys['num_steps_stop']}"
        for name in (f"{stem}.ckpt", f"{stem}_state.safetensors"):
            (folder / name).touch()
        (folder / "validation.csv").write_text("iteration,miou,entropy\n1,20,0.5\n2,30,0.4\n")
        return 0
    weights = Path(keys["restore_from"])
    if module == "tools.reestimate_statistics":
        weights.with_name(f"{weights.stem}_target_statistics.ckpt").touch()
        return 0
    seed = int(weights.parent.name.removeprefix("seed_"))
    result = {"miou": 10 * seed + 5 * ("target" in weights.stem), "iou": {"road": 50.0, "car": None}}
    write_json(
        Path(keys["result_dir"]) / "result.json", {**result, "miou": result["miou"] + ("control" in str(weights))}
    )
    return 0


def write(folder: Path, world: Path, text: str = TINY) -> Path:
    images = world / "Cityscapes" / "leftImg8bit" / "val"
    for name, image in zip(("one", "two"), sorted(images.rglob("*.png")), strict=True):
        (folder / f"{name}.txt").write_text(image.relative_to(images).as_posix() + "\n")
    values = {"base": ROOT / "advnet_config.yaml", "output": folder / "out", "world": world, "root": ROOT}
    text = text.format(**values).replace("one.txt", str(folder / "one.txt")).replace("two.txt", str(folder / "two.txt"))
    (folder / "e.yaml").write_text(text)
    return folder / "e.yaml"


@pytest.mark.slow
def test_a_tiny_experiment(world, tmp_path, here):
    """From start to page with the real programs."""
    short = TINY.replace("[3, 4]", "[3]").replace("  source_only: {{from: start, method: supervised}}\n", "")
    main([str(write(tmp_path, world, short.replace("source_only: source_only", "")))])
    assert here == ["train_src", "train_adv", "src.experiment.in_turn"]
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["evaluation"], row["statistics"]) for row in rows] == [
        *(("val", "own"), ("val", "target"), ("test", "own"), ("test", "target"))
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") == 4 + 3  # seeds of every evaluation; curves, classes, a scene


def test_what_a_second_start_does(world, tmp_path, played, monkeypatch):
    file, out = write(tmp_path, world), tmp_path / "out"
    with pytest.raises(UserError, match="nothing is scored yet"):
        main([str(file), "--page_only"])
    main([str(file), "--parallel", "1"])
    evaluation = "src.experiment.in_turn"
    assert played == ["train_src", *["train_src", evaluation, "train_adv", evaluation] * 2]
    with (out / "results.csv").open() as table:
        assert len(list(csv.DictReader(table))) == 2 * 2 * 2 * 2  # rows, seeds, statistics, evaluations
    means = json.loads((out / "summary.json").read_text())["test"]
    assert means == {"own": {"source_only": 35, "control": 36}, "target": {"source_only": 40, "control": 41}}
    assert "+1.00 ± 0.00" in (out / "report.html").read_text()

    del played[:]
    monkeypatch.setattr("tools.experiment.write_page", lambda *_: None)
    main([str(file)])
    assert not played
    (out / "control" / "seed_4" / "GTA5_2_state.safetensors").unlink()  # killed while it wrote its last snapshot
    (out / "source_only" / "seed_3" / "result_test" / "result.json").unlink()
    main([str(file)])
    assert played == [evaluation, "train_adv", evaluation]

    del played[:]
    one, two = ((tmp_path / f"{name}.txt") for name in ("one", "two"))
    texts = one.read_text(), two.read_text()
    one.write_text(texts[1])  # other images in lists of the same names
    two.write_text(texts[0])
    main([str(file)])
    assert played == [evaluation] * 4
    main([str(file)])
    assert played == [evaluation] * 4

    del played[:]
    file.write_text(file.read_text().replace("two.txt}", "two.txt, flip: true}"))
    main([str(file)])
    assert played == [evaluation] * 4
    with pytest.raises(UserError, match="was made with other values of lambda_seg"):
        main([str(file), "--lambda_seg", "0.5"])


def test_a_run_that_fails_is_one_sentence(world, tmp_path, monkeypatch):
    replace_programs(monkeypatch, lambda module, words: 2)
    with pytest.raises(UserError, match=r"start, all seeds: training ended with exit code 2: .*; all of it is in "):
        main([str(write(tmp_path, world))])


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seeds: [3, 4]", "sedes: [3]", "unknown key 'sedes'; did you mean 'seeds'"),
        ("seeds: [3, 4]", "seeds: [3, 3]", "names one twice"),
        ("seeds: [3, 4]", "seeds: [one]", "seeds must be whole numbers"),
        ("from: start, method", "from: strat, method", "from 'strat' must be a row that stands above it"),
        ("control: control", "control: nothing", "control 'nothing' is none of the reported rows"),
        ("  control: {{", "  ../control: {{", "a row's name becomes a folder"),
        ("method: supervised}}", "metod: supervised}}", "unknown key 'metod'; did you mean 'method'"),
        ("num_steps: 2", "num_steps: many", "row 'start'"),
        ("two.txt", "one.txt", "evaluations 'val' and 'test' share images"),
        ("two.txt", "three.txt", "list file three.txt: cannot be read"),
        ("seeds: [3, 4]", "seeds: [3, 4]\nscore: first", "score must be last or best"),
        ("seeds: [3, 4]", "seeds: [3, 4]\nstatistics: [all]", "statistics must be"),
        ("rows:", "lines:", "unknown key 'lines'"),
    ],
)
def test_wrong_files_are_one_sentence(world, tmp_path, played, capsys, old, new, sentence):
    assert old in TINY
    file = write(tmp_path, world, TINY.replace(old, new))
    assert run_program(main, [str(file)]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not played and not (tmp_path / "out").exists()


def test_gains_are_taken_seed_by_seed():
    assert gains({1: 3.0, 2: 5.0}, {1: 1.0, 3: 2.0}).tolist() == [2.0]
    assert gains({1: 3.0, 2: 5.0}, {1: 1.0, 2: 2.0}).tolist() == [2.0, 3.0]
    assert gains({1: 3.0, 2: 5.0}, {1: 1.0}).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("file", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_projects_experiments_can_be_read(file):
    experiment = load_experiment(file, {})
    assert experiment.control in experiment.rows and len(experiment.seeds) >= 3
