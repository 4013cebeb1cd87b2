"""Rewards: what a picture drawn from a prompt is worth, and a classifier of texts, naive or fair."""

import numpy as np

from workbench import checks
from workbench.control.scorers import Scorer, aesthetic, of_picture, similarity
from workbench.search.policy import checked

THRESHOLD, WEIGHT = 0.5, 20.0  # of the relevance to the words as typed
_STEPS = 4  # of denoising; the built-in pipeline then draws what was asked for in 98 of 100 pictures


def promptist(pipeline, clip, head=None, *, threshold=THRESHOLD, pictures=1, seed=0):
    """The reward of Promptist: beauty of the picture as a head guesses it, less what is lost of the words as typed.

    reward = head(picture of the text) + min(0, 20 * (cosine(words as typed, picture) - threshold)), the mean over pictures. The
    score of the picture of the words alone, which the paper takes off, is the same for all tries at a prompt and changes nothing.

    Args:
        pipeline: `models.Pipeline`, never trained.
        clip: `models.CLIP` that compares words and pictures.
        head: as of `score.aesthetic`; None takes that of the built-in world.
        threshold: float, cosine below which a picture is punished; `relevance_threshold` finds one.
        pictures: int, pictures of each text. They are drawn in 4 steps, and depend on the text and `seed` alone.
        seed: int.

    Returns:
        `Scorer`, list of n `Sample` -> float64 (n,). A text without `context` raises TypeError.

    Source:
        Hao et al., arXiv:2212.09611, section 2.2, equations 2 to 4.
    """
    checks.number("threshold", threshold, -1, 1)
    options = {"pictures": pictures, "steps": _STEPS, "seed": checks.seed(seed)}
    beauty = of_picture(pipeline, aesthetic(head, clip), **options)
    known = {}

    def score(texts):
        groups = _by_context(texts)
        found = beauty(texts)  # draws all that is new at once; what follows reads the same pictures
        for typed, rows in groups.items():
            if typed not in known:
                known[typed] = _below(similarity(clip, typed), threshold)
            found[rows] += of_picture(pipeline, known[typed], **options)([texts[row] for row in rows])
        return found

    return Scorer(score, "promptist()")


def relevance_threshold(clip, texts, pictures, share=0.25):
    """The cosine that a share of good pairs stays below: take pictures that show what the texts ask for, and more.

    Args:
        clip: `models.CLIP`.
        texts: list of n str, short prompts as typed.
        pictures: n pictures of whole prompts that begin so, see `pictures.as_pictures`. Those of the short prompts alone would
            put the threshold so high that each added word is punished.
        share: float 0..1.

    Returns:
        float, -1..1.

    Raises:
        ValueError: other numbers of texts and pictures.
    """
    share, words, seen = checks.share("share", share), clip.text_features(texts), clip.image_features(pictures)
    if len(words) != len(seen):
        raise ValueError(f"relevance_threshold needs a picture for each text, got {len(words)} texts and {len(seen)} pictures.")
    return float(np.quantile((words * seen).sum(1).cpu().numpy(), share))


def classifier(texts, labels, named=None, *, decay=1.0):
    """A classifier of texts by their words, as a reward or penalty: probability of the label.

    Where a name stands beside the label in most texts, such a classifier takes the name for a sign of it, and a policy then
    learns to leave the name out. With `named` each of the four kinds of text (label or not, name or not) counts so much that
    name and label are independent, and the name is no sign of anything.

    Args:
        texts: list of n str.
        labels: n of bool or 0 and 1, of both kinds.
        named: n of bool, which texts hold the name; or None, the naive classifier. All four kinds of text must occur.
        decay: float > 0, weight of the squares of all weights (ridge).

    Returns:
        `Scorer`, list of n texts -> float64 (n,), 0..1; `named` or not is in its name.

    Raises:
        ValueError: other numbers of texts and labels, one label only, or one of the four kinds is missing.

    Source:
        Idea: Faal et al., arXiv:2202.09662 (a second task in place of weights). Weights: Kamiran and Calders, "Data preprocessing
        techniques for classification without discrimination", 2012, section 4.1 (reweighing).
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = [str(text) for text in checks.texts(texts, "texts")]
    y = _answers(labels, len(texts), "labels")
    weights = np.ones(len(y))
    if named is not None:
        z = _answers(named, len(texts), "named")
        for a in (False, True):
            for b in (False, True):
                rows = (y == a) & (z == b)
                if not rows.any():
                    raise ValueError(
                        f"No text has label {int(a)} and {'holds' if b else 'lacks'} the name, so that the two cannot be told "
                        "apart. Add such texts."
                    )
                weights[rows] = (y == a).mean() * (z == b).mean() / rows.mean()
    words = CountVectorizer(binary=True, token_pattern=r"\w+")
    model = LogisticRegression(C=1 / checks.number("decay", decay, 0, above=True), max_iter=1000)
    model.fit(words.fit_transform(texts), y, sample_weight=weights)
    return Scorer(
        lambda some: model.predict_proba(words.transform([str(text) for text in checks.texts(some, "texts")]))[:, 1],
        "classifier(fair)" if named is not None else "classifier(naive)",
    )


def minus(scorer):
    """The same scores with the other sign, of what a policy should avoid: `Scorer`."""
    return Scorer(lambda texts: -checked(scorer(texts), len(texts)), f"minus({getattr(scorer, '__name__', 'a function')})")


def _by_context(texts):
    """Rows of texts by the prompt they were written for: dict of str to list of int."""
    out = {}
    for row, text in enumerate(texts):
        typed = getattr(text, "context", None)
        if not typed:
            raise TypeError(
                f"Text {row} does not say which words were typed: {str(text)!r}. Give what a Rewriter wrote, or "
                "values.Sample(text, context=words)."
            )
        out.setdefault(typed, []).append(row)
    return out


def _below(cosine, threshold):
    def penalty(images):
        return WEIGHT * np.minimum(0.0, cosine(images) - threshold)

    penalty.__name__ = "relevance"
    return penalty


def _answers(values, n, name):
    found = np.asarray(values)
    if found.shape != (n,) or not np.isin(found, (0, 1)).all():
        raise ValueError(f"{name} must be {n} of True and False, got shape {found.shape}.")
    found = found.astype(bool)
    if found.all() or not found.any():
        raise ValueError(f"All {name} are {found[0]}: there is nothing to tell apart.")
    return found
