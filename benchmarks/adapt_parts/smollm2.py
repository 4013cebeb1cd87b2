"""Promptist with SmolLM2 as the rewriter: its last two layers learn, from the same pictures and on the same prompts."""

from adapt_parts import promptist
from workbench import adapt, models
from workbench.values import Sample
from workbench.world import completions

SUPERVISED = adapt.RewriterConfig(layers=2, steps=60, batch=16, rate=5e-4)
CONFIG = adapt.AdaptConfig(steps=40, inputs=6, samples=6, rate=2e-4, beta=0.1, scaled=False)


def tables(seeds):
    """Rows by way, one seed: a step takes seconds."""
    world, lm = promptist.World(pictures=2, pairs=4), models.load_lm("smollm2")
    words = [one.words for one in world.unseen]
    start = adapt.rewriter(lm, completions.pairs(800), SUPERVISED, progress=False)
    learned = adapt.reinforce(start, world.reward, promptist.prompts_of(0), CONFIG, progress=False)
    found = {
        "typed": [Sample(one, context=one) for one in words],
        "supervised": start.best(words),
        "reinforced": learned.policy.best(words),
    }
    lines = ["| way | reward | true beauty | object and color kept | and background |", "| --- " * 5 + "|"]
    for way, texts in found.items():
        row = world.measure(texts, world.unseen)
        lines.append(f"| {way} | {row['reward']:.3f} | {row['beauty']:.3f} | {row['kept']:.3f} | {row['kept_place']:.3f} |")
    rate = 100 * learned.seconds / CONFIG.steps
    return [*lines, f"\n{found['reinforced'][0]!r}; {rate:.0f} s (wall clock) for 100 steps."]
