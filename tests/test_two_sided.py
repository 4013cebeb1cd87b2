import sys
from pathlib import Path

import numpy as np
import pytest

from workbench.values import NotFittedError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from writing_parts.two_sided import TwoSided  # noqa: E402 - a baseline of the benchmarks

GAPS = [([], []), ([], ["w4"]), (["w1"], []), (["w1", "w2"], ["w4"]), (["w1", "new"], ["w3", "w0", "w2"])]


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [[f"w{k}" for k in np.cumsum(rng.integers(0, 3, rng.integers(1, 9))) % 12] for _ in range(300)]


def test_two_sided_probabilities_sum_to_1_with_the_unknown_word(texts):
    model = TwoSided().fit(texts)
    for left, right in GAPS:
        found = np.exp(model.candidates_log_prob(left, right))
        unknown = np.exp(model.candidates_log_prob(left, right, ["new", "newer", "w3"]))
        assert found.sum() + unknown[0] == pytest.approx(1, abs=1e-12)
        assert unknown[0] == unknown[1] > 0
        assert unknown[2] == found[model.vocabulary_.index("w3")]
    np.testing.assert_allclose(model.weights_.sum(1), 1)


def test_two_sided_sees_what_only_one_side_tells():
    # a word is settled by the word two to its left in the first kind of text, by the one two to its right in the second
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(400):
        k, noise = rng.integers(5), f"n{rng.integers(3)}"
        texts.append([f"key{k}", noise, f"lock{k}", noise] if rng.random() < 0.5 else [noise, f"bolt{k}", noise, f"bar{k}"])
    model = TwoSided().fit(texts)
    names = model.vocabulary_
    assert names[model.candidates_log_prob(["key3", "n1"], ["n1"]).argmax()] == "lock3"
    assert names[model.candidates_log_prob(["n2"], ["n2", "bar4"]).argmax()] == "bolt4"


def test_weights_go_to_the_view_that_predicts():
    # both neighbours are noise, the word two to the left is copied
    rng = np.random.default_rng(0)
    texts = [[f"k{k}", f"n{a}", f"k{k}", f"n{b}"] for k, a, b in rng.integers(0, 6, (600, 3))]
    weights = TwoSided().fit(texts).weights_
    known = weights[7]
    assert known[0] + known[1] > 0.9  # views to the left and to the right; the words on both sides tell little


def test_two_sided_works_on_a_single_text():
    model = TwoSided().fit([["a", "b", "c"]])
    np.testing.assert_allclose(model.weights_, 0.25)
    assert model.vocabulary_[model.candidates_log_prob(["a"], ["c"]).argmax()] == "b"


def test_nothing_works_before_fit():
    with pytest.raises(NotFittedError, match="call fit first"):
        TwoSided().candidates_log_prob([], [])
