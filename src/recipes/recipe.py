"""What every recipe is; a network's own overrides what is different there."""

from functools import partial

from mindspore import nn

from model_utils.config import Config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from model_utils.refusals import refuse_keys
from model_utils.sizes import Size, size_text
from src.backend.step import Engine, Step
from src.dataset.augment_crop import crop_and_flip
from src.dataset.augment_icnet import augment
from src.dataset.domains import Data
from src.dataset.fda import make_fda
from src.dataset.loader import Augment, Loader, pair_loader
from src.dataset.pixels import Pixels
from src.dataset.rare_classes import ENOUGH
from src.dataset.samples import Sample
from src.methods.supervised import make_step, two_head_objective


def crop_of(config: Config, pixels: Pixels, size: Size) -> Augment | None:
    """Random crops and flips of images that are resized to ``size``, as configured; None without."""
    crop = config.random_crop if all(config.random_crop) else size
    if config.crop_max_share < 1 and not all(config.random_crop):
        raise UserError("crop_max_share: is about crops; give --random_crop too")
    if crop == size and not config.random_flip:
        return None
    if any(n > m for n, m in zip(crop, size, strict=True)):
        raise UserError(f"random_crop: {size_text(crop)} is larger than the input size {size_text(size)}; crop less")
    options = {"flip": config.random_flip, "how": pixels.resize, "largest_share": config.crop_max_share}
    return partial(crop_and_flip, size=size, crop=crop, **options)


def one_after_the_other(first: Augment, second: Augment | None) -> Augment:
    """Both, with the same random numbers running on."""
    if second is None:
        return first
    return lambda image, label, rng: second(*first(image, label, rng), rng)


class Recipe:
    """What the configuration's ``network`` means besides the network itself.

    ``OPTIONS``: keys of the configuration that the network takes, besides depths and width.
    ``RUNNING_SCORE``: whether published scores are means of a running mIoU, which an evaluation then prints too.
    """

    OPTIONS: tuple[str, ...] = ()
    RUNNING_SCORE = False

    def supervised_step(self, config: Config, network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Step:
        """The step of one labelled domain, for what ``loader`` gives; here cross entropy of an aux and a main head."""
        return make_step(network, optimizer, engine, two_head_objective(config.lambda_seg, config.source_mean))

    def samples(self, labelled: list[Sample]) -> list[Sample]:
        """The labelled samples as this network's training reads them."""
        return labelled

    def loader(self, config: Config, pixels: Pixels, data: Data) -> Loader:
        """How a labelled training sample is read: (image, label) of the input's size, augmented as configured."""
        size, change = config.input_size if data.has_source else config.input_size_target, None
        if config.two_domains:
            refuse_keys(config, f"method {config.method} has two domains, this is for one", "augmentation")
        if not data.has_source or data.are_pseudo_labels:
            refuse_keys(config, "the labelled images are the target's own", "fda_beta")
        if config.augmentation == "icnet":
            others = ("random_crop", "random_flip", "crop_max_share", "fda_beta")
            refuse_keys(config, "augmentation icnet changes images in its own way", *others)
            size = config.crop_size
            change = partial(augment, base_size=config.base_size, crop_size=config.crop_size)
        else:
            change = crop_of(config, pixels, size)
            if config.fda_beta:
                change = one_after_the_other(make_fda(data.unlabelled, size, config.fda_beta), change)
        enough = ENOUGH * config.rare_class_min_pixels
        return pair_loader(pixels, size, augment=change, same_size=not data.are_pseudo_labels, enough=enough)

    def check_evaluation(self, config: Config, device: Device) -> None:
        """Refuses what an evaluation of this network cannot do."""

    def report(self, config: Config):
        """What an evaluation collects besides the common scores, see ``RefinementReport``; None: nothing."""
        return None
