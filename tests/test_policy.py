"""Learning from reward, and from pairs, on tasks whose best answer is known."""

import numpy as np
import pytest
import torch

from workbench.artifacts import Checkpoint
from workbench.search.pairs import pair_loss, strengths
from workbench.search.policy import CollapseError, Play, RewardError, advantages, checked, divergence, policy_loss, reinforce


def bandit(worth, tasks=2, tries=8):
    """A policy over the arms of a bandit, and its `play`."""
    policy = torch.nn.Linear(1, len(worth), bias=False)
    torch.nn.init.zeros_(policy.weight)
    start = -np.log(len(worth))

    def play(step):
        law = torch.log_softmax(policy.weight[:, 0], 0)
        arms = torch.multinomial(law.detach().exp().expand(tasks, -1), tries, replacement=True)
        return Play(law[arms][..., None], np.array(worth)[arms], start=torch.full((tasks, tries, 1), start))

    return policy, play


def test_a_bandit_learns_its_best_arm_and_a_pull_to_the_start_holds_it_back():
    shares = {}
    for beta in (0.0, 10.0):
        policy, play = bandit([0.0, 1.0, 0.2])
        run = reinforce(play, {"policy": policy}, 60, 0.1, beta=beta, progress=False)
        shares[beta] = float(torch.softmax(policy.weight[:, 0].detach(), 0)[1])
        assert {"reward", "kl"} <= set(run.history[-1])
    assert shares[0.0] > 0.95 and 1 / 3 < shares[10.0] < 0.7


def test_a_stopped_run_goes_on_bit_equal(tmp_path):
    whole, play = bandit([0.0, 1.0])
    reinforce(play, {"policy": whole}, 20, 0.05, progress=False)
    part, play = bandit([0.0, 1.0])
    reinforce(play, {"policy": part}, 9, 0.05, checkpoint=Checkpoint(tmp_path, "bandit", {"run": 1}), progress=False)
    again, play = bandit([0.0, 1.0])
    reinforce(play, {"policy": again}, 20, 0.05, checkpoint=Checkpoint(tmp_path, "bandit", {"run": 1}), progress=False)
    assert torch.equal(whole.weight, again.weight)


def test_advantages_compare_within_a_group_only():
    found = advantages([[0.0, 2.0], [100.0, 102.0], [5.0, 5.0]])
    assert found.tolist() == [[-1, 1], [-1, 1], [0, 0]]
    assert advantages([[0.0, 2.0, 4.0]], scaled=False).tolist() == [[-2, 0, 2]]


def test_the_loss_has_the_gradient_of_expected_reward():
    worth, logits = np.array([0.3, -1.0, 2.0]), torch.tensor([0.1, 0.5, -0.2], requires_grad=True)
    law = torch.softmax(logits, 0)
    expected = torch.autograd.grad((law * torch.as_tensor(worth, dtype=torch.float32)).sum(), logits)[0]
    arms = torch.multinomial(law.detach(), 200_000, replacement=True)
    play = Play(torch.log_softmax(logits, 0)[arms][None, :, None], worth[arms][None])
    policy_loss(play, scaled=False)[0].backward()
    torch.testing.assert_close(-logits.grad, expected, atol=0.01, rtol=0)


def test_actions_out_of_the_mask_do_not_count():
    said = torch.randn(1, 4, 3, requires_grad=True)
    mask = torch.ones(1, 4, 3, dtype=torch.bool)
    mask[..., 2] = False
    policy_loss(Play(said, np.arange(4.0)[None], mask))[0].backward()
    assert (said.grad[..., 2] == 0).all() and (said.grad[0, 0, :2] != 0).all()


def test_what_stands_out_of_the_mask_may_be_anything():
    mask = torch.tensor([[[True, False], [True, False]]])
    for rest in (-1e3, -torch.inf, torch.nan):
        said, start = torch.zeros(1, 2, 2, requires_grad=True), torch.tensor([[[-0.5, rest], [-0.5, rest]]])
        value, told = policy_loss(Play(said, np.arange(2.0)[None], mask, start), beta=0.1)
        (slope,) = torch.autograd.grad(value, said)
        assert torch.isfinite(value) and told["kl"] == 0.5 and torch.isfinite(slope).all() and (slope[..., 1] == 0).all(), rest


def test_the_loss_is_computed_where_the_policy_is():
    play = Play(torch.zeros(2, 3, 1), np.arange(6.0).reshape(2, 3), start=torch.zeros(2, 3, 1))
    with torch.device("meta"):  # what is made without a place does not meet what has one, as with a GPU
        value, _ = policy_loss(play)
    assert value.device.type == "cpu"


def test_the_gradient_of_the_pull_is_that_of_the_divergence_of_the_start_from_the_policy():
    logits, start = torch.tensor([0.1, 0.5, -0.2], requires_grad=True), torch.log_softmax(torch.tensor([1.0, -1.0, 0.0]), 0)
    law = torch.log_softmax(logits, 0)
    expected = torch.autograd.grad((start.exp() * (start - law)).sum(), logits, retain_graph=True)[0]
    pull = (law.detach().exp() * divergence(law, start)).sum()  # each action as often as the policy draws it
    torch.testing.assert_close(torch.autograd.grad(pull, logits, retain_graph=True)[0], expected)
    torch.testing.assert_close(pull, (law.exp() * (law - start)).sum())


def test_the_divergence_is_never_negative_and_zero_at_the_start():
    said = torch.randn(1000)
    assert (divergence(said, torch.randn(1000)) >= 0).all() and (divergence(said, said) == 0).all()


def test_rewards_that_teach_nothing_are_refused():
    with pytest.raises(RewardError, match="got 3 texts and gave numbers of shape"):
        checked([1.0, 2.0], 3)
    with pytest.raises(RewardError, match="gave nan for text 1"):
        checked([1.0, np.nan], 2)
    policy, play = bandit([1.0, np.nan])
    with pytest.raises(RewardError, match="Rewards must be finite"):
        reinforce(play, {"policy": policy}, 50, 0.1, progress=False)
    policy, play = bandit([1.0, 1.0])
    with pytest.raises(RewardError, match="earned the same"):
        reinforce(play, {"policy": policy}, 50, 0.1, progress=False)


def test_a_policy_that_collapses_stops_the_run():
    policy, play = bandit([0.0, 1.0, 0.0, 0.0])
    with pytest.raises(CollapseError, match="nats from its start, the bound is 0.5"):
        reinforce(play, {"policy": policy}, 200, 0.3, most_kl=0.5, progress=False)


def test_strengths_are_found_again_from_votes():
    rng, true = np.random.default_rng(0), np.linspace(-2, 2, 8)
    a, b = rng.integers(0, 8, (2, 40_000))
    a, b = a[a != b], b[a != b]
    wins = rng.random(len(a)) < 1 / (1 + np.exp(true[b] - true[a]))
    found = strengths(np.where(wins[:, None], np.stack([a, b], 1), np.stack([b, a], 1)), 8)
    np.testing.assert_allclose(found, true, atol=0.1)


def test_what_nobody_has_voted_on_stands_in_the_middle_and_contradicting_votes_cancel():
    found = strengths([(0, 1), (0, 1), (2, 3), (3, 2)], 5)
    assert found[0] > 0 > found[1]
    np.testing.assert_allclose(found[2:], 0, atol=1e-4)


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([], "no vote"),
        ([(0, 5)], "name things 0 to 2"),
        ([(1, 1)], "both sides"),
        ([1, 2], "shape"),
        ([(0.2, 1.9)], "rows .* of ints, got an array of float64"),
        ([(True, False)], "got an array of bool"),
    ],
)
def test_votes_that_make_no_sense_are_refused(pairs, told):
    with pytest.raises(ValueError, match=told):
        strengths(pairs, 3)


def test_the_loss_of_pairs_is_log_two_where_nothing_is_known():
    zero = torch.zeros(3)
    assert float(pair_loss(zero, zero)) == pytest.approx(np.log(2))
    assert float(pair_loss(zero + 10, zero)) == pytest.approx(0, abs=1e-4)
