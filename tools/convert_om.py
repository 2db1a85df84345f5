"""The commands that compile an exported model for Ascend chips; see scripts/convert_om.sh."""

import argparse
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.files import write_text
from model_utils.own_options import OwnOptions, whole
from model_utils.sizes import parse_size
from src.export.description import ModelDescription, read_description, write_description
from src.export.om import BATCHES, FRAMEWORKS, aipp_config, atc_command, lite_command


def main(argv: list[str] | None = None) -> None:
    """Writes, and where it can runs, a command for each batch size."""
    parser = OwnOptions(prog="convert_om.sh", description=main.__doc__)
    parser.add_argument(
        "model", type=user_path, help=".onnx, .air or .mindir of export.py (ONNX: --batch_size dynamic)"
    )
    parser.add_argument("soc_version", help="the chip, e.g. Ascend310 or Ascend310P3")
    parser.add_argument("--batches", type=whole(1), nargs="+", default=BATCHES)
    parser.add_argument("--size", type=parse_size, metavar="W,H", help="in place of the described one")
    parser.add_argument("--aipp", action="store_true", help="let the chip normalise uint8 pixels (ATC only)")
    parser.add_argument("--out", type=user_path, default=Path("om"), help="folder for the models (default om)")
    options = parser.parse_args(argv)
    commands = write_commands(options)
    tool = commands[0][0]
    if shutil.which(tool) is None:
        print(f"{tool} is not installed here; run {options.out}/convert.sh where it is")
        return
    for command in commands:
        print(shlex.join(command), flush=True)
        if subprocess.run(command, check=False).returncode:
            raise UserError(f"{tool} failed for {command[3]}; its messages are above")


def write_commands(options: argparse.Namespace) -> list[list[str]]:
    """The commands, also as OUT/convert.sh, with the files that they name and each model's description."""
    model, is_lite = options.model, options.model.suffix == ".mindir"
    if not model.is_file():
        raise UserError(f"model {model}: does not exist; write it with export.py")
    if not is_lite and model.suffix not in FRAMEWORKS:
        raise UserError(f"model {model}: is no .onnx, .air or .mindir file; write it with export.py")
    source = read_description(model)
    if options.size:
        source = replace(source, input=replace(source.input, size=tuple(options.size)))
    if options.aipp and (is_lite or source.input.layout == "NHWC"):
        raise UserError("aipp: is for .onnx and .air models that were exported without --normalize_in_graph")
    extra = None
    if is_lite:
        extra = options.out / "converter.cfg"
        write_text(extra, "[ascend_context]\nprecision_mode=enforce_fp32\n")
    elif options.aipp:
        extra = options.out / "aipp.cfg"
        write_text(extra, aipp_config(source))
    commands = []
    for batch in options.batches:
        target = options.out / f"{model.stem}_bs{batch}"
        if is_lite:
            commands.append(lite_command(model, target, source, batch, extra))
        else:
            commands.append(atc_command(model, target, source, batch, options.soc_version, extra))
        write_description(options.out / f"{target.name}.om", compiled_description(source, aipp=options.aipp))
    lines = ["#!/usr/bin/env bash", "set -euo pipefail", *map(shlex.join, commands), ""]
    write_text(options.out / "convert.sh", "\n".join(lines))
    return commands


def compiled_description(source: ModelDescription, *, aipp: bool) -> ModelDescription:
    """With AIPP the compiled model takes pixels."""
    return replace(source, input=replace(source.input, layout="NHWC", dtype="uint8")) if aipp else source


if __name__ == "__main__":
    sys.exit(run(main))
