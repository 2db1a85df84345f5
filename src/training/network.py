"""From a Config to its network."""

import mindspore as ms

from model_utils.config import Config
from src.backend.blocks import share_blocks
from src.models import NETWORKS
from src.models.network import Network
from src.recipes import recipe_of


def build_network(config: Config) -> Network:
    """The network with the initial weights of ``random_seed``, in float32; see ``share_blocks`` for its blocks."""
    network = make_network(config)
    one_size = not config.two_domains or config.input_size == config.input_size_target
    return share_blocks(network) if one_size and network.ONE_SIZE else network


def make_network(config: Config) -> Network:
    """The same with blocks of its own, for a second network of a run."""
    ms.set_seed(config.random_seed)
    options = {key: getattr(config, key) for key in ("depths", "width", *recipe_of(config).OPTIONS)}
    return NETWORKS[config.network](config.num_classes, **options)
