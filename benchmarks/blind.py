"""Blind reading: which of two prompts would you rather use? Pairs of two files in shuffled order; the choices are kept.

    python benchmarks/blind.py ONE TWO [--n 60] [--seed 0] [--out out/blind.json]

ONE and TWO are text files with a prompt on each line, such as samples of two writers. Each pair shows a prompt of both, which of
them comes first is drawn by the seed, and nothing tells which is which until the end. Answer 1, 2, or = if neither is better; a
reading that was stopped goes on. Printed at the end: the share of ONE, halves for =, with its standard error.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np


def pairs(one, two, n, seed):
    """Pairs of prompts in shuffled order: list of (prompt, prompt, bool, whether the first is of `one`)."""
    rng = np.random.default_rng(seed)
    chosen = [[some[i] for i in rng.permutation(len(some))[:n]] for some in (one, two)]
    first = rng.random(n) < 0.5
    return [(a, b, True) if f else (b, a, False) for a, b, f in zip(*chosen, first.tolist(), strict=False)]


def share(asked, answers):
    """Share of the first file among the answers "1", "2" and "=", and its standard error: two floats."""
    points = zip(asked, answers, strict=True)
    won = [0.5 if answer == "=" else float((answer == "1") == first) for (_, _, first), answer in points]
    return float(np.mean(won)), float(np.std(won) / np.sqrt(len(won)))


def main(argv=None, read=input):
    """Ask, keep the choices, print the share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one")
    parser.add_argument("two")
    parser.add_argument("--n", type=int, default=60, help="pairs (60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="out/blind.json", help="where the choices are kept")
    args = parser.parse_args(argv)
    files = [[line for line in Path(name).read_text("utf-8").splitlines() if line.strip()] for name in (args.one, args.two)]
    asked, out = pairs(*files, args.n, args.seed), Path(args.out)
    if not asked:
        parser.error("one of the files holds no prompt")
    run = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    kept = json.loads(out.read_text("utf-8")) if out.exists() else {"run": run, "answers": []}
    if kept["run"] != run:
        parser.error(f"{out} holds the choices of other pairs. Give another file, or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    for number, (a, b, _) in enumerate(asked[len(kept["answers"]) :], len(kept["answers"]) + 1):
        print(f"\n{number} of {len(asked)}\n  1  {a}\n  2  {b}", flush=True)
        while (answer := read("1, 2 or = ? ").strip()) not in ("1", "2", "="):
            pass
        kept["answers"].append(answer)
        out.write_text(json.dumps(kept), "utf-8")
    found, error = share(asked, kept["answers"])
    print(f"{args.one} preferred in {found:.2f} of {len(asked)} pairs (standard error {error:.2f}); choices in {out}")


if __name__ == "__main__":
    sys.exit(main())
