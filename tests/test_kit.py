"""What comes with the package: its data, its wheel, its links, its documentation."""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
import zlib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from packaging.requirements import Requirement

import workbench

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SLUG = PROJECT["tool"]["workbench"]["slug"]
LIMIT = 22 << 20  # bytes of the wheel: 22 MiB


def loaded(name, path):
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


links = loaded("setup_hook", "setup.py")
docs = loaded("docs_hook", "tools/docs.py")

# ---- links


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![map](docs/map.png)", f"![map](https://raw.githubusercontent.com/{SLUG}/main/docs/map.png)"),
        ("[how](CONTRIBUTING.md#places)", f"[how](https://github.com/{SLUG}/blob/main/CONTRIBUTING.md#places)"),
        (
            '<img src="docs/studio.png" alt="x">',
            f'<img src="https://raw.githubusercontent.com/{SLUG}/main/docs/studio.png" alt="x">',
        ),
        (
            "[![open](https://a.b/c.svg)](notebooks/00_tour.ipynb)",
            f"[![open](https://a.b/c.svg)](https://github.com/{SLUG}/blob/main/notebooks/00_tour.ipynb)",
        ),
        ("[here](#limits) [there](https://a.b/docs/map.png) [you](mailto:a@b.c) `x[0](LICENSE)`",) * 2,
        ("```python\ntable[0](LICENSE)\n```",) * 2,
    ],
)
def test_links_of_the_readme_lead_to_the_repository_where_nothing_lies_beside_it(text, shown):
    assert links.relink(text, links.address) == shown


def test_all_addresses_of_the_project_hold_its_slug():
    home = f"https://github.com/{SLUG}"
    assert all(url.startswith(home) for url in PROJECT["project"]["urls"].values())
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["repository-code"] == home and cited["version"] == workbench.__version__
    assert [one["name"] for one in cited["authors"]] == [one["name"] for one in PROJECT["project"]["authors"]]


def test_the_workflow_runs_what_ci_runs_and_all_forms_are_whole():
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]["ci"]["steps"]
    assert "bash .ci/run" in [step.get("run") for step in steps]
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"):
        form = yaml.safe_load(path.read_text("utf-8"))
        assert form["name"] and form["description"] and form["body"], path.name


# ---- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what is committed or would be."""
    if not (ROOT / ".git").exists():
        pytest.skip("the wheel is built from a git checkout")
    folder = tmp_path_factory.mktemp("wheel")
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0"):
        if (
            name.startswith(("workbench/", "README", "LICENSE", "pyproject", "requirements", "setup.py"))
            and (ROOT / name).exists()
        ):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return next(folder.glob("*.whl"))


def test_the_wheel_is_small_and_says_who_made_it_and_where_it_lives(wheel):
    assert wheel.stat().st_size <= LIMIT, f"{wheel.stat().st_size:,} bytes"
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        [about] = [packed.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
        [script] = [packed.read(name).decode() for name in names if name.endswith(".dist-info/entry_points.txt")]
    assert "workbench/py.typed" in names and not [name for name in names if name.startswith(("tests", "tools", "benchmarks"))]
    assert "Author: The Deep DSL workbench developers" in about and f"Project-URL: Repository, https://github.com/{SLUG}" in about
    assert script.split() == ["[console_scripts]", "deep-dsl", "=", "workbench.__main__:main"]
    page = about.partition("\n\n")[2]
    assert not [target for _, target in re.findall(r'(\]\(|src=")([^)"#\s]+)', page) if (ROOT / target).exists()]


def test_the_first_snippet_works_from_the_wheel_in_an_empty_folder(wheel, minilm, tmp_path):
    place, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(place)
    [code, *_] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    code += f"\nimport workbench\nassert workbench.__file__.startswith({str(place)!r})"
    env = os.environ | {"PYTHONPATH": str(place), "WORKBENCH_CACHE": str(tmp_path / "cache"), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], cwd=empty, env=env, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout


# ---- the documentation

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FIGURE = (
    '<figure><img alt="Two &amp; more lines rise together" style="width:9px" '
    f'src="data:image/png;base64,{PIXEL}"><figcaption>A rise.</figcaption></figure>'
)


@pytest.fixture
def lesson(tmp_path):
    def told(source, *outputs, tags=()):
        return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})

    def shown(**data):
        return new_output(
            "display_data", data={f"text/{kind}" if kind != "png" else "image/png": value for kind, value in data.items()}
        )

    cells = [
        new_markdown_cell("[![Open](https://a.b/c.svg)](x)\n\nCPU is enough, about 45 s.", metadata={"tags": ["header"]}),
        new_markdown_cell("# Lines\n\n**Do they rise?**\n\nRead before: [Dots](00_dots.ipynb), or\nnothing.\n\nMore."),
        told("import os", tags=["setup"]),
        told("print('<b>')", new_output("stream", text="<b>\n")),
        told("show(lines)", shown(html=FIGURE, plain="Figure: Two")),
        told("picture", shown(png=PIXEL, plain="Figure: a picture in many colours, all of them dark")),
        told(
            "framed(x)", shown(html='<div><iframe title="four prompts" srcdoc="&lt;p&gt;"></iframe></div>', plain="four prompts")
        ),
        new_markdown_cell("See the [index](../README.md#notebooks).\n\n<details><summary>Solution</summary>\n\n`1`\n</details>"),
    ]
    path = tmp_path / "01_lines.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return docs.Lesson(path, "someone/fork")


def test_a_lesson_becomes_a_page_with_its_outputs(lesson):
    text = lesson.text
    assert (lesson.title, lesson.question, lesson.seconds) == ("Lines", "Do they rise?", 45)
    assert lesson.before == "[Dots](00_dots.md), or nothing."
    assert text.startswith(
        "# Lines\n\n[Open in Colab](https://colab.research.google.com/github/someone/fork/blob/main/notebooks/01_lines.ipynb)"
    )
    assert "c.svg" not in text and "(../index.md#notebooks)" in text and '<details markdown="1"><summary>Solution' in text
    assert "<summary>Setup</summary>\n\n```python\nimport os\n```" in text
    assert all(text.count(place) == 1 for place in lesson.outputs)
    printed, figure, picture, frame = lesson.outputs.values()
    assert "<pre>&lt;b&gt;\n</pre>" in printed and 'srcdoc="&lt;p&gt;"' in frame
    assert 'src="01_lines_0.png"' in figure and "base64" not in figure and "<figcaption>A rise.</figcaption>" in figure
    assert 'alt="a picture in many colours, all of them dark"' in picture and 'src="01_lines_1.png"' in picture


def test_the_gallery_shows_each_figure_with_words_and_leads_to_its_lesson(lesson):
    [first, second] = lesson.figures
    assert (
        first[0] == "01_lines_0.png"
        and first[1].startswith(b"\x89PNG")
        and first[2:] == ("Two & more lines rise together", "A rise.")
    )
    page = docs.gallery([lesson])
    assert page.count('<a href="lessons/01_lines.html">') == 2 and "<figcaption>A rise.</figcaption>" in page
    assert "| [Lines](lessons/01_lines.md) | Do they rise? | 45 s | [Dots](lessons/00_dots.md), or nothing. |" in docs.table(
        [lesson]
    )


def test_the_readme_becomes_the_first_page():
    text = "[![Open](https://a.b/c.svg)](notebooks/00_tour.ipynb) ![m](docs/map.png) [l](LICENSE)"
    assert docs.start(text) == f"[Open](lessons/00_tour.md) ![m](map.png) [l](https://github.com/{SLUG}/blob/main/LICENSE)"


@pytest.fixture(scope="module")
def names():
    griffe = pytest.importorskip("griffe", reason="needs griffe: make docs installs it")
    return docs.front(griffe.load("workbench", search_paths=[str(ROOT)], docstring_parser="google"))


def test_the_reference_has_all_names_of_the_front_and_what_is_public_in_each(names):
    assert ["__version__", *names] == workbench.__all__
    for name, (_, inside) in names.items():
        one = getattr(workbench, name)
        public = getattr(one, "__all__", None) or ([name] if not hasattr(one, "__path__") and callable(one) else None)
        assert inside, name
        assert public is None or sorted(public) == sorted(inner for inner, _ in inside), name


def test_each_thing_is_described_once_and_a_missing_one_is_named(names):
    pages = docs.reference(names)
    described = re.findall(r"^::: (\S+)$", "\n".join(pages.values()), re.MULTILINE)
    assert len(described) == len(set(described)) and docs.missing(names, set(described)) == []
    lost = names["codebook"][1][0]
    assert docs.missing(names, set(described) - {lost[1]})[0] == f"codebook.{lost[0]}"
    assert "| [DeepDSL](DeepDSL.md) | The learned language of a corpus." in pages["reference/index.md"]


def test_the_inventory_of_a_built_site_is_read(tmp_path):
    lines = "workbench.a.B py:class 1 reference/a.html#$ -\nworkbench.a.B.c py:function 1 reference/a.html#$ -\n"
    (tmp_path / "objects.inv").write_bytes(
        b"# Sphinx inventory version 2\n# compressed using zlib.\n" + zlib.compress(lines.encode())
    )
    assert docs.inventory(tmp_path / "objects.inv") == {"workbench.a.B", "workbench.a.B.c"}


def test_comments_of_fields_are_their_description():
    pytest.importorskip("griffe", reason="needs griffe: make docs installs it")
    fields = loaded("docs_fields", "tools/docs_fields.py")
    source = (
        "class A:\n    # before\n    n: int = 3  # codes,\n    #   without the mask\n    m: int = 1\n"
        "    # of nothing\n    s: str = '# no'  # text\n"
    )
    assert fields.comments(source) == {3: "codes, without the mask", 7: "text"}


def test_every_lesson_has_its_part_of_the_teachers_page():
    page = (ROOT / "docs/teachers.md").read_text("utf-8")
    assert [
        path.stem for path in docs.notebooks.paths(ROOT) if "\n### [" not in page or f"](lessons/{path.stem}.md):" not in page
    ] == []


def test_what_the_studio_installs_brings_the_kernel_that_it_starts():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    waiting = [line for line in lines if line and line[0] != "#"] + PROJECT["project"]["optional-dependencies"]["studio"]
    found = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(requirement.name)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            waiting += importlib.metadata.requires(requirement.name) or ()
    assert "ipykernel" in found
