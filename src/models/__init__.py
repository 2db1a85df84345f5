"""The networks: image in, raw logits out; no loss and no optimizer."""

from src.models.deeplab_multi import DeepLabMulti
from src.models.discriminator import Discriminator
from src.models.icnet import ICNet
from src.models.pointrend import PointRend

NETWORKS = {"deeplab_multi": DeepLabMulti, "icnet": ICNet, "pointrend": PointRend}

__all__ = ["NETWORKS", "DeepLabMulti", "Discriminator", "ICNet", "PointRend"]
