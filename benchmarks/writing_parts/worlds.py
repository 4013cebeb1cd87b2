"""Worlds: prompts with truth that writers are measured on, of the grammar and of people."""

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import world_dsl

from workbench import corpus
from workbench.language.dsl.fitting import split_rows
from workbench.language.writer.config import SAMPLE
from workbench.words import WORD
from workbench.words import split as split_words
from workbench.world import grammar

LABELLED = 6000  # training prompts of the grammar whose labels say which word has which kind
HELD = 2000  # held-out prompts of the grammar


class Labelled(NamedTuple):
    """A prompt with its truth: `words` list of (start, end, label), `spans` list of (start, end, label, unseen)."""

    text: str
    words: list
    spans: list

    def unseen(self, start):
        """Whether the word that starts here is of a filler that no training prompt has."""
        return any(a <= start < b and unseen for a, b, _, unseen in self.spans)


class World(NamedTuple):
    """Prompts that a DSL is measured on.

    `train`: the prompts that its n-grams and writer learned. `held`: `Labelled` of held-out prompts. `general`: held-out prompts
    whose labels need not be known. `labelled`: `Labelled` of training prompts. `fluent`: prompts that the judge of fluency
    learns. `reference`: `Labelled` of further prompts. `alike`: further prompts like those learned from, as `reference` if None.
    `extra`: list of (filler, label) that no training prompt has.
    """

    name: str
    train: list
    held: list
    general: list
    labelled: list
    fluent: list
    reference: list
    extra: list
    alike: list | None = None


def learned(prompts, dsl):
    """Those of the prompts of a DSL that its writing half learned from, as `DeepDSL.fit` draws them."""
    rows, _ = split_rows(len(prompts), SAMPLE, dsl.config.seed, dsl.ranking_.held_out)
    return [prompts[int(i)] for i in rows]


def of_grammar(dsl, seed=1):
    """The built-in grammar: held out is its test split, half of whose open fillers no training prompt has.

    The language that comes with the package learned from two grammars (`tools/world_dsl.py`): only the lessons' one has labels.
    """
    n = dsl.stats["prompts"]
    both = (dsl.stats.get("corpus") or {}).get("source") != "world"
    tidy = round(n * world_dsl.TIDY) if both else n
    prompts = corpus.load("world", n=tidy, progress=False)
    learned_from = world_dsl.prompts(n) if both else list(prompts)
    train, known = learned(learned_from, dsl), set(learned_from)

    def others(seed):
        if both:
            return world_dsl.prompts(len(train), seed)
        return list(corpus.load("world", n=len(train), seed=seed, progress=False))

    held = corpus.load("world", n=HELD, seed=seed, split="test", progress=False)
    held = [_of_truth(held.truth(i)) for i in range(len(held))]
    like = corpus.load("world", n=HELD, seed=seed + 2, progress=False)
    return World(
        "grammar",
        train,
        held,
        [],
        [_of_truth(prompts.truth(i)) for i in range(min(LABELLED, len(prompts)))],
        others(seed + 1),
        [_of_truth(like.truth(i)) for i in range(len(like)) if like[i] not in known],
        [(filler, label) for label in grammar.OPEN_SLOTS for filler in grammar.fillers(label, "test")],
        [text for text in others(seed + 2)[::-7] if text not in known] if both else None,
    )


def of_files(dsl, train, heldout, data):
    """Real prompts: two files that `split` wrote, and gold spans by rule."""
    prompts = corpus.load(train, progress=False)
    if len(prompts) != dsl.stats["prompts"]:
        print(f"{train}: {len(prompts):,} prompts, the DSL learned from {dsl.stats['prompts']:,}. Is it that file?", flush=True)
    heldout = list(corpus.load(heldout, progress=False))
    rows = [json.loads(line) for line in open(Path(data) / "gold_spans.jsonl", encoding="utf-8")]
    gold = {row["prompt"]: row["spans"] for row in rows}
    known = learned(prompts, dsl)
    order = np.random.default_rng(0).permutation(len(heldout)).tolist()
    half = len(order) // 2
    return World(
        "real",
        known,
        [of_gold(text, gold[text]) for text in heldout if text in gold],
        heldout,
        [of_gold(text, gold[text]) for text in known if text in gold],
        [heldout[i] for i in order[:half]],
        [of_gold(heldout[i], gold.get(heldout[i], ())) for i in order[half:]],
        [],
    )


def split(data, folder):
    """Part real prompts by a hash of their content into real_train.txt and real_heldout.txt in `folder`.

    A twentieth is held out; training prompts that repeat or nearly repeat a held-out one are left out.
    """
    files = [Path(data) / "prompts" / f"{name}.txt" for name in ("diffusiondb", "sd_discord")]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        sys.exit(f"No {', '.join(missing)}: expected the folder that holds prompts/ and gold_spans.jsonl.")
    lines = [line.rstrip("\n") for path in files for line in path.open(encoding="utf-8")]
    held = [line for line in lines if int(hashlib.sha256(line.encode()).hexdigest(), 16) % 20 == 0]
    inside = set(held)
    # held-out prompts stand first, so that of two that are alike the training prompt goes
    kept = corpus.load(held + [line for line in lines if line not in inside], progress=False)
    parts = {"heldout": [], "train": []}
    for row, text in zip(kept.rows.tolist(), kept, strict=True):
        parts["heldout" if row < len(held) else "train"].append(text)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, texts in parts.items():
        path = Path(folder) / f"real_{name}.txt"
        path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
        print(f"{path}: {len(texts):,} prompts")


def _of_truth(truth):
    words = [(t.start, t.end, label) for t, label in zip(split_words(truth.text), truth.labels, strict=True) if t.kind == WORD]
    return Labelled(truth.text, words, [tuple(filler) for filler in truth.fillers])


def of_gold(text, spans):
    """A `Labelled` of a prompt and its gold spans (start, end, label); words outside have the label "none"."""
    spans = [(start, end, label, False) for start, end, label in spans]
    words = []
    for t in split_words(text):
        if t.kind == WORD:
            words.append((t.start, t.end, next((label for a, b, label, _ in spans if a <= t.start < b), "none")))
    return Labelled(text, words, spans)
