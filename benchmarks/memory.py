"""Cost against size: peak memory and seconds of `DeepDSL.fit` without a writer at two numbers of prompts, one process each.

    python benchmarks/memory.py [--small 10000] [--large 100000]

Stages that read the whole corpus (phrases, encode, tag all) should take equal seconds per 1,000 prompts; the others work on
a sample of fixed size. Memory is the peak resident set of the process, the corpus included.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile

LINEAR = ("phrases", "encode", "tag all")


def measure(n):
    """Fit on n prompts of the grammar in this process; print stats and peak memory as JSON."""
    from workbench import corpus
    from workbench.language.dsl import DeepDSL, DSLConfig

    prompts, config = corpus.load("world", n=n, progress=False), DSLConfig(writer=None)
    with tempfile.TemporaryDirectory() as folder:
        dsl = DeepDSL.fit(prompts, config, folder=folder, progress=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mb": peak, "seconds": dsl.stats["seconds"], "prompts": dsl.stats["prompts"]}))


def main():
    """Run both sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return measure(args.one)
    runs = []
    for n in (args.small, args.large):
        out = subprocess.run([sys.executable, __file__, "--one", str(n)], check=True, stdout=subprocess.PIPE, text=True)
        runs.append(json.loads(out.stdout.splitlines()[-1]))
        print(runs[-1], flush=True)
    small, large = runs
    print(f"\n| | {small['prompts']:,} prompts | {large['prompts']:,} prompts | |\n| --- | --- | --- | --- |")
    difference = large["peak_mb"] - small["peak_mb"]
    print(f"| peak memory, MB | {small['peak_mb']:.0f} | {large['peak_mb']:.0f} | difference {difference:+.0f} (target < 150) |")
    for stage in [*LINEAR, "linear stages together", "sample", "codes"]:
        values = [sum(run["seconds"][s] for s in (LINEAR if stage.startswith("linear") else (stage,))) for run in runs]
        if stage in ("sample", "codes"):
            print(f"| {stage}, s in all | {values[0]:.1f} | {values[1]:.1f} | fixed sample |")
        else:
            rates = [value / run["prompts"] * 1000 for value, run in zip(values, runs, strict=True)]
            print(f"| {stage}, s per 1,000 prompts | {rates[0]:.2f} | {rates[1]:.2f} | ratio {rates[1] / rates[0]:.2f} |")


if __name__ == "__main__":
    main()
