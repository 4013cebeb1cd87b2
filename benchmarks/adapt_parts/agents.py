"""Agents that edit scenes of the built-in world: rewards of a CLIP beside the truth, and demonstrations in front.

A task is a random scene and another one as goal, with a pair of color and object that no training goal has. An episode is six
of 26 edits; success is a scene that equals the goal after the last one, by its values, never by the reward. Pictures and
sentences of the test were never seen in training. Seconds are CPU seconds of this process.
"""

import time

import numpy as np

from adapt_parts.words import spread
from workbench import editor
from workbench.models import load_clip
from workbench.search.policy import RewardError
from workbench.world import render, scenes

TASKS = 500
UNSEEN = 1_000_001  # offset of the seeds of test pictures and sentences; odd, so that sentences are of both forms


def world():
    """The editor of the four attributes of the built-in world: 1,728 scenes, 26 actions."""

    def words(row, wording):
        return scenes.caption(scenes.Scene(*row), ("sentence", "keywords", "keywords")[wording % 3], wording)

    def draw(rows, seeds):
        return render.render_all([scenes.Scene(*row) for row in rows], seeds)

    return editor.SceneEditor({name: scenes.VALUES[name] for name in scenes.ATTRIBUTES}, words, draw)


def goals(of):
    """States whose pair of color and object training may show, and the others: two int arrays (n, 4)."""
    held = np.array([(scene[1], scene[0]) in scenes.HELD_OUT for scene in map(of.scene, of.states)])
    return of.states[~held], of.states[held]


def drawn(of, pool, seed, n=TASKS):
    """Starts and goals of n tasks."""
    rng = np.random.default_rng([seed, 77])
    return of.states[rng.integers(0, len(of.states), n)], pool[rng.integers(0, len(pool), n)]


def reached(final, goal):
    """The share of tasks whose last scene equals the goal."""
    return float((final == goal).all(1).mean())


def editing(view, unseen, seed, rewards, judge, steps=600):
    """Success on held-out goals by the reward learned from, the share that hacks it, and CPU seconds: dict of way -> tuple."""
    of, found = view.editor, {}
    known, held = goals(of)
    starts, goal = drawn(of, held, seed)
    for way in rewards:
        begin, config = time.process_time(), editor.AgentConfig(reward=way.split(", ")[0], steps=steps, seed=seed)
        try:
            agent = editor.learn(view, known, config, judge=judge if "world-small" in way else None, progress=False)
        except RewardError:  # not one try of the first steps was paid: the agent stays as it began
            found[way] = (0.0, 0.0, time.process_time() - begin)
            continue
        seconds = time.process_time() - begin
        found[way] = (reached(agent.run(unseen, starts, goal, seed)[-1], goal), agent.history[-1]["hacked"], seconds)
    begin = time.process_time()
    found["search of all edits"] = (reached(editor.search(unseen, starts, goal)[-1], goal), 0.0, time.process_time() - begin)
    rng = np.random.default_rng(seed)
    chance = editor.demonstrate(of, starts, goal, act=lambda state, _: rng.integers(0, len(of.actions), len(state)))
    found["random edits"] = (reached(chance.final, goal), 0.0, 0.0)
    return found


def following(of, seed, steps=400):
    """Share of the expert's gain over random edits on held-out goals, by what stands in front; and where it goes."""
    known, held = goals(of)
    starts, goal = drawn(of, held, seed)
    others, wrong = drawn(of, held, seed + 1000)
    rng = np.random.default_rng(seed)
    best = editor.demonstrate(of, starts, goal).rewards.sum(1).mean()
    chance = editor.demonstrate(of, starts, goal, act=lambda state, _: rng.integers(0, len(of.actions), len(state)))
    floor = chance.rewards.sum(1).mean()

    def gain(done):
        return float((done.rewards.sum(1).mean() - floor) / (best - floor))

    begin = time.process_time()
    follower = editor.learn_to_follow(of, known, editor.FollowConfig(steps=steps, seed=seed), progress=False)
    seconds, found = time.process_time() - begin, {}
    for k in (1, 2, 5, 10):
        found[f"{k} shown"] = gain(follower.run(of, starts, goal, editor.demonstrate(of, others, goal, max(k, 6)).last(k)))
    misled = follower.run(of, starts, goal, editor.demonstrate(of, others, wrong).last(5))
    found |= {"wrong demonstration: gain": gain(misled), "wrong demonstration: goes there": reached(misled.final, wrong)}
    found["trained with, run without"] = gain(follower.run(of, starts, goal))
    alone = editor.learn_to_follow(of, known, editor.FollowConfig(shown=0, steps=steps, seed=seed), progress=False)
    found |= {"no demonstrations at all": gain(alone.run(of, starts, goal)), "seconds": seconds}
    near = known[(known[None] == goal[:, None]).sum(2).argmax(1)]  # the training goal that is nearest to the unseen one
    found["expert of the nearest known goal"] = gain(editor.demonstrate(of, starts, goal, act=lambda s, _: of.expert(s, near)))
    return found


def quick():
    """What `benchmarks/adapt.py --quick` prints of this part: dict."""
    return {"prompt_dt": round(following(world(), 0)["5 shown"], 3)}


def tables(seeds):
    """Both tables over seeds: list of lines."""
    of = world()
    rows = [following(of, seed) for seed in range(seeds)]
    lines = ["| in front | share of the expert's gain |", "| --- | --- |"]
    lines += [f"| {name} | {spread([row[name] for row in rows])} |" for name in rows[0]]
    clip = load_clip("world", device="cpu")
    view, unseen = editor.View(clip, of), editor.View(clip, of, UNSEEN)
    judge = editor.View(load_clip("world-small", device="cpu"), of)
    rewards = ("goal", "goal, world-small", "similarity", "dense", "sparse")
    rows = []
    for seed in range(seeds):
        rows.append(editing(view, unseen, seed, rewards, judge))
        print({name: [round(value, 3) for value in found] for name, found in rows[-1].items()}, flush=True)
    lines += ["", "| learned from | success | judge sure, scene wrong | CPU s |", "| --- | --- | --- | --- |"]
    for name in rows[0]:
        success, hacked, seconds = zip(*(row[name] for row in rows), strict=True)
        lines.append(f"| {name} | {spread(success)} | {np.mean(hacked):.3f} | {np.mean(seconds):.0f} |")
    return lines
