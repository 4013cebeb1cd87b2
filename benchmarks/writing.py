"""Writing against its baselines: infill, samples, reconstruction, variations, guided infill, and what they cost.

    python benchmarks/writing.py [--dsl world] [--world 1] [--n 300] [--parts infill,samples,...] [--out FILE] [--samples FILE]
    python benchmarks/writing.py --split ../shared/data out
    python -m workbench out/real_train.txt --out out/real
    python benchmarks/writing.py --real --dsl out/real [--data ../shared/data] [--train out/real_train.txt] [--heldout ...]

All methods get the same queries and the same candidates; nats are normalised over the candidates. The n-gram models learned the
prompts that the writer learned; a DSL whose own n-grams are longer than those of "KN" (order 3) has to beat both. "hybrid" is the
ranking that `DeepDSL.infill` uses: the DSL's n-grams and its writer, with the weights that were learned with it.

- infill of one word: `<?>` for a random word; candidates are all words of the training prompts that occur three times or more.
  A whole filler: a gold span of two words or more; candidates are the 1500 most frequent gold fillers of the training prompts.
  Exact and nats: truth among the candidates. Right kind: all queries whose kind is known. A word has the labels that 5 % of its
  occurrences in labelled training prompts have. Words of fillers that no training prompt has are shown apart.
- samples: templates are those of prompts like the training prompts, but not among them (grammar: the train split of another
  seed, since unseen fillers would flatter us). Their perplexity over that of all such prompts, under a Kneser-Ney model of yet
  other prompts (grammar: a third seed; real: the other half of the held-out prompts). Right slot: words that may have the
  gold label of the slot they are in. Variations start from the same prompts.
"""

import argparse
import os
import resource
import time
from pathlib import Path

import numpy as np
from writing_parts.infilling import guided, infill
from writing_parts.measures import from_nothing, pick, rerollable, table
from writing_parts.sampling import Judge, reconstruct, samples, vary
from writing_parts.worlds import of_files, of_grammar, split

from workbench import DeepDSL
from workbench.template import Slot, Template

PARTS = ("infill", "samples", "reconstruct", "vary", "guided", "cost")


def cost(dsl, world, seed):
    """Rows: prompts a second, memory, training. Measured first, before other models are loaded."""
    template = next(t for _, t in rerollable(dsl, world.reference, 50) if len(t.slots) >= 3)
    dsl.sample(2, template, seed=seed)
    rates = []
    for write in (lambda: dsl.sample(64, template, seed=seed), lambda: from_nothing(dsl, 64, seed)):
        begin = time.perf_counter()
        write()
        rates.append(64 / (time.perf_counter() - begin))
    steps, batch = dsl.writer_.history_[-1]["step"], dsl.writer_.config.batch
    trained = f"{dsl.writer_.seconds_ / 60:.1f} min, {steps:,} steps of {batch:,} positions"
    return [
        ("cost: prompts written per second, of a template / from nothing", "-", "-", f"{rates[0]:.0f} / {rates[1]:.0f}", None),
        ("cost: seconds of training of the writer", "-", "-", trained, None),
    ]


def memory():
    """Peak memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- what people read -----------------------------------------------------------------------------------------------------


def show(dsl, world, seed, n=30):
    """Unselected samples, infills and variations as markdown."""
    rng = np.random.default_rng(seed + 1)
    pairs = rerollable(dsl, pick([one for one in world.held if len(one.words) > 5], len(world.held), rng), n)
    ones, templates = [one for one, _ in pairs], [t for _, t in pairs]
    third = n // 3
    lines = [f"# Unselected samples: {world.name}", "", "Written by `benchmarks/writing.py --samples`; nothing is left out."]
    lines += ["", "## Samples", "", "From nothing:", ""]
    lines += [f"- {_cell(sample.text)}" for sample in from_nothing(dsl, third, seed)]
    for name, content in (("absent content", None), ("content from noise", "noise")):
        lines += ["", f"All slots of a held-out prompt re-rolled, {name}:", ""]
        for i, t in enumerate(templates[:third]):
            lines.append(f"- {_cell(dsl.sample(1, t, content=content, seed=seed + i)[0].text)}")
            lines.append(f"  - of: {_cell(t.prompt)}")
    lines += ["", "## Infills", "", "The best filling of `<?>`; what stood there is in brackets.", ""]
    for i, one in enumerate(ones):
        spans = [span for span in one.spans if i % 2] or one.words
        start, end = spans[int(rng.integers(len(spans)))][:2]
        left, right = one.text[:start], one.text[end:]
        text = dsl.infill(Template.build([left, Slot(None), right]), 1, seed=seed + i)[0].text
        filler = text[len(left) : len(text) - len(right)]
        lines.append(f"- {_cell(left)}**{_cell(filler)}**{_cell(right)} [{_cell(one.text[start:end])}]")
    lines += ["", "## Variations", ""]
    for i, t in enumerate(templates[: n // 6]):
        lines += [f"Of: {_cell(t.prompt)}", ""]
        for j, (by, proximity) in enumerate(((b, p) for b in ("slots", "noise") for p in (0.2, 0.5, 0.8))):
            text = dsl.vary(t, 1, proximity, by=by, seed=seed + 10 * i + j)[0].text
            lines.append(f"- {by}, {proximity}: {_cell(text)}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cell(text):
    return text.replace("\n", " ").replace("*", r"\*").replace("<", r"\<").replace("`", r"\`")


def main():
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsl", default="world", help='"world", or the folder of a saved DSL')
    parser.add_argument("--world", type=int, default=1, metavar="SEED", help="seed of the grammar's held-out prompts (1)")
    parser.add_argument("--real", action="store_true", help="held-out real prompts instead of the grammar")
    parser.add_argument("--data", default=str(Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--train", default="out/real_train.txt")
    parser.add_argument("--heldout", default="out/real_heldout.txt")
    parser.add_argument("--n", type=int, default=300, help="infill queries, samples and so on, or a share of it (300)")
    parser.add_argument("--least", type=int, default=3, help="times a word must occur to be a candidate (3)")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--split", nargs=2, metavar=("DATA", "FOLDER"), help="write real_train.txt and real_heldout.txt")
    parser.add_argument("--out", help="file for the table")
    parser.add_argument("--samples", help="file for unselected samples, infills and variations")
    args = parser.parse_args()
    if args.split:
        return split(*args.split)
    parts = [part for part in args.parts.split(",") if part]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}.")
    dsl = DeepDSL.load(args.dsl)
    data = os.environ.get("WORKBENCH_DATA", args.data)
    world = of_files(dsl, args.train, args.heldout, data) if args.real else of_grammar(dsl, args.world)
    print(f"{world.name}: {len(world.train):,} training, {len(world.held):,} held-out labelled prompts", flush=True)
    judge = Judge(world) if {"samples", "vary"} & set(parts) else None
    run = {
        "cost": lambda: cost(dsl, world, args.world),
        "infill": lambda: infill(dsl, world, args.n, args.world, args.least),
        "samples": lambda: samples(dsl, world, judge, args.n, args.world),
        "reconstruct": lambda: reconstruct(dsl, world, args.n, args.world),
        "vary": lambda: vary(dsl, world, judge, max(1, args.n // 5), args.world),
        "guided": lambda: guided(dsl, world, max(1, args.n // 4), args.world),
    }
    rows = []
    for part in run:  # cost first, while the machine holds nothing else
        if part in parts:
            begin = time.perf_counter()
            rows += run[part]()
            print(f"{part}: {time.perf_counter() - begin:.0f} s, peak memory {memory():,.0f} MB", flush=True)
            if part == "cost":
                rows.append(("cost: peak memory after writing, MB", "2048 at most", "-", f"{memory():,.0f}", memory() <= 2048))
    lines = table(rows)
    print(lines)
    if args.out:
        Path(args.out).write_text(lines + "\n", encoding="utf-8")
    if args.samples:
        Path(args.samples).write_text(show(dsl, world, args.world), encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
