"""What a configuration adds to any method: DAFormer's feature distance and MIC's masked images.

A method's file knows nothing of them: its engine adds the distance to ``source_gradient`` and the branch to ``step``.
"""

from collections.abc import Callable

from mindspore import Tensor, nn, ops

from model_utils.config import Config
from model_utils.errors import UserError
from model_utils.snapshot_names import TEACHER
from src.backend.gradient import Gradient
from src.backend.precision import set_precision
from src.backend.step import Engine, Run, Step, SubStep
from src.methods import method_of
from src.methods.feature_distance import THING_NAMES, NearInitial
from src.methods.masked import MaskedConsistency, masked_gradient
from src.methods.teacher import build_teacher, label_target_of, make_teacher
from src.models.network import HEADS, Network
from src.training.network import make_network


class AddingEngine(Engine):
    """An ``Engine`` that also adds what ``switch_on`` was asked for.

    ``networks`` and ``optimizers`` are what a snapshot has to hold of that, ``frozen`` as in ``Run``.
    """

    def __init__(self, **options):
        super().__init__(**options)
        self.near: NearInitial | None = None
        self.masked: MaskedConsistency | None = None
        self.networks: dict[str, nn.Cell] = {}
        self.optimizers: dict[str, nn.Cell] = {}
        self.frozen: tuple[str, ...] = ()
        self.has_source = False  # whether the method asked for its ``source_gradient``

    def switch_on(self, config: Config, names: tuple[str, ...], network: Network, optimizer: nn.Cell) -> None:
        """Prepares the additions of a configuration whose classes are ``names``.

        Raises:
            UserError: the method or the network cannot have one.
        """
        if config.source_mean != "valid" and network.OUTPUTS != HEADS:
            raise UserError(f"source_mean: {config.network} takes the mean over valid pixels; leave it valid")
        if config.feature_distance:
            things = tuple(k for k, name in enumerate(names) if name in THING_NAMES)
            if not hasattr(network, "with_features") or not things:
                what = "the classes have no things" if things == () else f"{config.network} gives no features"
                raise UserError(f"feature_distance: {what}; leave it 0")
            initial = set_precision(make_teacher(make_network(config), network, "initial."), config.amp_level)
            self.near = NearInitial(initial.set_train(False), config.feature_distance, things)
            self.networks["initial"], self.frozen = initial, ("initial",)
        method = method_of(config.method)
        if config.masked_block and not hasattr(method, "batches"):  # else it has them of its own
            if getattr(method, "IS_CONTROL", False) or network.OUTPUTS != HEADS:
                what = f"method {config.method}" if network.OUTPUTS == HEADS else config.network
                raise UserError(f"masked_block: {what} does not learn from masked images; leave it 0")
            self.masked = self._masked(config, network, optimizer)

    def _masked(self, config: Config, network: Network, optimizer: nn.Cell) -> MaskedConsistency:
        options = {"weight": config.masked_weight, "lambda_seg": config.lambda_seg}
        gradient = masked_gradient(network, optimizer, self, **options)
        if not config.two_domains:
            return MaskedConsistency(gradient, lambda_seg=config.lambda_seg)
        teacher, update = build_teacher(config, network, self)
        self.networks[TEACHER], self.optimizers[TEACHER] = teacher, update
        return MaskedConsistency(gradient, label_target_of(config, teacher, self), update, config.lambda_seg)

    def source_gradient(self, network: nn.Cell, loss: Callable, optimizer: nn.Cell) -> Gradient:
        self.has_source = True
        if self.near is None:
            return super().source_gradient(network, loss, optimizer)
        return self.near.gradient(self, network, loss, optimizer)

    def step(
        self,
        names: tuple[str, ...],
        sub_step: SubStep,
        optimizers: tuple[nn.Cell, ...],
        after_update: Callable[[], Tensor] | None = None,
    ) -> Step:
        if self.near is not None:  # its value comes behind the source's losses
            place = 1 + max((k for k, name in enumerate(names) if name.startswith("seg")), default=-1)
            names = (*names[:place], "fd", *names[place:])
        if self.masked is not None:
            names, sub_step = (*names, *self.masked.names), self.masked.around(sub_step)
            after_update = _both(after_update, self.masked.update_teacher)
        return super().step(names, sub_step, optimizers, after_update)

    def complete(self, config: Config, run: Run) -> Run:
        """The method's run with what was added to it.

        Raises:
            UserError: the method left an addition out.
        """
        if self.near is not None and not self.has_source:
            raise UserError(f"feature_distance: method {config.method} has no place for it; leave it 0")
        run.networks |= self.networks
        run.optimizers |= self.optimizers
        run.frozen = self.frozen
        return run


def _both(first: Callable[[], Tensor] | None, second: Callable[[], Tensor] | None) -> Callable[[], Tensor] | None:
    if first is None or second is None:
        return first or second
    return lambda: ops.depend(second(), first())
