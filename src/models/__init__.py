"""The networks: image in, raw logits out; no loss and no optimizer."""

from src.models.deeplab_multi import DeepLabMulti
from src.models.discriminator import Discriminator

NETWORKS = {"deeplab_multi": DeepLabMulti}

__all__ = ["NETWORKS", "DeepLabMulti", "Discriminator"]
