"""Plots of guided sampling carry the data that they were given: what a line shows is compared, not its pixels."""

import numpy as np
import pytest
from scipy import stats

from workbench import guide
from workbench.control.guide.scoring import Means
from workbench.control.guide.tuning import Tuned
from workbench.lesson import figure_html
from workbench.values import GuideError

COUNTS = np.arange(25)
ALT = "A figure of six words at least"


def even(counts):
    return [count % 2 == 0 for count in counts]


def value(counts):
    return np.array(counts, float)


def lines(ax):
    """Lines with a label of their own: dict of label -> (x, y)."""
    return {line.get_label(): line.get_data() for line in ax.lines if not line.get_label().startswith("_")}


def dashed(ax):
    return sorted(float(np.ravel(line.get_ydata())[0]) for line in ax.lines if line.get_label().startswith("_"))


def well(figure):
    """A figure that a notebook may show: data, a title, names of both axes in all its axes, and a legend."""
    figure_html(figure, ALT)
    for ax in figure.axes:
        assert ax.get_title() and ax.get_xlabel()
    return figure


@pytest.fixture(scope="module")
def pool():
    return guide.pool(guide.EBM((stats.poisson(7),)), stats.poisson(4), 500, seed=0)


@pytest.fixture
def tuned():
    rows = [
        {"step": step, "kl": 1 / (1 + step) if step else None, "kl_original": step / 10, "moments": {"value": step, "even": 0.5}}
        for step in range(8)
    ]
    return Tuned(None, rows, "kl")


# ---- means --------------------------------------------------------------------------------------------------------------


def test_means_and_their_errors_are_those_of_statistics():
    counts = stats.poisson(4).rvs(400, random_state=0).tolist()
    found = guide.means(counts, [even, value])
    assert found.names == ("even", "value")
    np.testing.assert_allclose(found.values, [np.mean(np.array(counts) % 2 == 0), np.mean(counts)])
    np.testing.assert_allclose(found.errors[1], np.std(counts) / 20)


def test_scorers_may_be_given_with_names_for_the_reader():
    assert guide.means([1, 2, 4], {"an even count": even}).names == ("an even count",)


def test_weights_count_samples_as_often_as_they_say():
    found = guide.means([1, 2, 3], [value], weights=[2, 1, 0])
    assert found.values == pytest.approx([4 / 3])
    assert found.errors == pytest.approx([np.sqrt((1 / 3) ** 2 * 4 / 9 + (2 / 3) ** 2 / 9)])


def test_weighted_means_of_a_pool_are_the_moments_of_the_target(pool):
    found = guide.means(pool.samples, [value], pool.weights)
    assert found.values[0] == pytest.approx(7, abs=4 * found.errors[0])


@pytest.mark.parametrize(
    ("samples", "scorers", "weights", "said"),
    [
        ([1], [value], None, "at least two samples"),
        ([1, 2], [], None, "one scorer"),
        ([1, 2], [value], [1], r"2 numbers of 0 or more.*\(1,\)"),
        ([1, 2], [value], [1, -1], "2 numbers of 0 or more"),
        ([1, 2], [value], [0, 0], "2 numbers of 0 or more"),
    ],
)
def test_means_refuse_what_they_cannot_weigh(samples, scorers, weights, said):
    with pytest.raises(ValueError, match=said):
        guide.means(samples, scorers, weights)


# ---- laws ---------------------------------------------------------------------------------------------------------------


def test_laws_are_drawn_as_given_and_samples_as_shares():
    law = stats.poisson(4).pmf(COUNTS)
    figure = well(guide.plot_laws(COUNTS, {"proposal": law}, {"proposal": [2, 2, 3, 99], "kept": [0]}, xlabel="count"))
    found = lines(figure.axes[0])
    assert list(found) == ["proposal", "proposal: drawn", "kept: drawn"]
    np.testing.assert_allclose(found["proposal"], [COUNTS, law])
    np.testing.assert_allclose(found["proposal: drawn"][1][:4], [0, 0, 0.5, 0.25])
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert colours[0] == colours[1] != colours[2]


@pytest.mark.parametrize(
    ("laws", "drawn", "said"),
    [
        ({}, None, "a law or samples"),
        ({"q": [1.0]}, None, "'q'.*a probability for each"),
        ({}, {"kept": []}, "no samples of 'kept'"),
    ],
)
def test_laws_that_do_not_fit_are_refused(laws, drawn, said):
    with pytest.raises(ValueError, match=said):
        guide.plot_laws(COUNTS, laws, drawn)


# ---- trade-off ----------------------------------------------------------------------------------------------------------


def test_the_trade_off_shows_acceptance_over_beta_and_distances_over_acceptance(pool):
    found = pool.estimates([8, 0.5, 2])
    left, right = well(guide.plot_tradeoff(found)).axes
    order = [1, 2, 0]
    np.testing.assert_allclose(lines(left)["acceptance"], [found.beta[order], found.acceptance[order]])
    np.testing.assert_allclose(lines(right)["TVD"], [found.acceptance[order], found.tvd[order]])
    np.testing.assert_allclose(lines(right)["KL (nats)"], [found.acceptance[order], found.kl[order]])
    assert left.get_xscale() == right.get_xscale() == "log"
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx((found.acceptance + 1.96 * found.acceptance_error).max(), abs=1e-4)


def test_several_proposals_and_the_truth_stand_side_by_side(pool):
    found = pool.estimates([1, 2])
    exact = dict.fromkeys(("beta", "acceptance", "tvd", "kl"), np.array([0.5, 0.25]))
    left, right = guide.plot_tradeoff({"before": found, "after": found}, exact).axes
    assert list(lines(left)) == ["before: acceptance", "after: acceptance", "exact"]
    assert list(lines(right)) == ["before: TVD", "before: KL (nats)", "after: TVD", "after: KL (nats)", "exact"]
    np.testing.assert_allclose(lines(right)["exact"][1], [0.5, 0.25, 0.5, 0.25])
    assert len({line.get_color() for line in right.lines}) == 5


def test_a_trade_off_of_something_else_is_refused(pool):
    for wrong in ({}, {"before": pool}):
        with pytest.raises(ValueError, match="takes estimates"):
            guide.plot_tradeoff(wrong)


# ---- moments ------------------------------------------------------------------------------------------------------------


def test_moments_show_both_means_their_intervals_and_what_was_asked():
    names = ("contains('$5$')", "even")
    before = Means(names, np.array([0.1, 0.5]), np.array([0.01, 0.02]))
    after = Means(names, np.array([0.4, 0.6]), np.array([0.03, 0.04]))
    ax = well(guide.plot_moments(before, after, {"even": 0.6}, after_name="guided")).axes[0]
    np.testing.assert_allclose(lines(ax)["asked for"], [[0.6], [1]])
    points = {box.get_label(): box for box in ax.containers}
    assert list(points) == ["before", "guided"]
    np.testing.assert_allclose(points["guided"].lines[0].get_xdata(), after.values)
    spans = [np.ptp(segment[:, 0]) / 2 for segment in points["guided"].lines[2][0].get_segments()]
    np.testing.assert_allclose(spans, 1.959964 * after.errors)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(names)


def test_moments_may_be_given_as_constrain_takes_them():
    found = guide.means([2, 4, 5], {even: 0.6, value: 4.0})
    assert found.names == ("even", "value") and found.values.tolist() == pytest.approx([2 / 3, 11 / 3])
    ax = guide.plot_moments(found, found, {even: 0.6}).axes[0]
    np.testing.assert_allclose(lines(ax)["asked for"], [[0.6], [0]])


def test_a_share_of_all_is_one_to_the_last_bit():
    assert guide.means([2] * 107, [even]).values[0] == 1


def test_nothing_asked_for_has_no_marks():
    one = Means(("even",), np.array([0.5]), np.array([0.1]))
    assert "asked for" not in lines(guide.plot_moments(one, one).axes[0])


def test_moments_of_different_scorers_are_refused():
    one, other = (Means((name,), np.zeros(1), np.zeros(1)) for name in ("even", "odd"))
    with pytest.raises(ValueError, match="same scorers"):
        guide.plot_moments(one, other)
    with pytest.raises(ValueError, match="no means of 'odd'; there are even"):
        guide.plot_moments(one, one, {"odd": 0.5})


# ---- tuning -------------------------------------------------------------------------------------------------------------


def test_a_tuning_shows_its_history_and_what_was_asked_for(tuned):
    ebm = guide.constrain(stats.poisson(4), {value: 5.0}, n=2000)
    left, right = well(guide.plot_tuning(tuned, ebm, window=1)).axes
    np.testing.assert_allclose(lines(left)["value"], [range(8), range(8)])
    np.testing.assert_allclose(lines(left)["even"][1], 0.5)
    assert dashed(left) == [5.0]
    np.testing.assert_allclose(lines(right)["KL(policy, original)"][1], np.arange(8) / 10)
    np.testing.assert_allclose(lines(right)["KL(target, policy)"][1], [np.nan, *(1 / np.arange(2, 9))])
    np.testing.assert_allclose(lines(right)["KL(target, original)"][1], ebm.fit.kl)


def test_a_filter_is_asked_for_in_all_samples(tuned):
    ebm = guide.constrain(stats.poisson(4), {even: 1}, n=500)
    assert dashed(guide.plot_tuning(tuned, ebm).axes[0]) == [1.0]


def test_points_are_means_of_a_window_and_without_a_target_nothing_is_dashed(tuned):
    left, right = guide.plot_tuning(tuned, window=4).axes
    np.testing.assert_allclose(lines(left)["value"][1][[0, 1, 7]], [0, 0.5, 5.5])
    assert dashed(left) == [] and len(lines(right)) == 2


def test_a_tuning_without_steps_or_window_is_refused(tuned):
    with pytest.raises(GuideError, match="no steps"):
        guide.plot_tuning(Tuned(None, [], "kl"))
    with pytest.raises(ValueError, match="window must be 1"):
        guide.plot_tuning(tuned, window=0)
