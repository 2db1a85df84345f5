"""What goes with a network: its loss, its training samples, its options and what an evaluation adds to the scores.

Nothing heavy is imported here: the configuration reads the names. See docs/extending.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model_utils.config import Config
    from src.recipes.recipe import Recipe

# Name in the configuration and in src.models.NETWORKS -> the file with its RECIPE.
RECIPES = {
    "deeplab_multi": "src.recipes.deeplab_multi",
    "icnet": "src.recipes.icnet",
    "pointrend": "src.recipes.pointrend",
}


def recipe_of(config: "Config") -> "Recipe":
    """The recipe of the configuration's network."""
    return import_module(RECIPES[config.network]).RECIPE
