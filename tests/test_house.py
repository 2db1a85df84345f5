"""What is done once is done once, and what every network owes every network has."""

import json

import pytest

from src.dataset import domains
from src.methods import TWO_DOMAINS
from src.models import NETWORKS, PointRend
from src.training.log import SilentLog
from tests.helpers import EAGER, TINY, call

POINTREND = (
    "--config_path configs/pointrend_demo.yaml --depths 1,1,1,1 --width 4 --input_size 64,32 --output_size 128,64"
)
POINTREND += " --input_size_target 128,64 --short_sides 32,48 --train_points 64 --points 200 --log_every 1"
POINTREND += " --num_workers 1 --device CPU --mode eager --num_steps 2 --num_steps_stop 1 --eval_every 0"


@pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
def test_every_network_says_what_it_is(network):
    assert "main" in network.OUTPUTS and isinstance(network.ALIGNED_CORNERS, bool)
    assert len(network.PIXELS.mean) == len(network.PIXELS.std) == 3 and network.PIXELS.resize in ("bicubic", "bilinear")


def test_a_start_reads_descriptions_and_lists_images_once(world, tmp_path, monkeypatch):
    calls = {"load_description": [], "list_samples": []}
    for name, seen in calls.items():
        original = getattr(domains, name)

        def counted(*arguments, original=original, seen=seen, **options):
            seen.append((arguments[:3], options.get("with_labels", True)))
            return original(*arguments, **options)

        monkeypatch.setattr(domains, name, counted)
    words = ["--data_path", world, "--snapshot_dir", tmp_path, *TINY, *EAGER, "--num_steps_stop", 1, "--eval_every", 1]
    call("train_adv.py", *words)
    assert len(calls["load_description"]) == 2  # source and target
    assert len(calls["list_samples"]) == 3  # labelled, unlabelled, evaluated


def test_pointrend_is_evaluated_in_one_pass_and_as_an_ensemble(world, tmp_path, monkeypatch):
    run, forwards = tmp_path / "run", []
    call("train_src.py", *POINTREND.split(), "--data_path", world, "--snapshot_dir", run)
    refined = PointRend.refined

    def counted(self, image):
        forwards.append(image.shape)
        return refined(self, image)

    monkeypatch.setattr(PointRend, "refined", counted)
    weights = run / "pointrend_1.ckpt"
    options = ["--restore_from", weights, "--mode", "eager", "--boundary_width", 3]
    printed = call("eval_adv.py", *options, "--result_dir", tmp_path / "one", "--output_size", "96,48")
    scores = json.loads((tmp_path / "one" / "result.json").read_text(encoding="utf-8"))
    assert len(forwards) == 2 == len(scores["images"]) and "coarse_boundary_miou" in printed
    assert len(list((tmp_path / "one" / "points").iterdir())) == 2
    words = ["--result_dir", tmp_path / "both", "--output_size", "96,48", "--ensemble_with", weights]
    assert "===> mIoU" in call("eval_adv.py", *options, *words)
    both = json.loads((tmp_path / "both" / "result.json").read_text(encoding="utf-8"))
    assert both["miou"] == scores["miou"]  # the mean of a network and itself


@pytest.mark.parametrize("network", ["icnet", "pointrend"])
@pytest.mark.parametrize("method", TWO_DOMAINS)
def test_methods_of_two_domains_refuse_networks_without_an_aux_head(world, tmp_path, method, network):
    words = ["--data_path", world, "--snapshot_dir", tmp_path / "run", *TINY, *EAGER, "--random_crop", "64,32"]
    printed = call("train_adv.py", "--method", method, "--network", network, *words, code=2)
    assert f"network: {network} gives " in printed and "use deeplab_multi" in printed
    assert not (tmp_path / "run").exists()


def test_the_silent_log_takes_what_the_log_takes():
    log = SilentLog(10, 10)
    log.validation(1, {"miou": 3.0})
    log.draw()
    log.close()
