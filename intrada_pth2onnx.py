"""IntraDA's inference document calls it this: IN.pth OUT.onnx; four branches, both outputs, dynamic batch, opset 11."""

import sys

import export
from model_utils.config import DEFAULTS
from model_utils.errors import UserError, run

FORM = ["--config_path", str(DEFAULTS.parent / "configs/intrada.yaml"), "--file_format", "ONNX"]
FORM += ["--batch_size", "dynamic", "--opset", "11"]


def main(argv: list[str] | None = None) -> None:
    """Exports IntraDA's weights; further options are those of export.py."""
    weights, target, *more = [*(sys.argv[1:] if argv is None else argv), "", ""]
    if not weights or not target or weights.startswith("-") or target.startswith("-"):
        raise UserError("usage: python intrada_pth2onnx.py IN.pth OUT.onnx [options of export.py]")
    export.main(["--restore_from", weights, "--file_name", target, *FORM, *more[:-2]])


if __name__ == "__main__":
    sys.exit(run(main))
