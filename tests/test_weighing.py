"""How fillers are ranked: weights found again from choices made by known ones, and the gaps they are learned on."""

import numpy as np
import pytest

from workbench import artifacts, ngram
from workbench.language.dsl import Ranking
from workbench.language.dsl.fitting import split_rows
from workbench.language.dsl.weighing import Inventory, features, gap, learn, stretches
from workbench.language.ngram import KneserNey
from workbench.template import Slot, Template
from workbench.values import ArtifactError

WEIGHTS = np.array([0.2, 1.1, 0.8, -1.5])


def choices(weights, n, c=12, seed=0):
    """Gaps whose truth was chosen by these weights."""
    rng, gaps = np.random.default_rng(seed), []
    for _ in range(n):
        x = np.stack([-rng.gamma(4, 2, c), -rng.gamma(4, 2, c), rng.integers(1, 5, c), rng.integers(0, 2, c)], 1)
        z = x @ weights + rng.gumbel(size=c)
        gaps.append((x, int(z.argmax()), np.zeros(c)))
    return gaps


def test_the_weights_behind_choices_are_found():
    found = learn(choices(WEIGHTS, 1500), held_out=7)
    np.testing.assert_allclose([found.writer, found.ngram, found.words, found.repeats], WEIGHTS, atol=0.15)
    assert found.gaps == 1500 and found.held_out == 7


def test_a_model_that_misleads_counts_nothing():
    found = learn(choices(np.array([-0.5, 1.0, 0.0, 0.0]), 400))
    assert found.writer == 0 and found.ngram > 0.4


def test_without_gaps_the_ranking_is_the_mean():
    assert learn([]) == Ranking() == learn(choices(WEIGHTS, 1))
    x = np.array([[-2.0, -4.0, 1, 0], [-3.0, -1.0, 5, 2]])
    np.testing.assert_allclose(Ranking()(x), [-3, -2])


def test_few_gaps_move_the_weights_little():
    few, many = (learn(choices(WEIGHTS, n)) for n in (4, 400))
    assert abs(few.repeats) < 0.7 * abs(many.repeats)


def test_offsets_make_good_for_how_candidates_were_drawn():
    rng, x = np.random.default_rng(3), np.zeros((200, 4))
    x[:, 1] = -rng.gamma(4, 2, 200)
    gaps = {True: [], False: []}
    p = np.exp(x @ WEIGHTS)
    q = np.exp(0.7 * x[:, 1]) / np.exp(0.7 * x[:, 1]).sum()
    for _ in range(600):
        truth = rng.choice(200, p=p / p.sum())
        drawn, times = np.unique(np.append(rng.choice(200, 20, p=q), truth), return_counts=True)
        for known, some in gaps.items():
            some.append((x[drawn], int(np.searchsorted(drawn, truth)), np.log(times / (21 * q[drawn])) * known))
    assert learn(gaps[True]).ngram == pytest.approx(1.1, abs=0.15)
    assert learn(gaps[False]).ngram < 0.7


def test_length_and_repetition_are_seen():
    found = features([-1.0, -np.inf], [-2.0, -3.0], ["a", "red", "castle", ","], [["red", "barn", "a", "barn"], ["8k"]])
    np.testing.assert_allclose(found, [[-1, -2, 4, 2], [-1e4, -3, 1, 0]])


def test_weights_are_kept(tmp_path):
    found = learn(choices(WEIGHTS, 20))
    found.save(tmp_path)
    assert Ranking.load(tmp_path) == found
    for wrong in ({"writer": "x"}, {"writers": 1.0}, {"writer": True}):
        artifacts.save(tmp_path, "ranking", wrong, {})
        with pytest.raises(ArtifactError, match="is not a 'ranking' that this workbench .* can read"):
            Ranking.load(tmp_path)


def test_prompts_are_kept_apart_from_those_not_learned_first():
    learned, held = split_rows(100, 60, 0, 10)
    assert len(learned) == 60 and len(held) == 10 and not set(learned) & set(held)
    learned, held = split_rows(100, 100, 0, 10)
    assert sorted([*learned, *held]) == list(range(100)) and len(held) == 10
    learned, held = split_rows(100, 500, 1, 0)
    assert learned.tolist() == list(range(100)) and not len(held)
    # the prompts that languages saved before have learned
    old = np.sort(np.random.default_rng(4).choice(100, 60, replace=False))
    assert np.array_equal(split_rows(100, 60, 4, 0)[0], old)


TEMPLATE = Template.build(
    [Slot("s", "a red castle", code=0), ", by ", Slot("a", "Claude Monet", code=1), ", ", Slot("q", "8k", code=2)]
)


def test_gaps_are_words_slots_and_segments():
    found = stretches(TEMPLATE)
    assert {text for kind, *_, text in found if kind == 0} == {"a", "red", "castle", "by", "claude", "monet", "8k"}
    assert [text for kind, *_, text in found if kind == 1] == ["a red castle", "claude monet", "8k"]
    assert [text for kind, *_, text in found if kind == 2] == ["a red castle", "by claude monet", "8k"]
    assert all(TEMPLATE.prompt[a:b].lower() == text for _, a, b, text in found)


def test_a_gap_comes_with_its_truth_among_other_candidates():
    others = [
        Template.build([Slot("s", f"a {thing}", code=0), ", by ", Slot("a", who, code=1), ", ", Slot("q", "4k", code=2)])
        for thing in ("boat", "barn", "red fox")
        for who in ("Rembrandt", "Paul Klee")
    ]
    model = KneserNey().fit([ngram.tokens(t.prompt) for t in others])
    inventory, rng, kinds = Inventory([TEMPLATE, *others]), np.random.default_rng(0), set()
    for _ in range(40):
        hole, candidates, truth, offset = gap(TEMPLATE, inventory, model, rng)
        assert hole.fill([candidates[truth]]).prompt.lower() == TEMPLATE.prompt.lower()
        assert len(set(candidates)) == len(candidates) == len(offset) > 1 and np.isfinite(offset).all()
        kinds.add(len(candidates[truth].split()))
    assert kinds == {1, 2, 3}
    strange = Template.build([Slot("s", "qoph zzyzx", code=0)])
    assert gap(strange, inventory, model, rng) is None
