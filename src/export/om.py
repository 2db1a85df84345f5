"""The commands that compile an exported model for Ascend chips: ATC for .onnx and .air, converter_lite for .mindir.

They are written to a shell script beside the results, and run where the compiler is installed.
"""

from pathlib import Path

from src.export.description import ModelDescription

BATCHES = (1, 4, 8, 16, 32, 64)
FRAMEWORKS = {".onnx": 5, ".air": 1}  # ATC's numbers


def aipp_config(description: ModelDescription) -> str:
    """AIPP: the chip takes uint8 RGB pixels and normalises them itself. Channels are swapped before the mean."""
    (height, width), pixels = description.input.size, description.pixels
    lines = ["aipp_op {", "  aipp_mode: static", "  input_format: RGB888_U8"]
    lines += [f"  src_image_size_h: {height}", f"  src_image_size_w: {width}", "  csc_switch: false"]
    lines += [f"  rbuv_swap_switch: {str(pixels.bgr).lower()}"]
    lines += [f"  min_chn_{i}: {value:.8f}" for i, value in enumerate(pixels.mean)]
    lines += [f"  var_reci_chn_{i}: {1 / value:.10f}" for i, value in enumerate(pixels.std)]
    return "\n".join([*lines, "}", ""])


def atc_command(
    model: Path, target: Path, description: ModelDescription, batch: int, soc_version: str, aipp: Path | None
) -> list[str]:
    """ATC for one batch size."""
    command = ["atc", f"--framework={FRAMEWORKS[model.suffix]}", f"--model={model}", f"--output={target}"]
    command += ["--input_format=NCHW" if description.input.layout == "NCHW" else "--input_format=ND"]
    command += [f"--input_shape={_shape(description, batch)}", f"--soc_version={soc_version}"]
    command += [] if description.argmax else ["--output_type=FP32"]  # label maps keep their own type
    command += ["--log=error"]
    return command + ([f"--insert_op_conf={aipp}"] if aipp else [])


def lite_command(model: Path, target: Path, description: ModelDescription, batch: int, settings: Path) -> list[str]:
    """MindSpore Lite's converter for one batch size; the result runs in MindSpore Lite, not in AscendCL."""
    command = ["converter_lite", "--fmk=MINDIR", f"--modelFile={model}", f"--outputFile={target}", "--saveType=MINDIR"]
    command += ["--optimize=ascend_oriented", f"--inputShape={_shape(description, batch)}"]
    return [*command, f"--configFile={settings}"]


def _shape(description: ModelDescription, batch: int) -> str:
    height, width = description.input.size
    image = (3, height, width) if description.input.layout == "NCHW" else (height, width, 3)
    return f"{description.input.name}:{','.join(map(str, (batch, *image)))}"
