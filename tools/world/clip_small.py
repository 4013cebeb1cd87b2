"""A second, smaller CLIP of the built-in world, to which can be shown what was found with the first."""

from tools.world import clip

MINUTES = 5  # on one core
GATES = {
    "retrieval, picture to text": (">=", 0.90),
    "retrieval, text to picture": (">=", 0.90),
    "swap color": (">=", 0.95),
    "swap object": (">=", 0.95),
    "swap style": (">=", 0.95),
    "swap background": (">=", 0.95),
    "swap object, held-out pairs": (">=", 0.85),
}
_WHAT = """A second CLIP of the same world, .6 million parameters: a picture tower (3 layers, width 96, patches of 8), a text
tower (2 layers, width 96, the words of the first CLIP) into a space of 96. It shares no weight and no picture with the first, so
that it can say whether a prompt found with that one means something to another. `workbench.models.load_clip("world-small")`
loads it."""
PLAN = clip.Plan("clip_small", 96, 3, 2, GATES, _WHAT, clip.HOW, apart=1000)  # seeds apart: no weight and no picture in common
check = clip.check


def train(folder, seed=0, steps=None, progress=True):
    """Train the second CLIP and write it to `folder`, as `clip.train` does."""
    clip.train(folder, seed, steps, progress, PLAN)
