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

import numpy as np
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
    """A part of this benchmark, or None where it is not there."""
    try:
        return importlib.import_module(f"adapt_parts.{name}")
    except ModuleNotFoundError as err:
        if err.name != f"adapt_parts.{name}":
            raise
        return None


def quick():
    """The figures of the quick run: dict of str to float."""
    promptist = part("promptist")
    world = promptist.World(pictures=2, pairs=4)
    rows = show_promptist(promptist.measure(world, 0, world.fixed(4), promptist.CONFIG.replace(steps=40)))
    out = {name: rows[name]["reward"] for name in ("typed", "suffix", "supervised", "reinforced", "best")}
    out["kept"] = min(rows["reinforced"]["kept"], rows["reinforced"]["kept_place"])
    for name in ("detox", "preferences", "agents"):
        found = part(name)
        if found is not None:
            out |= found.quick()
    return out


def tables(name, seeds):
    """The tables of a part: list of lines, which are printed too."""
    module = part(name)
    if module is None:
        return []
    if name == "promptist":
        lines = of_promptist(module, seeds)
    elif name == "detox":
        lines = of_detox(module, seeds)
    else:
        lines = module.tables(seeds)
    print("\n".join(lines), flush=True)
    return lines


def of_promptist(module, seeds):
    """Rows by way, over seeds."""
    world = module.World()
    fixed = world.fixed()
    found = []
    for seed in range(seeds):
        found.append(module.measure(world, seed, fixed))
        show_promptist(found[-1])
    lines = [
        "| way | reward | share of (best - typed) | head | true beauty | object and color kept | and background |",
        "| --- " * 7 + "|",
    ]
    for way in found[0]["rows"]:
        cells = [
            spread([one["rows"][way][key] for one in found])
            for key in ("reward", "share", "head", "beauty", "kept", "kept_place")
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    seconds = [100 * one["seconds"] / module.CONFIG.steps for one in found]
    lines.append(f"\nThe fixed completion: {fixed[True]!r}, {fixed[False]!r}. 100 steps: {spread(seconds, 0)} CPU s.")
    return lines


def show_promptist(found):
    """Print one seed; its rows."""
    for name, row in found["rows"].items():
        print(f"{name:20}", {key: round(value, 3) for key, value in row.items() if key != "each"})
    print(
        f"supervised {found['supervised_seconds']:.0f} s, reinforced {found['seconds']:.0f} s",
        found["fixed"],
        *found["examples"],
        sep="\n  ",
    )
    for row in found["history"]:
        print("  ", {key: value if isinstance(value, str) else round(value, 3) for key, value in row.items()}, flush=True)
    return found["rows"]


def of_detox(module, seeds):
    """Rows by way, over seeds."""
    found = []
    for seed in range(seeds):
        found.append(module.measure(seed))
        print(found[-1], flush=True)
    lines = ["| way | banned | the name | perplexity of the rest | AUC: all, named, crossed |", "| --- " * 5 + "|"]
    for way in found[0]:
        cells = [spread([one[way][key] for one in found]) for key in ("banned", "name")]
        more = ["-", "-"]
        if "auc" in found[0][way]:
            more[0] = spread([one[way]["perplexity"] for one in found])
            more[1] = ", ".join(f"{np.mean([one[way]['auc'][key] for one in found]):.3f}" for key in ("all", "named", "crossed"))
        lines.append(f"| {way} | {' | '.join(cells + more)} |")
    return lines


def spread(values, digits=3):
    """Mean and spread over seeds in words."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


if __name__ == "__main__":
    main()
