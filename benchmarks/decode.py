"""Steering while writing: critics, inverse prompts, coarse to fine, and one table for one wish.

    python benchmarks/decode.py [--n 1000] [--seeds 1] [--sentiment [--data FOLDER]] [--pictures] [--out FILE]
    python benchmarks/decode.py --quick        # one core, some minutes; the last line is JSON

Seconds are CPU seconds of this process. Truth is read by rule (the words of the world), by a language model's own exact law, or
by a reader that was trained on other rows; never by the scorer that was learned from, except where that is the rule itself.
"""

import argparse
import json
import os
import time
from pathlib import Path

from decode_parts import critic, gate, inverted, passes, sentiment, speaker, tokens, votes, wish


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="texts for each row of the table")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sentiment", action="store_true", help="positive sentiment on SmolLM2 too, some ten minutes")
    parser.add_argument("--pictures", action="store_true", help="pictures from tokens too: two networks, half an hour")
    parser.add_argument("--data", type=Path, default=os.environ.get("WORKBENCH_DATA", "../shared/data"), help="folder of data")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.sentiment:
        sentiment.rows_of(args.data)  # before minutes of work
    begin = time.process_time()
    found = quick() if args.quick else whole(args)
    found["cpu_s"] = round(time.process_time() - begin, 1)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1))
    print(json.dumps(found))


def quick():
    """The figures of the issue: dict."""
    out = {}
    told = critic.quick()
    print("critic", told, flush=True)
    out |= {name: told[name] for name in ("critic_r", "critic_night", "critic_tv")}
    told = inverted.quick()
    print("inverse", told["inverse"], flush=True)
    out["inverse_gain"] = told["inverse_gain"]
    rows = {row["way"]: row for row in passes.measure(n=8, each=2)}
    print("passes", rows, flush=True)
    out["passes_ratio"] = round(rows["left to right"]["steps"] / rows["2 passes"]["steps"], 2)
    return out | votes.quick() | speaker.quick()


def whole(args):
    """All tables: dict."""
    out = {}
    for seed in range(args.seeds):
        out[f"critic, seed {seed}"] = critic.measure(seed=seed)
        print(out[f"critic, seed {seed}"], flush=True)
    out["critic, last state alone"] = critic.measure(memory=False, beginnings=60, each=100, n=256, exact=400)
    print(out["critic, last state alone"], flush=True)
    out["critic, k = 10"] = critic.measure(k=10, beginnings=10, each=10)
    print(out["critic, k = 10"], flush=True)
    out["wish"] = wish.table(args.n)
    out["passes"] = passes.measure()
    out["gate"] = gate.measure()
    for name in ("passes", "gate"):
        print(*out[name], sep="\n", flush=True)
    out["inverse"] = inverted.measure()
    print(*out["inverse"].items(), sep="\n", flush=True)
    if args.sentiment:
        out["sentiment"] = sentiment.measure(args.data)
        print(out["sentiment"], flush=True)
    if args.pictures:
        out["tokens"] = tokens.measure()
    return out


if __name__ == "__main__":
    main()
