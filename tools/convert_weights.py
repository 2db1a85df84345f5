"""Converts a weight file once: ``python -m tools.convert_weights IN OUT --network deeplab_multi``."""

import sys

from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions, whole
from src.checkpoint import load_weights, save_weights
from src.models import NETWORKS, Discriminator


def main(argv: list[str] | None = None) -> None:
    """Converts a weight file, checking it against the network."""
    networks = {**NETWORKS, "discriminator": Discriminator}
    parser = OwnOptions(prog="python -m tools.convert_weights", description=main.__doc__)
    parser.add_argument("source", type=user_path, metavar="IN", help=".ckpt, .safetensors, .pth or .pkl")
    parser.add_argument("target", type=user_path, metavar="OUT", help=".ckpt or .safetensors")
    parser.add_argument("--network", choices=networks, required=True)
    parser.add_argument("--num_classes", type=whole(1), default=19)
    branches = "of deeplab_multi: 4 for ADVENT, MinEnt and IntraDA (default 2)"
    parser.add_argument("--aspp_branches", type=int, choices=(2, 4), help=branches)
    options = parser.parse_args(argv)
    if options.target.suffix not in (".ckpt", ".safetensors"):
        raise UserError(f"{options.target}: must end in .ckpt or .safetensors")
    own = {"num_classes": options.num_classes}
    if options.aspp_branches:
        if options.network != "deeplab_multi":
            raise UserError(f"aspp_branches: {options.network} has none; leave it out")
        own["aspp_branches"] = options.aspp_branches
    network = networks[options.network](**own)
    print(load_weights(network, options.source, allow_initial=False))
    save_weights(options.target, network)
    print(f"written: {options.target}")


if __name__ == "__main__":
    sys.exit(run(main))
