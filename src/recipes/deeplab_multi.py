"""DeepLab-v2 with two heads: everything as in ``Recipe``."""

from src.recipes.recipe import Recipe


class DeepLabMultiRecipe(Recipe):
    """Source-only training with cross entropy of both heads."""

    OPTIONS = ("aspp_branches",)


RECIPE = DeepLabMultiRecipe()
