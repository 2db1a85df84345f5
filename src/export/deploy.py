"""A trained network as a file for inference: MINDIR, ONNX or AIR, compared with MindSpore on the spot."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from model_utils.errors import UserError
from model_utils.files import replacing
from src.backend.convolution import use_operators
from src.dataset.pixels import Size
from src.models.network import Network


class DeployNet(nn.Cell):
    """A network with the steps around it that the device takes over; it changes the network, see ``use_operators``.

    Input ``image``: (N, 3, H, W) float32 as in training or, with ``normalize``, the decoded pixels themselves:
    (N, H, W, 3) uint8 RGB. Output: raw logits of all heads, or of ``head`` alone; with ``upsample_to`` at that size;
    with ``argmax`` the trainIds (N, h, w) int32 in their place.
    """

    def __init__(
        self,
        network: Network,
        *,
        head: str | None = None,
        upsample_to: Size | None = None,
        argmax: bool = False,
        normalize: bool = False,
    ):
        super().__init__()
        self.network = use_operators(network)
        self.heads = range(len(network.OUTPUTS)) if head is None else [network.OUTPUTS.index(head)]
        self.upsample_to, self.argmax, self.normalize = upsample_to, argmax, normalize
        pixels = network.PIXELS
        # The primitive itself: ops.interpolate fixes the batch.
        self.resize = ops.ResizeBilinearV2(network.ALIGNED_CORNERS, not network.ALIGNED_CORNERS)
        self.label = ops.Argmax(1, ms.int32)
        self.order = Tensor([2, 1, 0] if pixels.bgr else [0, 1, 2], ms.int32)
        self.mean = Tensor(np.array(pixels.mean, np.float32).reshape(1, 3, 1, 1))
        self.std = Tensor(np.array(pixels.std, np.float32).reshape(1, 3, 1, 1))
        self.scaled = any(value != 1 for value in pixels.std)
        self.set_train(False)

    def construct(self, image: Tensor) -> tuple[Tensor, ...]:
        if self.normalize:
            image = ops.gather(image.transpose(0, 3, 1, 2).astype(ms.float32), self.order, 1) - self.mean
            if self.scaled:
                image = image / self.std
        outputs = self.network(image)
        results = ()
        for index in self.heads:
            output = outputs[index]
            if self.upsample_to is not None:
                output = self.resize(output, self.upsample_to)
            if self.argmax:
                output = self.label(output)
            results = (*results, output)
        return results

    def example(self, batch: int, size: Size, seed: int = 0) -> np.ndarray:
        """Random pixels as this network's input."""
        rgb = np.random.default_rng(seed).integers(0, 256, (batch, *size, 3), np.uint8)
        if self.normalize:
            return rgb
        return np.stack([self.network.PIXELS.normalize(np.ascontiguousarray(image[:, :, ::-1])) for image in rgb])


def export_mindir(
    network: DeployNet, target: Path, *, batch: int | None, size: Size, key: bytes = b"", key_mode: str = "AES-GCM"
) -> None:
    """Writes ``target`` (.mindir), encrypted when a key is given; ``batch`` None leaves it open.

    Raises:
        UserError: the file cannot be written.
    """
    options = {"enc_key": key, "enc_mode": key_mode} if key else {}
    if key and batch is None:
        raise UserError("batch_size: an encrypted MINDIR needs a fixed one; give --batch_size 1")
    with replacing(target) as temporary:
        files = [_mindir(network, temporary.parent, count, size, **options) for count in ([batch] if batch else [1, 2])]
        if batch is None:
            _open_batch(*files)
        files[0].replace(temporary)


def _mindir(network: DeployNet, folder: Path, batch: int, size: Size, **options) -> Path:
    name = str(folder / f"batch{batch}")
    ms.export(network, Tensor(network.example(batch, size)), file_name=name, file_format="MINDIR", **options)
    return Path(f"{name}.mindir")


def _open_batch(path: Path, doubled: Path) -> None:
    """Leaves the batch of ``path`` open: -1 where its sizes differ from the same network's with another batch.

    Exported with an open batch, batch norm would leave checks behind that make the file unusable.
    """
    from mindspore.train.mind_ir_pb2 import ModelProto

    model, other = ModelProto(), ModelProto()
    model.ParseFromString(path.read_bytes())
    other.ParseFromString(doubled.read_bytes())
    model.graph.input[0].tensor[0].dims[0] = -1
    kinds = {primitive.name: primitive.op_type for primitive in model.primitives}
    constants = {node.output[0]: node.attribute[0] for node in model.graph.node if node.op_type == "Constant"}
    for node, twin in zip(model.graph.node, other.graph.node, strict=True):
        if kinds.get(node.op_type.removeprefix("REF::")) not in ("Reshape", "BroadcastTo"):
            continue
        shape, twin_shape = _dims(node), _dims(twin)
        if shape != twin_shape:
            for value, size, twin_size in zip(constants[node.input[1]].values, shape, twin_shape, strict=True):
                value.ints[0] = size if size == twin_size else -1
    path.write_bytes(model.SerializeToString())


def _dims(node) -> list[int]:
    return next(list(attribute.tensors[0].dims) for attribute in node.attribute if attribute.name == "shape")


def export_onnx(network: DeployNet, target: Path, *, batch: int | None, size: Size, opset: int | None = None) -> None:
    """Writes ``target`` (.onnx), standard operators only; ``batch`` None leaves it open; ``opset``: at most this.

    Raises:
        UserError: the file cannot be written, or the network has an operator without ONNX form.
    """
    from src.export.onnx.convert import convert_mindir

    with replacing(target) as temporary:
        files = [_mindir(network, temporary.parent, count, size) for count in ([batch] if batch else [1, 2])]
        convert_mindir(files[0], temporary, doubled=files[1] if batch is None else None, opset=opset)


def export_air(network: DeployNet, target: Path, *, batch: int, size: Size) -> None:
    """Writes ``target`` (.air), a graph of Ascend's own that nothing but its compiler reads.

    Raises:
        UserError: the file cannot be written, or this MindSpore does not write AIR any more.
    """
    with replacing(target) as temporary:
        name = temporary.with_name("graph.air")  # other names would get another ending
        try:
            ms.export(network, Tensor(network.example(batch, size)), file_name=str(name), file_format="AIR")
        except (RuntimeError, ValueError, TypeError) as error:
            raise UserError(
                f"{target}: MindSpore {ms.__version__} does not write it here ({str(error).strip().splitlines()[0]}); "
                "use --file_format ONNX and bash scripts/convert_om.sh"
            ) from error
        name.replace(temporary)


def differences(
    network: DeployNet, path: Path, *, batch: int | None, size: Size, key: bytes = b"", key_mode: str = "AES-GCM"
) -> dict[str, float]:
    """Largest difference between MindSpore and each program that can read ``path``, relative to the largest output.

    For label maps it is the share of other labels. An open batch is tried with two images. Nothing reads .air files.
    """
    if path.suffix == ".air":
        return {}
    image = network.example(batch or 2, size, seed=1)
    expected = [output.asnumpy() for output in network(Tensor(image))]
    if path.suffix == ".mindir":
        options = {"dec_key": key, "dec_mode": key_mode} if key else {}
        try:
            outputs = nn.GraphCell(ms.load(str(path), **options))(Tensor(image))
        except RuntimeError as error:
            raise UserError(
                f"{path}: cannot be run ({str(error).splitlines()[0]}); give a fixed --batch_size"
            ) from error
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return {"the file read back": _difference(expected, [output.asnumpy() for output in outputs])}
    runners = {"onnxruntime": _run_onnxruntime, "openvino": _run_openvino}
    return {name: _difference(expected, run(path, image)) for name, run in runners.items() if find_spec(name)}


def _run_onnxruntime(path: Path, image: np.ndarray) -> Sequence[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})


def _run_openvino(path: Path, image: np.ndarray) -> Sequence[np.ndarray]:
    import openvino

    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled(image).values())


def _difference(expected: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    worst = 0.0
    for left, right in zip(expected, found, strict=True):
        if left.shape != right.shape:
            return float("inf")
        if np.issubdtype(left.dtype, np.integer):
            worst = max(worst, float((left != right).mean()))
        else:
            worst = max(worst, float(np.abs(left - right).max() / max(np.abs(left).max(), 1e-30)))
    return worst
