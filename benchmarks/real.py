"""A language of real prompts: are its codes the kinds that people mean, do their names say so, and are its samples like prompts?

    python benchmarks/real.py [--data ../shared/data] [--train 6000] [--seeds 3] [--codes 32 48] [--dsl world] [--out FILE]
    python benchmarks/real.py --quick

Learned from real prompts without their labels, measured on gold spans of others; options were chosen on the dev half (by content
hash), the tables show the test half. Unsupervised: `codes=None`. Anchored: `codes="lexicon"`, by lists of phrases that grow.
"Unlisted" are spans whose phrase is in no list, however it is written. Most spans stand in some list, so half of the phrases
are left out, too, by content hash: unlisted are then spans whose phrase is not in the other half.

Purity: spans whose kind is the commonest of their code. Names right: of the spans of kinds that have a list, those whose code is
named after it; "named": of those whose code is named after any list. The shipped language (`--dsl`, or the folder of any saved
one) reads the same spans; a kind's recall is the share of its spans whose code has no other kind more often.

Written prompts: `--writer` names the folder of a language of real prompts that writes. Without it a decoder
(`WriterConfig(decoder="smollm2")`) learns for `--steps` steps here, a fortieth of what it would take; without its packages the
samples come from a Kneser-Ney model of order 5 of the training prompts, and there are no nats of a mixture. The perplexity of
samples over that of held-out real prompts is under a model of order 5 of yet other real prompts.

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
from codebook import Coded, Spans, half, not_gold
from sklearn.metrics import v_measure_score
from writing_parts.measures import distinct, from_nothing, tokens_of
from writing_parts.sampling import Judge
from writing_parts.worlds import World, of_gold

from workbench import DeepDSL, models, ngram
from workbench.language import growing, lexicon
from workbench.language.codebook import Codebook, CodebookConfig, suggest_names
from workbench.language.dsl.given_codes import anchored, met, phrases
from workbench.language.units import Units
from workbench.language.writer.config import WriterConfig
from workbench.language.writer.decoder import Decoder, DecoderConfig
from workbench.language.writer.tokens import Tokens
from workbench.values import ModelError

# Kinds of gold spans -> names of our lists that are right for them.
RIGHT = {
    "artist": {"artist"},
    "movement": {"movement", "aesthetic"},
    "aesthetic": {"aesthetic", "movement"},
    "medium": {"medium"},
    "lighting": {"lighting"},
    "camera": {"camera"},
    "composition": {"composition", "camera"},
    "render": {"renderer"},
    "quality": {"quality"},
    "site": {"site"},
    "material": {"material"},
    "color": {"color"},
    "time": {"time"},
    "place": {"place"},
    "animal": {"animal"},
    "creature": {"creature"},
    "character": {"character", "person"},
    "clothing": {"clothing"},
    "food": {"food"},
    "plant": {"plant"},
    "nationality": {"nationality"},
}
MIXED = 200  # held-out prompts whose nats are measured by a large model
LEAST = 100  # spans of a kind from which on its recall counts


class Gold:
    """Gold spans, and what codes say of them on one half.

    Args:
        folder: Path of the data.
        n: int, prompts.
        side: "dev" or "test".
    """

    def __init__(self, folder, n, side):
        self.spans, self.side = Spans(folder, n), side

    def figures(self, coded, codes, names, lists):
        """Dict of figures, 0..1; `codes` int64 (n,) of the units of `coded`, `names` k str, `lists` dict of name to phrases."""
        labels, found, typed = map(np.array, self.spans.found(coded, codes)[self.side])
        listed = {growing.spelling(phrase) for some in lists.values() for phrase in some}
        unlisted = np.array([growing.spelling(phrase) not in listed for phrase in typed])
        right = np.array([_kind(names[code]) in RIGHT[label] for label, code in zip(labels, found, strict=True)])
        ours = np.isin(labels, [kind for kind, some in RIGHT.items() if some & set(lists)])
        named = ours & np.array([_kind(names[code]) in lists for code in found])
        return {
            "V": v_measure_score(labels, found),
            "V, unlisted": v_measure_score(labels[unlisted], found[unlisted]),
            "purity": purity(labels, found),
            "purity, unlisted": purity(labels[unlisted], found[unlisted]),
            "names right": right[ours].mean(),
            "names right, named": right[named].mean() if named.any() else float("nan"),
            "listed": 1 - unlisted.mean(),
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


def anchors(train, units, encoder, lists, k, grows=True):
    """What `DeepDSL.fit(codes="lexicon")` gives its codebook, for any lists.

    Returns:
        (types, rows, given, names): t + s str; the rows of `Codebook.fit`; codes given, or None; names of the first codes.
    """
    types, kept = list(train.types), {}
    known = growing.respelled(types, lists) | phrases(units, lists)
    if lists:
        kept, known, _ = met(types, train.ids, lists, known, k)
    types, given = anchored(types, known)
    more = types[len(train.types) :]
    static = np.vstack([train.static, encoder.embed_words(more)]) if more else train.static
    if known and grows:
        given = growing.grown(types, train.ids, train.layer, static, given)
    return types, (train.layer, static, train.ids, train.before), given, list(kept)


def learn(types, rows, given, names, encoder, k, seed):
    """A codebook of what `anchors` gives, and the names of its codes."""
    book = Codebook(CodebookConfig(n_codes=k)).fit(*rows, progress=False, given=given, seed=seed)
    counts = [Counter() for _ in range(k)]
    for number, code in zip(rows[2].tolist(), book.encode(*rows).tolist(), strict=True):
        counts[code][types[number]] += 1
    return book, suggest_names(counts, encoder.embed_words, names)


def halved(lists):
    """Half of each list, by content: all spellings of a phrase are on one side."""
    return {kind: [phrase for phrase in some if half(growing.spelling(phrase)) == "dev"] for kind, some in lists.items()}


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
    parser.add_argument("--steps", type=int, default=30, help="steps of a decoder, where no writer is given; 0: none (30)")
    parser.add_argument("--samples", type=int, default=300, help="prompts written from nothing (300)")
    parser.add_argument("--quick", action="store_true", help="fewer prompts, one seed, 32 codes")
    parser.add_argument("--out", help="file for the tables")
    args = parser.parse_args()
    if args.quick:
        args.train, args.gold, args.seeds, args.codes = min(args.train, 2500), min(args.gold, 1500), 1, [32]
        args.samples = min(args.samples, 64)
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
    gold, texts, begin = Gold(data, args.gold, args.half), not_gold(data), time.process_time()
    chosen = np.sort(np.random.default_rng(0).choice(len(texts), min(args.train, len(texts)), replace=False))
    train = [texts[i] for i in chosen]
    other = [texts[i] for i in np.setdiff1d(np.arange(len(texts)), chosen)[: 3 * args.train]]
    held = gold.spans.prompts
    units = Units().fit(train if args.quick else texts, progress=False)
    coded = [Coded(prompts, encoder, units) for prompts in (train, held)]
    print(f"{len(train):,} prompts read, {time.process_time() - begin:.0f} s", flush=True)
    ways, rows = {"anchored": (lists, lists, True)}, {}
    if not args.quick:
        some = halved(lists)
        ways |= {"unsupervised": ({}, lists, False), "by half of the lists": (some, some, True)}
        ways["by half of the lists, not grown"] = some, some, False
    for k in args.codes:
        for way, (used, judged, grows) in ways.items():
            found, given = rows.setdefault(f"{way}, K = {k}", []), anchors(coded[0], units, encoder, used, k, grows)
            for seed in range(args.seeds):
                book, names = learn(*given, encoder, k, seed)
                found.append(gold.figures(coded[1], book.encode(*coded[1].rows()), names, judged))
                print(way, k, seed, {name: round(float(value), 3) for name, value in found[-1].items()}, flush=True)
    first = next(iter(rows.values()))[0]
    dsl = DeepDSL.load(args.dsl)
    seen = Coded(held, dsl.encoder, dsl.learned.units)
    codes = dsl.learned.codebook.encode(*seen.rows())
    shipped = gold.figures(seen, codes, [code.name for code in dsl.codes], lists)
    lines = table({**rows, f'the language "{args.dsl}"': [shipped]})
    lines += ["", f"Mean ± spread of {args.seeds} seeds, {args.half} half."]
    lines += ["", f'Recall of kinds, the language "{args.dsl}":', ""]
    lines += [f"- {kind}: {share:.2f} of {n}" for kind, (n, share) in gold.recall(seen, codes).items() if n >= LEAST]
    samples, nats = written_by(args, train, held)
    return lines, {
        "anchored_v": first["V"],
        "anchored_unlisted_v": first["V, unlisted"],
        "shipped_v": shipped["V"],
        "shipped_purity": shipped["purity"],
        **written(samples, train, held, other),
        **nats,
    }


def written_by(args, train, held):
    """Prompts from nothing, list of str; and dict of the nats per word of held-out prompts, mixed and by n-grams alone."""
    if args.writer:
        dsl = DeepDSL.load(args.writer)
        samples, decoder = [sample.text for sample in from_nothing(dsl, args.samples, 0)], dsl.decoder_
    else:
        decoder = little_decoder(train, args.steps)
        samples = [] if decoder is None else [sample.text for sample in decoder.sample(args.samples, seed=0)]
    if decoder is not None:
        by_model, by_ngrams = decoder.parts(held[:MIXED]).T  # words that its corpus does not have are passed over, in both
        share = decoder.share_
        mixed = np.logaddexp(np.log(share) + by_model, np.log1p(-share) + by_ngrams)
        print(f"a word of held-out prompts: {-by_model.mean():.3f} nats by the decoder alone, share {share}", flush=True)
        return samples, {"nats_mixture": -mixed.mean(), "nats_kn5": -by_ngrams.mean()}
    kneser_ney = ngram.KneserNey(ngram.NgramConfig(order=5)).fit(tokens_of(train))
    print("nats_mixture is null: nothing here has a probability of single words but n-grams", flush=True)
    nats = {"nats_mixture": None, "nats_kn5": np.log(kneser_ney.perplexity(tokens_of(held)))}
    return samples or [sample.text for sample in kneser_ney.sample(args.samples, seed=0)], nats


def little_decoder(train, steps):
    """A `Decoder` that has learned for a few steps; None without steps, or without the packages that it needs."""
    options = WriterConfig()
    try:
        known = Tokens.learn(train, options.pieces, options.min_count).known  # as `DeepDSL.fit` holds it to common words
        return Decoder(DecoderConfig(steps=steps)).fit(train, known) if steps else None
    except (ImportError, ModelError) as err:
        print(f"no decoder: {err}", flush=True)
        return None


def table(rows):
    """Markdown of a dict of label to list of figures, one for each seed."""
    columns = list(next(iter(rows.values()))[0])
    lines = [f"| codes | {' | '.join(columns)} |", "| --- " * (1 + len(columns)) + "|"]
    for label, found in rows.items():
        values = np.array([[figures[column] for column in columns] for figures in found])
        cells = [
            f"{m:.3f} ± {s:.3f}" if len(found) > 1 else f"{m:.3f}" for m, s in zip(values.mean(0), values.std(0), strict=True)
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
