"""Prompt ensembles: several wordings of one wish are drawn, and the pictures that fit the wish and look best are kept."""

from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.models.aesthetic import load_aesthetic
from workbench.models.clip import CLIP, load_clip


class Kept(NamedTuple):
    """A picture that was kept: its prompt and seed, the picture, and what it scored.

    `relevance` is the cosine with the wish, -1..1; `aesthetic` the head's score; `score` both together, in standard deviations.
    """

    prompt: str
    seed: int
    picture: object
    relevance: float
    aesthetic: float
    score: float


def draw_best(pipeline, wish, variants, keep=4, *, clip="world", head=None, weight=0.5, pictures=1, steps=None, seed=0):
    """Draw variants of a prompt and keep the best pictures.

    Args:
        pipeline: `models.Pipeline`.
        wish: str, what the pictures must show; relevance is measured with it, whatever a variant says.
        variants: list of n str, such as `dsl.vary(wish, n)`; the wish itself may be among them.
        keep: int, pictures to return at most.
        clip: `models.CLIP`, or a name for `models.load_clip`, such as a hub id.
        head: anything with `score_pictures(images, clip) -> (n,)`; None takes `models.aesthetic.load_aesthetic()`, which judges
            pictures of the built-in world with its CLIP.
        weight: float 0..1, share of the aesthetic score; the rest is that of relevance.
        pictures: int, pictures of each variant.
        steps: int or None, as in `Pipeline.draw`.
        seed: int.

    Returns:
        list of `Kept`, the best first. Scores compare the pictures of one call only.

    Raises:
        TypeError: wish or variants that are no str.
        ValueError: no variants, an option out of its range, or a head that does not give a finite number for each picture.

    Source:
        Drawing many and choosing by a CLIP: Ramesh et al., "Zero-Shot Text-to-Image Generation", arXiv:2102.12092, section 2.6;
        relevance and an aesthetic head together: Hao et al., "Optimizing Prompts for Text-to-Image Generation", arXiv:2212.09611.
    """
    (wish,), variants = checks.texts([wish], "wish"), checks.texts(variants, "variants")
    checks.whole("keep", keep)
    checks.whole("pictures", pictures)
    checks.share("weight", weight)
    seed = checks.seed(seed)
    clip = clip if isinstance(clip, CLIP) else load_clip(clip)
    prompts = [text for text in dict.fromkeys(variants) for _ in range(pictures)]
    seeds = [seed + i for i in range(len(prompts))]
    drawn = pipeline.draw(prompts, steps=steps, seed=seeds, batch=48)
    relevance = (clip.image_features(drawn) @ clip.text_features(wish)[0]).cpu().numpy()
    beauty = np.asarray((head or load_aesthetic()).score_pictures(drawn, clip), np.float64)
    if beauty.shape != relevance.shape or not np.isfinite(beauty).all():
        raise ValueError(f"head must give a finite number for each of {len(drawn)} pictures; got an array {beauty.shape}.")
    score = (1 - weight) * _standard(relevance) + weight * _standard(beauty)
    best = np.argsort(-score, kind="stable")[:keep]
    return [Kept(prompts[i], seeds[i], drawn[i], float(relevance[i]), float(beauty[i]), float(score[i])) for i in best]


def _standard(values):
    """Values in standard deviations from their mean; zeros where all are equal."""
    values = np.asarray(values, np.float64)
    return (values - values.mean()) / max(values.std(), 1e-9)
