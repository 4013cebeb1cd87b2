"""Novelty, value and surprise on sets whose order is known."""

import numpy as np
import pytest
from tiny_lm import tiny_lm

from workbench import proposals, score
from workbench.models import load_lm
from workbench.world import captions

CORPUS = ["a red circle in the snow, watercolor", "a blue star at night, photo", "Red fox, 8k"]


def test_a_copy_is_no_novelty_and_each_own_word_adds_its_share():
    scorer = score.novelty(CORPUS)
    made = ["a red circle in the snow", "a red circle in the rain", "a red ship in the rain", "two ships sail home"]
    np.testing.assert_allclose(scorer(made), [0, 1 / 6, 4 / 6, 1], atol=1e-12)
    known = ["A RED circle; in the snow!", "", "snow, watercolor", "watercolor a"]
    np.testing.assert_allclose(scorer(known), [0, 0, 0, 0.5])


def test_a_run_ends_where_a_text_of_the_corpus_ends():
    assert score.novelty(["a b", "c d"])(["a b c d"]).tolist() == [0.5]
    np.testing.assert_allclose(score.novelty(["a b c", "x b c d e"])(["a b c d e"]), [0.2])


def test_with_vectors_novelty_is_the_distance_to_the_nearest():
    where = {"a": (1, 0), "b": (0, 1), "c": (1, 1), "d": (-1, -1)}
    found = score.novelty(["a", "b"], lambda texts: np.array([where[text] for text in texts], float))(["a", "c", "d"])
    np.testing.assert_allclose(found, [0, 1 - 0.5**0.5, 1 + 0.5**0.5])


def test_value_is_the_weighted_share_of_wishes():
    night, short = score.contains("night"), score.n_words() <= 3
    texts = ["a night", "night and day and night", "day", "one two three four"]
    assert score.value({night: 3, short: 1})(texts).tolist() == [1, 0.75, 0.25, 0]
    assert score.value([night, short])(texts).tolist() == [1, 0.5, 0.5, 0] and score.value(night)(texts).tolist() == [1, 1, 0, 0]


def test_surprise_is_nats_a_word():
    lm = proposals.LMProposal(tiny_lm(), max_tokens=6)
    texts = ["red fox", "old"]
    np.testing.assert_allclose(score.surprise(lm)(texts), -lm.log_score(texts) / [2, 1])
    assert score.surprise(lambda texts: [-6.0] * len(texts))(["a b c", ""]).tolist() == [2, 6]


def test_copies_mixtures_and_word_salad_stand_in_their_exact_order():
    rng, lm = np.random.default_rng(0), load_lm("world")
    known = captions.sample(300, 0)
    fresh = [text for text in captions.sample(60, 1) if text not in known][:20]
    vocabulary = sorted({word for text in known for word in text.replace(",", "").split()})
    salad = [" ".join(rng.choice(vocabulary, 8)) for _ in range(20)]
    sets = {"copies": known[:20], "fresh": fresh, "salad": salad}
    novel = {name: score.novelty(known)(texts).mean() for name, texts in sets.items()}
    strange = {name: score.surprise(score.log_prob(lm))(texts).mean() for name, texts in sets.items()}
    true = score.value(lambda texts: [np.isfinite(captions.log_prob(text)) for text in texts])
    meant = {name: true(texts).mean() for name, texts in sets.items()}
    assert novel["copies"] == 0 < novel["fresh"] < novel["salad"]
    assert strange["copies"] < strange["salad"] > strange["fresh"] and strange["salad"] > 2 * strange["fresh"]
    assert meant == {"copies": 1, "fresh": 1, "salad": 0}


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="no corpus"):
        score.novelty([])
    with pytest.raises(TypeError, match="embed is a function"):
        score.novelty(CORPUS, embed="minilm")
    with pytest.raises(ValueError, match="one wish or more"):
        score.value([])
    with pytest.raises(ValueError, match="weight"):
        score.value({score.n_words(): 0})
    with pytest.raises(TypeError, match="A wish is a function"):
        score.value(["night"])
    with pytest.raises(TypeError, match="log_score"):
        score.surprise("lm")
    with pytest.raises(TypeError, match="list of str"):
        score.novelty(CORPUS)([3])
