"""PEZ: hard prompts by projected gradients. From a picture, texts or a mix of them to a text whose features lie close to theirs.

    clip = models.load_clip()
    prompt = pez.search(clip, picture)
    prompt.text, prompt.similarity

`search` finds one prompt, `search_many` many at once. The method is PEZ (Wen et al., arXiv:2302.03668) or one of those it is
compared with: `PEZConfig(method=...)`, `METHODS`. For prompts of a language model see `classify.search_text`.
"""

import time
from typing import NamedTuple

from workbench.models import CLIP, LM
from workbench.search.config import PEZConfig
from workbench.search.fluency import Fluency
from workbench.search.loop import Step, loop
from workbench.search.movers import METHODS, stages
from workbench.search.prompt import Found, HardPrompt, best_of
from workbench.search.run import Run
from workbench.search.targets import ClipObjective, Target, Targets, as_targets
from workbench.search.vocabulary import Vocabulary

__all__ = [
    "METHODS",
    "Found",
    "HardPrompt",
    "PEZConfig",
    "Step",
    "Target",
    "Targets",
    "Transfer",
    "as_targets",
    "search",
    "search_many",
    "transfer",
]


def search(clip, targets, config=None, *, on_step=None, lm=None, resume=None):
    """Find a text whose features lie close to those of the targets.

    Args:
        clip: `models.CLIP`.
        targets: a picture, a text, a `Target`, or a list of them, which is one mix: several pictures share a style, texts are
            distilled into fewer words, negative weights repel. See `as_targets`.
        config: `PEZConfig`; None takes the defaults.
        on_step: function called with a `Step` after each step; when it returns True the search ends.
        lm: `models.LM` or None; needed for `config.fluency` and for `HardPrompt.nats`. It prices texts when prompts are compared;
            no gradient comes from it, so "pez" without polish only prefers fluent prompts that it meets.
        resume: str, Path or None, a folder: the state is saved there every 50 steps, and a search that finds its state there
            goes on from it, to the same result as without the interruption.

    Returns:
        `HardPrompt`.

    Raises:
        ValueError: no or contradicting targets, no token left to choose from, or a prompt longer than the window.
        PictureError: a target that is not a usable picture.
        TypeError: not a CLIP, or `lm` is not an LM.
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
        ValueError, PictureError, TypeError, ArtifactError: as `search`.
    """
    start, config = time.perf_counter(), config or PEZConfig()
    targets = [as_targets(_a_clip(clip), one) for one in targets]
    if not targets:
        raise ValueError("There are no targets: an empty list was given.")
    if config.fluency and lm is None:
        raise ValueError("fluency needs a language model: search(..., lm=models.load_lm(...)).")
    fluency = None if lm is None else Fluency(lm, config.length)
    vocabulary = Vocabulary(clip.tokenizer, clip.model.config.text_config.vocab_size, config)
    objective = ClipObjective(clip, targets, config, vocabulary)
    run = Run(objective, vocabulary, config, len(targets), fluency if config.fluency else None)
    history = loop(run, stages(config), resume, on_step)
    prompts = [_result(clip, run, i, history, fluency) for i in range(len(targets))]
    seconds = time.perf_counter() - start
    return [HardPrompt(**prompt, accuracy=None, seconds=seconds) for prompt in prompts]


def _a_clip(clip):
    if not isinstance(clip, CLIP):
        other = " For prompts of a language model: classify.search_text." if isinstance(clip, LM) else ""
        raise TypeError(f"search takes what models.load_clip returns, got {type(clip).__name__}.{other}")
    return clip


def _result(clip, run, number, history, fluency):
    found, ids = best_of(run, number)
    text = found[0].text
    # with all tokens allowed a text may be empty or longer than the window: the model reads what it can
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


class Transfer(NamedTuple):
    """What a prompt is worth to another CLIP.

    `text`; `name` of that CLIP; `similarity`, weighted mean of the cosines with the targets; `target_similarities`, each; `cut`,
    whether the text is longer than that CLIP reads.
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
        ValueError, PictureError, TypeError: as `search`.
    """
    text = prompt if isinstance(prompt, str) else prompt.text
    seen = as_targets(_a_clip(clip), targets)
    cosines = seen.features @ clip.text_features(text)[0]
    cut = len(clip.tokenizer(text)["input_ids"]) > clip.window
    return Transfer(text, clip.name, float(cosines @ seen.weights), tuple(cosines.tolist()), cut)
