"""Scorers of pictures, and of texts by the pictures that a pipeline draws from them."""

import hashlib
import warnings

import numpy as np

from workbench import checks
from workbench.control.scorers.scorer import Cache, Scorer, text_scorer
from workbench.models.aesthetic import load_aesthetic
from workbench.models.checker import load_checker

_ROOM = 256e6  # bytes of pictures kept per pipeline
_BATCH = 16  # pictures drawn at once
_CHUNK = 64  # pictures in memory at a time, besides those kept
_DRAWN = Cache(_ROOM, lambda picture: len(picture.getbands()) * picture.width * picture.height)


def of_picture(pipeline, scorer, *, pictures=1, steps=None, guidance=None, seed=0):
    """Score a text by the picture that a pipeline draws from it.

    What one picture shows may be chance: a moment of it is then reached by texts that were lucky with this seed. The mean over
    several pictures of each text says more about the text: `of_picture(..., pictures=4) >= 0.5`.

    The picture of a text depends only on the text, the seed and the options. Up to 256 MB of pictures are kept per pipeline, so
    that several scorers draw them once. A text longer than the pipeline's window is cut off.

    Args:
        pipeline: `models.Pipeline`.
        scorer: function of pictures, list of n PIL images -> n numbers: `shows("circle")`, `aesthetic()`,
            `similarity(clip, "a red circle")`, or one of your own. Each different text is scored once, in parts of the list.
        pictures: int, pictures per text.
        steps: int or None, denoising steps, as in `Pipeline.draw`; the time to draw grows in proportion.
        guidance: float or None, as in `Pipeline.draw`.
        seed: int.

    Returns:
        `Scorer`, list of n texts -> float64 (n,).

    Raises:
        TypeError: a pipeline without `draw`, or a scorer that is not a function.
        ValueError: pictures or steps below 1.
    """
    if not callable(getattr(pipeline, "draw", None)):
        raise TypeError(f"of_picture needs a pipeline, such as models.load_pipeline('world'), got {type(pipeline).__name__}.")
    if not callable(scorer):
        raise TypeError(f"of_picture needs a function of pictures, got {scorer!r}.")
    checks.whole("pictures", pictures)
    if steps is not None:
        checks.whole("steps", steps)
    seed = checks.seed(seed)

    def draw(new):
        texts, named = [text for text, *_ in new], [f"{own}:{text}".encode("utf-8", "surrogatepass") for text, own, *_ in new]
        seeds = [int.from_bytes(hashlib.sha256(one).digest()[:7], "big") for one in named]
        with warnings.catch_warnings():  # said above; a search would say it again at each step
            warnings.filterwarnings("ignore", ".* tokens that the pipeline reads")
            return pipeline.draw(texts, steps=steps, guidance=guidance, seed=seeds, batch=_BATCH)

    def score(texts):
        different, found = list(dict.fromkeys(texts)), []
        wanted = [(text, seed + i, steps and int(steps), guidance) for text in different for i in range(pictures)]
        for at in range(0, len(wanted), _CHUNK):
            some = _DRAWN.get(pipeline, wanted[at : at + _CHUNK], draw)
            scores = list(scorer(some))
            if len(scores) != len(some):
                raise ValueError(f"The scorer of pictures returned {len(scores)} numbers for {len(some)} pictures.")
            found += scores
        means = np.asarray(found, np.float64).reshape(len(different), pictures).mean(1)
        by_text = dict(zip(different, means, strict=True))
        return [by_text[text] for text in texts]

    name = getattr(scorer, "__name__", None) or type(scorer).__name__
    return text_scorer(f"of_picture({name}{f', pictures={pictures}' if pictures > 1 else ''})", score)


def shows(value, checker=None):
    """Whether a picture of the built-in world shows an object, color, background or style, as a classifier reads it.

    Args:
        value: str, one of the classifier's `values`, such as "circle", "red", "sea" or "mosaic".
        checker: `models.checker.Checker`; None loads the one that comes with the package.

    Returns:
        `Scorer`, list of n pictures (see `pictures.as_pictures`) -> float64 (n,), 1 or 0.

    Raises:
        ValueError: no such value.
    """
    checker = checker or load_checker()
    names = {one: name for name, values in checker.values.items() for one in values}
    if value not in names:
        hint = checks.did_you_mean(value, names)
        raise ValueError(f"Pictures of this world never show {value!r}.{hint} They show: {', '.join(names)}.")

    def reads(images):
        return [getattr(reading, names[value]) == value for reading in checker.read(images)]

    return Scorer(reads, f"shows({value!r})")


def aesthetic(head=None, clip=None):
    """How beautiful a picture is likely to be, by a head on CLIP features.

    Args:
        head: anything with `score_pictures(images, clip) -> (n,)`; None takes `models.aesthetic.load_aesthetic()`, which judges
            pictures of the built-in world.
        clip: `models.CLIP` the head was trained on; None takes the built-in one.

    Returns:
        `Scorer`, list of n pictures -> float64 (n,), about 0..10 for the built-in head. For texts:
        `of_picture(pipeline, aesthetic())`.
    """
    head = head or load_aesthetic()
    return Scorer(lambda images: head.score_pictures(images, clip), "aesthetic()")
