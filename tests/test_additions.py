"""Feature distance and masked images as switches of every method: what they add counts, and where they are refused."""

import mindspore as ms
import numpy as np
import pytest

from model_utils.config import load_config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.methods import TWO_DOMAINS, method_of
from src.methods.additions import AddingEngine
from src.models import DeepLabMulti, ICNet
from src.training.optim import make_sgd
from src.training.streams import with_masked_images
from tests.helpers import TINY, call, enliven

CLASSES = ("road", "car", "person", "sky")
SMALL = "--num_classes 4 --depths 1,1,1,1 --width 4 --random_crop 48,32 --pseudo_threshold 0.2"
ADDED = {"feature_distance": ("fd",), "masked_block": ("masked_aux", "masked_main", "q")}
CASES = [(method, key) for method in ("supervised", *TWO_DOMAINS) for key in ADDED]
CASES.remove(("statistics_only", "masked_block"))


def originals(config) -> tuple[ms.Tensor, ...]:
    """A batch in which things fill cells of the features."""
    rng = np.random.default_rng(1)
    label = np.kron(rng.integers(0, 4, (1, 2, 3)), np.ones((16, 16), int))
    images = 20 * rng.normal(size=(2, 1, 3, 32, 48))
    source = ms.Tensor(images[0], ms.float32), ms.Tensor(label, ms.int32)
    return (*source, ms.Tensor(images[1], ms.float32)) if config.two_domains else source


def one_step(words: str, compiled: bool = False, memory: str = "normal") -> tuple[dict[str, float], np.ndarray]:
    """Losses of a step from weights that are not the initial network's any more, and how far it goes."""
    config = load_config([*SMALL.split(), *words.split()])
    ms.set_seed(config.random_seed)
    network = enliven(DeepLabMulti(4, depths=(1, 1, 1, 1), width=4))
    optimizer, engine = make_sgd(network, learning_rate=1e-4), AddingEngine(compiled=compiled, memory=memory)
    engine.switch_on(config, CLASSES, network, optimizer)
    run = engine.complete(config, method_of(config.method).build(config, network, optimizer, engine))
    if engine.near:
        for parameter in engine.near.initial.get_parameters():
            parameter.set_data(parameter.value() * 1.5)
    for one in run.networks.values():
        one.set_train(False)  # the same statistics in all runs
    stream, device = iter([originals(config)] * 2), Device("CPU", 0, 1)
    method = method_of(config.method)
    has_batches = hasattr(method, "batches")
    stream = (method.batches if has_batches else with_masked_images)(config, device, stream, 0)
    before = weights_of(network)
    losses = {name: float(value) for name, value in run.step([next(stream)]).items()}
    return losses, weights_of(network) - before


def weights_of(network) -> np.ndarray:
    return np.concatenate([p.asnumpy().ravel() for p in network.trainable_params()])


@pytest.mark.parametrize(("method", "key"), CASES)
def test_what_a_switch_adds_reaches_the_network(method, key):
    """With its gradient cut the weights would be the plain method's."""
    plain, without = one_step(f"--method {method}")
    losses, change = one_step(f"--method {method} --{key} {8 if key == 'masked_block' else 0.5}")
    own = [name for name in ADDED[key] if method != "supervised" or name != "q"]
    assert set(losses) == {*plain, *own} and all(losses[name] > 0 for name in own)
    assert np.linalg.norm(change - without) > 0.01 * np.linalg.norm(without)
    for name in plain:  # the method itself is what it was
        assert losses[name] == pytest.approx(plain[name], rel=1e-5)
    if key == "feature_distance":
        assert list(losses)[list(losses).index("seg_main") + 1] == "fd"


def test_weights_of_the_switches():
    once, twice = (one_step(f"--method min_entropy --feature_distance {w}")[0]["fd"] for w in (0.5, 1))
    assert twice == pytest.approx(2 * once, rel=1e-5)
    words = "--method min_entropy --lambda_ent_target1 0 --lambda_ent_target2 0 --masked_block 8 --masked_weight"
    plain = one_step("--method statistics_only")[1]
    single, double = (one_step(f"{words} {weight}")[1] - plain for weight in (1, 2))
    assert np.linalg.norm(double - 2 * single) < 0.01 * np.linalg.norm(single)


@pytest.mark.parametrize("method", ["adversarial", "dacs"])
def test_compiled_low_memory_and_eager_agree(method):
    words = f"--method {method} --feature_distance 0.5 --masked_block 8"
    expected, change = one_step(words)
    for options in ({"compiled": True}, {"memory": "low"}):
        losses, found = one_step(words, **options)
        assert losses == pytest.approx(expected, rel=1e-4), options
        assert np.linalg.norm(found - change) < 1e-3 * np.linalg.norm(change), options


def test_what_cannot_be_had_is_refused():
    def refuse(words: str, text: str, network=None, classes=CLASSES) -> None:
        config = load_config([*SMALL.split(), *words.split()])
        network = network or DeepLabMulti(4, depths=(1, 1, 1, 1), width=4)
        engine, sgd = AddingEngine(compiled=False), make_sgd(network)
        with pytest.raises(UserError, match=text):
            engine.switch_on(config, classes, network, sgd)

    refuse("--method statistics_only --masked_block 8", "masked_block: method statistics_only does not learn from")
    icnet = ICNet(4, depths=(1, 1, 1, 1), width=4)
    words = "--method supervised --network icnet"
    refuse(f"{words} --masked_block 8", "masked_block: icnet does not learn from masked images; leave it 0", icnet)
    refuse(f"{words} --feature_distance 1", "feature_distance: icnet gives no features; leave it 0", icnet)
    refuse(f"{words} --source_mean all", "source_mean: icnet takes the mean over valid pixels; leave it valid", icnet)
    refuse("--method dacs --feature_distance 1", "feature_distance: the classes have no things", classes=("road",) * 4)
    words = "--method min_entropy --masked_block 8 --pseudo_border 12,20"
    refuse(words, "pseudo_border: 12,20 leaves nothing of images of 32 rows; give less")


def test_the_programs_refuse_too(world, tmp_path):
    run = tmp_path / "run"
    words = ["train_adv.py", "--method", "dacs", "--data_path", world, "--snapshot_dir", run, *TINY]
    words += ["--random_crop", "48,32", "--mode", "eager"]
    for more, text in (
        (["--feature_distance", 1], "feature_distance: keeps to the weights that a training starts from"),
        (["--rare_class_sampling", 1, "--rare_class_min_pixels", 9999], "no label has more than 9999 pixels of"),
        (["--optimizer", "adamw", "--parameter_groups", "published"], "use nominal with optimizer adamw"),
        (["--optimizer", "adamw", "--parameter_groups", "published_torch2"], "published_torch2 is the original's SGD"),
        (["--optimizer", "adamw", "--decay_norms", "false"], "decay_norms: optimizer adamw decays norms too"),
        (["--masked_block", 100], "masked_block: 100 is too large for images of 48x32"),
    ):
        assert text in call(*words, *more, code=2)
        assert not run.exists()
