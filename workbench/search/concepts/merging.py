"""Several concepts in one pipeline, without training: weights that agree with each concept on its own texts."""

import itertools

import numpy as np
import torch

from workbench import checks
from workbench.search.concepts.concept import WORD, Concept, check_same
from workbench.search.concepts.inversion import _Study, old_captions

HOW = ("closed_form", "sum", "mean")
_RIDGE = 1e-6  # of the mean of the diagonal, so that few texts suffice


def merge(pipeline, concepts, how="closed_form", *, prompts=(), kept=()):
    """Put several concepts into one. Nothing is trained.

    Args:
        pipeline: the `models.Pipeline` they were learned with.
        concepts: list of two `Concept` or more, of different words.
        how: str. "sum": the changes of the weights are added. "closed_form": at the new words of `prompts` the merged keys and
            values are those of the concept, exactly, and change least elsewhere, as `kept` weighs it. "mean": nothing is exact;
            on all states of the texts of each concept it is as near to that concept as can be, on those of `kept` to the old
            pipeline, in least squares. Where no two concepts have weights, all ways are the same.
        prompts: list of str, texts with new words of one concept each, as they will be used; all concepts with weights need one.
        kept: list of str, old captions, many: as many states as the text encoder is wide are wanted.

    Returns:
        `Concept`.

    Raises:
        TypeError: something else than concepts.
        ValueError: fewer than two, a word twice, weights that are no matrices of cross-attention, a prompt without a word of
            exactly one concept, a concept without a prompt, no old captions, or one with a new word.
        ModelError: concepts of another pipeline.

    Source:
        "closed_form": Kumari et al., arXiv:2212.04488, section 3.3 and appendix. "mean": Jin et al., "Dataless Knowledge Fusion
        by Merging Weights of Language Models", arXiv:2212.09849.
    """
    checks.one_of("how", how, HOW)
    concepts = list(concepts)
    if not all(isinstance(one, Concept) for one in concepts):
        raise TypeError(f"merge takes a list of Concept, got {', '.join(type(one).__name__ for one in concepts)}.")
    if len(concepts) < 2:
        raise ValueError(f"merge needs two concepts or more, got {len(concepts)}.")
    words = {}
    for one in concepts:
        check_same(pipeline, one.sha256)
        if twice := words.keys() & one.words.keys():
            raise ValueError(f"Two concepts have the word {min(twice)}. Learn one of them anew, by another name.")
        words |= one.words
    weighty = [one for one in concepts if one.weights]
    first = (weighty or concepts)[0]
    named = dict(pipeline.pipe.unet.named_parameters())
    old = {name: _numpy(named[name]) for name in dict.fromkeys(itertools.chain(*(one.weights for one in weighty)))}
    if how == "sum" or len(weighty) < 2:  # one alone agrees with itself
        new = {name: w + sum(one.weights[name] - w for one in weighty if name in one.weights) for name, w in old.items()}
    else:
        new = _fitted(pipeline, concepts, weighty, words, old, how, prompts, kept)
    new = {name: np.asarray(value, np.float32) for name, value in new.items()}
    return Concept(words, new, first.config, first.sha256, (), "merged")


def closed_form(weight, regular, targets, values):
    """The matrix that gives chosen outputs for some inputs, and else changes the outputs least.

    It minimises |W R^T - W0 R^T| under W C^T = V.

    Args:
        weight: float (o, d), W0.
        regular: float (n, d), R, inputs whose outputs should stay.
        targets: float (m, d), C, inputs that are chosen; m <= d.
        values: float (m, o), the outputs they must have, V^T.

    Returns:
        float64 (o, d).

    Raises:
        ValueError: inputs of which one is a mix of the others but its output is not, or what are no finite matrices.

    Source:
        Kumari et al., arXiv:2212.04488, appendix on the optimisation.
    """
    weight, regular, targets, values = (np.asarray(x, np.float64) for x in (weight, regular, targets, values))
    shapes = [x.shape for x in (weight, regular, targets, values)]
    fits = all(len(shape) == 2 and 0 not in shape for shape in shapes) and len(targets) == len(values)
    if not fits or not all(np.isfinite(x).all() for x in (weight, regular, targets, values)):
        raise ValueError(f"closed_form needs finite matrices (o, d), (n, d), (m, d) and (m, o), none empty; got {shapes}.")
    gram = regular.T @ regular
    gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    d = np.linalg.solve(gram, targets.T).T  # (m, d)
    wanted = values.T - weight @ targets.T  # (o, m)
    merged = weight + np.linalg.lstsq((d @ targets.T).T, wanted.T, rcond=1e-12)[0].T @ d
    off = np.abs(merged @ targets.T - values.T).max()
    if off > 1e-4 * max(1.0, np.abs(values).max()):
        raise ValueError(f"The constraints contradict each other: the best matrix misses one by {off:.2g}. Give fewer prompts.")
    return merged


def _fitted(pipeline, concepts, weighty, words, old, how, prompts, kept):
    """Merged weights: dict of name -> float64 (o, d)."""
    if any(value.ndim != 2 or ".attn2.to_" not in name for name, value in old.items()):
        raise ValueError("Only keys and values of cross-attention are merged so. Take how='sum' for whole UNets.")
    prompts, kept = checks.texts(prompts, "prompts"), old_captions(kept)
    study = _Study(pipeline, {word: len(rows) for word, rows in words.items()})
    vectors = torch.from_numpy(np.concatenate(list(words.values()))).to(study.device)
    owner = {word: number for number, one in enumerate(concepts) for word in one.words}
    own = {number: [] for number in range(len(concepts))}
    for text in prompts:
        found = {owner[word] for word in WORD.findall(text) if word in owner}
        if len(found) != 1:
            raise ValueError(f"The prompt {text!r:.80} has words of {len(found)} concepts, expected of one.")
        own[found.pop()].append(text)
    if lonely := [number for number, one in enumerate(concepts) if one.weights and not own[number]]:
        raise ValueError(f"No prompt has a word of concept {lonely[0]}, {', '.join(concepts[lonely[0]].words)}.")
    with study.quiet(), torch.no_grad():
        regular = _numpy(study.states(kept, vectors).flatten(0, 1))
        states = [_states(study, vectors, own[number], at_words=how == "closed_form") for number in range(len(concepts))]
    out = {}
    for name, weight in old.items():
        theirs = [one.weights.get(name, weight) for one in concepts]
        if how == "closed_form":
            pairs = [(c, c @ w.T) for c, w in zip(states, theirs, strict=True) if len(c)]
            out[name] = closed_form(weight, regular, *(np.concatenate(part) for part in zip(*pairs, strict=True)))
            continue
        grams = [regular.T @ regular / len(regular), *(c.T @ c / len(c) for c in states if len(c))]
        held = [weight, *(w for c, w in zip(states, theirs, strict=True) if len(c))]
        left = sum(grams) + _RIDGE * np.trace(sum(grams)) / len(grams[0]) * np.eye(len(grams[0]))
        changed = sum((w - weight) @ gram for w, gram in zip(held, grams, strict=True))
        out[name] = weight + np.linalg.solve(left, changed.T).T
    return out


def _states(study, vectors, texts, at_words):
    """States (m, d) of texts: at their new words, or at all places."""
    if not texts:
        return np.zeros((0, 1))
    states, ids = _numpy(study.states(texts, vectors)), study.ids(texts).cpu().numpy()
    return states[ids >= study.old] if at_words else states.reshape(-1, states.shape[-1])


def _numpy(tensor):
    return tensor.detach().cpu().double().numpy()
