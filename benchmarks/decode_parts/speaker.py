"""A speaker before a rival that sees no colors, or no shapes: which word it says, and how near it comes to the best caption.

    python -m benchmarks.decode_parts.speaker [--seeds 3]     # from the folder above

Games of 12 pictures of the built-in world, of which only color and object tell one from another (`workbench.world.games`). The
speaker sees the picture to be found alone; "best" tries 3,086 captions in each game and knows all its pictures. "best rule" knows
the one picture, as the speaker does: it says the color, object or both, true or false, that earned most in other games with this
color and object. Truth is what the scene is, read by `scenes.read`. Seconds are CPU seconds of this process.
"""

import argparse
import itertools
import random
import time

import numpy as np

from workbench import speaker
from workbench.models import load_clip, load_lm
from workbench.world import games, render, scenes

CAPTIONS = [", ".join(filter(None, some)) for some in itertools.product(*((None, *scenes.VALUES[a]) for a in scenes.ATTRIBUTES))][
    1:
]
RULES = [" ".join(filter(None, some)) for some in itertools.product((None, *scenes.COLORS), (None, *scenes.OBJECTS))][1:]
RIVALS = {"none": None, "color-blind": "grey", "shape-blind": "blurred"}


def quick(seed=0):
    """One seed: dict of "speaker_color" -> share of unseen games before a color-blind rival in which the color is named."""
    lm, clip = load_lm("world"), load_clip("world", device="cpu")
    describer = taught(lm, clip, seed, steps=200)
    shown, truth = made(800, 100 + seed), made(100, 200 + seed)
    config = describer.config.replace(**options(seed, steps=60))  # naming the color takes no more
    found = speaker.play(
        describer, lm, clip, shown[0], speaker.Listener(clip), speaker.Listener(clip, "grey"), config, progress=False
    )
    return {"speaker_color": round(float(named(found.say(lm, clip, truth[0].targets), truth[1])["color"]), 3)}


def taught(lm, clip, seed, steps=300, n=2000):
    """A speaker that says one to four of the attributes of a picture, in any order."""
    rng, some, texts = random.Random(seed), scenes.scenes(n, seed, "any"), []
    for scene in some:
        parts = [getattr(scene, name) for name in scenes.ATTRIBUTES]
        rng.shuffle(parts)
        texts.append(", ".join(parts[: rng.randint(1, 4)]))
    config = speaker.SpeakerConfig(steps=steps, seed=seed)
    return speaker.learn(lm, clip, render.render_all(some, 10_000 * seed), texts, config, progress=False)


def made(n, seed):
    """(`Games`, the scene to be found in each)."""
    shown, rows = games.games(n, seed=seed)
    return speaker.Games(render.render_all(shown, 1000 * seed), rows), [shown[row[0]] for row in rows]


def named(texts, truth):
    """Share of texts that name the true value of each attribute: dict of str -> float."""
    said = [scenes.read(text) for text in texts]
    return {a: np.mean([one[a] == getattr(scene, a) for one, scene in zip(said, truth, strict=True)]) for a in scenes.ATTRIBUTES}


def rule(friend, rival, shown, before, truth):
    """What earned most in games `shown`, with the scenes `before`, for the color and object of each of `truth`: list of str."""
    earned = np.stack([shown.reward(friend, rival, [text] * len(shown)) for text in RULES])
    pairs = np.array([f"{one.color} {one.object}" for one in before])
    means = {pair: earned[:, pairs == pair].mean(1) for pair in set(pairs)}
    return [RULES[means.get(f"{one.color} {one.object}", earned.mean(1)).argmax()] for one in truth]


def main():
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    lm, clip, begin, rows = load_lm("world"), load_clip("world", device="cpu"), time.process_time(), {}
    friend = speaker.Listener(clip)
    for seed in range(args.seeds):
        describer, (shown, before), (unseen, truth) = taught(lm, clip, seed), made(1500, 100 + seed), made(200, 200 + seed)
        rivals = {name: sight and speaker.Listener(clip, sight) for name, sight in RIVALS.items()}
        for name, rival in rivals.items():
            found = speaker.play(
                describer, lm, clip, shown, friend, rival, describer.config.replace(**options(seed)), progress=False
            )
            ways = {
                "played": found.say(lm, clip, unseen.targets),
                "only describes": describer.sample(lm, clip, unseen.targets, seed),
            }
            ways |= {"color alone": [scene.color for scene in truth], "object alone": [scene.object for scene in truth]}
            ways["best rule"] = rule(friend, rival, shown, before, truth)
            ways["best"] = unseen.ceiling(friend, rival, CAPTIONS)[1]
            for way, texts in ways.items():
                right = [unseen.reward(friend, None, texts).mean(), 0.0]
                right[1] = right[0] - unseen.reward(friend, rival, texts).mean()
                words = named(texts, truth)
                rows.setdefault((name, way), []).append([words["color"], words["object"], *right, right[0] - right[1]])
        print(f"seed {seed}: {time.process_time() - begin:.0f} CPU seconds", flush=True)
    print("| rival | speaker | color named | object named | friend right | rival right | reward |\n" + "| --- " * 7 + "|")
    for (name, way), found in rows.items():
        cells = (f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(np.mean(found, 0), np.std(found, 0), strict=True))
        print(f"| {name} | {way} | {' | '.join(cells)} |")


def options(seed, steps=150):
    """Options of `play` as its defaults are, with a seed."""
    return {"steps": steps, "games": 24, "rate": 3e-3, "beta": 0.01, "seed": seed}


if __name__ == "__main__":
    main()
