"""Guided sampling against laws that can be computed to the last digit: Poisson laws, and a language model with 2,801 texts."""

import dataclasses
import functools
import math
import signal
import warnings

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from tiny_lm import every_text, tiny_lm

from workbench import guide
from workbench.control.guide import TuneConfig, descent, tuning
from workbench.control.guide.divergences import DIVERGENCES, divergence
from workbench.control.guide.draws import _counts
from workbench.control.guide.dual import solve
from workbench.control.proposals import FromDistribution, LMProposal
from workbench.values import ArtifactError, GuideError

COUNTS = np.arange(120)
FAST = TuneConfig(batch=128, warmup=3)


def castle_first(texts):
    return [text.startswith("castle") for text in texts]


def fox(texts):
    return ["fox" in text.split() for text in texts]


def n_words(texts):
    return [len(text.split()) for text in texts]


def value(counts):
    return np.array(counts, float)


def even(counts):
    return [count % 2 == 0 for count in counts]


def odd(counts):
    return [count % 2 == 1 for count in counts]


def big(counts):
    return [count >= 7 for count in counts]


def moments(ebm, samples):
    """Means of all scorers of a target: dict of name -> float."""
    found = guide.means(samples, ebm.scorers)
    return dict(zip(found.names, found.values, strict=True))


class Toy:
    """The tiny model with all it can write, and the exact answer to "half the texts open with castle, half hold a fox"."""

    def __init__(self):
        self.lm = tiny_lm()
        self.proposal = LMProposal(self.lm, max_tokens=4)
        self.texts = every_text(4)
        self.base = np.exp(self.proposal.log_score(self.texts))
        self.features = np.array([castle_first(self.texts), fox(self.texts)], float).T
        self.rates = self.base @ self.features
        dual = optimize.minimize(lambda x: np.log(self.base @ np.exp(self.features @ x)) - x.sum() / 2, np.zeros(2), tol=1e-12)
        self.weights = dual.x
        target = self.base * np.exp(self.features @ dual.x)
        self.target = target / target.sum()

    def distance(self, proposal):
        """KL(target, proposal), TVD, effective sample size, moments: exact."""
        q = np.exp(proposal.log_score(self.texts))
        assert q.sum() == pytest.approx(1, abs=1e-5)
        kl = self.target @ np.log(self.target / q)
        return kl, np.abs(self.target - q).sum() / 2, 1 / (self.target**2 / q).sum(), q @ self.features


@pytest.fixture(scope="module")
def toy():
    return Toy()


@pytest.fixture(scope="module")
def half_half(toy):
    return guide.constrain(toy.proposal, {castle_first: 0.5, fox: 0.5}, n=4096, seed=0)


# ---- constrain ----------------------------------------------------------------------------------------------------------


def test_the_toy_is_the_one_of_the_reference_run(toy):
    np.testing.assert_allclose(toy.rates, [0.0615, 0.2507], atol=0.01)


@pytest.mark.parametrize(("n", "far"), [(2048, 0.05), (16_384, 0.03)])
def test_weights_and_moments_are_those_of_the_exact_solution(toy, n, far):
    ebm = guide.constrain(toy.proposal, {castle_first: 0.5, fox: 0.5}, n=n, seed=0)
    found = np.array(list(ebm.weights.values()))
    np.testing.assert_allclose(found, toy.weights, atol=0.2)
    reached = toy.base * np.exp(toy.features @ found)
    np.testing.assert_allclose(reached @ toy.features / reached.sum(), 0.5, atol=far)
    np.testing.assert_allclose(ebm.log_score(toy.texts), np.log(toy.base) + toy.features @ found, atol=1e-5)


def test_the_number_of_samples_that_is_needed_is_enough():
    ebm = guide.constrain(stats.poisson(3), {value: 4.0}, n=1000)
    assert ebm.fit.needed(ebm.fit.reached_errors[0] * 1.959964) in (1000, 1001)
    n, found = ebm.fit.needed(0.1), []
    assert n == pytest.approx(1000 * (1.96 * ebm.fit.reached_errors[0] / 0.1) ** 2, rel=0.01)
    for seed in range(60):
        weight = guide.constrain(stats.poisson(3), {value: 4.0}, n=n, seed=seed).weights["value"]
        found.append(3 * math.exp(weight))  # the mean of the law
    assert 0.88 <= np.mean(np.abs(np.array(found) - 4) <= 0.1) <= 1
    with pytest.raises(ValueError, match="within must be a number above 0"):
        ebm.fit.needed(0)


def test_a_poisson_law_with_another_mean_is_the_poisson_law_of_that_mean():
    ebm = guide.constrain(stats.poisson(3), {value: 5.0}, n=20_000)
    assert ebm.weights["value"] == pytest.approx(math.log(5 / 3), abs=4 * ebm.fit.errors[0])
    assert ebm.fit.log_z == pytest.approx(2, abs=4 * ebm.fit.log_z_error)
    assert ebm.fit.kl == pytest.approx(5 * math.log(5 / 3) - 2, abs=4 * ebm.fit.log_z_error)
    assert ebm.fit.ess / ebm.fit.n == pytest.approx(
        1 / np.sum(stats.poisson(5).pmf(COUNTS) ** 2 / stats.poisson(3).pmf(COUNTS)), abs=0.1
    )


@pytest.mark.parametrize("n", [2048, 4096])
def test_intervals_hold_the_exact_weights_as_often_as_they_say(toy, n):
    hits, errors, found = [], [], []
    for seed in range(50):
        rows = np.random.default_rng([seed, 3]).choice(len(toy.texts), n, p=toy.base / toy.base.sum())
        solution = solve(toy.features[rows], np.full(2, 0.5), np.zeros(n), np.zeros(n, int), np.array([n]))
        error = np.sqrt(np.diag(solution.covariance))
        hits += (np.abs(solution.weights - toy.weights) < 1.96 * error).tolist()
        errors.append(error)
        found.append(solution.weights)
    assert 0.9 <= np.mean(hits) <= 0.99
    np.testing.assert_allclose(np.mean(errors, 0), np.std(found, 0), rtol=0.25)


def test_intervals_of_constrain_are_those(toy, half_half):
    assert (np.abs(toy.weights - half_half.fit.weights) < 1.96 * half_half.fit.errors).all()
    assert (half_half.fit.errors < 0.1).all()


def test_each_scorer_is_called_exactly_once_per_sample(toy):
    seen = {"a": 0, "b": 0, "c": 0}

    def counted(name, scorer):
        def count(texts):
            seen[name] += len(texts)
            return scorer(texts)

        return count

    moments = {counted("a", castle_first): 0.3, counted("b", n_words): 3.0, counted("c", lambda xs: ["red" in x for x in xs]): 1}
    ebm = guide.constrain(toy.proposal, moments, n=2048, seed=0)
    assert set(seen.values()) == {2048}
    draws = guide.quasi_rejection(ebm, budget=20, n=50, pool=ebm.fit.pool)
    assert draws.proposed == 2048 and set(seen.values()) == {2048}


def test_a_moment_of_one_is_a_filter_and_a_moment_of_zero_its_opposite():
    ebm = guide.constrain(stats.poisson(3), {even: 1, big: 0, value: 3.5})
    assert ebm.fit.names == ("value",) and [name for name, _ in ebm.fit.filters] == ["even", "not big"]
    log_p = ebm.log_score(list(range(12)))
    assert np.isfinite(log_p).tolist() == [count % 2 == 0 and count < 7 for count in range(12)]
    assert log_p[4] == pytest.approx(stats.poisson(3).logpmf(4) + 4 * ebm.weights["value"])


def test_real_valued_and_opposite_moments_are_reached_together():
    ebm = guide.constrain(stats.norm(), {value: 1.0, lambda xs: np.square(xs): 2.0}, n=20_000)
    # the nearest to N(0, 1) with mean 1 and variance 1 is N(1, 1)
    np.testing.assert_allclose(list(ebm.weights.values()), [1, 0], atol=0.1)


def test_more_is_learned_when_the_draws_come_from_a_nearer_proposal():
    base = stats.poisson(3)
    with pytest.warns(UserWarning, match="effective sample size is only"):
        far = guide.constrain(base, {value: 8.0}, n=4096)
    near = guide.constrain(base, {value: 8.0}, n=4096, via=stats.poisson(8))
    assert near.fit.errors[0] < far.fit.errors[0] / 3
    assert near.weights["value"] == pytest.approx(math.log(8 / 3), abs=4 * near.fit.errors[0])
    assert near.fit.before[0] == pytest.approx(3, abs=0.5)
    assert near.bases == far.bases


def test_contexts_share_the_weights_and_have_their_own_normalisers():
    law = FromDistribution(None, None, contexts=stats.poisson)
    ebm = guide.constrain(law, {value: 7.0}, n=20_000, contexts=[2.0, 5.0])
    # (2 + 5) / 2 * exp(weight) = 7
    assert ebm.weights["value"] == pytest.approx(math.log(2), abs=0.03)
    assert ebm.given(2.0).log_score([3])[0] == pytest.approx(stats.poisson(2).logpmf(3) + 3 * ebm.weights["value"])


def test_the_report_has_a_line_for_each_moment(half_half):
    report = half_half.report()
    assert [line.split()[0] for line in report.splitlines()[:3]] == ["moment", "castle_first", "fox"]
    assert "effective sample size" in report and "KL(target, proposal)" in report
    with pytest.raises(GuideError, match="no fit to report"):
        (half_half * half_half).report()


def never(counts):
    return [count > 90 for count in counts]


def always(counts):
    return [count >= 0 for count in counts]


def half(counts):
    return [0.5] * len(counts)


def three(counts):
    return [count <= 3 for count in counts]


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        ({}, "one entry or more"),
        ({even: 1.2}, "'even' answers yes or no, so its moment is a share from 0 to 1, but 1.2 was asked"),
        ({even: float("nan")}, "moment of 'even' must be a number that is finite, got nan"),
        ({even: "half"}, "moment of 'even' must be a number that is finite"),
        ({even: None}, "moment of 'even' must be a number that is finite, got None"),
        ({even: [0.5, 0.5]}, "moment of 'even' must be a number that is finite"),
        ([even], "moments is a dict of scorer -> mean"),
        ({"even": 0.5}, "A scorer is a function of a list of samples, got 'even'"),
        ({never: 0.5}, r"'never' was never seen in 4096 samples.* below 0.07%.*Raise n.*Asked: 0.5"),
        ({never: 1}, "'never' was never seen in 4096 samples"),
        ({always: 0.5}, "'always' was always seen in 4096 samples"),
        ({always: 0}, "'always' was always seen in 4096 samples"),
        ({half: 0.3}, "'half' is constant: 0.5 in all of 4096 samples, so its mean cannot become 0.3"),
        ({value: 40}, "The mean of 'value' cannot become 40: .* lies between 0 and 1[0-9], with mean 3"),
        ({even: 1, odd: 1}, r"contradict each other: none of 4096 samples passes all filters \('even' .*, 'odd' .* alone\)"),
        ({even: 1, odd: 0.5}, "'odd' was never seen in .* samples that pass the filters"),
        (
            {even: 0.5, odd: 0.7},
            "'even' 0.5 and 'odd' 0.7 cannot be reached together: .* at most 1 in all 4096 .* make it 1.2",
        ),
        ({three: 0.9, big: 0.1}, "'three' 0.9 and 'big' 0.1 cannot be reached together: .* is never above 1 in all"),
        ({value: 3.5, three: 0.9, big: 0.2}, "'three' 0.9 and 'big' 0.2 cannot be reached together"),
        ({even: 0.3, three: 0.6, big: 0.6}, "^The moments 'three' 0.6 and 'big' 0.6 cannot be reached together"),
        ({lambda xs: [math.nan] * len(xs): 0.5}, r"Scorer '<lambda>' returned nan for 4096 of 4096 samples, such as \d"),
        ({lambda xs: [True]: 0.5}, r"returned shape \(1,\) for 4096 samples, expected \(4096,\)"),
        ({lambda xs: 1.0: 0.5}, "returned one number, 1.0 for 4096 samples"),
        ({lambda xs: None: 0.5}, "returned .* for 4096 samples"),
        ({lambda xs: ["yes"] * len(xs): 0.5}, "expected 4096 numbers"),
        ({lambda xs: xs.missing: 0.5}, "Scorer '<lambda>' raised AttributeError: .*the whole list"),
    ],
)
def test_a_moment_that_cannot_be_reached_is_an_error_that_says_which_and_what_was_seen(moments, message):
    with pytest.raises(ValueError, match=message):
        guide.constrain(stats.poisson(3), moments)


def test_the_edge_of_what_was_seen_is_no_finite_weight_either():
    with pytest.raises(GuideError, match="cannot become 0.5: in 500 samples it lies between 0.5 and"):
        guide.constrain(stats.norm(), {value: 0.5, lambda xs: [max(x, 0.5) for x in xs]: 0.5}, n=500)


def test_a_proposal_that_cannot_score_is_refused_before_any_draw():
    class Blind:
        def sample(self, n, seed):
            raise AssertionError

    with pytest.raises(GuideError, match="Blind samples but cannot score: it has no log_score"):
        guide.constrain(Blind(), {value: 1.0})
    with pytest.raises(GuideError, match="list is not a proposal: it has no sample"):
        guide.constrain([1, 2], {value: 1.0})


def test_a_proposal_that_does_not_keep_its_word_is_named():
    short = FromDistribution(lambda n, seed: [1, 2], lambda xs: np.zeros(len(xs)))
    with pytest.raises(GuideError, match="returned 2 samples, expected 4096"):
        guide.constrain(short, {value: 1.5})
    liar = FromDistribution(lambda n, seed: [1] * n, lambda xs: np.full(len(xs), -np.inf))
    with pytest.raises(GuideError, match="its sample and log_score do not agree"):
        guide.pool(guide.EBM((stats.poisson(3),)), liar)
    broken = FromDistribution(lambda n, seed: [1] * n, lambda xs: np.full(len(xs), np.nan))
    with pytest.raises(GuideError, match="log_score of FromDistribution is nan for 1"):
        guide.pool(guide.EBM((stats.poisson(3),)), broken)


@pytest.mark.parametrize("n", [1, 0, 2.5, True])
def test_n_is_a_whole_number(n):
    with pytest.raises(ValueError, match="n must be an int of 2 or more"):
        guide.constrain(stats.poisson(3), {value: 4}, n=n)


def test_too_few_samples_is_a_warning_with_advice():
    with pytest.warns(UserWarning, match=r"only \d+ of 100 samples, so lambda is rough.* Raise n to about \d+,000"):
        guide.constrain(stats.poisson(3), {value: 5.0}, n=100)


def test_scorers_that_say_the_same_are_a_warning_and_those_that_say_nothing_too():
    with pytest.warns(UserWarning, match="Only 1 of the 2 weighted scorers are independent"):
        ebm = guide.constrain(stats.poisson(3), {even: 0.7, odd: 0.3})
    assert ebm.weights["even"] == pytest.approx(-ebm.weights["odd"])
    with pytest.warns(UserWarning, match="'half' is 0.5 in all of 4096 samples, as asked"):
        assert set(guide.constrain(stats.poisson(3), {half: 0.5, even: 0.7}).weights) == {"even"}


# ---- products -----------------------------------------------------------------------------------------------------------


def test_the_target_of_reinforcement_learning_is_the_tilted_law():
    ebm = guide.EBM((stats.poisson(3),), {value: 1 / 2.0})
    ratio = ebm.log_score(COUNTS) - stats.poisson(3 * math.exp(0.5)).logpmf(COUNTS)
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-8)
    assert guide.pool(ebm, stats.poisson(3), n=20_000).log_z == pytest.approx(3 * (math.exp(0.5) - 1), abs=0.03)


def test_experts_multiply():
    both = guide.EBM((stats.poisson(3),)) * stats.poisson(4) * guide.EBM(tilts={value: 0.1, even: 1.0})
    expected = stats.poisson(3).logpmf(COUNTS) + stats.poisson(4).logpmf(COUNTS) + 0.1 * COUNTS + (COUNTS % 2 == 0)
    np.testing.assert_allclose(both.log_score(COUNTS), expected)
    only = guide.constrain(stats.poisson(3), {even: 1}) * guide.EBM(tilts={value: 0.1})
    assert np.isneginf(only.log_score([3])[0]) and np.isfinite(only.log_score([4])[0])


@pytest.mark.parametrize(
    ("tilts", "message"),
    [
        ({value: math.inf}, "weight of 'value' must be a number that is finite"),
        ({"value": 1}, "A scorer is a function of a list"),
        ({value: True}, "got True"),
        ([1], "tilts is a dict of scorer -> weight"),
    ],
)
def test_tilts_are_checked(tilts, message):
    with pytest.raises(ValueError, match=message):
        guide.EBM((P,), tilts)


def test_moments_of_a_set_are_told_by_name():
    ebm = guide.constrain(stats.poisson(3), {even: 0.7, value: 3.5, big: 0})
    assert moments(ebm, [2, 4, 5, 8]) == {"even": 0.75, "value": 4.75, "not big": 0.75}


def test_a_base_that_is_the_proposal_is_not_computed(toy):
    def no_score(samples):
        raise AssertionError

    law = FromDistribution(lambda n, seed: stats.poisson(3).rvs(n, random_state=seed), no_score)
    ebm = guide.constrain(law, {even: 0.7})
    assert guide.quasi_rejection(ebm, law, beta=1.0, n=10).acceptance > 0


# ---- sampling -----------------------------------------------------------------------------------------------------------

P, Q = stats.poisson(11), stats.poisson(10)


def exact(beta, p=P, q=Q):
    """Acceptance, TVD and KL(target, kept), by summation."""
    p, q = p.pmf(COUNTS), q.pmf(COUNTS)
    kept = np.minimum(p, beta * q)
    kept /= kept.sum()
    some = p > 0
    return np.minimum(q, p / beta).sum(), np.abs(p - kept).sum() / 2, p[some] @ np.log(p[some] / kept[some])


@pytest.mark.parametrize("seed", range(3))
def test_rejection_between_poisson_laws_is_as_computed_within_its_error(seed):
    betas = [0.5, 0.8, 1.0, 1.5, 2.0]
    found = guide.pool(guide.EBM((P,)), Q, 20_000, seed).estimates(betas)
    for i, beta in enumerate(betas):
        acceptance, tvd, kl = exact(beta)
        assert abs(found.acceptance[i] - acceptance) < 3.5 * found.acceptance_error[i] < 0.03
        assert abs(found.tvd[i] - tvd) < 3.5 * found.tvd_error[i] < 0.01
        assert abs(found.kl[i] - kl) < 3.5 * found.kl_error[i] < 0.01


def test_errors_of_estimates_are_their_spread_over_seeds():
    pools = [guide.pool(guide.EBM((P,)), Q, 1000, seed) for seed in range(150)]
    rows = np.array([[*pool.estimates(1.0)] for pool in pools])[:, :, 0]
    for value_at, error_at in ((1, 2), (3, 4), (5, 6)):
        assert rows[:, error_at].mean() == pytest.approx(rows[:, value_at].std(), rel=0.2)


@pytest.mark.parametrize("beta", [0.7, 1.5])
def test_what_is_kept_has_the_law_it_should_have(beta):
    draws = guide.quasi_rejection(guide.EBM((P,)), Q, beta=beta, n=20_000, seed=1)
    kept = np.minimum(P.pmf(COUNTS), beta * Q.pmf(COUNTS))
    seen = np.bincount(draws.samples, minlength=len(COUNTS))
    assert len(draws.samples) == 20_000
    assert np.abs(seen / 20_000 - kept / kept.sum()).sum() / 2 < 0.015
    assert draws.acceptance == pytest.approx(exact(beta)[0], abs=0.015)
    assert (draws.tvd, draws.kl) == pytest.approx(exact(beta)[1:], abs=0.015)
    assert "TVD" in draws.report()


@pytest.mark.parametrize("budget", [1.1, 2, 10])
def test_a_budget_picks_the_best_beta_that_keeps_to_it(budget):
    draws = guide.quasi_rejection(guide.EBM((P,)), Q, budget=budget, n=3000)
    assert draws.pool.estimates(draws.beta).acceptance[0] == pytest.approx(1 / budget)
    assert exact(draws.beta)[0] == pytest.approx(1 / budget, rel=0.05)
    assert draws.proposed / len(draws.samples) < 1.2 * budget + 1.5


def test_a_budget_that_filters_do_not_allow_is_a_warning():
    with pytest.warns(UserWarning, match=r"costs at least (1\.9|2\.0) draws, more than budget=1.2"):
        guide.quasi_rejection(guide.constrain(stats.poisson(10), {even: 1}), Q, budget=1.2)


def test_equal_seeds_give_equal_draws(half_half, toy):
    draw = functools.partial(guide.quasi_rejection, half_half, toy.proposal, n=50, pool=500)
    assert draw(5.0, seed=1).samples == draw(5.0, seed=1).samples != draw(5.0, seed=2).samples


def test_rejection_from_the_language_model_has_the_moments(toy, half_half):
    draws = guide.quasi_rejection(half_half, toy.proposal, beta=60, n=300, seed=1)
    np.testing.assert_allclose(list(moments(half_half, draws.samples).values()), 0.5, atol=0.07)
    assert draws.tvd < 0.01


def test_draws_of_the_fit_have_the_moments_almost_exactly_and_cost_no_more(toy):
    p = toy.base / toy.base.sum()
    law = FromDistribution(lambda n, seed: np.random.default_rng([seed, 7]).choice(len(p), n, p=p), None)
    scorers = [lambda rows, column=column: toy.features[rows, column] for column in (0, 1)]
    for seed in range(20):
        ebm = guide.constrain(law, dict.fromkeys(scorers, 0.5), n=2048, seed=seed)
        resampled = guide.importance_resample(ebm, n=500, seed=seed, pool=ebm.fit.pool)
        kept = guide.quasi_rejection(ebm, beta=60, n=60, seed=seed, pool=ebm.fit.pool)
        for draws, far in ((resampled, 0.005), (kept, 0.04)):
            assert draws.proposed == 2048
            np.testing.assert_allclose(list(moments(ebm, draws.samples).values()), 0.5, atol=far)
        assert len(set(resampled.samples)) < 500 and len(resampled.samples) == 500 and len(kept.samples) == 60


def test_a_pool_belongs_to_its_target_and_proposal():
    law = stats.poisson(3)
    ebm, other = (guide.constrain(law, {value: mean}) for mean in (3.5, 4.0))
    with pytest.raises(GuideError, match="This pool is of another target. Take ebm.fit.pool of the same target"):
        guide.quasi_rejection(ebm, budget=2, pool=other.fit.pool)
    with pytest.raises(GuideError, match="This pool is drawn from another proposal"):
        guide.importance_resample(ebm, stats.poisson(3.5), pool=ebm.fit.pool)
    assert len(guide.importance_resample(ebm, pool=ebm.fit.pool).samples) == 256
    assert guide.constrain(FromDistribution(None, None, contexts=stats.poisson), {value: 4}, contexts=[2.0, 5.0]).fit.pool is None


def test_without_a_proposal_the_base_is_drawn_from_if_there_is_one():
    ebm = guide.constrain(stats.poisson(3), {value: 3.5})
    for draw in (guide.quasi_rejection, guide.importance_resample):
        options = {"beta": 2.0} if draw is guide.quasi_rejection else {}
        assert draw(ebm, n=20, seed=3, **options).samples == draw(ebm, ebm.bases[0], n=20, seed=3, **options).samples
    with pytest.raises(GuideError, match="This target has 2 bases, so say which proposal to draw from"):
        guide.pool(ebm * stats.poisson(4))
    with pytest.raises(GuideError, match="This target has 0 bases"):
        guide.pool(guide.EBM(tilts={value: 1}))


def test_counts_are_rounded_at_random_but_sums_are_not():
    expected = np.array([0.25, 1.0, 0.5, 0.0, 2.3, 0.25, 0.7])
    order = np.array([0.0, 5, 1, 2, 9, 1, 3])
    found = np.array([_counts(expected, order, np.random.default_rng(seed)) for seed in range(4000)])
    assert (np.abs(found - expected) < 1).all() and (found.sum(1) == 5).all()
    assert (found[:, [0, 2, 5]].sum(1) == 1).all()  # neighbours in the order, which are expected 1 time together
    np.testing.assert_allclose(found.mean(0), expected, atol=0.03)


def test_resampling_comes_near_the_target_too():
    resampled = guide.importance_resample(guide.EBM((P,)), Q, 10_000, pool=20_000)
    assert np.mean(resampled.samples) == pytest.approx(11, abs=0.15)
    assert len(resampled.samples) == 10_000 and "draws" in resampled.report()


def test_a_pool_tells_how_far_the_proposal_is():
    found = guide.pool(guide.EBM((P,)), Q, 20_000)
    p, q = P.pmf(COUNTS), Q.pmf(COUNTS)
    assert found.kl == pytest.approx(11 * math.log(1.1) - 1, abs=0.005)
    assert found.tvd == pytest.approx(np.abs(p - q).sum() / 2, abs=0.005)
    assert found.ess == pytest.approx(1 / np.sum(p**2 / q), abs=0.005)
    assert found.log_z == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Give one of beta=, the bound, and budget="),
        ({"beta": 1.0, "budget": 2}, "Give one of"),
        ({"beta": 0}, "beta must be a number above 0"),
        ({"budget": 0.5}, "budget must be a number of 1 or more"),
        ({"beta": 1.0, "n": 0}, "n must be an int of 1 or more"),
    ],
)
def test_options_of_rejection_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        guide.quasi_rejection(guide.EBM((P,)), Q, **options)


def test_a_target_without_any_draw_is_an_error():
    with pytest.raises(GuideError, match="None of 100 draws of FromScipy has any probability"):
        guide.quasi_rejection(guide.EBM((P,), filters=(never,)), Q, beta=1, pool=100)


# ---- tuning -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_pull_is_the_gradient_of_the_divergence(name):
    rng = np.random.default_rng(0)
    logits, log_p = rng.normal(size=6), np.log(rng.dirichlet(np.ones(6)))

    def log_policy(x):
        return x - np.logaddexp.reduce(x)

    def total(x):
        return np.exp(log_policy(x)) @ divergence(name, log_policy(x) - log_p)[1]

    pi = np.exp(log_policy(logits))
    slope = divergence(name, log_policy(logits) - log_p)[0]
    expected = [(total(logits + step) - total(logits - step)) / 2e-6 for step in 1e-6 * np.eye(6)]
    np.testing.assert_allclose(pi * (slope - pi @ slope), expected, atol=1e-6)
    assert total(logits) > 0 and total(log_p) == pytest.approx(0, abs=1e-12)


def test_divergences_have_their_known_values():
    p, q = P.pmf(COUNTS[:60]), Q.pmf(COUNTS[:60])
    found = {name: q @ divergence(name, np.log(q / p))[1] for name in DIVERGENCES}
    middle = (p + q) / 2
    js = (p @ np.log(p / middle) + q @ np.log(q / middle)) / 2
    expected = {"kl": 11 * math.log(1.1) - 1, "reverse_kl": 10 * math.log(10 / 11) + 1, "js": js}
    expected |= {"tv": np.abs(p - q).sum() / 2, "chi2": math.exp(0.1) - 1}
    assert found == pytest.approx(expected, abs=1e-9)


def test_tuning_brings_the_model_to_the_target(toy, half_half):
    tuned = guide.tune(toy.lm, half_half, steps=60, progress=False)
    kl, tvd, ess, moments = toy.distance(tuned.proposal)
    assert kl <= 0.10 and tvd <= 0.14 and ess >= 0.75
    np.testing.assert_allclose(moments, 0.5, atol=0.06)
    last = tuned.history[-1]
    assert len(tuned.history) == 60 and set(last["moments"]) == {"castle_first", "fox"}
    assert tuned.curve("kl", 10)[-1] == pytest.approx(kl, abs=0.03)
    assert tuned.curve("ess", 10)[-1] == pytest.approx(ess, abs=0.05)
    original = np.exp(tuned.proposal.log_score(toy.texts)) @ (tuned.proposal.log_score(toy.texts) - np.log(toy.base))
    assert tuned.curve("kl_original", 10)[-1] == pytest.approx(original, abs=0.15)
    assert "kl_original" in tuned.report()


@pytest.mark.parametrize(("name", "offline"), [*((name, False) for name in DIVERGENCES), ("kl", True), ("tv", True)])
def test_every_divergence_falls_on_line_and_off_line(toy, half_half, name, offline, monkeypatch):
    monkeypatch.setattr(descent, "_REFRESH", 4)
    config = TuneConfig(batch=128, warmup=2, offline=offline)
    tuned = guide.tune(toy.proposal, half_half, name, 12, config=config, progress=False)

    def total(proposal):
        log_q = proposal.log_score(toy.texts)
        return np.exp(log_q) @ divergence(name, log_q - np.log(toy.target))[1]

    assert total(tuned.proposal) < 0.75 * total(toy.proposal)


def test_the_model_that_is_given_stays_as_it_was(toy, half_half):
    before = toy.proposal.log_score(toy.texts[:50])
    guide.tune(toy.lm, half_half, steps=2, config=FAST, progress=False)
    np.testing.assert_array_equal(toy.proposal.log_score(toy.texts[:50]), before)
    assert not any(p.grad is not None for p in toy.lm.model.parameters())


def test_a_filter_can_be_tuned_to(toy):
    def no_moon(texts):
        return ["moon" not in text for text in texts]

    ebm = guide.constrain(toy.proposal, {no_moon: 1}, n=1000)
    tuned = guide.tune(toy.lm, ebm, "js", 15, config=TuneConfig(batch=128, warmup=2), progress=False)
    rate = 1 - toy.base @ np.array(no_moon(toy.texts), float)
    assert 1 - tuned.curve("no_moon", 5)[-1] < 0.6 * rate


def test_a_conditional_target_is_tuned_in_each_context(toy):
    law = LMProposal(toy.lm, max_tokens=3)
    contexts = ["red", "blue", "old ship"]
    ebm = guide.constrain(law, {fox: 0.6}, n=1500, contexts=contexts)
    tuned = guide.tune(law, ebm, steps=15, contexts=contexts, config=TuneConfig(batch=120, warmup=2), progress=False)
    before, after = ([np.mean(fox(p.given(c).sample(300, seed=5))) for c in contexts] for p in (law, tuned.proposal))
    assert abs(np.mean(after) - 0.6) < 0.1 < abs(np.mean(before) - 0.6)
    assert tuned.curve("kl", 5)[-1] < tuned.curve("kl", 5)[4] / 2


@pytest.mark.parametrize("offline", [False, True])
def test_a_tuning_that_was_stopped_goes_on_to_the_bit(toy, half_half, tmp_path, offline, monkeypatch):
    monkeypatch.setattr(descent, "_REFRESH", 2)
    monkeypatch.setattr(tuning, "_SAVE_EVERY", 2)
    config = TuneConfig(batch=32, warmup=2, offline=offline)
    tune = functools.partial(guide.tune, toy.lm, half_half, config=config, progress=False)
    tune(steps=5, folder=tmp_path / "run")
    again, straight = tune(steps=7, folder=tmp_path / "run"), tune(steps=7)
    assert [row["step"] for row in again.history] == list(range(1, 8)) and again.history == straight.history
    for (_, ours), (_, other) in zip(again.proposal.parameters(), straight.proposal.parameters(), strict=True):
        assert torch.equal(ours, other)
    with pytest.raises(ArtifactError, match="another run: divergence differs"):
        tune("js", 8, folder=tmp_path / "run")
    with pytest.raises(ArtifactError, match=r"another run: config\.rate differs"):
        tune(steps=8, folder=tmp_path / "run", config=dataclasses.replace(config, rate=0.1))
    with pytest.raises(ArtifactError, match=r"another run: proposal\.max_tokens differs"):
        guide.tune(LMProposal(toy.lm, max_tokens=3), half_half, steps=8, folder=tmp_path / "run", config=config, progress=False)
    with pytest.raises(ValueError, match="has gone 7 steps already"):
        tune(steps=3, folder=tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(ArtifactError, match="holds thesis.txt"):
        tune(steps=3, folder=tmp_path / "other")


def test_ctrl_c_returns_the_model_as_tuned_so_far_and_the_same_call_goes_on(toy, half_half, tmp_path, capsys, monkeypatch):
    tune = functools.partial(guide.tune, toy.lm, half_half, steps=5, config=TuneConfig(batch=32, warmup=2), progress=False)
    straight, parts = tune(), guide.EBM.parts
    calls = iter(range(100))

    def pressed(*args):
        if next(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return parts(*args)

    monkeypatch.setattr(guide.EBM, "parts", pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        first = tune(folder=tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(first.history) == 3 and not any(tensor.requires_grad for _, tensor in first.proposal.parameters())
    assert capsys.readouterr().out.startswith("Stopped after step 3 of 5")
    again = tune(folder=tmp_path / "run")
    assert again.history == straight.history
    for (_, ours), (_, other) in zip(again.proposal.parameters(), straight.proposal.parameters(), strict=True):
        assert torch.equal(ours, other)


def test_a_tuned_model_is_saved_as_models_are(toy, half_half, tmp_path):
    from workbench.models import load_lm

    tuned = guide.tune(toy.lm, half_half, steps=1, config=FAST, progress=False)
    tuned.save(tmp_path / "tuned")
    again = LMProposal(load_lm(tmp_path / "tuned"), max_tokens=4)
    np.testing.assert_allclose(again.log_score(toy.texts[:50]), tuned.proposal.log_score(toy.texts[:50]), atol=1e-5)


def test_what_cannot_be_tuned_says_why(toy, half_half):
    with pytest.raises(GuideError, match="FromScipy cannot be tuned: it has no copy, parameters, log_prob"):
        guide.tune(stats.poisson(3), half_half)
    with pytest.raises(GuideError, match="top_k or top_p cannot be tuned"):
        guide.tune(LMProposal(toy.lm, top_k=3), half_half)
    with pytest.raises(ValueError, match="divergence must be one of kl, reverse_kl, js, tv, chi2; got 'KL'"):
        guide.tune(toy.lm, half_half, "KL")
    with pytest.raises(GuideError, match="The target must be an EBM, got LMProposal"):
        guide.tune(toy.lm, toy.proposal)
    with pytest.raises(ValueError, match="contexts must be a list"):
        guide.tune(toy.lm, half_half, contexts="red")
    with pytest.raises(ValueError, match="batch must be an int of 2 or more"):
        TuneConfig(batch=1)


def test_a_target_that_excludes_all_is_given_up(toy):
    ebm = guide.EBM((toy.proposal,), filters=(lambda texts: [False] * len(texts),))
    with pytest.raises(GuideError, match="excludes every sample of 21 steps"):
        guide.tune(toy.lm, ebm, steps=30, config=TuneConfig(batch=2), progress=False)


def test_warnings_of_fits_point_at_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        guide.constrain(stats.poisson(3), {value: 5.0}, n=100)
    assert caught[0].filename == __file__
