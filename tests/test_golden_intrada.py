"""The ranking against scores, splits and masks recorded from IntraDA's rule."""

import json

import mindspore as ms
import numpy as np
import pytest

from src.intrada.entropy import EntropyScore, final_scores, split
from tests.golden_numbers import FOLDER
from tests.helpers import EITHER

pytestmark = pytest.mark.golden


@EITHER
def test_ranking(compiled):
    arrays = np.load(FOLDER / "intrada_rank.npz")
    recorded = json.loads((FOLDER / "intrada_rank.json").read_text(encoding="utf-8"))
    cell = EntropyScore(arrays["mask.0"].shape)

    def score(logits):
        return cell(logits)

    run = ms.jit(score) if compiled else score
    names = [f"city/city_{i:06d}_000019_leftImg8bit.png" for i in range(len(arrays["logits"]))]
    entropies, rares = [], []
    for i, logits in enumerate(arrays["logits"]):
        entropy, rare, train_ids, entropy_map = (value.asnumpy()[0] for value in run(ms.Tensor(logits[None])))
        np.testing.assert_array_equal(train_ids, arrays[f"mask.{i}"])
        assert entropy_map.mean() / 19 == pytest.approx(entropy, rel=1e-5)
        entropies.append(entropy)
        rares.append(rare)
    for key, normalize_rare in (("plain", False), ("normalized", True)):
        scores = final_scores(np.array(entropies), np.array(rares), normalize_rare)
        for name, value in zip(names, scores, strict=True):
            assert value == pytest.approx(recorded[key]["scores"][name], abs=1e-6)
        easy, hard = split(names, scores, 0.67)
        assert easy == recorded[key]["easy"] and hard == recorded[key]["hard"]
