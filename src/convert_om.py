"""The commands that compile an exported model for Ascend chips: ATC for .onnx and .air, converter_lite for .mindir.

They are written to a shell script beside the results, and run where the compiler is installed.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from model_utils.errors import UserError, run
from src.deploy import DEPLOYMENTS, Deployment

BATCHES = (1, 4, 8, 16, 32, 64)
FRAMEWORKS = {".onnx": 5, ".air": 1}  # ATC's numbers


def aipp_config(deployment: Deployment, size: tuple[int, int]) -> str:
    """AIPP: the chip takes uint8 RGB pixels and normalises them itself. Channels are swapped before the mean."""
    lines = ["aipp_op {", "  aipp_mode: static", "  input_format: RGB888_U8"]
    lines += [f"  src_image_size_h: {size[0]}", f"  src_image_size_w: {size[1]}", "  csc_switch: false"]
    lines += [f"  rbuv_swap_switch: {str(deployment.bgr).lower()}"]
    lines += [f"  min_chn_{i}: {value:.8f}" for i, value in enumerate(deployment.mean)]
    lines += [f"  var_reci_chn_{i}: {1 / value:.10f}" for i, value in enumerate(deployment.std)]
    return "\n".join([*lines, "}", ""])


def atc_command(model: Path, target: Path, shape: list[int], soc_version: str, aipp: Path | None) -> list[str]:
    """ATC for one batch size; ``shape`` is the whole input's."""
    command = ["atc", f"--framework={FRAMEWORKS[model.suffix]}", f"--model={model}", f"--output={target}"]
    command += ["--input_format=NCHW" if shape[1] == 3 else "--input_format=ND"]
    command += [f"--input_shape=image:{','.join(map(str, shape))}", f"--soc_version={soc_version}"]
    command += ["--output_type=FP32", "--log=error"]
    return command + ([f"--insert_op_conf={aipp}"] if aipp else [])


def lite_command(model: Path, target: Path, shape: list[int], settings: Path) -> list[str]:
    """MindSpore Lite's converter for one batch size; the result runs in MindSpore Lite, not in AscendCL."""
    command = ["converter_lite", "--fmk=MINDIR", f"--modelFile={model}", f"--outputFile={target}", "--saveType=MINDIR"]
    command += ["--optimize=ascend_oriented", f"--inputShape=image:{','.join(map(str, shape))}"]
    return [*command, f"--configFile={settings}"]


def main(argv: list[str] | None = None) -> None:
    """Writes, and where it can runs, a command for each batch size."""
    parser = argparse.ArgumentParser(prog="convert_om.sh", description=main.__doc__)
    parser.add_argument("model", type=Path, help=".onnx, .air or .mindir of export.py (ONNX: --batch_size dynamic)")
    parser.add_argument("soc_version", help="the chip, e.g. Ascend310 or Ascend310P3")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("H", "W"))
    parser.add_argument("--pixels", action="store_true", help="the model was exported with --normalize_in_graph")
    parser.add_argument("--aipp", action="store_true", help="let the chip normalise uint8 pixels (ATC only)")
    parser.add_argument("--network", choices=DEPLOYMENTS, default="deeplab_multi")
    parser.add_argument("--out", type=Path, default=Path("om"), help="folder for the models (default om)")
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
    """The commands, also as OUT/convert.sh together with the files that they name."""
    model, is_lite = options.model, options.model.suffix == ".mindir"
    if not model.is_file():
        raise UserError(f"model {model}: does not exist; write it with export.py")
    if not is_lite and model.suffix not in FRAMEWORKS:
        raise UserError(f"model {model}: is no .onnx, .air or .mindir file; write it with export.py")
    if options.aipp and (is_lite or options.pixels):
        raise UserError("aipp: is for .onnx and .air models that were exported without --normalize_in_graph")
    image = [*options.size, 3] if options.pixels else [3, *options.size]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        extra = None
        if is_lite:
            extra = options.out / "converter.cfg"
            extra.write_text("[ascend_context]\nprecision_mode=enforce_fp32\n", encoding="utf-8")
        elif options.aipp:
            extra = options.out / "aipp.cfg"
            extra.write_text(aipp_config(DEPLOYMENTS[options.network], tuple(options.size)), encoding="utf-8")
        commands = []
        for batch in options.batches:
            target = options.out / f"{model.stem}_bs{batch}"
            if is_lite:
                commands.append(lite_command(model, target, [batch, *image], extra))
            else:
                commands.append(atc_command(model, target, [batch, *image], options.soc_version, extra))
        lines = ["#!/usr/bin/env bash", "set -euo pipefail", *map(shlex.join, commands), ""]
        (options.out / "convert.sh").write_text("\n".join(lines), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{options.out}: cannot be written ({error.strerror}); give another --out") from error
    return commands


if __name__ == "__main__":
    sys.exit(run(main))
