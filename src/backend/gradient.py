"""Gradients of a loss on a network's outputs: of the whole network at once, or piece by piece to save memory."""

from collections.abc import Callable

import mindspore as ms
from mindspore import ParameterTuple, Tensor, nn, ops

from src.backend.device import separate
from src.backend.parameters import set_values

Gradient = Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]


def make_gradient(
    network: nn.Cell, loss: Callable, parameters: ParameterTuple, memory: str = "normal", *, features: bool = False
) -> Gradient:
    """Returns ``gradient(image, *rest) -> (results of loss, gradients of the parameters)``.

    Args:
        loss: ``loss(outputs of the network, *rest) -> (total, *others)``; ``total`` is differentiated.
        memory: ``normal``, or ``low``: a third more work and no compiled network, see ``InPieces``.
        features: the outputs are those of ``network.with_features``.
    """
    if memory == "low":
        return InPieces(network, loss, parameters, features)

    def whole(image: Tensor, *rest):
        return loss(network.with_features(image) if features else network(image), *rest)

    gradient = ms.value_and_grad(whole, None, parameters, has_aux=True)

    # Two domains and the update all read the weights, and of what one graph reads in two states MindSpore keeps a copy.
    @separate
    def in_its_own_graph(image: Tensor, *rest):
        return gradient(image, *rest)

    return in_its_own_graph


class InPieces:
    """Keeps only what lies between a network's pieces and computes each piece again on the way back.

    Runs eagerly, because a compiled graph keeps its buffers for ever. ``network.pieces()`` gives the cells up to
    the aux head, those from there to the main head, and the two heads.
    """

    def __init__(self, network: nn.Cell, loss: Callable, parameters: ParameterTuple, features: bool = False):
        self._parameters = parameters
        front, back, aux, main = network.pieces()
        self._front, self._back = [_Piece(cell) for cell in front], [_Piece(cell) for cell in back]
        self._aux, self._main = _Piece(aux), _Piece(main)

        def of_outputs(aux: Tensor, main: Tensor, conv5: Tensor, *rest):
            return loss((aux, main, conv5) if features else (aux, main), *rest)

        self._loss = ms.value_and_grad(of_outputs, (0, 1, 2), None, has_aux=True)

    def __call__(self, image: Tensor, *rest):
        front = _inputs(self._front, image)
        back = _inputs(self._back, front[-1])
        aux, main = self._aux.cell(front[-1]), self._main.cell(back[-1])
        results, (gradient_aux, gradient_main, gradient_features) = self._loss(aux, main, back[-1], *rest)
        found: dict[str, Tensor] = {}
        gradient = self._main.pull_back(back.pop(), gradient_main, found) + gradient_features
        for piece in reversed(self._back):
            gradient = piece.pull_back(back.pop(), gradient, found)
        gradient = gradient + self._aux.pull_back(front.pop(), gradient_aux, found)
        for piece in reversed(self._front):
            gradient = piece.pull_back(front.pop(), gradient, found)
        return results, tuple(found[parameter.name] for parameter in self._parameters)


def _inputs(pieces: list["_Piece"], x: Tensor) -> list[Tensor]:
    """The input of every piece, and the output of the last."""
    values = [x]
    for piece in pieces:
        values.append(piece.cell(values[-1]))
    return values


class _Piece:
    def __init__(self, cell: nn.Cell):
        self.cell = cell
        self._weights = ParameterTuple(cell.trainable_params())
        norms = [c for _, c in cell.cells_and_names() if isinstance(c, nn.BatchNorm2d)]
        self._statistics = [p for norm in norms for p in (norm.moving_mean, norm.moving_variance)]

        def product(x: Tensor, gradient: Tensor):  # its derivative by x is what the chain rule asks for
            return (cell(x).astype(ms.float32) * gradient).sum()

        self._gradient = ms.grad(product, 0, self._weights)

    def pull_back(self, x: Tensor, gradient: Tensor, found: dict[str, Tensor]) -> Tensor:
        """Derivative by the output -> derivative by the input; the weights' are added to ``found``.

        Running statistics have seen this input on the way forward already and are put back.
        """
        before = [parameter.value().copy() for parameter in self._statistics]
        gradient_x, gradients = self._gradient(x, gradient)
        for parameter, value in zip(self._statistics, before, strict=True):
            set_values(parameter, value)
        found.update({weight.name: value for weight, value in zip(self._weights, gradients, strict=True)})
        return gradient_x


def clip_by_norm(gradients: tuple[Tensor, ...], limit: float) -> tuple[Tensor, ...]:
    """The gradients, shortened together to the Euclidean norm ``limit`` when theirs is larger."""
    squares = [ops.square(gradient.astype(ms.float32)).sum() for gradient in gradients]
    norm = ops.sqrt(ops.stack(squares).sum())
    scale = limit / ops.maximum(norm, Tensor(limit, ms.float32))
    return tuple([gradient * scale for gradient in gradients])


def add(sums: tuple[Tensor, ...], more: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Sum of two tuples of gradients."""
    return tuple([a + b for a, b in zip(sums, more)])  # noqa: B905  strict does not compile, generators neither
