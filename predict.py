"""Segments an image, a folder or a video with a checkpoint or an exported model. Options: --help."""

import sys
from pathlib import Path

from model_utils.config import load_config
from model_utils.device_adapter import describe, start_configured
from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions
from model_utils.refusals import refuse_keys


def main(argv: list[str] | None = None) -> None:
    """Writes trainIds, colours, overlays, side-by-sides with a legend, and entropy maps of every image."""
    parser = OwnOptions(prog="predict.py", description=main.__doc__, epilog="Every configuration key works.")
    parser.add_argument("source", type=user_path, metavar="INPUT", help="image, video, or a folder of them")
    parser.add_argument("--restore_from", required=True, metavar="FILE", help="checkpoint, .onnx or .mindir")
    parser.add_argument("--list", type=user_path, metavar="FILE", help="names below the folder INPUT, one a line")
    parser.add_argument("--result_dir", type=user_path, default=Path("prediction"), help="default: prediction")
    options, rest = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    config = load_config(["--restore_from", options.restore_from, *rest], beside="restore_from")
    device = start_configured(config)
    print(describe(device, config.mode, exact=config.exact), flush=True)
    from src.dataset.domains import Data
    from src.dataset.labels import make_classes
    from src.evaluation.inputs import list_inputs
    from src.evaluation.modes import network_of
    from src.evaluation.predict import Predictor, checkpoint_forward, exported_forward, predict_all

    inputs, weights = list_inputs(options.source, options.result_dir, options.list), Path(config.restore_from)
    if weights.suffix in (".onnx", ".mindir"):
        if not weights.is_file():
            raise UserError(f"restore_from: {weights} does not exist; correct the path")
        why = "an exported model is what it was exported as, give a checkpoint"
        refuse_keys(config, why, "restore_teacher", "ensemble_with", "flip", "scales")
        forward, about = exported_forward(weights)
        classes = make_classes(list(about.classes), dict(zip(about.classes, about.colors, strict=True)), [])
        predictor = Predictor(forward, about.pixels, about.input.size, about.aligned_corners)
    else:
        classes, network = Data(config).classes, network_of(config)
        forward = checkpoint_forward(network, config.mode == "graph", flip=config.flip, scales=config.scales)
        predictor = Predictor(forward, network.PIXELS, config.input_size_target, network.ALIGNED_CORNERS)
    images, videos, broken = predict_all(predictor, inputs, options.result_dir, classes, config.on_broken)
    if broken:
        print(f"left out: {len(broken)} of {len(inputs)} files cannot be read: {'; '.join(broken.values())}")
    print(f"{images} images{f', {videos} videos' * bool(videos)}; written to {options.result_dir}")


if __name__ == "__main__":
    sys.exit(run(main))
