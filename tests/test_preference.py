"""Preferences: chains against a second computation, reward models with a known taste, and a log whose best policy is known."""

import functools

import numpy as np
import pytest

from workbench import preference
from workbench.search.preference import reward_model
from workbench.values import ArtifactError
from workbench.world import visitors

FAST = preference.PreferenceConfig(steps=60, hidden=8)
TASTE = np.float32([1, -2, 0.5, 0, 0, 0])


def pairs(n, seed=0, d=6):
    """Pairs of vectors ranked by a linear taste."""
    a, b = np.random.default_rng(seed).normal(size=(2, n, d)).astype(np.float32)
    first = (a @ TASTE > b @ TASTE)[:, None]
    return np.where(first, a, b), np.where(first, b, a)


def distance(a, b):
    """Levenshtein with insertions and deletions of 1 and replacements of 2, by another recursion."""

    @functools.cache
    def common(i, j):
        if i == len(a) or j == len(b):
            return 0
        return 1 + common(i + 1, j + 1) if a[i] == b[j] else max(common(i + 1, j), common(i, j + 1))

    return len(a) + len(b) - 2 * common(0, 0)


# ---- chains -------------------------------------------------------------------------------------------------------------------


def test_chains_of_random_pairs_give_the_target_and_are_as_cheap_as_can_be():
    rng = np.random.default_rng(0)
    for _ in range(1500):
        a, b = ([str(word) for word in rng.integers(0, 4, rng.integers(0, 9))] for _ in range(2))
        found = preference.chain(a, b)
        assert found.apply(a) == b and found.cost == distance(tuple(a), tuple(b))
        assert found.cost == sum(preference.COSTS[edit.kind] for edit in found.edits)
        states = found.states()
        assert states[0] == a and states[-1] == b
        assert len(states) == 1 + sum(edit.kind != "keep" for edit in found.edits)


def test_a_chain_says_what_it_does():
    found = preference.chain("a very very rad circle".split(), "a very red circle , photo".split())
    assert found.marked() == "a very [replace] very => red [delete] rad circle [insert] , [insert] photo"
    assert found.cost == 5
    middle = [" ".join(state) for state in found.states()]
    assert middle[1:3] == ["a very red rad circle", "a very red circle"]


def test_empty_texts_have_chains_and_equal_ones_cost_nothing():
    assert preference.chain([], []).edits == () and preference.chain(["a"], []).cost == 1
    assert preference.chain(["a", "b"], ["a", "b"]).cost == 0


def test_a_chain_refuses_another_source_and_a_str():
    found = preference.chain(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="Edit 2 expects 'b' at token 2, found 'c': another source"):
        found.apply(["a", "c"])
    with pytest.raises(ValueError, match="The chain ends before token 3, 'c'"):
        found.apply(["a", "b", "c"])
    with pytest.raises(ValueError, match="found the end"):
        found.apply(["a"])
    with pytest.raises(TypeError, match="The source is a list of str"):
        preference.chain("a b", ["a"])
    with pytest.raises(TypeError, match="The target is a list of str"):
        preference.chain(["a"], [1])


# ---- reward models ------------------------------------------------------------------------------------------------------------


def test_a_ranked_model_finds_a_linear_taste_and_imitation_does_not():
    better, worse = pairs(400)
    unseen = pairs(400, 1)
    share = {kind: preference.learn(better, worse, FAST.replace(kind=kind)).accuracy(*unseen) for kind in preference.KINDS}
    assert share["ranked"] > 0.83 and share["binary"] > 0.83
    assert 0.3 < share["imitation"] < share["ranked"] - 0.1


def test_imitation_scores_a_normal_law_of_the_preferred():
    better, worse = pairs(300)
    model = preference.learn(better, worse, FAST.replace(kind="imitation"))
    assert model.score(better.mean(0)[None])[0] > model.score(better.mean(0)[None] + 3)[0]
    assert abs(float(model.score(better.mean(0)[None])[0])) < 1e-4  # the mean is the likeliest


def test_no_steps_have_no_opinion_and_a_start_is_gone_on_from():
    better, worse = pairs(50)
    none = preference.learn(better, worse, FAST.replace(steps=0))
    assert (none.score(better) == 0).all()
    public = preference.learn(*pairs(400, 1), FAST)
    same = preference.learn(better, worse, FAST.replace(steps=0), start=public)
    assert np.array_equal(same.score(better), public.score(better))


def test_histories_are_scored_by_the_sum_of_their_steps():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500, 4, 6)).astype(np.float32)
    first = ((a @ TASTE).sum(1) > (b @ TASTE).sum(1))[:, None, None]
    model = preference.learn(np.where(first, a, b), np.where(first, b, a), FAST.replace(steps=150))
    assert np.allclose(model.score(a), model.score(a.reshape(-1, 6)).reshape(500, 4).sum(1), atol=1e-4)
    assert np.corrcoef(model.score(a.reshape(-1, 6)), a.reshape(-1, 6) @ TASTE)[0, 1] > 0.9


def test_pairs_that_contradict_are_counted_and_refused_where_nothing_else_is_left():
    better, worse = pairs(20)
    both = np.concatenate([better, worse[:3]]), np.concatenate([worse, better[:3]])
    assert preference.contradictions(*both).sum() == 6
    assert preference.learn(*both, FAST).told == {"pairs": 23, "contradictions": 6}
    with pytest.raises(ValueError, match="All 6 pairs contradict each other"):
        preference.learn(np.concatenate([better[:3], worse[:3]]), np.concatenate([worse[:3], better[:3]]), FAST)
    with pytest.raises(ValueError, match="All 4 pairs contradict each other"):
        preference.learn(better[:4], better[:4], FAST)


@pytest.mark.parametrize("kind", preference.KINDS)
def test_votes_of_nine_to_one_are_learned_though_each_stands_the_other_way_round_too(kind):
    a, b, c = np.eye(3, dtype=np.float32)
    better, worse = [*[a] * 9, b, *[b] * 9, c], [*[b] * 9, a, *[c] * 9, b]
    model = preference.learn(better, worse, FAST.replace(kind=kind))
    first, second, third = model.score([a, b, c])
    assert first > third and model.told == {"pairs": 20, "contradictions": 20}
    assert kind == "imitation" or first > second > third
    with pytest.raises(ValueError, match="All 18 pairs contradict each other"):
        preference.learn([a] * 9 + [b] * 9, [b] * 9 + [a] * 9, FAST.replace(kind=kind))


def test_zeros_of_both_signs_are_the_same_thing():
    assert preference.contradictions([[0.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [-0.0, 1.0]]).all()


@pytest.mark.parametrize(
    ("better", "worse", "error"),
    [
        (np.zeros((0, 6)), np.zeros((0, 6)), "There are no pairs"),
        (np.zeros((3, 6)), np.zeros((2, 6)), r"got shapes \(3, 6\) and \(2, 6\)"),
        (np.zeros(6), np.zeros(6), r"must be \(n, d\)"),
        (np.full((3, 6), np.nan), np.zeros((3, 6)), "NaN"),
    ],
)
def test_bad_pairs_are_refused(better, worse, error):
    with pytest.raises(ValueError, match=error):
        preference.learn(better, worse)


def test_a_start_or_features_that_do_not_fit_are_refused():
    better, worse = pairs(20)
    public = preference.learn(better, worse, FAST)
    with pytest.raises(ValueError, match="expected a network, 6 and 9"):
        preference.learn(better, worse, FAST.replace(hidden=9), start=public)
    with pytest.raises(ValueError, match="cannot go on from a start"):
        preference.learn(better, worse, FAST.replace(kind="imitation"), start=public)
    with pytest.raises(ValueError, match=r"reads features 6 wide, got \(2, 5\)"):
        public.score(np.zeros((2, 5)))


@pytest.mark.parametrize("kind", preference.KINDS)
def test_a_reward_model_comes_back_from_its_folder(tmp_path, kind):
    better, worse = pairs(30)
    model = preference.learn(better, worse, FAST.replace(kind=kind))
    model.save(tmp_path / "model")
    again = preference.RewardModel.load(tmp_path / "model")
    assert np.allclose(again.score(worse), model.score(worse), atol=1e-5)
    assert (again.config, again.told) == (model.config, model.told)


def test_a_reward_model_that_was_stopped_goes_on_to_the_same_one(tmp_path, monkeypatch):
    better, worse = pairs(50)
    config = FAST.replace(steps=120)
    whole = preference.learn(better, worse, config)
    real, calls = reward_model.pair_loss, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) > 70:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(reward_model, "pair_loss", dies)
    with pytest.raises(MemoryError):
        preference.learn(better, worse, config, folder=tmp_path / "run")
    monkeypatch.setattr(reward_model, "pair_loss", real)
    again = preference.learn(better, worse, config, folder=tmp_path / "run")
    assert np.array_equal(again.score(better), whole.score(better))
    with pytest.raises(ArtifactError, match="another run"):
        preference.learn(worse, better, config, folder=tmp_path / "run")


# ---- long-term preference -----------------------------------------------------------------------------------------------------

K = 6
QUICK = preference.LongTermConfig(steps=300, hidden=32, batch=128)


@pytest.fixture(scope="module")
def log():
    return visitors.log(1500, 3)


def gain(choice):
    """Share of the oracle's gain over random, exactly."""
    floor = visitors.expected_visits(np.full((len(choice), K), 1 / K))
    return (visitors.expected_visits(np.eye(K)[choice]) - floor) / (visitors.expected_visits("best") - floor)


def truth(log):
    """How likely each visitor was to come back on each day."""
    kind, last, before = (part.argmax(-1) for part in np.split(log.states[:, :-1], [visitors.KINDS, visitors.KINDS + K + 1], -1))
    return visitors.chances()[kind, last, before, log.actions]


def test_the_true_visits_of_a_policy_are_those_of_many_visitors(log):
    logged = truth(log).sum(1).mean() * visitors.TIMES
    assert abs(logged - log.visits.mean()) < 0.3
    everyone = np.full((len(visitors.all_states()), K), 1 / K)
    always = np.eye(K)[visitors.chances().reshape(-1, K).argmax(1)]
    assert visitors.expected_visits(everyone) < visitors.expected_visits(always) < visitors.expected_visits("best")
    with pytest.raises(ValueError, match="A policy has a row for each of 196 states"):
        visitors.expected_visits(np.ones((3, 6)))
    for bad in (everyone * 2, everyone * np.nan, np.log(everyone), np.eye(K)[np.zeros(196, int)] * 2 - everyone):
        with pytest.raises(ValueError, match="chances, 0 or more, that sum to 1"):
            visitors.expected_visits(bad)


def test_the_favourite_every_day_bores(log):
    assert gain(np.repeat(visitors.tastes().argmax(1), (K + 1) ** 2)) < 0.4


def test_a_policy_of_true_rewards_plans_ahead_and_one_of_clicks_bores(log):
    states = visitors.all_states()
    far = preference.learn_policy(log.states, log.actions, truth(log), K, QUICK)
    near = preference.learn_policy(log.states, log.actions, log.clicks, K, QUICK)
    assert gain(far.choose(states)) > 0.85 and gain(near.choose(states)) < 0.5
    assert np.allclose(far.as_logged(states).sum(1), 1, atol=1e-5)


def test_what_the_log_never_shows_is_not_chosen():
    states = np.zeros((200, 3, 2), np.float32)
    actions = np.random.default_rng(0).integers(0, 2, (200, 2))
    found = preference.learn_policy(states, actions, -1.0 - actions, 3, QUICK.replace(steps=200))
    assert found.choose(np.zeros((1, 2)))[0] == 0  # the third may look better than both, and nobody knows


def test_a_log_that_is_empty_or_does_not_fit_is_refused(log):
    s, a, r = log.states[:5], log.actions[:5], log.clicks[:5]
    with pytest.raises(ValueError, match="The log is empty"):
        preference.learn_policy(s[:0], a[:0], r[:0], K)
    with pytest.raises(ValueError, match="The log is empty"):
        preference.steps(s[:0], a[:0], K)
    for states, actions, rewards, error in (
        (s[:, :-1], a, r, r"states \(n, t \+ 1, d\)"),
        (s, a, r[:, :-1], "Each step needs a finite reward"),
        (s, a, r * np.nan, "Each step needs a finite reward"),
        (s, a, np.ones_like(r), "All rewards of the log are 1"),
        (s, a + 6, r, "Actions are ints from 0 to 5"),
        (s, a.astype(float), r, "Actions are ints from 0 to 5"),
        (s * np.nan, a, r, "NaN"),
    ):
        with pytest.raises(ValueError, match=error):
            preference.learn_policy(states, actions, rewards, K)
    for k in (6.0, "6", 0):
        with pytest.raises(ValueError, match="k must be an int of 1 or more"):
            preference.learn_policy(s, a, r, k)
    with pytest.raises(ValueError, match="expectile must be a number above 0"):
        preference.LongTermConfig(expectile=1.0)


def test_a_policy_comes_back_from_its_folder_and_goes_on_from_a_checkpoint(log, tmp_path):
    some = (log.states[:50], log.actions[:50], log.clicks[:50], K)
    config, states = QUICK.replace(steps=120, batch=32), visitors.all_states()
    whole = preference.learn_policy(*some, config)
    whole.save(tmp_path / "policy")
    again = preference.LongTermPolicy.load(tmp_path / "policy")
    assert np.array_equal(again.values(states), whole.values(states))
    with pytest.raises(ValueError, match="reads states"):
        again.choose(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        again.choose(np.full_like(states, np.nan))
    from workbench.search.preference import long_term

    real, calls = long_term.torch.nn.functional.cross_entropy, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) > 110:
            raise MemoryError
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_term.torch.nn.functional, "cross_entropy", dies)
        with pytest.raises(MemoryError):
            preference.learn_policy(*some, config, folder=tmp_path / "run")
    resumed = preference.learn_policy(*some, config, folder=tmp_path / "run")
    assert all(np.array_equal(resumed.tensors[name], value) for name, value in whole.tensors.items())
