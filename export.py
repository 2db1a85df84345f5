"""Writes a checkpoint as MINDIR, ONNX or AIR for inference. Options: --help, and every key of the configuration."""

import argparse
import sys
from pathlib import Path

from model_utils.config import Config, load_config
from model_utils.device_adapter import start_configured
from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions
from model_utils.refusals import refuse_keys
from model_utils.sizes import Size, parse_size

# Above this share of the largest output, two programs do not compute the same.
TOLERANCE = 1e-3


def main(argv: list[str] | None = None) -> None:
    """Exports ``restore_from`` with the configuration beside it, or that of ``--config_path``."""
    options, rest = parse_options(sys.argv[1:] if argv is None else argv)
    config = load_config(["--restore_from", options.restore_from, *rest], beside="restore_from")
    refuse_keys(config, "the file holds one network, which looks at an image once", "ensemble_with", "flip", "scales")
    size = options.size or config.input_size_target
    start_configured(config, runs_exported=True)
    target = export_checkpoint(config, options, size)
    print(f"written: {target}")


def parse_options(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """This program's options, and the rest for the configuration."""
    parser = OwnOptions(prog="export.py", description=main.__doc__, epilog="Every key of the configuration works.")
    add = parser.add_argument
    add("--restore_from", "--ckpt_file", required=True, metavar="FILE", help=".ckpt, .safetensors, .pth or .pkl")
    add("--file_format", type=str.upper, choices=("MINDIR", "ONNX", "AIR"), default="MINDIR")
    add("--file_name", type=user_path, help="the file to write; default: the checkpoint's name with another ending")
    add("--batch_size", type=batch, default=1, metavar="N|dynamic", help="1 to 64, or dynamic (default 1)")
    add("--opset", type=int, choices=(11, 12, 13), help="of an ONNX file, at most; default 13, 16 for PointRend")
    add("--size", type=parse_size, metavar="W,H", help="of the input, e.g. 1024,512; default: input_size_target")
    add("--head", help="only this output, e.g. main; default: all")
    add("--upsample", action="store_true", help="upsample the logits to the configuration's output_size in the graph")
    add("--argmax", action="store_true", help="trainIds (int32) instead of logits")
    add("--normalize_in_graph", action="store_true", help="input (N, H, W, 3) uint8 RGB; no mean on the device's side")
    add("--enc_key_file", type=user_path, help="encrypt the MINDIR with the 16, 24 or 32 bytes of this file")
    add("--enc_mode", choices=("AES-GCM", "AES-CBC", "SM4-CBC"), default="AES-GCM")
    add("--verify", type=yes_or_no, default=True, metavar="true|false", help="compare with MindSpore (default true)")
    return parser.parse_known_args(argv)


def export_checkpoint(config: Config, options: argparse.Namespace, size: Size) -> Path:
    """Builds the network, writes its file and compares the two. Returns the file's path."""
    from src.checkpoint import restored
    from src.dataset.domains import Data
    from src.export.deploy import DeployNet, differences, export_air, export_mindir, export_onnx
    from src.export.description import network_description, write_description
    from src.models import NETWORKS
    from src.training.build import build_network

    outputs = NETWORKS[config.network].OUTPUTS
    if options.head not in (None, *outputs):
        raise UserError(f"head: {config.network} has {', '.join(outputs)}, not '{options.head}'")
    if options.upsample and not all(config.output_size):
        raise UserError("upsample: needs a size to enlarge to; give --output_size W,H")
    target = choose_target(options)
    key, classes = read_key(options), Data(config).classes
    network = build_network(config)
    restored(network, config.restore_from, only_main=options.head == "main", teacher=config.restore_teacher)
    cell = DeployNet(
        network,
        head=options.head,
        upsample_to=config.output_size if options.upsample else None,
        argmax=options.argmax,
        normalize=options.normalize_in_graph,
    )
    form = {"batch": options.batch_size, "size": size}
    secret = {"key": key, "key_mode": options.enc_mode} if key else {}
    writer = {"MINDIR": export_mindir, "ONNX": export_onnx, "AIR": export_air}[options.file_format]
    opset = {"opset": options.opset} if options.file_format == "ONNX" else {}
    writer(cell, target, **form, **secret, **opset)
    for name, value in (differences(cell, target, **form, **secret) if options.verify else {}).items():
        print(f"largest difference between MindSpore and {name}: {value:.1e} of the largest output", flush=True)
        if not value < TOLERANCE:
            target.unlink()
            raise UserError(f"{target}: {name} computes something else than MindSpore ({value:.1e}); removed again")
    given = {"takes_pixels": options.normalize_in_graph, "upsampled": options.upsample, "argmax": options.argmax}
    write_description(target, network_description(config.network, size, classes, options.head or "", **given))
    return target


def choose_target(options: argparse.Namespace) -> Path:
    """The file to write. Refuses what this machine or format cannot do."""
    from src.backend import device

    if options.file_format == "AIR" and device.target() != "Ascend":
        raise UserError(
            "file_format: AIR can be written on an Ascend machine only; use ONNX and scripts/convert_om.sh, or MINDIR"
        )
    if options.file_format == "AIR" and options.batch_size is None:
        raise UserError("batch_size: AIR needs a fixed one; give --batch_size 1")
    if options.enc_key_file and options.file_format != "MINDIR":
        raise UserError(f"enc_key_file: {options.file_format} files cannot be encrypted; use --file_format MINDIR")
    ending = f".{options.file_format.lower()}"
    path = options.file_name or Path(options.restore_from).with_suffix(ending)
    return path if path.suffix == ending else path.with_name(path.name + ending)


def read_key(options: argparse.Namespace) -> bytes:
    """The key's bytes; empty when none is wanted."""
    if not options.enc_key_file:
        return b""
    try:
        key = options.enc_key_file.read_bytes()
    except OSError as error:
        raise UserError(f"enc_key_file {options.enc_key_file}: cannot be read ({error.strerror})") from error
    lengths = (16,) if options.enc_mode == "SM4-CBC" else (16, 24, 32)
    if len(key) not in lengths:
        wanted = ", ".join(map(str, lengths))
        raise UserError(
            f"enc_key_file {options.enc_key_file}: holds {len(key)} bytes; {options.enc_mode} needs {wanted}"
        )
    return key


def batch(text: str) -> int | None:
    """1 to 64, or None for ``dynamic``."""
    if text.lower() == "dynamic":
        return None
    if not (text.isdigit() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError(f"must be 1 to 64 or dynamic, not '{text}'")
    return int(text)


def yes_or_no(text: str) -> bool:
    """``true`` or ``false``."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, not '{text}'")
    return text.lower() == "true"


if __name__ == "__main__":
    sys.exit(run(main))
