"""A language of real prompts: are its codes the kinds that people mean, do their names say so, and are its samples like prompts?

    python benchmarks/real.py [--data ../shared/data] [--train 6000] [--seeds 3] [--codes 32 48] [--dsl world] [--out FILE]
    python benchmarks/real.py --quick

Learned from real prompts without their labels, measured on gold spans of others; options were chosen on the dev half (by content
hash), the tables show the test half. Unsupervised: `codes=None`. Anchored: by the lists of the lexicon. "Unlisted" are spans
whose phrase is in no list. Purity: spans whose kind is the commonest of their code. Names right: of the spans of kinds that
have a list, those whose code is named after it; "named": of those whose code is named after any list. The shipped language
(`--dsl`, or the folder of any saved one) reads the same spans; a kind's recall is the share of its spans whose code has no
other kind more often.

Written prompts: `--writer` names the folder of a language of real prompts that writes. Without it, and with `--quick`, the samples
come from a Kneser-Ney model of order 5 of the training prompts, no writer, and there are no nats of a mixture. Their
perplexity over that of held-out real prompts is under a model of order 5 of yet other real prompts.

`--quick` takes fewer prompts, one seed and 32 codes, at most 6 minutes on one core. The last line is one JSON object.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from codebook import Coded, Spans, not_gold
from sklearn.metrics import v_measure_score
from writing_parts.measures import distinct, from_nothing, tokens_of
from writing_parts.sampling import Judge
from writing_parts.worlds import World, of_gold

from workbench import DeepDSL, models, ngram
from workbench.language import lexicon
from workbench.language.codebook import Codebook, CodebookConfig, suggest_names
from workbench.language.dsl.given_codes import anchored
from workbench.language.units import Units
from workbench.words import simple

# Kinds of gold spans -> names of our lists that are right for them.
RIGHT = {
    "artist": {"artist"},
    "movement": {"movement", "aesthetic", "style"},
    "aesthetic": {"aesthetic", "movement", "style"},
    "medium": {"medium"},
    "lighting": {"lighting"},
    "camera": {"camera"},
    "composition": {"composition", "camera"},
    "render": {"render", "render engine", "engine"},
    "quality": {"quality"},
    "site": {"site"},
    "material": {"material"},
    "color": {"color", "colour"},
    "time": {"time"},
    "place": {"place", "scene"},
    "animal": {"animal", "subject"},
    "creature": {"creature", "subject"},
    "character": {"character", "person", "subject"},
    "clothing": {"clothing"},
    "food": {"food"},
    "plant": {"plant"},
    "nationality": {"nationality"},
}
LEAST = 100  # spans of a kind from which on its recall counts


class Gold:
    """Gold spans, and what codes say of them on one half.

    Args:
        folder: Path of the data.
        n: int, prompts.
        lists: dict of name to phrases: which phrases are listed, whatever was learned with them.
        side: "dev" or "test".
    """

    def __init__(self, folder, n, lists, side):
        self.spans, self.side = Spans(folder, n), side
        self.listed = {normal(phrase) for listed in lists.values() for phrase in listed}
        self.kinds = {kind for kind, names in RIGHT.items() if names & set(lists)}

    def figures(self, coded, codes, names):
        """Dict of figures, 0..1; `codes` int64 (n,) of the units of `coded`, `names` k str."""
        labels, found, phrases = map(np.array, self.spans.found(coded, codes)[self.side])
        unlisted = np.array([normal(phrase) not in self.listed for phrase in phrases])
        right = np.array([_kind(names[code]) in RIGHT[label] for label, code in zip(labels, found, strict=True)])
        ours = np.isin(labels, list(self.kinds))
        named = ours & np.array([_kind(names[code]) in set().union(*RIGHT.values()) for code in found])
        return {
            "V": v_measure_score(labels, found),
            "V, unlisted": v_measure_score(labels[unlisted], found[unlisted]),
            "purity": purity(labels, found),
            "purity, unlisted": purity(labels[unlisted], found[unlisted]),
            "names right": right[ours].mean(),
            "names right, named": right[named].mean() if named.any() else float("nan"),
        }

    def recall(self, coded, codes):
        """Dict of kind -> (spans, share of them whose code has no other kind more often)."""
        labels, found, _ = self.spans.found(coded, codes)[self.side]
        kind = {code: kinds.most_common(1)[0][0] for code, kinds in _tallies(labels, found).items()}
        sizes, right = Counter(labels), Counter(x for x, code in zip(labels, found, strict=True) if kind[code] == x)
        return {label: (n, right[label] / n) for label, n in sizes.most_common()}


def _kind(name):
    """The list that a code is named after: "quality-8k" and "quality 2" are of "quality"."""
    return name.split("-")[0].rstrip("0123456789 ")


def _tallies(labels, codes):
    tallies = defaultdict(Counter)
    for label, code in zip(labels, codes, strict=True):
        tallies[code][label] += 1
    return tallies


def purity(labels, codes):
    """Share of spans whose label is the commonest of their code."""
    return sum(max(kinds.values()) for kinds in _tallies(labels, codes).values()) / len(labels)


def learn(train, units, encoder, lists, k, seed):
    """A codebook of training prompts as `DeepDSL.fit` learns it, and the names of its codes."""
    types, given = anchored(units, list(train.types), lists)
    rows = (train.layer, encoder.embed_words(types), train.ids, train.before)
    book = Codebook(CodebookConfig(n_codes=k)).fit(*rows, progress=False, given=given, seed=seed)
    counts = [Counter() for _ in range(k)]
    for number, code in zip(train.ids.tolist(), book.encode(*rows).tolist(), strict=True):
        counts[code][types[number]] += 1
    return book, suggest_names(counts, encoder.embed_words, list(lists))


def written(texts, train, held, other):
    """Figures of written prompts: perplexity over that of held-out prompts, known words, distinct-2 over theirs."""
    config = ngram.NgramConfig(order=5)
    judge = Judge(World("real", train, [], held, [], other, [of_gold(text, ()) for text in held], []), config)
    known = {word for words in tokens_of(train) for word in words}
    words = tokens_of(texts)
    flat = [word for sequence in words for word in sequence if word[0].isalnum()]
    return {
        "kn_ratio_real": judge.ratio(texts),
        "known_words_real": float(np.mean([word in known for word in flat])),
        "distinct_2_real": distinct(words) / distinct(tokens_of(held[: len(texts)])),
    }


def main():
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--train", type=int, default=6000, help="prompts to learn from (6000)")
    parser.add_argument("--gold", type=int, default=5000, help="prompts of gold spans (5000)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--codes", type=int, nargs="+", default=[32, 48])
    parser.add_argument("--half", choices=("dev", "test"), default="test", help="dev while you choose, test to report")
    parser.add_argument("--dsl", default="world", help='the language that is read with; "world", or the folder of a saved one')
    parser.add_argument("--writer", help="folder of a language of real prompts that writes")
    parser.add_argument("--samples", type=int, default=300, help="prompts written from nothing (300)")
    parser.add_argument("--quick", action="store_true", help="fewer prompts, one seed, 32 codes")
    parser.add_argument("--out", help="file for the tables")
    args = parser.parse_args()
    if args.quick:
        args.train, args.gold, args.seeds, args.codes = min(args.train, 2500), min(args.gold, 1500), 1, [32]
    data = Path(os.environ.get("WORKBENCH_DATA", args.data))
    if not (data / "gold_spans.jsonl").is_file():
        sys.exit(f"No gold_spans.jsonl in {data}: expected the folder that holds it and prompts/. Give it as --data.")
    torch.set_num_threads(1)
    lines, figures = measured(args, data)
    print("\n".join(lines))
    if args.out:
        Path(args.out).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(json.dumps({name: None if value is None else round(float(value), 4) for name, value in figures.items()}))


def measured(args, data):
    """Lines of the tables, and the figures of the last line."""
    encoder, lists = models.load_encoder(), lexicon.phrases()
    gold, texts, begin = Gold(data, args.gold, lists, args.half), not_gold(data), time.process_time()
    order = np.random.default_rng(0).permutation(len(texts))
    train, other = ([texts[i] for i in sorted(part)] for part in (order[: args.train], order[args.train : 4 * args.train]))
    units = Units().fit(train if args.quick else texts, progress=False)
    known, held = (Coded(prompts, encoder, units) for prompts in (train, gold.spans.prompts))
    print(f"{len(train):,} prompts read, {time.process_time() - begin:.0f} s", flush=True)
    rows, anchors = [], None
    for k in args.codes:
        for label, given in (("unsupervised", {}), ("anchored", lists)):
            found = []
            for seed in range(args.seeds):
                book, names = learn(known, units, encoder, given, k, seed)
                found.append(gold.figures(held, book.encode(*held.rows()), names))
                print(label, k, seed, {name: round(float(value), 3) for name, value in found[-1].items()}, flush=True)
            rows.append((f"{label}, K = {k}", found))
            if given:
                anchors = anchors or found[0]
    dsl = DeepDSL.load(args.dsl)
    coded = Coded(gold.spans.prompts, dsl.encoder, dsl.learned.units)
    codes, names = dsl.learned.codebook.encode(*coded.rows()), [code.name for code in dsl.codes]
    shipped = gold.figures(coded, codes, names)
    lines = table([*rows, (f'the language "{args.dsl}"', [shipped])])
    lines += ["", f"Mean ± spread of {args.seeds} seeds, {args.half} half."]
    lines += ["", f'Recall of kinds, the language "{args.dsl}":', ""]
    lines += [f"- {kind}: {share:.2f} of {n}" for kind, (n, share) in gold.recall(coded, codes).items() if n >= LEAST]
    some = gold.spans.prompts
    samples, mixture = written_by(args.writer, train, args.samples)
    kneser_ney = ngram.KneserNey(ngram.NgramConfig(order=5)).fit(tokens_of(train))
    return lines, {
        "anchored_v": anchors["V"],
        "anchored_unlisted_v": anchors["V, unlisted"],
        "shipped_v": shipped["V"],
        "shipped_purity": shipped["purity"],
        **written(samples, train, some, other),
        "nats_mixture": mixture,
        "nats_kn5": np.log(kneser_ney.perplexity(tokens_of(some))),
    }


def written_by(folder, train, n):
    """Prompts from nothing, list of n str, and nats per word of writer and n-grams mixed, or None."""
    if folder is None:
        print("nats_mixture is null: no --writer was given; the samples are those of n-grams", flush=True)
        texts = ngram.KneserNey(ngram.NgramConfig(order=5)).fit(tokens_of(train)).sample(n, seed=0)
        return [sample if isinstance(sample, str) else sample.text for sample in texts], None
    texts = [sample.text for sample in from_nothing(DeepDSL.load(folder), n, 0)]
    print("nats_mixture is null: this writer has no probability of single words", flush=True)
    return texts, None


def table(rows):
    """Markdown of pairs (label, list of figures, one for each seed)."""
    columns = list(rows[0][1][0])
    lines = [f"| codes | {' | '.join(columns)} |", "| --- " * (1 + len(columns)) + "|"]
    for label, found in rows:
        values = np.array([[figures[column] for column in columns] for figures in found])
        cells = [f"{m:.3f} ± {s:.3f}" if len(found) > 1 else f"{m:.3f}" for m, s in zip(values.mean(0), values.std(0), strict=True)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
