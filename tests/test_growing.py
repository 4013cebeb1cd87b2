"""Lists that reach further: other spellings of their phrases, and phrases that are used like them."""

import numpy as np
import pytest

from workbench.language.growing import grown, respelled, spelling


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("8k", "8 k"),
        ("sci-fi", "Sci - Fi"),
        ("1980s", "1 9 8 0 s"),
        ("albrecht dürer", "albrecht durer"),
        ("cats", "cat"),
        ("f/1.8", "f1.8"),
    ],
)
def test_spellings_of_one_phrase_are_one(one, other):
    assert spelling(one) == spelling(other) != ""


@pytest.mark.parametrize(
    ("one", "other"), [("glass", "glas"), ("gas", "ga"), ("が", "か"), ("35mm", "36mm"), ("fox", "owl"), ("8k", "8")]
)
def test_other_phrases_stay_apart(one, other):
    assert spelling(one) != spelling(other)


def test_phrases_are_known_however_they_are_written():
    codes = {"quality": ["8k", "sci-fi"], "animal": ["cat", "8 k"], "sign": ["***"]}
    types = ["8 k", "sci - fi", "cats", "dog", "!!!", "the"]
    assert respelled(types, codes) == {"8 k": 0, "sci - fi": 0, "cats": 1}
    assert respelled(types, {}) == {}


def _clouds(n, seed=0):
    """Three kinds of n types each, far apart; types 0..4 of the first two are listed, and "the" is no content."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 16)) * 3
    static = np.vstack([centres[kind] + rng.normal(size=(n, 16)) * 0.3 for kind in range(3)]).astype(np.float32)
    ids = np.repeat(np.arange(3 * n), 2)
    given = np.full(3 * n, -1)
    given[:5], given[n : n + 5] = 0, 1
    return [f"x{i}" for i in range(3 * n - 1)] + ["the"], ids, static[ids].astype(np.float16), static, given


def test_phrases_that_are_like_those_of_a_list_join_it():
    types, ids, layer, static, given = _clouds(30)
    before = given.copy()
    found = grown(types, ids, layer, static, given)
    assert (given == before).all() and (found[given >= 0] == given[given >= 0]).all()
    assert (found[5:30] == 0).all() and (found[35:60] == 1).all()
    assert found[-1] == -1  # a function word stays free
    assert (grown(types, ids, layer, static, given) == found).all()


def test_phrases_between_the_lists_stay_free():
    types, ids, _, static, given = _clouds(30)
    share = np.linspace(0, 1, 29)[:, None]
    static[60:89] = (1 - share) * static[:30].mean(0) + share * static[30:60].mean(0)
    found = grown(types, ids, static[ids], static, given)[60:89]
    assert found[0] == 0 and found[-1] == 1 and (np.sort(found[found >= 0]) == found[found >= 0]).all()
    assert (found == -1).any()


def test_one_list_does_not_grow():
    types, ids, layer, static, given = _clouds(10)
    given = np.where(given == 0, 0, -1)
    assert (grown(types, ids, layer, static, given) == given).all()
    assert (grown(types[:0], ids[:0], layer[:0], static[:0], []) == []).all()
