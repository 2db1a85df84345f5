"""PointRend on a semantic FPN."""

from functools import partial
from pathlib import Path

from mindspore import nn

from model_utils.config import Config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from model_utils.refusals import refuse_keys
from src.backend.step import Engine, Step
from src.dataset.augment_pointrend import load_training_sample
from src.dataset.cityscapes import prefer_drawn
from src.dataset.domains import Data
from src.dataset.loader import Loader
from src.dataset.pixels import Pixels
from src.dataset.samples import Sample
from src.evaluation.refinement import RefinementReport
from src.methods.pointrend import make_step
from src.models.pointrend import STRIDE
from src.models.points import draws_needed
from src.recipes.recipe import Recipe


class PointRendRecipe(Recipe):
    """Two losses, crops with random points, and a report of what the refinement did."""

    OPTIONS = ("points", "train_points")

    def supervised_step(self, config: Config, network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Step:
        return make_step(network, optimizer, engine)

    def samples(self, labelled: list[Sample]) -> list[Sample]:
        return [prefer_drawn(sample) for sample in labelled]

    def loader(self, config: Config, pixels: Pixels, data: Data) -> Loader:
        """(image, label, draws): ``draws`` are the random numbers from which the step takes its training points."""
        if config.rare_class_sampling:
            raise UserError("rare_class_sampling: PointRend's crops do not look for a class; leave it 0")
        keys = ("augmentation", "random_crop", "random_flip", "crop_max_share", "fda_beta")
        refuse_keys(config, "PointRend changes images in its own way", *keys)
        if any(n % STRIDE for n in config.input_size):
            raise UserError(f"input_size: PointRend's crops must be multiples of {STRIDE}; give e.g. 1024,512")
        load = partial(
            load_training_sample,
            pixels=pixels,
            short_sides=config.short_sides,
            crop=config.input_size,
            draws=draws_needed(config.train_points),
        )
        return Loader(load, ("image", "label", "draws"))

    def check_evaluation(self, config: Config, device: Device) -> None:
        if not all(config.output_size):
            raise UserError("output_size: PointRend's report needs one size for all images; give e.g. 2048,1024")
        if device.ranks > 1:
            raise UserError("PointRend's report needs all images in one process; use one device")

    def report(self, config: Config) -> RefinementReport:
        return RefinementReport(
            classes=config.num_classes,
            output_size=config.output_size,
            boundary_width=config.boundary_width,
            folder=Path(config.result_dir) / "points",
        )


RECIPE = PointRendRecipe()
