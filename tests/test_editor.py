"""Agents that edit: a toy world of four scenes whose CLIP is a table, and demonstrations that lead where they lead."""

import numpy as np
import pytest
import torch

from workbench import editor
from workbench.search.policy import RewardError
from workbench.values import ArtifactError

VALUES = {"object": ("fox", "ship", "owl"), "color": ("red", "blue", "green")}
SMALL = editor.AgentConfig(tasks=8, tries=4, hidden=32, steps=60, edits=3, others=5, rate=1e-2)
SHORT = editor.FollowConfig(width=16, layers=1, batch=16, steps=8, shown=4, edits=3)


class Seer:
    """Stands for a CLIP: a picture of the toy is its row and a seed, and features are one-hot with a little noise by the seed."""

    width = 6

    class model:  # noqa: N801, D106
        logit_scale = torch.tensor(2.0)

    def __init__(self):
        self.seen = 0

    def image_features(self, pictures):
        self.seen += len(pictures)
        noise = np.stack([np.random.default_rng(seed).normal(size=6) * 0.05 for _, seed in pictures])
        return torch.nn.functional.normalize(self._hot([row for row, _ in pictures]) + torch.from_numpy(noise).float(), dim=-1)

    def text_features(self, texts):
        return torch.nn.functional.normalize(self._hot([text.split()[1:] for text in texts]), dim=-1)

    def _hot(self, rows):
        names = [*VALUES["object"], *VALUES["color"]]
        return torch.tensor([[float(name in row) for name in names] for row in rows])


@pytest.fixture
def toy():
    return editor.SceneEditor(
        VALUES, lambda row, wording: f"{wording} {row[0]} {row[1]}", lambda rows, seeds: [*zip(rows, seeds, strict=True)]
    )


# ---- the environment --------------------------------------------------------------------------------------------------------


def test_an_action_sets_one_attribute_and_leaves_the_others(toy):
    assert toy.actions[4] == ("color", "blue") and len(toy.actions) == 6 and len(toy.states) == 9
    before = toy.states.copy()
    for action, (name, value) in enumerate(toy.actions):
        after = toy.edit(toy.states, np.full(9, action))
        at = list(VALUES).index(name)
        assert {toy.scene(row)[at] for row in after} == {value}
        assert np.array_equal(np.delete(after, at, 1), np.delete(toy.states, at, 1))
    assert np.array_equal(before, toy.states)


def test_scenes_and_states_are_the_same_thing(toy):
    assert np.array_equal(toy.rows([toy.scene(state) for state in toy.states]), toy.states)
    assert toy.number(toy.states).tolist() == list(range(9))
    assert toy.one_hot(toy.states).sum(1).tolist() == [2.0] * 9
    with pytest.raises(ValueError, match="color must be one of red, blue, green; got 'pink'"):
        toy.rows([("fox", "pink")])
    with pytest.raises(ValueError, match="A scene has 2 values"):
        toy.rows([("fox",)])


def test_an_expert_arrives_in_as_many_edits_as_attributes_and_stays(toy):
    starts, goals = np.repeat(toy.states, 9, 0), np.tile(toy.states, (9, 1))
    done = editor.demonstrate(toy, starts, goals, 4)
    assert np.array_equal(done.final, goals)
    assert (done.rewards[:, 1:] == 1).all() and np.allclose(done.left[:, 0], done.rewards.sum(1))
    assert np.array_equal(done.last(2).states, done.states[:, 2:]) and done.last(4).actions.shape == (81, 4)
    for k in (0, 5, 7):
        with pytest.raises(ValueError, match="k must be an int from 1 to 4"):
            done.last(k)


def test_bad_editors_and_tasks_are_refused(toy):
    with pytest.raises(ValueError, match="attributes of two values or more"):
        editor.SceneEditor({"object": ["fox"]}, print)
    with pytest.raises(ValueError, match="at most 100,000 states"):
        editor.SceneEditor({str(i): list("abcdefgh") for i in range(6)}, print)
    with pytest.raises(ValueError, match="color has 'red' twice"):
        editor.SceneEditor({"object": ["fox", "owl"], "color": ["red", "blue", "red"]}, print)
    with pytest.raises(ValueError, match="This editor has no pictures"):
        editor.View(Seer(), editor.SceneEditor(VALUES, print))
    for starts, goals, error in (
        (toy.states[:2], toy.states[:3], "Each start needs a goal"),
        (toy.states[:0], toy.states[:0], "starts are states"),
        (toy.states[:, :1], toy.states, "starts are states"),
        (toy.states, toy.states + 5, "goals hold numbers that no value has"),
        (toy.states * 1.0, toy.states, "starts are states"),
    ):
        with pytest.raises(ValueError, match=error):
            editor.demonstrate(toy, starts, goals)


# ---- seeing and rewards -----------------------------------------------------------------------------------------------------


def test_a_picture_is_seen_once(toy):
    seer = Seer()
    view = editor.View(seer, toy)
    first = view.pictures(np.array([3, 3, 4]), np.array([0, 0, 1]))
    assert seer.seen == 2 and torch.equal(first[0], first[1])
    assert torch.equal(view.pictures(np.array([4]), np.array([1]))[0], first[2]) and seer.seen == 2
    other = editor.View(seer, toy, offset=9 * toy.looks).pictures(np.array([4]), np.array([1]))[0]
    assert not torch.equal(other, first[2])
    assert [part.shape for part in view.all()] == [(9, 3, 6), (9, 3, 6)]


def test_the_reward_is_how_much_likelier_the_goal_is_than_by_chance(toy):
    view, goal = editor.View(Seer(), toy), np.array([4])
    others = np.array([[0, 8, 3]])
    looks = np.array([0])
    near = view.sentences(np.array([4, 0, 8, 3]), 0) @ view.pictures(goal, looks)[0] * np.exp(2.0)
    expected = float(near.softmax(0)[0]) - 1 / 4
    assert editor.earned("goal", view, toy.states[[4]], looks, goal, others)[0] == pytest.approx(expected, abs=1e-5)
    assert editor.earned("goal", view, toy.states[[0]], looks, goal, others)[0] == 0  # less likely than by chance
    assert editor.earned("dense", view, toy.states[[3]], looks, goal, others)[0] == 0.5
    assert editor.earned("sparse", view, toy.states[[3, 4]], looks, np.array([4, 4]), others).tolist() == [0, 1]
    with pytest.raises(ValueError, match="reward must be one of goal, similarity"):
        editor.earned("gaol", view, toy.states[[0]], looks, goal, others)
    near = editor.earned("similarity", view, toy.states[[4, 3, 8]], np.zeros(3, int), np.full(3, 4), np.repeat(others, 3, 0))
    assert near[0] > near[1] > near[2] - 1


def test_search_of_all_edits_arrives(toy):
    view = editor.View(Seer(), toy)
    starts, goals = np.repeat(toy.states, 9, 0), np.tile(toy.states, (9, 1))
    path = editor.search(view, starts, goals, 3)
    assert path.shape == (4, 81, 2) and np.array_equal(path[-1], goals)


# ---- the agent --------------------------------------------------------------------------------------------------------------


def test_an_agent_learns_from_a_judge_and_arrives_at_pictures_it_has_not_seen(toy):
    agent = editor.learn(editor.View(Seer(), toy), toy.states, SMALL.replace(steps=100))
    starts, goals = np.repeat(toy.states, 9, 0), np.tile(toy.states, (9, 1))
    path = agent.run(editor.View(Seer(), toy, 1000), starts, goals)
    assert (path[-1] == goals).all(1).mean() > 0.9
    assert (np.diff(path, axis=0) != 0).any(2).sum(0).max() <= 3
    assert set(agent.history[-1]) >= {"step", "reward", "right", "hacked"}


def test_an_agent_is_equal_for_equal_seeds_comes_back_and_goes_on(toy, tmp_path, monkeypatch):
    view = editor.View(Seer(), toy)
    whole = editor.learn(view, toy.states, SMALL)
    other = editor.learn(view, toy.states, SMALL.replace(seed=1))
    assert not np.array_equal(whole.tensors["net.0.weight"], other.tensors["net.0.weight"])
    whole.save(tmp_path / "agent")
    again = editor.Agent.load(tmp_path / "agent")
    tasks = toy.states, toy.states[::-1]
    assert np.array_equal(again.run(view, *tasks, seed=3), whole.run(view, *tasks, seed=3))
    from workbench.search.editor import agent

    real, calls = agent.earned, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) > 50 * SMALL.edits:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(agent, "earned", dies)
    with pytest.raises(MemoryError):
        editor.learn(view, toy.states, SMALL, folder=tmp_path / "run")
    monkeypatch.setattr(agent, "earned", real)
    resumed = editor.learn(view, toy.states, SMALL, folder=tmp_path / "run")
    assert all(np.array_equal(resumed.tensors[name], value) for name, value in whole.tensors.items())
    with pytest.raises(ArtifactError, match="another run"):
        editor.learn(view, toy.states[:3], SMALL, folder=tmp_path / "run")


def test_a_reward_that_is_never_paid_ends_the_run(toy, monkeypatch):
    from workbench.search.editor import agent

    monkeypatch.setattr(agent, "earned", lambda reward, judge, states, *_: np.zeros(len(states)))
    with pytest.raises(RewardError, match="earned the same"):
        editor.learn(editor.View(Seer(), toy), toy.states, SMALL)


def test_a_judge_of_another_editor_is_refused(toy):
    other = editor.SceneEditor(VALUES, toy.words, toy.draw)
    with pytest.raises(ValueError, match="looks at another editor"):
        editor.learn(editor.View(Seer(), toy), toy.states, SMALL, judge=editor.View(Seer(), other))


def test_an_agent_refuses_another_editor_or_clip(toy):
    agent = editor.learn(editor.View(Seer(), toy), toy.states, SMALL.replace(steps=8))
    less = editor.SceneEditor({**VALUES, "color": ("red", "blue")}, toy.words, toy.draw)
    with pytest.raises(ValueError, match="6 actions and features 6 wide, this one has 5 and 6"):
        agent.run(editor.View(Seer(), less), less.states, less.states)
    wide = Seer()
    wide.width = 7
    with pytest.raises(ValueError, match="6 actions and features 6 wide, this one has 6 and 7"):
        agent.run(editor.View(wide, toy), toy.states, toy.states)


# ---- demonstrations ---------------------------------------------------------------------------------------------------------


def test_a_demonstration_tells_the_task_and_a_wrong_one_misleads():
    letters = editor.SceneEditor({name: list("abc") for name in ("first", "second", "third")}, print)
    rng = np.random.default_rng(0)
    known, unseen = np.split(rng.permutation(letters.states), [20])
    follower = editor.learn_to_follow(letters, known, SHORT.replace(width=32, steps=150, batch=64, edits=4, rate=1e-2))
    goals, wrong = unseen[rng.integers(0, 7, 60)], unseen[rng.integers(0, 7, 60)]
    starts, others = letters.states[rng.integers(0, 27, 60)], letters.states[rng.integers(0, 27, 60)]
    right = follower.run(letters, starts, goals, editor.demonstrate(letters, others, goals, 4))
    misled = follower.run(letters, starts, goals, editor.demonstrate(letters, others, wrong, 4))
    assert (right.final == goals).all(1).mean() > 0.75
    assert (misled.final == wrong).all(1).mean() > 0.75
    alone = follower.run(letters, starts, goals)
    assert (alone.final == goals).all(1).mean() < 0.5


def test_a_follower_comes_back_from_its_folder_and_goes_on_from_a_checkpoint(toy, tmp_path, monkeypatch):
    config = SHORT.replace(steps=60, batch=4)
    whole = editor.learn_to_follow(toy, toy.states, config)
    whole.save(tmp_path / "follower")
    again = editor.Follower.load(tmp_path / "follower")
    done = whole.run(toy, toy.states, toy.states[::-1])
    assert np.array_equal(again.run(toy, toy.states, toy.states[::-1]).actions, done.actions)
    from workbench.search.editor import demonstrations

    real, calls = demonstrations.demonstrate, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) > 110:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(demonstrations, "demonstrate", dies)
    with pytest.raises(MemoryError):
        editor.learn_to_follow(toy, toy.states, config, folder=tmp_path / "run")
    monkeypatch.setattr(demonstrations, "demonstrate", real)
    resumed = editor.learn_to_follow(toy, toy.states, config, folder=tmp_path / "run")
    assert all(np.array_equal(resumed.tensors[name], value) for name, value in whole.tensors.items())


def test_demonstrations_that_do_not_fit_are_refused(toy):
    follower = editor.learn_to_follow(toy, toy.states, SHORT)
    for shown in (editor.demonstrate(toy, toy.states, toy.states, 6), editor.demonstrate(toy, toy.states[:2], toy.states[:2], 2)):
        with pytest.raises(ValueError, match="9 tasks need 9 demonstrations of 1 to 4 steps"):
            follower.run(toy, toy.states, toy.states, shown)
    other = editor.SceneEditor({"object": ("fox", "owl")}, print)
    with pytest.raises(ValueError, match="learned an editor of 6 actions, this one has 2"):
        follower.run(other, other.states, other.states)
    with pytest.raises(ValueError, match="width must be a multiple of 4"):
        editor.FollowConfig(width=30)
