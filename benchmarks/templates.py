"""Print unselected templates, to be read by people: of the grammar, or of a file of prompts.

python benchmarks/templates.py                         # writes benchmarks/templates.md, from held-out prompts of the grammar
python benchmarks/templates.py prompts.txt out/t.md    # other people's prompts: keep the result out of the repository
"""

import argparse
from pathlib import Path

import numpy as np

from workbench import corpus, files
from workbench.language.dsl import DeepDSL, DSLConfig


def main():
    """Fit the default DSL, read prompts that it has not seen, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="world")
    parser.add_argument("out", nargs="?", default=str(Path(__file__).with_name("templates.md")))
    parser.add_argument("--n", type=int, default=20_000, help="prompts to learn from")
    parser.add_argument("--show", type=int, default=40)
    args = parser.parse_args()
    if args.source == "world":
        train, held = corpus.load("world", n=args.n), corpus.load("world", n=args.show, seed=1, split="test")
    else:
        train, held = corpus.load(args.source, n=args.n).split(0.1)
    dsl = DeepDSL.fit(train, DSLConfig(writer=None))
    rows = np.random.default_rng(0).choice(len(held), min(args.show, len(held)), replace=False)
    lines = [
        f"# {len(rows)} unselected templates",
        "",
        f"Learned without labels from {len(train):,} prompts ({args.source}), read on prompts that were not learned from.",
        "The names are guesses from a built-in list of examples. Made by `benchmarks/templates.py`.",
        "",
        "```text",
        *[str(template).replace("`", "'") for template in dsl.read([held[int(i)] for i in rows])],
        "```",
        "",
        "| code | share | typical fillers |",
        "| --- | --- | --- |",
    ]
    for code in sorted(dsl.codes, key=lambda code: -code.count):
        fillers = ", ".join(text for text, _ in code.fillers[:8]).replace("|", "/")
        lines.append(f"| {code.name}{' (plain text)' if code.literal else ''} | {code.usage:.1%} | {fillers} |")
    with files.atomic_path(Path(args.out)) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
