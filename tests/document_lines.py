"""The scripts of the requirement documents, what each line must run, and how to have that shown or in small."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from model_utils.config import Config, load_config
from tests.helpers import EAGER, ROOT

SMALL = "--depths 1,1,1,1 --width 4 --input_size 64,32 --input_size_target 64,32 --output_size 96,48".split()
SMALL += "--device CPU --log_every 1 --num_workers 1 --eval_every 0 --amp_level O0 --batch_size 1".split()

ADVENT, ICNETS, POINTRENDS = "documents/IntraDA", "documents/ICNet", "documents/PointRend"
STAGE_TWO = {"method": "min_entropy", "aspp_branches": 4, "loss_scale": "128", "amp_level": "O2"}
STAGE_TWO |= {"parameter_groups": "nominal"}
ICNET = {"network": "icnet", "depths": (3, 4, 6, 3), "label_resize": "original", "num_steps": 200}
POINTREND = {"network": "pointrend", "loss_scale": "512", "milestones": (40000, 55000)}
OPTIONS = "--data_path={home}/datasets --pth_path={home}/R-101.pkl --output_path={home}/output"

# (where it is typed, the line, then what each of its runs must be: devices, program and keys of the configuration)
SCRIPTS = [
    ("scripts", "bash run_train.sh 8 {home}/data", (8, "train_adv.py", {"method": "adversarial", "aspp_branches": 2})),
    ("scripts", "bash run_train_src.sh 1 {home}/data", (1, "train_src.py", {"method": "supervised"})),
    ("scripts", "bash run_eval.sh {home}/tiny.ckpt 1 0", (1, "eval_adv.py", {"eval_mode": "score"})),
    (".", "bash scripts/train.sh 8 {home}/data", (8, "train_adv.py", {"learning_rate": 2.5e-4})),
    (".", "bash scripts/train_src.sh 8 {home}/data", (8, "train_src.py", {"method": "supervised"})),
    (".", "bash scripts/test.sh {home}/tiny.ckpt", (1, "eval_adv.py", {"eval_mode": "score"})),
    (f"{ADVENT}/entropy_rank", "bash gen_color_mask_npu.sh",
     (1, "eval_adv.py", {"eval_mode": "rank", "aspp_branches": 4, "normalize_rare": False, "lambda_easy": 0.67})),
    (f"{ADVENT}/intrada", "bash test/train_performance_1p.sh",
     (1, "train_adv.py", {**STAGE_TWO, "learning_rate": 1e-3, "num_steps_stop": 500})),
    (f"{ADVENT}/intrada", "bash test/train_performance_8p.sh",
     (8, "train_adv.py", {**STAGE_TWO, "learning_rate": 8e-3, "num_steps_stop": 500})),
    (f"{ADVENT}/intrada", "bash test/train_full_8p.sh",
     (8, "train_adv.py", {**STAGE_TWO, "num_steps_stop": 3751, "save_pred_every": 30, "eval_every": 0})),
    (f"{ADVENT}/intrada", "bash test/train_eval_8p.sh", (1, "eval_adv.py", {"eval_mode": "snapshots"})),
    (ICNETS, "bash ./test/train_full_1p.sh --data_path={home}/datasets/",
     (1, "train_src.py", {**ICNET, "learning_rate": 0.01, "batch_size": 7})),
    (ICNETS, "bash ./test/train_full_8p.sh --data_path={home}/datasets/cityscapes",
     (8, "train_src.py", {**ICNET, "learning_rate": 0.1, "batch_size": 16})),
    (POINTRENDS, f"bash test/train_performance_1p.sh {OPTIONS}",
     (1, "train_src.py", {**POINTREND, "batch_size": 16, "num_steps": 500})),
    (POINTRENDS, f"bash test/train_performance_8p.sh {OPTIONS}",
     (8, "train_src.py", {**POINTREND, "batch_size": 4, "num_steps": 500})),
    (POINTRENDS, f"bash test/train_full_1p.sh {OPTIONS}",
     (1, "train_src.py", {**POINTREND, "batch_size": 16, "learning_rate": 0.005, "num_steps": 65000}),
     (1, "eval_adv.py", {})),
    (POINTRENDS, f"bash test/train_full_8p.sh {OPTIONS}",
     (8, "train_src.py", {**POINTREND, "batch_size": 4, "learning_rate": 0.01, "num_steps": 65000}),
     (1, "eval_adv.py", {})),
    (POINTRENDS, f"bash test/train_eval_8p.sh {OPTIONS}", (1, "eval_adv.py", {"network": "pointrend"})),
    (POINTRENDS, f"bash test/train_finetune_1p.sh {OPTIONS}",
     (1, "train_src.py", {**POINTREND, "batch_size": 16, "learning_rate": 0.005}), (1, "eval_adv.py", {})),
]  # fmt: skip


def plan(where: str, line: str, home: Path, *options: object) -> Iterator[tuple[int, list[str]]]:
    """(devices, program and its words) of every run that a script's line starts."""
    environment = {**os.environ, "SHOW_ONLY": "1", "ADVENT": f"{home}/ADVENT", "RANKING": f"{home}/ranking"}
    words = [*shlex.split(line.format(home=home)), *map(str, options)]
    done = subprocess.run(words, cwd=ROOT / where, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for shown in done.stdout.splitlines():
        if re.match(r"\d+ \w+\.py ", shown):
            devices, *rest = shlex.split(shown)
            yield int(devices), rest


def configured(words: list[str]) -> Config:
    return load_config(words[1:], beside="restore_from" if words[0] == "eval_adv.py" else None)


def in_small(words: list[str], *options: object) -> list[str]:
    """The program's words with the sizes of a tiny network in place of theirs."""
    pairs = dict(zip(words[1::2], words[2::2], strict=True))
    small = dict(zip(SMALL[::2], SMALL[1::2], strict=True)) | dict(zip(options[::2], options[1::2], strict=True))
    return [words[0], *(str(word) for pair in (pairs | small).items() for word in pair), *EAGER]
