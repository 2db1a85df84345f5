"""ICNet."""

from mindspore import nn

from model_utils.config import Config
from src.backend.step import Engine, Step
from src.methods.supervised import cascade_objective, make_step
from src.recipes.recipe import Recipe


class ICNetRecipe(Recipe):
    """Cross entropy at three resolutions; published scores are means of a running mIoU."""

    RUNNING_SCORE = True

    def supervised_step(self, config: Config, network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Step:
        return make_step(network, optimizer, engine, cascade_objective(resize=config.label_resize))


RECIPE = ICNetRecipe()
