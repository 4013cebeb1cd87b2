"""Hard prompts for pictures, texts and mixes of them: one search, many at once, and what becomes of a prompt elsewhere."""

import time
from typing import NamedTuple

from workbench.models import CLIP, LM
from workbench.search.pez.checkpoints import Checkpoint, digest
from workbench.search.pez.config import PEZConfig
from workbench.search.pez.fluency import Fluency
from workbench.search.pez.loop import loop
from workbench.search.pez.objective import ClipObjective
from workbench.search.pez.prompt import Found, HardPrompt
from workbench.search.pez.run import Run
from workbench.search.pez.targets import as_targets
from workbench.search.pez.vocabulary import Vocabulary


def search(clip, targets, config=None, *, on_step=None, lm=None, resume=None):
    """Find a text that lies where the targets lie.

    Args:
        clip: `models.CLIP`.
        targets: a picture, a text, a `Target`, or a list of them, which is searched for as one mix: several pictures share a
            style, texts are distilled into fewer words, negative weights repel. See `targets.as_targets`.
        config: `PEZConfig`; None takes the defaults.
        on_step: function called with a `Step` after each step; when it returns True the search ends.
        lm: `models.LM` or None; needed for `config.fluency`, which says how it counts, and for `HardPrompt.nats`.
        resume: str, Path or None, a folder: the state is saved there every `config.save_every` steps, and a search that finds
            its state there goes on from it, to the same result as without the interruption.

    Returns:
        `HardPrompt`.

    Raises:
        ValueError: no or contradicting targets, no token left to choose from, or a prompt longer than the window.
        PictureError: a target that is no picture.
        TypeError: not a CLIP, or `lm` is no LM.
        ArtifactError: `resume` holds another search.

    Source:
        Wen et al., "Hard Prompts Made Easy", arXiv:2302.03668, algorithm 1.
    """
    return search_many(clip, [as_targets(_a_clip(clip), targets)], config, on_step=on_step, lm=lm, resume=resume)[0]


def search_many(clip, targets, config=None, *, on_step=None, lm=None, resume=None):
    """Make many independent searches in one batch, which is much faster than one after another.

    Search i draws from `config.seed + i` alone, so it is the search of `targets[i]` with that seed, up to rounding.

    Args:
        clip: `models.CLIP`.
        targets: list of s targets, each what `search` takes.
        config: `PEZConfig`; None takes the defaults.
        on_step: as in `search`; a `Step` speaks of all searches.
        lm: as in `search`.
        resume: as in `search`.

    Returns:
        list of s `HardPrompt`.

    Raises:
        As `search`.
    """
    start, config = time.perf_counter(), config or PEZConfig()
    targets = [as_targets(_a_clip(clip), one) for one in targets]
    if not targets:
        raise ValueError("There are no targets: an empty list was given.")
    if config.strict and any(len(one.weights.unique()) > 1 for one in targets):
        raise ValueError("strict repeats the released loop, in which all targets weigh the same. Leave the weights out.")
    if config.fluency and lm is None:
        raise ValueError("fluency needs a language model: search(..., lm=models.load_lm(...)).")
    if lm is not None and not isinstance(lm, LM):
        raise TypeError(f"lm takes what models.load_lm returns, got {type(lm).__name__}.")
    fluency = None if lm is None else Fluency(lm, config.length)
    vocabulary = Vocabulary(clip.tokenizer, clip.model.config.text_config.vocab_size, config)
    objective = ClipObjective(clip, targets, config, vocabulary)
    run = Run(objective, vocabulary, fluency if config.fluency else None, config, len(targets))
    about = {"model": clip.name, "weights": digest(objective.table), "targets": digest(objective.directions)}
    about["lm"] = lm.name if lm is not None and config.fluency else None
    history = loop(run, Checkpoint(resume, config, about), on_step)
    prompts = [_result(clip, run, i, history, fluency) for i in range(len(targets))]
    seconds = time.perf_counter() - start
    return [HardPrompt(**prompt, accuracy=None, seconds=seconds) for prompt in prompts]


def _a_clip(clip):
    if isinstance(clip, LM):
        raise TypeError("search takes a CLIP (models.load_clip), got an LM. For prompts of a language model: pez.search_text.")
    if not isinstance(clip, CLIP):
        raise TypeError(f"search takes what models.load_clip returns, got {type(clip).__name__}.")
    return clip


def _result(clip, run, number, history, fluency):
    found, ids = ranked(run, number)
    text = found[0].text
    # without vocabulary restrictions a text may be longer than the window, or empty: the model reads what it can
    read = run.objective.targets[number].features @ clip.text_features(text)[0]
    config = run.config.replace(seed=run.config.seed + number)
    return {
        "text": text,
        "ids": found[0].ids,
        "similarity": found[0].similarity,
        "text_similarity": float(read @ run.objective.targets[number].weights),
        "retokenises": found[0].retokenises,
        "target_similarities": tuple(run.objective.by_target(ids, number).tolist()),
        "history": tuple(history[number]),
        "restarts": tuple(found),
        "nats": float(fluency([text])[0]) if fluency else None,
        "steps": len(history[number]),
        "config": config,
    }


def ranked(run, number):
    """The best prompts of the restarts of a search, the best first, and the ids (t,) of the very best.

    Raises:
        ValueError: no prompt met was free of what is blocked.
    """
    rows = range(number * run.restarts, (number + 1) * run.restarts)
    rows = [row for row in rows if run.best_ids[row, 0] >= 0]
    if not rows:
        raise ValueError("No prompt that was met is free of what is blocked. Block less, or search longer.")
    rows.sort(key=lambda row: (bool(run.best_again[row]), float(run.best_total[row])), reverse=True)
    found = []
    for row in rows:
        ids = run.best_ids[row].tolist()
        similarity, again = float(run.best_similarity[row]), run.vocabulary.retokenises(ids)
        found.append(Found(run.vocabulary.text(ids), tuple(ids), similarity, again))
    return found, run.best_ids[rows[0]]


class Transfer(NamedTuple):
    """How a prompt fares with another CLIP.

    `text`; `name` of that CLIP; `similarity`, weighted mean of the cosines with the targets; `target_similarities`, each; `cut`,
    whether that CLIP reads only a part of the text.
    """

    text: str
    name: str
    similarity: float
    target_similarities: tuple
    cut: bool


def transfer(prompt, clip, targets):
    """What a prompt that was found with one CLIP is worth to another.

    Args:
        prompt: `HardPrompt`, or str.
        clip: `models.CLIP`, the other one.
        targets: what `search` takes.

    Returns:
        `Transfer`.

    Raises:
        As `search`.
    """
    text = prompt if isinstance(prompt, str) else prompt.text
    seen = as_targets(_a_clip(clip), targets)
    cosines = seen.features @ clip.text_features(text)[0]
    cut = len(clip.tokenizer(text)["input_ids"]) > clip.window
    return Transfer(text, clip.name, float(cosines @ seen.weights), tuple(cosines.tolist()), cut)
