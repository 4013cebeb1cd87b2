"""Sampling: fluency, templates and novelty of what is written; reconstruction; variations near a prompt."""

import time

import numpy as np

from workbench import encode, ngram
from workbench.language.writer import Decoding
from workbench.world.grammar import OPEN_SLOTS
from writing_parts.measures import (
    Kinds,
    alike,
    balanced,
    copied_runs,
    distinct,
    from_nothing,
    gold_slots,
    pick,
    read,
    rerollable,
    shown,
    tokens_of,
)

PROXIMITIES = (0, 0.25, 0.5, 0.75, 1)
TRIES = 8
_AT_MOST = {"grammar": 1.2, "real": 1.8}
TARGETS = {"absent": _AT_MOST, "tried": _AT_MOST, "noise": {"grammar": 1.6}, "nothing": _AT_MOST}
FREE = ("trigram", "alike", "nothing")  # without a template: they stand beside prompts like those learned from


class Judge:
    """How fluent texts are: perplexity over that of reference prompts, under n-grams of other prompts."""

    def __init__(self, world, config=ngram.NgramConfig()):  # noqa: B008 - frozen
        self.model = ngram.KneserNey(config).fit(tokens_of(world.fluent))
        self.base = self.model.perplexity(tokens_of([one.text for one in world.reference]))
        self.base_alike = self.base if world.alike is None else self.model.perplexity(tokens_of(world.alike))

    def ratio(self, texts, alike=False):
        """Perplexity ratio of texts to the reference prompts, or to prompts like those learned from."""
        return self.model.perplexity(tokens_of(texts)) / (self.base_alike if alike else self.base)


def random_fillers(dsl, prompts):
    """Function: template -> prompt, each slot filled with a random training filler of its code, by frequency."""
    known = {}
    for template in read(dsl, prompts):
        for slot in template.slots:
            known.setdefault(slot.code, []).append(slot.text)

    def write(template, rng):
        texts = [known.get(slot.code, [slot.text]) for slot in template.slots]
        return template.open().fill([options[int(rng.integers(len(options)))] for options in texts])

    return write


def samples(dsl, world, judge, n, seed):
    """Rows for samples of each kind of content, and from nothing."""
    rng, kinds = np.random.default_rng(seed), Kinds(world.labelled, world.extra)
    pairs = rerollable(dsl, pick(world.reference, len(world.reference), rng), n)
    ones, templates = [one for one, _ in pairs], [t for _, t in pairs]
    labels = [gold_slots(one, t) for one, t in pairs]
    trigram = dsl.ngram_
    if trigram.config != ngram.NgramConfig():
        trigram = ngram.KneserNey().fit([ngram.tokens(text) for text in world.train])
    fill_by_code = random_fillers(dsl, pick(world.train, 3000, rng))
    sets = {
        "reference": templates,
        "trigram": [text for text in trigram.sample(len(ones), seed=seed) if text],
        "random fillers": [fill_by_code(t, rng) for t in templates],
    }
    for name, content in (("absent", None), ("tried", None), ("noise", "noise"), ("prompt", "prompt")):
        tries = TRIES if name == "tried" else 1
        begin = time.perf_counter()
        sets[name] = [
            dsl.sample(1, t, content=t if content == "prompt" else content, seed=seed + i, tries=tries)[0].template
            for i, t in enumerate(templates)
        ]
        print(f"samples, {name}: {len(templates)}, {time.perf_counter() - begin:.0f} s", flush=True)
    sets["alike"] = pick(world.alike or [one.text for one in world.reference], len(ones), rng)
    sets["nothing"] = [sample.text for sample in from_nothing(dsl, len(ones), seed)]
    train = [ngram.tokens(text) for text in world.train]
    known = set(map(tuple, train))
    figures = {}
    for name, found in sets.items():
        texts = [one if isinstance(one, str) else one.prompt for one in found]
        words = tokens_of(texts)
        runs = copied_runs(words, train)
        free = name in FREE
        beside = sets["alike"] if free else [one.text for one in ones]
        figures[name] = f = {
            "perplexity ratio": judge.ratio(texts, alike=free),
            "distinct-2": distinct(words) / distinct(tokens_of(beside[: len(texts)])),
            "brackets balanced": float(np.mean([balanced(text) for text in texts])),
            "not in training": float(np.mean([tuple(one) not in known for one in words])),
            "copied run": (float(np.median(runs)), int(runs.max())),
        }
        if free:
            continue
        slots = [(s.text, label) for t, some in zip(found, labels, strict=True) for s, label in zip(t.slots, some, strict=True)]
        f["right slot"] = kinds.share([(text, label) for text, label in slots if label not in (None, "none")])
        f["template kept"] = float(np.mean([alike(t, again) for t, again in zip(templates, read(dsl, texts), strict=True)]))
    return _sample_rows(figures, world.name)


def _sample_rows(figures, world):
    rows = []
    labels = {"nothing": "from nothing", "absent": "content absent", "tried": f"content absent, tries={TRIES}"}
    for name, label in (labels | {"noise": "noise", "prompt": "of a prompt"}).items():
        ours, most = figures[name], TARGETS.get(name, {}).get(world)
        beside = ("trigram", "alike") if name in FREE else ("random fillers", "reference")
        theirs = {{"alike": "reference"}.get(one, one): figures[one] for one in beside}
        checks = {
            "perplexity ratio": (f"{most} at most" if most else "-", most and ours["perplexity ratio"] <= most),
            "right slot": (
                ".90 at least" if world == "grammar" else "-",
                ours.get("right slot", 0) >= 0.9 if world == "grammar" else None,
            ),
            "template kept": (".95 at least", ours.get("template kept", 0) >= 0.95),
            "distinct-2": ("within .2 of 1", abs(ours["distinct-2"] - 1) <= 0.2),
            "brackets balanced": ("-", None),
            "not in training": (".95 at least", ours["not in training"] >= 0.95),
            "copied run": ("-", None),
        }
        for measure, (target, met) in checks.items():
            if measure not in ours:
                continue
            cells = {m: f[measure] for m, f in theirs.items() if measure in f}
            if measure == "copied run":
                cells, value = ({m: f"{a:.0f} / {b}" for m, (a, b) in cells.items()}, "{:.0f} / {}".format(*ours[measure]))
                measure = "longest copied run, median / most words"
            else:
                cells, value = {m: shown(v) for m, v in cells.items()}, shown(ours[measure])
            rows.append((f"samples, {label}: {measure}", target, ", ".join(f"{m} {v}" for m, v in cells.items()), value, met))
    return rows


def reconstruct(dsl, world, n, seed):
    """Rows: words of slots that are written again from the content of the prompt, greedily.

    As `DeepDSL.sample(content=prompt)` does it: the words of the prompt itself may be written though the corpus has them too
    seldom to be known (copying), and which of all known words it is has to come from the content.
    """
    rng, right = np.random.default_rng(seed), {True: [], False: []}
    pairs = rerollable(dsl, pick(world.held, len(world.held), rng), n)
    known = {word for text in world.train for word in ngram.tokens(text)}
    for at in range(0, len(pairs), 50):
        some = pairs[at : at + 50]
        texts = sorted({slot.text for _, t in some for slot in t.slots})
        vectors = dsl.writer_.content(texts, dsl.encoder.embed_words([text.lower() for text in texts]))
        of = dict(zip(texts, vectors, strict=True))
        for one, t in some:
            content, words = [of[slot.text] for slot in t.slots], [slot.text for slot in t.slots]
            [filling] = dsl.writer_.fill([t.open()], [content], Decoding(temperature=0.01), seed=seed, words=words)
            for slot, new in zip(t.slots, filling.template.slots, strict=True):
                words = [w for w in one.words if slot.start <= w[0] < slot.end]
                written = [w for w in ngram.tokens(new.text) if w[0].isalnum()]
                for i, (start, end, label) in enumerate(words):
                    truth = one.text[start:end].lower()
                    if world.name == "grammar" and label not in OPEN_SLOTS:
                        continue
                    unseen = one.unseen(start) if world.name == "grammar" else truth not in known
                    right[unseen].append(i < len(written) and written[i] == truth)
    rows = []
    for unseen, (what, least) in {
        False: ("seen fillers" if world.name == "grammar" else "known words", 0.97),
        True: ("unseen fillers" if world.name == "grammar" else "unknown words", 0.6),
    }.items():
        value = float(np.mean(right[unseen])) if right[unseen] else float("nan")
        measure = f"reconstruction, words of {what} ({len(right[unseen])})"
        rows.append((measure, f"{least} at least", "-", shown(value), value >= least))
    return rows


class Meaning:
    """Vectors of texts: sentence-transformers from the encoder's folder, or the mean of its word features without it."""

    def __init__(self, dsl):
        self.encoder = dsl.encoder
        try:
            from sentence_transformers import SentenceTransformer

            self.model, self.name = SentenceTransformer(dsl.encoder.source, device="cpu"), "sentence-transformers"
        except ImportError:
            self.model, self.name = None, "mean of word features"

    def __call__(self, texts):
        """L2-normalised float32 (n, d)."""
        if self.model is not None:
            x = self.model.encode(texts, show_progress_bar=False)
        else:
            x = np.stack([rows.astype(np.float32).mean(0) for rows in encode.words(texts, self.encoder)])
        return x / np.linalg.norm(x, axis=1, keepdims=True)


def vary(dsl, world, judge, n, seed, each=4):
    """Rows: similarity to the prompt and fluency against proximity."""
    rng, meaning = np.random.default_rng(seed), Meaning(dsl)
    templates = [t for _, t in rerollable(dsl, pick(world.reference, len(world.reference), rng), n)]
    own, own_ratio = meaning([t.prompt for t in templates]), judge.ratio([t.prompt for t in templates])
    rows = []
    for by in ("slots", "noise"):
        near, ratio = [], []
        for proximity in PROXIMITIES:
            found = [[s.text for s in dsl.vary(t, each, proximity, by=by, seed=seed + i)] for i, t in enumerate(templates)]
            texts = [text for some in found for text in some]
            near.append(float((meaning(texts) * np.repeat(own, [len(some) for some in found], 0)).sum(1).mean()))
            ratio.append(judge.ratio(texts) / own_ratio)
            print(f"vary by {by}, {proximity}: {near[-1]:.3f}, {ratio[-1]:.2f}", flush=True)
        rising = all(a < b for a, b in zip(near, near[1:], strict=False))
        label = f"vary by {by}, proximity {', '.join(map(str, PROXIMITIES))}"
        rows.append(
            (
                f"{label}: mean cosine ({meaning.name}, {len(templates)} x {each})",
                "rising, .55 at most to .93 at least",
                "-",
                ", ".join(f"{x:.3f}" for x in near),
                rising and near[0] <= 0.55 and near[-1] >= 0.93,
            )
        )
        measure = f"{label}: perplexity over that of the prompts"
        rows.append((measure, "1.2 at most", "-", ", ".join(f"{x:.2f}" for x in ratio), max(ratio) <= 1.2))
    return rows
