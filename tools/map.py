"""Draw the picture at the top of the README, docs/map.png.

    python tools/map.py [--n 20000] [--out docs/map.png]

The language of `benchmarks/templates.py`; what that script has learned is not learned twice.
"""

import argparse
from pathlib import Path

from workbench import DeepDSL, DSLConfig, atlas, corpus, files, report

HERE = Path(__file__).resolve().parents[1]


def main():
    """Learn, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="prompts of the grammar (default: %(default)s)")
    parser.add_argument("--out", type=files.path, default=HERE / "docs" / "map.png", help="picture to write")
    options = parser.parse_args()
    dsl = DeepDSL.fit(corpus.load("world", n=options.n), DSLConfig(writer=None))
    vectors, codes, names, texts = report.to_map(dsl)
    placed = atlas.fit(vectors, seed=0)
    title = f"The language of {options.n:,} built-in prompts, learned without labels"
    picture = atlas.plot_map(placed.xy, codes, names, texts, title=title)
    with files.atomic_path(options.out) as temporary:
        picture.figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
    print(f"{options.out}: trustworthiness {placed.trustworthiness:.2f}. {picture.numbers}")


if __name__ == "__main__":
    main()
