"""Published weight files by name: which configuration evaluates them. Their own names are all that tells some apart."""

from fnmatch import fnmatch
from pathlib import Path

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
DEEPLAB = CONFIGS.parent / "advnet_config.yaml"

# AdaptSegNet's sum two ASPP branches, ADVENT's and IntraDA's four, from files with equal names and shapes inside.
PUBLISHED = {
    "GTA2Cityscapes_multi-ed35151c.pth": DEEPLAB,
    "cityscapes_oracle-b7b9934.pth": DEEPLAB,
    "GTA5_baseline.pth": DEEPLAB,
    "gta2cityscapes_advent.pth": CONFIGS / "advent.yaml",
    "gta2cityscapes_advent_cyclegan.pth": CONFIGS / "advent.yaml",
    "gta2cityscapes_minent.pth": CONFIGS / "minent.yaml",
    "gta2cityscapes_minent_ER.pth": CONFIGS / "minent.yaml",
    "cityscapes_easy2hard_intrada.pth": CONFIGS / "intrada.yaml",
    "cityscapes_easy2hard_intrada_with_norm.pth": CONFIGS / "intrada.yaml",
    "*icnet_resnet50_*_best_model.pth": CONFIGS / "icnet.yaml",
    "model_final_cf6ac1.pkl": CONFIGS / "pointrend.yaml",
}


def published_configuration(weights: Path) -> list[Path]:
    """The configuration of a published file, in a list, and said; an empty list for any other name."""
    for name, path in PUBLISHED.items():
        if fnmatch(weights.name, name):
            print(f"{weights.name}: published weights, read as {path.relative_to(DEEPLAB.parent)} says", flush=True)
            return [path]
    return []
