"""Promptist in the built-in world: a policy adds words to prompts as typed; the best completion is known by enumeration."""

import random
import time

import numpy as np

from adapt_parts.words import spread
from workbench import adapt, models, score
from workbench.models.aesthetic import beauty
from workbench.models.checker import load_checker
from workbench.values import Sample
from workbench.world import completions, scenes

TRAINED, JUDGED = 1, 1000  # seeds of pictures: those that a reward is learned from, and others to judge by
STEPS = 4  # of denoising, as in the reward


class World:
    """Models, prompts as typed and scorers of the world; pictures are drawn once and kept by the scorers."""

    def __init__(self, pictures=2, pairs=8):
        self.lm, self.clip = models.load_lm("world"), models.load_clip("world", device="cpu")
        self.pipeline, self.checker = models.load_pipeline("world", device="cpu"), load_checker()
        self.unseen, self.seen = completions.prompts("held_out")[: 7 * pairs], completions.prompts()
        some = scenes.scenes(128, 7)
        drawn = self.pipeline.draw([scenes.caption(one).lower() for one in some], steps=STEPS, seed=0)
        self.threshold = adapt.relevance_threshold(
            self.clip, [completions.typed(one.object, one.color).words for one in some], drawn
        )
        self.reward = self.promptist(1, TRAINED)
        self.judge = self.promptist(pictures, JUDGED)
        self.judged = {"pictures": pictures, "steps": STEPS, "seed": JUDGED}

    def promptist(self, pictures, seed):
        """The reward, on pictures of some seed."""
        return adapt.promptist(self.pipeline, self.clip, threshold=self.threshold, pictures=pictures, seed=seed)

    def measure(self, texts, asked):
        """What texts give for prompts as typed: dict of figures, each a mean of the two kinds of prompt, and arrays `each`."""
        reward = self.judge(texts)
        head = score.of_picture(self.pipeline, score.aesthetic(clip=self.clip), **self.judged)(texts)
        true = score.of_picture(self.pipeline, beauty, **self.judged)(texts)
        kept = np.array(
            [
                score.of_picture(self.pipeline, self.shows(thing, color, place), **self.judged)([text])[0]
                for text, (_, thing, color, place) in zip(texts, asked, strict=True)
            ]
        )
        bare = np.array([place is None for *_, place in asked])
        out = {name: halves(values, bare) for name, values in (("reward", reward), ("head", head), ("beauty", true))}
        return out | {"kept": float(kept[bare].mean()), "kept_place": float(kept[~bare].mean()), "each": reward}

    def shows(self, thing, color, place):
        """A scorer of pictures: object, color and background, if there is one, are those asked for."""

        def right(images):
            read = self.checker.read(images)
            return [one.color == color and one.object == thing and place in (None, one.background) for one in read]

        return right

    def every(self, prompt, reward):
        """The reward of all completions of a prompt as typed: (texts, float64 (m,))."""
        words, _, _, place = prompt
        texts = [Sample(words + ending, context=words) for ending in completions.endings(place)]
        return texts, reward(texts)

    def fixed(self, n=6):
        """The one completion of each kind of prompt that is best on n prompts to learn from: dict of bare or not -> str."""
        chosen = random.Random(0).sample(self.seen[::7], n)
        out = {}
        for bare in (True, False):
            rows = []
            for _, thing, color, _ in chosen:
                for place in (None,) if bare else scenes.BACKGROUNDS:
                    rows.append(self.every(completions.typed(thing, color, place), self.reward)[1])
            out[bare] = completions.endings(None if bare else "snow")[int(np.mean(rows, 0).argmax())]
        return out


def halves(values, bare):
    """The mean of the means of prompts with and without a background."""
    return float((values[bare].mean() + values[~bare].mean()) / 2)


def rewriter(lm, seed, steps=120):
    """The supervised start."""
    return adapt.rewriter(lm, completions.pairs(800, seed), adapt.RewriterConfig(steps=steps, seed=seed), progress=False)


def prompts_of(seed):
    """Prompts to learn from, half of them without a background: list of str."""
    bare, placed = completions.prompts(background=False), completions.prompts(background=True)
    random.Random(seed).shuffle(placed)
    return [one.words for one in bare + placed[: len(bare)]]


CONFIG = adapt.AdaptConfig(steps=80, inputs=8, samples=6, rate=1e-3, beta=0.1, scaled=False)


def measure(world, seed, fixed, config=CONFIG):
    """One seed: dict of way -> figures of `World.measure`, and `share`, of the way from as typed to the best."""
    asked = world.unseen
    words = [one[0] for one in asked]
    bare = np.array([one[3] is None for one in asked])
    as_typed = [Sample(one, context=one) for one in words]
    suffix = [Sample(one[0] + fixed[one[3] is None], context=one[0]) for one in asked]
    begin = time.process_time()
    start = rewriter(world.lm, seed)
    supervised_seconds = time.process_time() - begin
    tries = start.write(words, 8, seed)
    of_8 = [some[int(world.reward(some).argmax())] for some in tries]
    begin = time.process_time()
    learned = adapt.reinforce(start, world.reward, prompts_of(seed), config.replace(seed=seed), progress=False)
    seconds = time.process_time() - begin
    every = {
        name: [world.every(one, reward) for one in asked] for name, reward in (("chosen", world.reward), ("best", world.judge))
    }
    found = {
        "typed": as_typed,
        "suffix": suffix,
        "supervised, sampled": [some[0] for some in tries],
        "supervised": start.best(words),
        "best of 8": of_8,
        "reinforced, sampled": [some[0] for some in learned.policy.write(words, 1, seed)],
        "reinforced": learned.policy.best(words),
        "best of all, chosen on the pictures learned from": [texts[int(rewards.argmax())] for texts, rewards in every["chosen"]],
        "best": [texts[int(rewards.argmax())] for texts, rewards in every["best"]],
    }
    rows = {name: world.measure(texts, asked) for name, texts in found.items()}
    span = rows["best"]["reward"] - rows["typed"]["reward"]
    for row in rows.values():
        row["share"] = (row["reward"] - rows["typed"]["reward"]) / span
    told = {"rows": rows, "seconds": seconds, "supervised_seconds": supervised_seconds, "history": learned.history, "bare": bare}
    return told | {"examples": [str(text) for text in found["reinforced"][:8]], "fixed": fixed}


def tables(seeds):
    """Rows by way, over seeds."""
    world = World()
    fixed = world.fixed()
    found = []
    for seed in range(seeds):
        found.append(measure(world, seed, fixed))
        shown(found[-1])
    lines = [
        "| way | reward | share of (best - typed) | head | true beauty | object and color kept | and background |",
        "| --- " * 7 + "|",
    ]
    for way in found[0]["rows"]:
        cells = [
            spread([one["rows"][way][key] for one in found])
            for key in ("reward", "share", "head", "beauty", "kept", "kept_place")
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    seconds = [100 * one["seconds"] / CONFIG.steps for one in found]
    lines.append(f"\nThe fixed completion: {fixed[True]!r}, {fixed[False]!r}. 100 steps: {spread(seconds, 0)} CPU s.")
    return lines


def shown(found):
    """Print one seed; its rows."""
    for name, row in found["rows"].items():
        print(f"{name:20}", {key: round(value, 3) for key, value in row.items() if key != "each"})
    print(
        f"supervised {found['supervised_seconds']:.0f} s, reinforced {found['seconds']:.0f} s",
        found["fixed"],
        *found["examples"],
        sep="\n  ",
    )
    for row in found["history"]:
        print("  ", {key: value if isinstance(value, str) else round(value, 3) for key, value in row.items()}, flush=True)
    return found["rows"]
