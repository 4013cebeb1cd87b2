"""Export: does dynamicprompts read every template and list that `workbench.export.write_wildcards` writes?

    python benchmarks/export.py [--dsl world]
    python benchmarks/export.py --codes [--prompts 4000]

The first writes an export without and with weights, parses each line of `templates.txt` and `segments.txt` with dynamicprompts,
draws one text of each, and prints how many lines were parsed and drawn.

`--codes` instead measures, on the grammar, how fillers that were given are read: the share of held-out artists and media that
have the code of that name, when all fillers of the lexicon or every other one is given; without, in the code that has most of
them. It learns four languages of 4,000 prompts (minutes).
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

SLOTS = ("artist", "medium")
ALONE = "all, as seeds alone"


def parsed(args):
    """Export without and with weights, read everything with dynamicprompts, and print the counts."""
    from dynamicprompts.generators import RandomPromptGenerator
    from dynamicprompts.parser.parse import parse
    from dynamicprompts.wildcards import WildcardManager

    from workbench.language.dsl import DeepDSL
    from workbench.show import export

    dsl = DeepDSL.load(args.dsl)
    with tempfile.TemporaryDirectory() as top:
        for weights in (False, True):
            folder = Path(top) / f"weights-{weights}"
            print(export.write_wildcards(dsl, folder, weights=weights))
            draw = RandomPromptGenerator(WildcardManager(folder), seed=0)
            lines = [
                text for name in ("templates.txt", "segments.txt") for text in (folder / name).read_text("utf-8").splitlines()
            ]
            read = sum(parse(text) is not None for text in lines)
            full = sum("__" not in text for line in lines for text in draw.generate(line, 1))
            print(f"weights={weights}: {read} of {len(lines)} templates parsed, {full} drawn with every slot filled", flush=True)


def shares(dsl, corpus, fillers, named):
    """Share of the fillers of each slot in its code (named), or in the code that has most of them; and how many there are."""
    found = {slot: Counter() for slot in SLOTS}
    for i, units in enumerate(dsl.tag(list(corpus[: len(corpus)]))):
        truth = {(filler.start, filler.end): filler.label for filler in corpus.truth(i).fillers}
        for unit in units:
            slot = truth.get((unit.start, unit.end))
            if slot in found and unit.text.lower() in fillers[slot]:
                found[slot][unit.name] += 1
    counted = {slot: (names[slot] if named else max(names.values(), default=0), names.total()) for slot, names in found.items()}
    return " | ".join(f"{hits / max(1, n):.3f} of {n}" for hits, n in counted.values())


def codes(args):
    """Learn without, with all and with half of the fillers given, and print the table."""
    from workbench import corpus
    from workbench.language.codebook import memory
    from workbench.language.dsl import DeepDSL, DSLConfig
    from workbench.world.lexicon import SLOTS as LEXICON

    prompts, held = (corpus.load("world", n=n, seed=seed, progress=False) for n, seed in ((args.prompts, 0), (1000, 7)))
    every = {slot: [filler.lower() for group in LEXICON[slot].values() for filler in group] for slot in SLOTS}
    half = {slot: fillers[::2] for slot, fillers in every.items()}
    rest = {slot: fillers[1::2] for slot, fillers in every.items()}
    print(f"| given | read of | {' | '.join(SLOTS)} | V-measure of open slots |\n| --- | --- |{' --- |' * len(SLOTS)} --- |")
    rows = (("nothing", None, (every,)), (ALONE, every, (every,)), ("all", every, (every,)), ("half", half, (half, rest)))
    for name, given, measured in rows:
        weight = 0 if name == ALONE else memory._ANCHOR  # 0: the codes begin at these fillers and are free to move away
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(memory, "_ANCHOR", weight):
            dsl = DeepDSL.fit(prompts, DSLConfig(writer=None), folder=folder, progress=False, codes=given)
        for fillers in measured:
            which = {id(every): "all", id(half): "those given", id(rest): "the others"}[id(fillers)]
            row = shares(dsl, held, fillers, bool(given))
            print(f"| {name} | {which} | {row} | {dsl.stats['v_measure']['open_slots']:.3f} |", flush=True)


def main():
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsl", default="world", help="folder of a DSL (default: the built-in one)")
    parser.add_argument("--codes", action="store_true")
    parser.add_argument("--prompts", type=int, default=4000, help="of the grammar, with --codes")
    args = parser.parse_args()
    (codes if args.codes else parsed)(args)


if __name__ == "__main__":
    main()
