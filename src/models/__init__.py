"""The networks: image in, raw logits out; no loss and no optimizer."""

from src.models.deeplab_multi import DeepLabMulti
from src.models.discriminator import Discriminator
from src.models.icnet import ICNet

NETWORKS = {"deeplab_multi": DeepLabMulti, "icnet": ICNet}

__all__ = ["NETWORKS", "DeepLabMulti", "Discriminator", "ICNet"]
