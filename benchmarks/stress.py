"""Stress: kills, signals, damage, hostile prompts, several processes, interrupts and a full disk, with counts.

    python benchmarks/stress.py [--short] [--only kills,damages,...] [--seed 0] [--scale 1]
    python benchmarks/stress.py --only memory [--bytes 1000000000]

It works in a temporary folder on tiny models, prompts of the grammar and the shipped language, and prints one table, and to
standard error three notes on what failed in each row. `named`: an error or a warning with words. `rebuilt`: the right result all
the same. All columns after that are failures and have to be 0: `silent`, another result and not a word; `crashed`, a raw error,
or no end; `lost` and `doubled` prompts, steps and files; `unequal` results; `leftovers`, temporary files. The exit status is 1 if
one of them is not 0. `--short` is what the tests run: about a minute. `--scale .1` tries a tenth.

- kills: SIGKILL, SIGINT and SIGTERM at random moments of fit, encode, pez, tune, save, export, site and corpus.load. The same
  call then goes on, and its result has to be that of a run that was never stopped.
- damages: files that are written and read again are truncated, emptied, removed, swapped, lengthened, or get a block of zeros,
  wrong bytes or one wrong bit.
- hostile: prompts made of the syntax of other programs, brackets, masks and Unicode go through parse, print, read and tag, and
  some through re-roll, vary and infill; then 100 kB of inputs that are slow for a careless parser (for `read` the 20 kB that it
  takes at most), 5 seconds of one core each.
- together: several processes fit, encode, save and export at once, to one folder.
- interrupts: Ctrl-C at random byte codes of an export, a save and a site's exchange.
- disk: every writer on a disk that is full at a random byte.
- memory: the peak memory of `corpus.load` of a large text file, of all of it and with n=100. Not part of the rest.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
PARTS = {  # name: tries of the full form, of the short one
    "kills": (200, 10),
    "damages": (2000, 60),
    "hostile": (10_000, 100),
    "together": (4, 2),
    "interrupts": (10_000, 100),
    "disk": (200, 6),
}


def run(parts, folder, seed=0, short=False, scale=1.0):
    """Try everything in a folder: list of `Row`."""
    from stress_parts import crowd, damages, disk, hostile, interrupts, kills, table
    from stress_parts.jobs import World, often

    tries = {
        "kills": kills.kills,
        "damages": damages.damages,
        "hostile": hostile.hostile,
        "together": crowd.together,
        "interrupts": interrupts.interrupts,
        "disk": disk.full,
    }
    table.head()
    rows = []
    with often():
        world = World(folder)
        for name in parts:
            n = PARTS[name][short]
            rows += tries[name](world, n if name == "together" else max(1, int(n * scale)), seed, short)
    table.total(rows)
    return rows


def main():
    """Try everything and print the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="what the tests run")
    parser.add_argument("--only", help=f"some of {', '.join(PARTS)}; or memory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the tries")
    parser.add_argument("--bytes", type=float, default=1e9, help="size of the text file of --only memory")
    args = parser.parse_args()
    parts = args.only.split(",") if args.only else list(PARTS)
    if unknown := set(parts) - {*PARTS, "memory"}:
        parser.error(f"There is no part {', '.join(sorted(unknown))}. There are: {', '.join(PARTS)}, memory.")
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        os.environ["WORKBENCH_CACHE"] = folder + "/cache"
        if parts == ["memory"]:
            from stress_parts import memory

            return memory.measure(Path(folder), int(args.bytes))
        rows = run(parts, Path(folder), args.seed, args.short, args.scale)
    failed = sum(row.bad for row in rows)
    print(f"\n{failed:,} failures in {time.perf_counter() - begin:,.0f} s.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
