"""Help a prompt of few rows by its relatives in a library: begin where they ended, learn from their rows too, or one by one."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.learning import begin_with, gradient, gradient_many, tune
from workbench.search.soft.rows import read_rows
from workbench.search.soft.sketching import sketch
from workbench.search.soft.soft_prompt import SoftPrompt
from workbench.values import LibraryError

HOW = ("start", "average", "mix", "curriculum")
_WITH_ROWS = ("mix", "curriculum")
_HELD = 0.25  # share of the rows that decide, where the config holds out none
_OWN = 0.5  # share of the own rows in a mix
_MIXED = 128  # own rows in a mix, fewer ones repeated: each row is read once


class Candidate(NamedTuple):
    """A prompt on the way: its name, what it began as, ids of the entries that it was made from, and its held-out loss, nats."""

    name: str
    began: str
    prompt: SoftPrompt
    parents: tuple
    loss: float


@dataclass(frozen=True)
class Augmented:
    """A prompt that its relatives helped, or could not help.

    Attributes:
        prompt: `SoftPrompt`, the best of all candidates on the held-out rows.
        chosen: str, which candidate that is: "begin" (the shared start), "first" (what was given or made to search with),
            "own", "neighbour" (the one of least loss on the own rows, as it is), "step 0" (the mean of all) or the name of `how`.
        parents: tuple of str, ids of the entries that it was made from, () for "own", "first" and "begin".
        log: tuple of dicts, one for each round: `query` (what was searched with), `neighbours` (id, name, data sets, score, rate,
            loss on the own rows, rows used and rows left out because a held-out text is the same), `skipped` (reason -> how
            many), `candidates` (name -> held-out loss, nats) and `chosen`.
        candidates: tuple of `Candidate`, all prompts on the way.
    """

    prompt: SoftPrompt
    chosen: str
    parents: tuple
    log: tuple
    candidates: tuple

    @property
    def note(self):
        """How it was made, for the note of a `library.Card`: str."""
        rated = ", ".join(f"{one['name']} {one['rate']:g}" for one in self.log[-1]["neighbours"]) or "none"
        return f"augment: {self.chosen}; rounds: {len(self.log)}; rates of the last one: {rated}"


def augment(lm, texts, labels, library, config=None, *, how="start", rounds=1, k=3, by="prompt", first="tuned", shares=None):
    """Learn a prompt with the help of its neighbours in a library.

    A quarter of the rows (or `config.held_out`) is set aside and decides between candidates: the start itself, the prompt that
    was learned from the own rows alone, what the neighbours give before any learning, and what was learned with their help. So
    help that does not help is not taken. No text that was set aside, and none equal to it but for case and blanks, is in a
    training row. With few rows the choice is a noisy one.

    Args:
        lm: `models.LM`.
        texts: list of n >= 4 str.
        labels: list of n str.
        library: an object with `search`, `get` and `rows`, such as `library.Library`. Its entries and this config must share
            their start, else nothing is comparable and nothing is found.
        config: `SoftConfig`; None takes the defaults.
        how: str. "start": each neighbour's prompt is tried on the own rows as it is; begin at the one of least loss there.
            "average": begin at the mean of the neighbours' prompts, weighted by similarity. "mix": begin at the shared start and
            learn from own rows and the neighbours', half of each, theirs by similarity. "curriculum": learn the neighbours'
            rows, the least similar first, each from where the last one ended, then the own.
        rounds: int >= 1. Each further round searches with the best prompt so far.
        k: int >= 1, neighbours. With few rows a search is often wrong, and to try many as they are is cheap: then take many.
        by: str, "prompt", "gradient" or "texts", what the library is searched by. By gradient and texts all rounds find the same.
        first: what the first round searches with, and what is learned from the own rows alone begins as. "tuned": learn it from
            the own rows. A `SoftPrompt`. Or a function of (lm, texts, labels) -> `SoftPrompt`, called with the own rows that are
            not set aside, such as `meta.sign_step` or the `from_rows` of a `meta.MetaPrompt`.
        shares: dict of names or ids of entries -> float >= 0, rates of the neighbours in place of their similarity; those that
            are not named have none. None takes similarity.

    Returns:
        `Augmented`.

    Raises:
        ValueError: an unknown option, too few rows, a first prompt of another length, or what `tune` refuses.
        TypeError: not an LM, or not str.
        ModelError: a first prompt of another model.

    Source:
        Vu et al., "SPoT", arXiv:2110.07904 (start and mix).
    """
    config = config or SoftConfig()
    checks.one_of("how", how, HOW)
    checks.whole("rounds", rounds)
    checks.whole("k", k)
    for name, value in (shares or {}).items():
        checks.number(f"shares of {name!r}", value, 0)
    own, held = _split(texts, labels, config)
    config = config.replace(held_out=0.0, patience=None)
    made, traces = _first(lm, first, own, config), sketch(lm, *own, config)
    start = tune(lm, *own, config.replace(steps=0))
    judge = _Judge(lm, config, held, start.labels)
    judge.add("begin", "words", start)
    if made is not None:
        judge.add("first", "first", made)
    judge.add("own", "begin" if made is None else "first", tune(lm, *own, config, start=made, progress=False))
    best, log = judge.all[1], []
    for turn in range(rounds):
        query = best.prompt if by == "prompt" else traces
        answer = library.search(query, k, by=by, start=traces.start)
        found, skipped = _read(library, answer, held[0], how)
        if how == "mix":
            found = _apart(lm, own, found, config, skipped)
        scores = [one.score if shares is None else max(shares.get(x, 0) for x in (one.entry.name, one.entry.id)) for one in found]
        for one, rate in zip(found, rates(scores), strict=True):
            one.rate = rate
        before = len(judge.all) if turn else 0
        if found:
            _help(judge, lm, own, config.replace(seed=config.seed + turn), how, found)
        asked, best = best.name if by == "prompt" else by, judge.best()
        log.append(
            {
                "query": asked,
                "neighbours": [one.told() for one in found],
                "skipped": skipped | answer.left_out,
                "candidates": {one.name: one.loss for one in judge.all[before:]},
                "chosen": best.name,
            }
        )
        if not found:
            break
    return Augmented(best.prompt, best.name, best.parents, tuple(log), tuple(judge.all))


def _first(lm, first, own, config):
    """The prompt to search with first, or None to learn it."""
    if isinstance(first, str):
        checks.one_of("first", first, ("tuned",))
        return None
    made = first if isinstance(first, SoftPrompt) else first(lm, *own)
    if len(begin_with(lm, config, made)) != config.vectors:
        raise ValueError(f"The first prompt has {len(made.vectors)} vectors, this config {config.vectors}.")
    return made


@dataclass
class _Neighbour:
    """A neighbour that was read; its texts stand in their own template."""

    entry: object
    score: float
    rate: float
    texts: list
    labels: list
    left_out: int
    loss: float = 0.0

    def told(self):
        named = {"id": self.entry.id, "name": self.entry.name, "data": [one.name for one in self.entry.card.data]}
        named |= {"score": round(self.score, 4), "rate": round(self.rate, 4), "loss": round(self.loss, 4)}
        return named | {"rows": len(self.texts), "left_out": self.left_out}


class _Judge:
    """Candidates and their losses on held-out rows."""

    def __init__(self, lm, config, held, labels):
        self.lm, self.config, self.held, self.labels, self.all = lm, config, held, labels, []

    def add(self, name, began, prompt, parents=()):
        prompt = replace(prompt, labels=self.labels, config=self.config)
        loss, _, _ = gradient(self.lm, prompt.vectors, *self.held, self.config, classes=self.labels)
        self.all.append(Candidate(name, began, prompt, parents, round(loss, 6)))

    def best(self):
        return min(self.all, key=lambda one: one.loss)  # of equal ones the first


def _split(texts, labels, config):
    """Rows to learn from and rows that decide, each label in the first where that is possible: two pairs (texts, labels)."""
    texts, labels = checks.texts(texts, "texts"), checks.texts(labels, "labels")
    if len(texts) != len(labels):
        raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
    if len(texts) < 4:
        raise ValueError(f"augment needs four rows or more: some to learn from and some that decide; got {len(texts)}.")
    order = np.random.default_rng([config.seed, 4]).permutation(len(texts)).tolist()
    n, held, left = max(1, round((config.held_out or _HELD) * len(texts))), [], {}
    for label in labels:
        left[label] = left.get(label, 0) + 1
    for i in order:
        if len(held) < n and left[labels[i]] > 1:
            held.append(i)
            left[labels[i]] -= 1
    if not held:
        raise ValueError(f"Each of the {len(texts)} rows has a label of its own: none can be set aside. Add rows.")
    same = {_plain(texts[i]) for i in held}
    own = [i for i in range(len(texts)) if i not in held and _plain(texts[i]) not in same]
    if len({labels[i] for i in own}) < len(left):
        raise ValueError("Texts that occur twice leave a label without rows to learn from. Add rows or take doubles out.")
    return tuple(([texts[i] for i in some], [labels[i] for i in some]) for some in (own, sorted(held)))


def _read(library, answer, held, how):
    """Neighbours that can be used: (list of `_Neighbour`, dict of reason -> how many cannot)."""
    barred, found, skipped = {_plain(text) for text in held}, [], {}
    for hit in answer:
        try:
            entry = library.get(hit.entry.id)
            texts, labels = library.rows(hit.entry.id) if how in _WITH_ROWS else ([], [])
        except LibraryError as err:
            reason = "no rows in the library" if "rows of" in str(err) else "may not be read"
            skipped[reason] = skipped.get(reason, 0) + 1
            continue
        kept = [i for i, text in enumerate(texts) if _plain(text) not in barred]
        if how in _WITH_ROWS and len({labels[i] for i in kept}) < 2:
            skipped["too few rows"] = skipped.get("too few rows", 0) + 1
            continue
        form = entry.to_state()[0]["options"].get("template", "{text}")
        rows = [form.replace("{text}", texts[i]) for i in kept], [labels[i] for i in kept]
        found.append(_Neighbour(entry, hit.score, 0.0, *rows, len(texts) - len(kept)))
    return found, skipped


def _apart(lm, own, found, config, skipped):
    """The neighbours whose labels can be told apart from the own ones; others are counted in `skipped`."""
    out = []
    for one in found:
        try:
            read_rows(lm, own[0][:1], own[1][:1], config, config.vectors, sorted({*own[1], *one.labels}))
            out.append(one)
        except ValueError:
            skipped["labels like the own ones"] = skipped.get("labels like the own ones", 0) + 1
    return out


def rates(scores):
    """Shares of neighbours by their scores: list of float >= 0 that sum to 1; equal ones if no score is above 0."""
    kept = np.maximum(np.asarray(scores, float), 0)
    if not kept.sum():
        kept = np.ones(len(kept))
    return (kept / max(kept.sum(), 1e-12)).tolist()


def _help(judge, lm, own, config, how, found):
    """Add what neighbours make of a prompt to the candidates."""
    prompts = [SoftPrompt.from_state(*one.entry.to_state()) for one in found]
    for one, (loss, _, _) in zip(found, _losses(lm, prompts, own, config, judge.labels), strict=True):
        one.loss = loss
    best = min(range(len(found)), key=lambda i: found[i].loss)  # of equal ones the nearest
    judge.add("neighbour", "neighbour", prompts[best], (found[best].entry.id,))
    ids = tuple(one.entry.id for one in found if one.rate)
    if how == "start":
        judge.add(how, "neighbour", tune(lm, *own, config, start=prompts[best], progress=False), (found[best].entry.id,))
    elif how == "average":
        vectors = np.sum([one.rate * one.entry.vectors.astype(np.float64) for one in found], 0).astype(np.float32)
        mean = replace(prompts[0], vectors=vectors)
        judge.add("step 0", "step 0", mean, ids)
        judge.add(how, "step 0", tune(lm, *own, config, start=mean, progress=False), ids)
    elif how == "mix":
        ours = [config.template.replace("{text}", text) for text in own[0]], own[1]
        rows = mixture(ours, [(one.texts, one.labels, one.rate) for one in found], config)
        judge.add(how, "begin", tune(lm, *rows, config.replace(template="{text}"), progress=False), ids)
    else:
        prompt, part = None, config.replace(steps=-(-config.steps // (len(found) + 1)))
        for one in reversed(found):
            prompt = tune(lm, one.texts, one.labels, part.replace(template="{text}"), start=prompt, progress=False)
        judge.add(how, "begin", tune(lm, *own, part, start=prompt, progress=False), tuple(one.entry.id for one in found))


def _losses(lm, prompts, own, config, labels):
    """What `gradient` says of prompts that never saw the own rows, on these rows."""
    vectors = [prompt.vectors for prompt in prompts]
    return gradient_many(lm, vectors, [own] * len(prompts), config, classes=[list(labels)] * len(prompts))


def mixture(own, others, config):
    """Rows for one learning: the own ones, and as many of the others by their rates.

    Args:
        own: (texts, labels).
        others: list of (texts, labels, rate), rates that sum to 1.
        config: `SoftConfig`, of which steps, batch and seed count.

    Returns:
        (texts, labels): own rows, each as often as the next up to one; and rows of the others, drawn with replacement.
    """
    draw, n = np.random.default_rng([config.seed, 5]), max(len(own[0]), min(_MIXED, config.steps * config.batch // 2))
    rows = [(own[0][i % len(own[0])], own[1][i % len(own[0])]) for i in range(n)]
    share = round(n * (1 - _OWN) / _OWN)
    for j in draw.choice(len(others), size=share, p=[rate for _, _, rate in others]):
        texts, labels, _ = others[j]
        i = int(draw.integers(len(texts)))
        rows.append((texts[i], labels[i]))
    return [text for text, _ in rows], [label for _, label in rows]


def _plain(text):
    """A text without case and blanks, to tell equal ones."""
    return " ".join(text.casefold().split())
