"""The README and its neighbours: what they tell people to type works, and what they link to is there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.readme import START
from workbench import DeepDSL

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")]
PAGES += [ROOT / "docs" / name for name in ("offline.md", "sources.md")]


def text(path):
    return path.read_text("utf-8")


def test_the_snippets_of_the_readme_run_and_print_what_it_shows(minilm, tmp_path):
    page = text(ROOT / "README.md")
    [(start, shown)] = START.findall(page)
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert blocks[0] == start
    env = os.environ | {"PYTHONPATH": str(ROOT), "WORKBENCH_CACHE": str(tmp_path / "cache"), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", "\n".join(blocks)]  # one after the other, as a reader would
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found, shown = done.stdout.splitlines(), shown.splitlines()
    assert found[:2] == shown[:2]  # what is read
    # what is drawn may differ on another processor, but not in number and form
    assert len(found) == len(shown) == len(set(found))
    assert all(re.fullmatch(r"portrait of a .+, .+, soft light", line) for line in (*found[2:5], *shown[2:5]))
    assert DeepDSL.load(tmp_path / "my_dsl").read("a red fox, watercolor, by Claude Monet").slots


def test_the_readme_is_short():
    assert len(text(ROOT / "README.md").encode()) <= 10_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_linked_to_is_there(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text(page))
    gone = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not gone, f"{page.name} links to {gone}"


def test_the_index_link_of_the_notebooks_finds_its_heading():
    assert text(ROOT / "README.md").splitlines().count("## Notebooks") == 1


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_every_make_command_of_the_texts_is_known_to_the_makefile(tmp_path):
    verbs = {verb for page in PAGES for verb in re.findall(r"(?:`|^|CPU|cpu )make ([a-z]+)", text(page), re.MULTILINE)}
    assert verbs == {"demo", "test", "bench", "notebooks", "studio", "colab", "world", "help", "docs"}
    for verb in verbs:
        command = ["make", "-n", verb, f"VENV={tmp_path / 'venv'}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("given", "called"),
    [
        ([], "-m workbench --n 3100\n"),
        (["N=500"], "-m workbench --n 500\n"),
        (["PROMPTS=my prompts.csv"], '-m workbench "my prompts.csv"\n'),
        (["PROMPTS=my prompts.csv", "N=500"], '-m workbench "my prompts.csv" --n 500\n'),
    ],
)
def test_make_demo_hands_on_prompts_and_n(tmp_path, given, called):
    command = ["make", "-n", "--no-print-directory", "demo", f"VENV={tmp_path / 'venv'}", *given]
    # the tests are themselves started by make, whose flags and variables must not reach this one
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=outside)
    assert re.sub(r" +\n", "\n", re.sub(" +", " ", done.stdout)).endswith(called)


def test_constraints_pin_each_requirement_within_its_range_and_no_build_of_one_platform():
    lines = [line for line in text(ROOT / "constraints.txt").splitlines() if line and line[0] != "#"]
    pins = dict(line.split("==") for line in lines)
    wanted = [Requirement(line) for line in text(ROOT / "requirements.txt").splitlines() if line and line[0] != "#"]
    assert [need.name for need in wanted if pins.get(need.name) not in need.specifier] == []
    assert not [pin for pin in lines if "+" in pin or pin.startswith(("nvidia", "triton", "deep-dsl"))]
    assert lines == sorted(lines)
