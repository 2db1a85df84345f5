"""Deterministic weights that need no download: every array is a function of its name, shape and a salt.

The golden files in this folder were computed by the systems' original PyTorch implementations after loading
these weights under their own parameter names. Load the same arrays (through the project's weight converter)
into the MindSpore network, feed the stored input, and compare with the stored output.
"""

import math
import zlib

import numpy as np

NAMES_OF_SMALL_SCALES = ("bn3.weight", "downsample.1.weight", "conv3.norm.weight", "shortcut.norm.weight")


def golden_array(name: str, shape: tuple[int, ...], salt: str = "shared") -> np.ndarray:
    """One parameter.

    Args:
        name: parameter name in the ORIGINAL state dict, e.g. ``layer1.0.conv1.weight``.
        shape: its shape there.
        salt: a different salt gives a different, equally valid network.

    Returns:
        float32 array; an int64 zero for ``num_batches_tracked``.
    """
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"{salt}:{name}".encode())))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("running_mean") or name.endswith("bias"):
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        low, high = (0.1, 0.3) if name.endswith(NAMES_OF_SMALL_SCALES) else (0.5, 1.5)
        values = rng.uniform(low, high, shape)
    else:
        values = rng.standard_normal(shape) * math.sqrt(2.0 / math.prod(shape[1:]))
    return values.astype(np.float32)


def golden_state(shapes: dict[str, list[int]], salt: str = "shared") -> dict[str, np.ndarray]:
    """A whole state dict from ``{name: shape}`` (the ``*_keys.json`` files here)."""
    return {name: golden_array(name, tuple(shape), salt) for name, shape in shapes.items()}


def golden_image(tag: str, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 input of about the range of a mean-subtracted 0..255 image, smooth enough to be image-like."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"image:{tag}".encode())))
    n, c, h, w = shape
    yy, xx = np.meshgrid(np.linspace(0, 1, h), np.linspace(0, 1, w), indexing="ij")
    image = np.zeros(shape)
    for i in range(n):
        for j in range(c):
            for _ in range(6):
                fy, fx, phase, amp = rng.uniform(1, 12), rng.uniform(1, 12), rng.uniform(0, 6.28), rng.uniform(5, 30)
                image[i, j] += amp * np.sin(6.28 * (fy * yy + fx * xx) + phase)
    return (image + 10.0 * rng.standard_normal(shape)).astype(np.float32)


def golden_label(tag: str, shape: tuple[int, int, int], classes: int = 19, ignore: int = 255) -> np.ndarray:
    """int32 (n, h, w) blocky labels with some ignored pixels."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"label:{tag}".encode())))
    n, h, w = shape
    coarse = rng.integers(0, classes, (n, -(-h // 8), -(-w // 8)))
    label = np.repeat(np.repeat(coarse, 8, 1), 8, 2)[:, :h, :w].copy()
    label[rng.uniform(size=(n, h, w)) < 0.05] = ignore
    return label.astype(np.int32)
