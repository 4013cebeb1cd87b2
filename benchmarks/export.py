"""Export: texts per second of `wildcards` against dynamicprompts, on the templates and lists of one export.

    python benchmarks/export.py [--dsl world] [--templates 6] [--n 2000] [--rounds 3]
    python benchmarks/export.py --codes [--prompts 4000]

In turns, in one process. "combined" is the first n texts of each template, "drawn" n / 10 at random. Both start with
the template as a str, but for "parsed beforehand", where dynamicprompts has its commands; lists are read beforehand. All
templates are parsed by both; sets of texts are compared where a template has at most n (without weights: with them
dynamicprompts repeats texts).

`--codes` instead measures, on the grammar, how fillers that were given are read: the share of held-out artists and media
that have the code of that name, when all fillers of the lexicon or every other one is given; without, in the code that has
most of them. It learns four languages of 4,000 prompts (minutes).
"""

import argparse
import re
import statistics
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from unittest import mock

SLOTS = ("artist", "medium")
ALONE = "all, as seeds alone"


def rate(run, templates):
    """Texts per second."""
    begin = time.perf_counter()
    texts = sum(len(run(template)) for template in templates)
    return texts / (time.perf_counter() - begin)


def combining(manager):
    """A context of dynamicprompts that combines."""
    from dynamicprompts.enums import SamplingMethod
    from dynamicprompts.sampling_context import SamplingContext

    return SamplingContext(default_sampling_method=SamplingMethod.COMBINATORIAL, wildcard_manager=manager)


def inline(template, known, most=20):
    """A template with the first fillers of each list written into it: {a|b|c}, which dynamicprompts parses once."""
    return re.sub("__(.+?)__", lambda found: "{" + "|".join(islice(known[found[1]], most)) + "}", template)


def speed(args):
    """Export, parse with both, compare, and print the table."""
    from dynamicprompts.generators import CombinatorialPromptGenerator, RandomPromptGenerator
    from dynamicprompts.parser.parse import parse
    from dynamicprompts.wildcards import WildcardManager

    from workbench import wildcards
    from workbench.language.dsl import DeepDSL
    from workbench.show import export

    dsl, lines = DeepDSL.load(args.dsl), []
    with tempfile.TemporaryDirectory() as top:
        for weights in (False, True):
            folder = Path(top) / f"weights-{weights}"
            done = export.write_wildcards(dsl, folder, weights=weights)
            known, manager = wildcards.read(folder), WildcardManager(folder)
            every = [
                text for name in ("templates.txt", "segments.txt") for text in (folder / name).read_text("utf-8").splitlines()
            ]
            parsed = sum(parse(text) is not None and wildcards.parse(text) is not None for text in every)
            print(f"{done}\n{parsed} of {len(every)} templates parsed by both", flush=True)
            combine, draw = CombinatorialPromptGenerator(manager), RandomPromptGenerator(manager, seed=0)
            small = [] if weights else [text for text in every if wildcards.count(text, known) <= args.n]
            equal = sum(set(wildcards.combinations(t, known)) == set(combine.generate(t, args.n + 1)) for t in small)
            if small:
                print(f"{equal} of {len(small)} templates of at most {args.n:,} texts have equal sets", flush=True)
            whole, few = every[: args.templates], max(1, args.n // 10)
            within = [inline(template, known) for template in whole]
            commands = {template: parse(template) for template in within}

            def ours(template, known=known):
                return list(wildcards.combinations(template, known, args.n))

            def drawn(template, known=known, few=few):
                return wildcards.sample(template, known, few)

            def beforehand(template, manager=manager, commands=commands):
                return [str(text) for text in combining(manager).sample_prompts(commands[template], args.n)]

            pairs = {"drawn, weights" if weights else "drawn": (drawn, lambda t, d=draw, few=few: d.generate(t, few), whole)}
            if not weights:  # with weights the peer repeats each filler
                combined = lambda t, c=combine: c.generate(t, args.n)  # noqa: E731
                pairs["combined"] = (ours, combined, whole)
                pairs["combined, choices written in the template"] = (ours, combined, within)
                pairs["combined, the same, parsed beforehand"] = (ours, beforehand, within)
            for name, (mine, peers, chosen) in pairs.items():
                peers(chosen[0])  # reads the lists
                rates = [(rate(peers, chosen), rate(mine, chosen)) for _ in range(args.rounds)]
                theirs, us = (statistics.median(column) for column in zip(*rates, strict=True))
                times = sorted(b / a for a, b in rates)
                lines.append(f"| {name} | {theirs:,.0f} | {us:,.0f} | {us / theirs:.0f} ({times[0]:.0f} to {times[-1]:.0f}) |")
    print("\n| texts per second | dynamicprompts | ours | times as fast |\n| --- | --- | --- | --- |")
    print("\n".join(lines))


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
    parser.add_argument("--templates", type=int, default=6)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--codes", action="store_true")
    parser.add_argument("--prompts", type=int, default=4000, help="of the grammar, with --codes")
    args = parser.parse_args()
    (codes if args.codes else speed)(args)


if __name__ == "__main__":
    main()
