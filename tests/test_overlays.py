"""Configuration files that build on each other."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from model_utils.config import load_config
from model_utils.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def layers(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_several_files_are_combined_in_order(tmp_path):
    layers(tmp_path, below="width: 8\nbatch_size: 2", one="base: below.yaml\nwidth: 9", two="width: 10\npower: 0.5")
    layers(tmp_path, both="base: [one.yaml, two.yaml]\npower: 0.25", turned="base: [two.yaml, one.yaml]")
    both, turned = (load_config(["--config_path", str(tmp_path / f"{name}.yaml")]) for name in ("both", "turned"))
    assert (both.width, both.batch_size, both.power) == (10, 2, 0.25)
    assert (turned.width, turned.batch_size, turned.power) == (9, 2, 0.5)
    given = load_config(["--config_path", f"{tmp_path}/two.yaml, {tmp_path}/one.yaml", "--power", "2"])
    assert given == replace(turned, power=2.0)
    layers(tmp_path, **{"a,b": "width: 11"})
    assert load_config(["--config_path", str(tmp_path / "a,b.yaml")]).width == 11


def test_a_file_that_two_build_on_counts_once_below_both(tmp_path):
    layers(tmp_path, below="width: 8\npower: 0.5", one="base: below.yaml\nwidth: 9", two="base: below.yaml\npower: 1")
    config = load_config(["--config_path", f"{tmp_path}/one.yaml,{tmp_path}/two.yaml"])
    assert (config.width, config.power) == (9, 1.0)
    layers(tmp_path, below="base: two.yaml")
    with pytest.raises(UserError, match=r"two.yaml: its 'base' leads back to itself"):
        load_config(["--config_path", f"{tmp_path}/two.yaml"])


def test_a_combination_has_a_run_folder_of_its_own(tmp_path):
    layers(tmp_path, method="snapshot_dir: ./runs/a", data="snapshot_dir: ./sets/b/", small="width: 8")
    layers(tmp_path, listed="base: [method.yaml, small.yaml, data.yaml]", named="base: listed.yaml\nsnapshot_dir: c")

    def folder(*names: str) -> str:
        return load_config(["--config_path", ",".join(f"{tmp_path}/{name}.yaml" for name in names)]).snapshot_dir

    assert folder("method", "small") == "./runs/a"
    assert folder("method", "data") == folder("listed") == folder("method", "small", "data") == "./sets/method_data"
    assert folder("data", "method") == "./runs/data_method"
    assert folder("named") == "c"
    argv = ["--config_path", f"{tmp_path}/listed.yaml", "--snapshot_dir", "d"]
    assert load_config(argv).snapshot_dir == "d"


def test_every_method_runs_on_every_data_set():
    overlays = {path.stem: load_config(["--config_path", str(path)]) for path in (ROOT / "configs").glob("*.yaml")}
    taken = [config.snapshot_dir for config in overlays.values()]
    sets = ("synthia", "acdc", "bdd100k", "cross_city", "dark_zurich", "foggy_cityscapes", "synscapes", "urbansyn")
    for method in ("advent", "minent", "advnet_single", "advnet_single_lsgan", "source_only"):
        for data in sets:
            config = load_config(["--config_path", f"{ROOT}/configs/{data}.yaml,{ROOT}/configs/{method}.yaml"])
            assert (config.source_dataset, config.num_classes, config.input_size, config.input_size_target) == (
                overlays[data].source_dataset,
                overlays[data].num_classes,
                overlays[data].input_size,
                overlays[data].input_size_target,
            )
            keys = ("method", "view", "aspp_branches", "gan", "lambda_seg", "num_steps_stop")
            assert all(getattr(config, key) == getattr(overlays[method], key) for key in keys)
            assert config.snapshot_dir == f"./snapshots/{data}_{method}"
            taken.append(config.snapshot_dir)
    assert len(set(taken)) == len(taken) - 1  # advent_minent.yaml evaluates the run of advent.yaml


def test_scripts_take_several_files():
    script = "source scripts/_common.sh; cd configs; the_file advent.yaml,synthia.yaml && the_file advent.yaml,no.yaml"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == f"{ROOT}/configs/advent.yaml,{ROOT}/configs/synthia.yaml\n"
    assert done.returncode == 2 and "file no.yaml does not exist" in done.stderr
