"""Prompts that learn from reward in the built-in world, beside what costs less: Promptist, fair detoxification, a black box.

    python benchmarks/adapt.py [--only promptist detox boxes smollm2 preferences agents] [--seeds 5] [--out FILE]
    python benchmarks/adapt.py --quick      # one seed, one core, minutes; the last line is JSON

Truth is never the reward itself: other pictures than those learned from, the checker, the formula of beauty, words that occur.
`best` is the best of all completions on the very pictures it is judged by, so it is a little too good. Seconds are CPU seconds of
this process.
"""

import argparse
import importlib
import json
import resource
import time
from pathlib import Path

import torch

PARTS = ("promptist", "detox", "boxes", "smollm2", "preferences", "agents")


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, help="file for the tables")
    args = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.process_time()
    if args.quick:
        found = quick()
    else:
        lines = []
        for name in args.only:
            lines += tables(name, args.seeds)
            if args.out:
                args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    seconds, memory = time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{seconds:.0f} CPU seconds, {memory:.2f} GB at most", flush=True)
    if args.quick:
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))


def part(name):
    """A part of this benchmark."""
    return importlib.import_module(f"adapt_parts.{name}")


def quick():
    """The figures of the quick run: dict of str to float."""
    promptist = part("promptist")
    world = promptist.World(pictures=2, pairs=4)
    rows = promptist.shown(promptist.measure(world, 0, world.fixed(4), promptist.CONFIG.replace(steps=40)))
    out = {name: rows[name]["reward"] for name in ("typed", "suffix", "supervised", "reinforced", "best")}
    out["kept"] = min(rows["reinforced"]["kept"], rows["reinforced"]["kept_place"])
    for name in ("detox", "preferences", "agents"):
        out |= part(name).quick()
    return out


def tables(name, seeds):
    """The tables of a part: list of lines, which are printed too."""
    lines = part(name).tables(seeds)
    print("\n".join(lines), flush=True)
    return lines


if __name__ == "__main__":
    main()
