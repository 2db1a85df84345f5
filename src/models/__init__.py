"""The networks: image in, raw logits out; no loss and no optimizer."""

from src.models.deeplab_multi import DeepLabMulti
from src.models.discriminator import Discriminator
from src.models.pointrend import PointRend

NETWORKS = {"deeplab_multi": DeepLabMulti, "pointrend": PointRend}

__all__ = ["NETWORKS", "DeepLabMulti", "Discriminator", "PointRend"]
