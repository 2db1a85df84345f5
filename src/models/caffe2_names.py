"""Names and values of the ImageNet file R-101.pkl, in both of its published formats, as PointRend's trunk has them.

The newer format holds the four vectors of every batch norm, the older one only the scale and shift they make. Both
are BGR with the mean subtracted, and carry the stride in the 1x1 convolution.
"""

import re

import numpy as np

TRUNK = "backbone.bottom_up."
BRANCHES = {"branch1": "shortcut", "branch2a": "conv1", "branch2b": "conv2", "branch2c": "conv3"}
ENDINGS = {
    "_w": "weight",
    "_bn_gamma": "norm.weight",
    "_bn_beta": "norm.bias",
    "_bn_running_mean": "norm.running_mean",
    "_bn_running_var": "norm.running_var",
    "_bn_s": "norm.weight",
    "_bn_b": "norm.bias",
}
NOT_USED = re.compile(r"fc1000_[wb]|conv1_b|.*_momentum")
PLACE = re.compile(r"(?:res_)?conv1|res([2-5])_(\d+)_(branch1|branch2[abc])")
EPSILON = 1e-5


def is_caffe2(names: set[str]) -> bool:
    """Whether a file speaks of its layers as R-101.pkl does."""
    return "conv1_w" in names and any("_branch2a_w" in name for name in names)


def from_caffe2(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{name in R-101.pkl: array} -> {name in PointRend's checkpoints: array}; names it does not know stay."""
    renamed = {_name(name): value for name, value in values.items() if not NOT_USED.fullmatch(name)}
    for name in [name for name in renamed if name.endswith("norm.weight")]:
        stem = name.removesuffix("weight")
        if f"{stem}running_var" not in renamed and f"{stem}running_mean" not in renamed:
            zeros = np.zeros_like(renamed[name])
            renamed[f"{stem}running_mean"], renamed[f"{stem}running_var"] = zeros, zeros + (1 - EPSILON)
    return renamed


def _name(name: str) -> str:
    for ending, ours in ENDINGS.items():
        place = PLACE.fullmatch(name.removesuffix(ending)) if name.endswith(ending) else None
        if place:
            stage, block, branch = place.groups()
            layer = f"res{stage}.{block}.{BRANCHES[branch]}" if stage else "stem.conv1"
            return f"{TRUNK}{layer}.{ours}"
    return name
