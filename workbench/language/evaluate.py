"""Evaluate: how well learned codes agree with the built-in grammar's labels."""

import numpy as np

from workbench.data.corpus import OPEN_SLOTS
from workbench.words import WORD, split


def evaluate(dsl, corpus, n=2000):
    """How well the codes of a language agree with the labels of the built-in grammar, which it never saw.

    Args:
        dsl: `DeepDSL`, or anything with its `tag`.
        corpus: `Corpus` of the built-in world.
        n: int, prompts at most, from the start.

    Returns:
        dict of V-measures (0..1) over words: `words`, `open_slots` (those with many fillers), and `unseen` (words of fillers
        that no training prompt holds; None where there are none).

    Raises:
        CorpusError: the truth of this corpus is not known.

    Source:
        V-measure: Rosenberg and Hirschberg 2007, "V-measure: a conditional entropy-based external cluster evaluation".
    """
    from sklearn.metrics import v_measure_score

    prompts = corpus[: min(n, len(corpus))]
    labels, codes, unseen = [], [], []
    for i, (text, units) in enumerate(zip(prompts, dsl.tag(prompts), strict=True)):
        truth = corpus.truth(i)
        hidden = [(filler.start, filler.end) for filler in truth.fillers if filler.unseen]
        code_at = {place: unit.code for unit in units for place in range(unit.start, unit.end)}
        for word, label in zip(split(text), truth.labels, strict=True):
            if word.kind == WORD:
                labels.append(label)
                codes.append(code_at[word.start])
                unseen.append(label in OPEN_SLOTS and any(start <= word.start < end for start, end in hidden))
    labels, codes, unseen = np.array(labels), np.array(codes), np.array(unseen, bool)
    opened = np.isin(labels, list(OPEN_SLOTS))
    return {
        "words": float(v_measure_score(labels, codes)),
        "open_slots": float(v_measure_score(labels[opened], codes[opened])),
        "unseen": float(v_measure_score(labels[unseen], codes[unseen])) if unseen.any() else None,
    }
