"""Print what the first snippet of the README prints, and draw the picture above it: one prompt as chips, and four new ones.

    python tools/readme.py [--check] [--picture docs/chips.png]

Run it after the shipped language has changed. The snippet is run as it stands, and its output is put into the block below it. The
picture is a screenshot of a page in Chromium, so it needs playwright (the extra `test`) and a Chromium. `--check` writes nothing
and fails if the output of the snippet is another one.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from workbench import DeepDSL, files
from workbench.show import palette

HERE = Path(__file__).resolve().parents[1]
sys.path.append(str(HERE / "tests"))  # which know where a Chromium is
START = re.compile(r"<!-- start -->\n```python\n(.*?)```\n<!-- printed -->\n```text\n(.*?)```", re.DOTALL)
PROMPT = "portrait of a samurai in the rain, oil on canvas, by Gustav Klimt, 8k"
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 20px 26px; width: 1210px; background: #fff; color: #111 }}
body {{ font: 20px/1.5 "Liberation Sans", Arial, sans-serif }}
p {{ margin: 14px 0 2px; color: #555; font-size: 17px }}
section > div {{ margin: 2px 0 }}
section span {{ white-space: nowrap }}
</style><section><p>A prompt, read as a template</p>{first}<p>The same template, four times filled anew</p>{others}</section>"""


def printed(code):
    """What a snippet prints: str. It runs in a process and a folder of its own."""
    env = os.environ | {"PYTHONPATH": str(HERE), "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, encoding="utf-8", check=True)
    return done.stdout


def draw(path, seed=0):
    """Draw the picture: a PNG at `path`."""
    from browser_server import chromium
    from playwright.sync_api import sync_playwright

    dsl = DeepDSL.load("world")
    first = dsl.read(PROMPT)
    order = palette.looks(dsl)
    others = [dsl.read(sample.text).html(order) for sample in dsl.sample(4, template=first, seed=seed, tries=8)]
    with sync_playwright() as play, files.atomic_path(path) as temporary:
        browser = play.chromium.launch(executable_path=chromium())
        page = browser.new_page(viewport={"width": 1262, "height": 200}, device_scale_factor=1.5)
        page.set_content(PAGE.format(first=first.html(order), others="".join(others)))
        page.screenshot(path=temporary, full_page=True, type="png")
        browser.close()


def main():
    """Run the snippet, compare or write its output, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("--picture", type=files.path, default=HERE / "docs" / "chips.png", help="picture to write")
    options = parser.parse_args()
    readme = HERE / "README.md"
    text = readme.read_text("utf-8")
    code, old = START.search(text).groups()
    new = printed(code)
    if options.check:
        sys.exit(f"The snippet of the README prints another text: python tools/readme.py\n{new}" if new != old else 0)
    with files.atomic_path(readme) as temporary:
        at = START.search(text)
        temporary.write_text(text[: at.start(2)] + new + text[at.end(2) :], "utf-8")
    draw(options.picture)
    print(f"{readme} and {options.picture}\n{new}", end="")


if __name__ == "__main__":
    main()
