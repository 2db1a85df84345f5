"""Batch norm's statistics of other images: what a network gains from them alone, without any training."""

from collections.abc import Iterable

import mindspore as ms
import numpy as np
from mindspore import nn

from model_utils.errors import UserError
from src.backend.parameters import set_values
from src.backend.step import jit
from src.dataset.loader import EvalItem
from src.models.network import Network


def reestimate(network: Network, dataset: Iterable[EvalItem], *, compiled: bool = True) -> int:
    """Sets every running mean and variance to the mean of those that the images have one by one; returns their number.

    Each image is normalised with its own statistics meanwhile, as in training with a batch of one, so that the order of
    the images does not matter. Variances are the unbiased ones that running statistics are made of.

    Raises:
        UserError: the network has no statistics, or there are no images.
    """
    norms = [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    statistics = [parameter for norm in norms for parameter in (norm.moving_mean, norm.moving_variance)]
    if not statistics:
        raise UserError(f"network: {type(network).__name__} has fixed statistics; there is nothing to estimate")
    shares = [norm.momentum for norm in norms for _ in range(2)]  # of the image that came last
    sums = [np.zeros(parameter.shape, np.float64) for parameter in statistics]
    was_training = network.training
    network.set_train(True)
    count = 0
    try:

        def forward(image):
            return network.main(image)

        run = jit(forward, compiled)
        for item in dataset:
            before = [parameter.asnumpy().astype(np.float64) for parameter in statistics]
            run(ms.Tensor(item.image))
            for total, old, parameter, share in zip(sums, before, statistics, shares, strict=True):
                total += (parameter.asnumpy() - (1 - share) * old) / share
            count += 1
    finally:
        network.set_train(was_training)
    if not count:
        raise UserError("there are no images to estimate statistics from; check data_dir_target and set")
    for total, parameter in zip(sums, statistics, strict=True):
        set_values(parameter, (total / count).astype(np.float32))
    return count
