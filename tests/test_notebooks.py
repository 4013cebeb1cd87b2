import ast
import base64
import copy
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("notebook_tool", ROOT / "tools" / "notebooks.py")
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)

NO_PROMPTS = ("01", "02", "07", "08", *map(str, range(10, 18)))  # lessons that print what they are about instead
WORK = """\
import sys

import numpy as np
from matplotlib.figure import Figure

from workbench.lesson import check, pick, show

values = np.arange(pick(fast=10, default=20, full=30)) / 10
print(len(values))"""
FIGURE = """\
figure = Figure()
figure.subplots().plot(values)
figure.suptitle("A rise")
show(figure, alt="A line that rises from left to right", numbers=f"{len(values)} points", caption="A rise.")
print("97% done, 3 s left", file=sys.stderr)
print(f"at {id(figure):#x}")"""


def demo():
    """A notebook as an author writes it: no header, no setup, no outputs."""
    cells = [
        new_markdown_cell("# Rising lines\n\n**Does the line rise?**\n\nYou will learn to see it."),
        new_code_cell(WORK, metadata={"tags": ["nbval-ignore-output"]}),
        new_code_cell('check("last value", values[-1], low=0.6)'),
        new_code_cell(FIGURE),
        new_code_cell('check("steps are equal", np.allclose(np.diff(values), 0.1))'),
        new_markdown_cell("**1.** Turn the line round."),
        new_code_cell("falling = ...  # your answer", metadata={"tags": ["exercise"]}),
        new_code_cell('check("it falls", falling[0] > falling[-1])'),
        new_markdown_cell(
            "<details><summary>Answer</summary>\n\n```python\nfalling = values[::-1]\n```\n\nBackwards.\n</details>"
        ),
    ]
    return new_notebook(cells=cells)


def project(folder, slug="someone/fork"):
    """A small project with one notebook that uses this package."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "workbench").symlink_to(ROOT / "workbench")
    shutil.copy(ROOT / "requirements.txt", folder)
    (folder / "pyproject.toml").write_text(f'[tool.workbench]\nslug = "{slug}"\n')
    (folder / "README.md").write_text(f"# Demo\n\n{tool.OPEN}\n{tool.CLOSE}\n\nThe end.\n")
    nbformat.write(demo(), folder / "notebooks" / "01_rise.ipynb")
    return folder


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = project(tmp_path_factory.mktemp("rendered"))
    tool.render(tool.paths(root), root)
    return root


@pytest.fixture
def notebook(rendered):
    """The rendered notebook, free to be damaged."""
    return nbformat.read(rendered / "notebooks" / "01_rise.ipynb", as_version=4)


# --- the notebooks of this project


def test_every_notebook_and_the_table_of_the_readme_are_well():
    assert tool.check() == []


NOT_FOR_NOTEBOOKS = re.compile(r"(tools|benchmarks|tests|workbench\.(control|data|language|search|show))(\.|$)")


@pytest.mark.parametrize("path", tool.paths(), ids=lambda path: path.stem)
def test_notebooks_import_from_the_front_of_the_package_and_not_from_its_rooms_or_from_the_checkout(path):
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    named = [node.module or "" for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    named += [alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for alias in node.names]
    assert "workbench.lesson" in named
    assert not [name for name in named if NOT_FOR_NOTEBOOKS.match(name)], "write: from workbench import ..."


@pytest.mark.parametrize("path", tool.paths(), ids=lambda path: path.stem)
def test_a_notebook_has_executed_outputs_checks_and_no_traces_of_a_machine(path):
    assert tool.shape_problems(nbformat.read(path, as_version=4)) == []


def seen(cell):
    """What a viewer without HTML shows of a cell: (printed and plain text, sizes of its pictures)."""
    texts, sizes = [], []
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            picture = base64.b64decode(data["image/png"])
            assert picture.startswith(b"\x89PNG")
            sizes.append(struct.unpack(">II", picture[16:24]))
        else:
            texts.append(output.get("text") or data["text/plain"])
    return "\n".join(texts), sizes


def calls(cell, name):
    tree = ast.walk(ast.parse(cell.source))
    return [node for node in tree if isinstance(node, ast.Call) and getattr(node.func, "id", None) == name]


@pytest.mark.parametrize("path", tool.paths(), ids=lambda path: path.stem)
def test_a_viewer_without_html_shows_the_results_of_a_lesson(path):
    notebook = nbformat.read(path, as_version=4)
    prompts = values = figures = 0
    for cell in code_cells(notebook):
        text, sizes = seen(cell)
        assert "object at 0x" not in text and ".HTML object" not in text and "<iframe" not in text
        assert len(sizes) == len(calls(cell, "show")) and all(min(size) > 150 for size in sizes)
        assert all(re.search(rf"^ok  .*{re.escape(called.args[0].value)}", text, re.MULTILINE) for called in plain_checks(cell))
        if calls(cell, "listing"):
            lines = len(re.findall(r"^  \S", text, re.MULTILINE))
            assert lines >= 1
            prompts += lines
        values, figures = values + text.count("\n    here "), figures + len(sizes)
    assert values >= 3 and figures >= 1
    assert prompts >= 8 or path.stem[:2] in NO_PROMPTS


def plain_checks(cell):
    """The checks of a cell, outside of functions, whose claim is written out."""
    return [call for call in calls(cell, "check") if isinstance(call.args[0], ast.Constant)]


# --- sync


def test_sync_writes_badge_navigation_setup_and_table(tmp_path):
    root = project(tmp_path / "p")
    nbformat.write(demo(), root / "notebooks" / "02_next.ipynb")
    changed = tool.sync(root)
    assert [path.name for path in changed] == ["01_rise.ipynb", "02_next.ipynb", "README.md"]
    header, title, setup, *_ = nbformat.read(root / "notebooks" / "02_next.ipynb", as_version=4).cells
    assert "(https://colab.research.google.com/github/someone/fork/blob/main/notebooks/02_next.ipynb)" in header.source
    assert "previous: [Rising lines](01_rise.ipynb) ([Colab](https://colab" in header.source and "next:" not in header.source
    assert "CPU is enough, about ? s." in header.source and title.source.startswith("# Rising lines")
    assert "https://github.com/someone/fork/archive/refs/heads/main.zip" in setup.source
    assert " sklearn:scikit-learn>=" in setup.source and " kmedoids:kmedoids>=" in setup.source
    readme = (root / "README.md").read_text()
    assert "| [Rising lines](notebooks/01_rise.ipynb) | Does the line rise? | ? s | [![Colab][badge]](https://colab" in readme
    assert f"[badge]: {tool.BADGE}" in readme
    assert readme.startswith("# Demo\n\n") and readme.endswith("\n\nThe end.\n")


def test_what_is_written_into_notebooks_pleases_the_linter(rendered):
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", str(rendered / "notebooks")]
    for command in ([*ruff, "check", "--ignore", "D,E501,E402", *config], [*ruff, "format", "--check", *config]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_sync_writes_nothing_the_second_time(tmp_path):
    root = project(tmp_path / "p")
    tool.sync(root)
    assert tool.sync(root) == []


def test_a_fork_gets_badges_of_its_own_and_a_fresh_fork_is_not_wrong(rendered, tmp_path):
    root = tmp_path / "p"
    shutil.copytree(rendered, root, symlinks=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "remote", "add", "origin", "git@github.com:friend/copy-1.0.git"], check=True)
    assert tool.slugs(root) == ["friend/copy-1.0", "someone/fork"]
    assert tool.check(root) == []
    tool.sync(root)
    assert "github/friend/copy-1.0/blob" in (root / "README.md").read_text() and tool.check(root) == []


@pytest.mark.parametrize(
    "origin",
    [
        "https://github.com/friend/copy",
        "https://github.com/friend/copy.git",
        "https://github.com/friend/copy/",
        "https://someone:secret@github.com/friend/copy.git",
        "https://www.github.com/friend/copy",
        "http://GitHub.com/friend/copy",
        "git@github.com:friend/copy.git",
        "git@github.com:friend/copy",
        "github.com:friend/copy.git",
        "ssh://git@github.com/friend/copy.git",
        "ssh://git@ssh.github.com:443/friend/copy.git",
        "git://github.com/friend/copy.git",
    ],
)
def test_the_slug_is_read_from_each_way_of_writing_an_address_on_github(tmp_path, origin):
    root = project(tmp_path / "p")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "remote", "add", "origin", origin], check=True)
    assert tool.slugs(root) == ["friend/copy", "someone/fork"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org/friend/copy.git",
        "https://notgithub.com/friend/copy",
        "https://github.com.example.org/friend/copy",
        "https://example.org/github.com/friend/copy",
        "https://github.com/friend",
        "https://github.com/friend/copy/wiki",
        "git@example.org:github.com/friend",
        "/srv/github.com/friend/copy.git",
        "file:///srv/github.com/friend/copy",
        "../friend/copy",
    ],
)
def test_an_origin_elsewhere_than_on_github_changes_nothing(tmp_path, origin):
    root = project(tmp_path / "p")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "remote", "add", "origin", origin], check=True)
    assert tool.slugs(root) == ["someone/fork"]


def test_without_git_a_checkout_or_an_origin_the_slug_is_that_of_the_project(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", "git@github.com:outer/project.git"], check=True)
    root = project(tmp_path / "p")
    assert tool.slugs(root) == ["someone/fork"]  # it lies in somebody else's checkout
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    assert tool.slugs(root) == ["someone/fork"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tool.slugs(root) == ["someone/fork"]


def test_a_notebook_without_a_question_and_a_readme_without_markers_are_refused(tmp_path):
    root = project(tmp_path / "p")
    (root / "README.md").write_text("# Demo\n")
    with pytest.raises(ValueError, match="README.md needs the lines <!-- notebooks -->"):
        tool.sync(root)
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Title\n\nNo question.")]), root / "notebooks" / "01_rise.ipynb")
    with pytest.raises(ValueError, match="01_rise.ipynb: under its title no line ends in a question mark"):
        tool.sync(root)
    assert tool.check(root) == ["01_rise.ipynb: under its title no line ends in a question mark: which question does it answer?"]


# --- render


def test_a_rendered_notebook_is_well(rendered):
    assert tool.check(rendered) == []


def test_a_rendered_notebook_keeps_what_readers_need_and_nothing_that_is_dead_or_only_a_warning(notebook):
    code = code_cells(notebook)
    assert [bool(cell.outputs) for cell in code] == [True, True, True, True, True, False, True]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, 5, 6, 7]
    assert code[1].outputs[0].text == "20\n" and code[2].outputs[0].text == "ok  last value >= 0.60\n    here 1.9\n"
    figure = code[3].outputs[0]
    assert 'alt="A line that rises from left to right"' in figure.data["text/html"] and figure.data["image/png"]
    assert figure.metadata["image/png"]["alt"] == "A line that rises from left to right"
    assert not [output for cell in code for output in cell.outputs if output.get("name") == "stderr"]
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells if cell is not code[0])
    assert [cell.id for cell in notebook.cells] == [f"cell-{number:02d}" for number in range(len(notebook.cells))]


def test_the_setup_cell_is_folded_in_colab_and_in_jupyter(notebook):
    setup = code_cells(notebook)[0]
    assert setup.metadata == {
        "tags": ["setup", "nbval-ignore-output"],
        "cellView": "form",
        "jupyter": {"source_hidden": True},
    }


def test_the_answer_of_an_exercise_is_executed_and_not_shown_in_its_cell(notebook):
    exercise, graded = code_cells(notebook)[5:]
    assert exercise.source == "falling = ...  # your answer" and graded.outputs[0].text == "ok  it falls\n"
    assert tool.answered(notebook) == {notebook.cells.index(exercise): "falling = ...  # your answer"}
    assert exercise.source == "falling = values[::-1]"


def test_two_renders_are_equal_to_the_byte_but_for_an_address_and_the_time(rendered):
    path = rendered / "notebooks" / "01_rise.ipynb"

    def still():
        return re.sub(r"0x[0-9a-f]+|about \d+ s", "", path.read_text())  # a busy machine may take twice as long

    before = still()
    tool.render([path], rendered)
    assert still() == before


def test_a_notebook_that_fails_is_left_as_it_was(tmp_path):
    root = project(tmp_path / "p")
    path = root / "notebooks" / "01_rise.ipynb"
    broken = demo()
    broken.cells[2].source = "1 / 0"
    nbformat.write(broken, path)
    tool.sync(root)
    before = path.read_bytes()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        tool.render([path], root)
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == ["01_rise.ipynb"]


# --- check


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def damage_order(notebook):
    code_cells(notebook)[1].execution_count = 7


def damage_error(notebook):
    code_cells(notebook)[2].outputs.append(nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]))


def damage_outputs(notebook):
    code_cells(notebook)[2].outputs = []


def damage_tags(notebook):
    for cell in code_cells(notebook)[2:5]:
        cell.metadata["tags"] = ["nbval-ignore-output"]


def damage_marks(notebook):
    for cell in code_cells(notebook)[2:5]:
        cell.source = "# NBVAL_IGNORE_OUTPUT\n" + cell.source


def damage_widgets(notebook):
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}


def damage_widget_view(notebook):
    code_cells(notebook)[2].outputs.append(
        nbformat.v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}})
    )


def damage_privacy(notebook):
    code_cells(notebook)[2].outputs[0].text += "read /home/me/prompts.txt"


def damage_length(notebook):
    code_cells(notebook)[2].source += "\n" * 31 + "pass"


def damage_answer(notebook):
    notebook.cells[-1].source = "The answer is secret."


def damage_work(notebook):
    code_cells(notebook)[1].outputs = []


def damage_words(notebook):
    code_cells(notebook)[3].outputs[0].data["text/plain"] = "<IPython.core.display.HTML object>"


def damage_value(notebook):
    code_cells(notebook)[2].outputs[0].text = "ok  last value >= 0.60\n"


def damage_picture(notebook):
    del code_cells(notebook)[3].outputs[0].data["image/png"]


def damage_install(notebook):
    code_cells(notebook)[2].source += "\n%pip install something"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_order, "not executed from top to bottom"),
        (damage_error, "holds the output of an error"),
        (damage_outputs, "code cell 3: shows something"),
        (damage_tags, "only 1 of 6 code cells are compared"),
        (damage_marks, "only 1 of 6 code cells are compared"),
        (damage_answer, "has no fold with a Python block"),
        (damage_work, "code cell 2: shows something, and no output is kept"),
        (damage_words, "code cell 4: an output has no words for viewers without HTML"),
        (damage_value, "code cell 3: a check does not say its value: ok  last value >= 0.60"),
        (damage_picture, "code cell 4: a figure has no image/png"),
        (damage_widgets, "holds the state of widgets"),
        (damage_widget_view, "code cell 3: holds a widget"),
        (damage_privacy, "shows paths of one machine: /home/"),
        (damage_length, "code cell 3: 32 lines, 30 are the most"),
        (damage_install, "code cell 3: installs something"),
    ],
)
def test_check_names_each_damage(notebook, damage, said):
    assert tool.shape_problems(notebook) == []
    damage(notebook)
    assert any(said in problem for problem in tool.shape_problems(notebook)), tool.shape_problems(notebook)


@pytest.mark.parametrize(
    "source",
    [
        'if scale() != "fast":\n    check("x", 1, low=0)',
        'scale() == "fast" or check("x", 1, low=0)',
        'check("x", 1, low=0) if scale() else None',
        'try:\n    check("x", 1, low=0)\nexcept AssertionError:\n    pass',
        'with contextlib.suppress(AssertionError):\n    lesson.check("x", 1, low=0)',
    ],
)
def test_a_check_that_can_be_passed_over_is_found(notebook, source):
    code_cells(notebook)[2].source = source
    assert any("depends on a condition" in problem for problem in tool.shape_problems(notebook))


def test_a_check_in_a_loop_or_of_a_condition_is_no_problem(notebook):
    code_cells(notebook)[2].source = 'for x in values:\n    check("x", bool(x > 0 or x < 1 if True else False))'
    assert tool.shape_problems(notebook) == []


def test_the_path_of_the_project_itself_is_private(notebook, tmp_path):
    code_cells(notebook)[2].outputs[0].text += "/srv/ours/file"
    assert tool.shape_problems(notebook, Path("/srv/ours")) == ["shows paths of one machine: /srv/ours/"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("blob/main/notebooks/01_rise.ipynb", "blob/main/notebooks/02_fall.ipynb", "badge or navigation is out of date"),
        ("it upgrades nothing", "it upgrades all", "the first code cell is not the present setup cell"),
        ("CPU is enough, about", "CPU is enough, for about", "badge or navigation is out of date"),
        ("Does the line rise?", "Does it fall?", "README.md: the table of notebooks is out of date"),
    ],
)
def test_check_names_what_sync_would_change(rendered, tmp_path, old, new, said):
    root = tmp_path / "p"
    shutil.copytree(rendered, root, symlinks=True)
    path = root / "notebooks" / "01_rise.ipynb"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert any(said in problem for problem in tool.check(root)), tool.check(root)


def test_check_asks_for_the_time_and_for_small_files(rendered, tmp_path):
    root = tmp_path / "p"
    shutil.copytree(rendered, root, symlinks=True)
    path = root / "notebooks" / "01_rise.ipynb"
    path.write_text(re.sub(r"about \d+ s", "about ? s", path.read_text()) + " " * tool.MAX_BYTES)
    problems = tool.check(root)
    assert any("does not say how long it takes" in problem for problem in problems)
    assert any("the limit is 1,500,000" in problem for problem in problems)


# --- the setup cell


LINES = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
NAMES = [line.split(">=")[0] for line in LINES if line]
MODULES = {tool.IMPORT_NAMES.get(name, name.replace("-", "_")) for name in NAMES}
MISSING = {"kmedoids", "vector-quantize-pytorch"}  # on Colab
COLAB = MODULES - {name.replace("-", "_") for name in MISSING}


def run_setup(monkeypatch, capsys, folder, present, answer=0, said="line 1\nno space left"):
    """Run the setup cell in a folder where only some modules are present; return what pip was asked and what was printed.

    A list of what must stay as it is appears in the question as its lines.
    """
    asked = []

    def fake_pip(command, **options):
        assert command[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
        *rest, last = command[5:]
        asked.append([*rest, Path(last).read_text().splitlines()] if "--constraint" in rest else [*rest, last])
        return subprocess.CompletedProcess(command, answer, stdout="", stderr=said)

    monkeypatch.chdir(folder)
    monkeypatch.setattr(subprocess, "run", fake_pip)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in present else None)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9")
    monkeypatch.setattr(sys, "path", sys.path[:])
    exec(compile(tool.setup_source("someone/fork"), "setup", "exec"), {})
    return asked, capsys.readouterr().out


@pytest.mark.parametrize("place", [".", "notebooks"])
def test_the_setup_cell_finds_a_checkout_and_installs_nothing(monkeypatch, capsys, place):
    asked, out = run_setup(monkeypatch, capsys, ROOT / place, MODULES | {"workbench"})
    assert asked == [] and out == "workbench: this checkout; installed with it: nothing\n"


def test_the_setup_cell_installs_the_package_without_dependencies_then_what_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("WORKBENCH_SPEC", raising=False)
    (package, missing), out = run_setup(monkeypatch, capsys, tmp_path, COLAB)
    assert package == ["--no-deps", "https://github.com/someone/fork/archive/refs/heads/main.zip"]
    assert [name.split(">=")[0] for name in missing[:-2]] == [name for name in NAMES if name in MISSING]
    assert missing[-2] == "--constraint"
    assert sorted(missing[-1]) == sorted(f"{name}==9.9" for name in NAMES if name not in MISSING)
    assert out.startswith("workbench: installed; installed with it: kmedoids>=") and out.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_setup_cell_takes_the_package_from_where_it_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORKBENCH_SPEC", "archive.zip")
    asked, _ = run_setup(monkeypatch, capsys, tmp_path, MODULES)
    assert asked == [["--no-deps", "archive.zip"]]


def test_the_setup_cell_does_not_install_the_package_a_second_time(monkeypatch, capsys, tmp_path):
    asked, out = run_setup(monkeypatch, capsys, tmp_path, MODULES | {"workbench"})
    assert asked == [] and out == "workbench: installed; installed with it: nothing\n"


def test_a_failed_installation_shows_the_last_words_of_pip(monkeypatch, capsys, tmp_path):
    with pytest.raises(RuntimeError, match="^pip failed:\nline 1\nno space left$"):
        run_setup(monkeypatch, capsys, tmp_path, COLAB | {"workbench"}, answer=1)


ARCHIVE = "https://github.com/someone/fork/archive/refs/heads/main.zip"
NOT_THERE = f"""ERROR: HTTP error 404 while getting {ARCHIVE}
ERROR: Could not install requirement {ARCHIVE} because of HTTP error 404 Client Error: Not Found for url: {ARCHIVE}"""
UNREACHED = f"""WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError': {ARCHIVE}
ERROR: Could not install packages due to an OSError: Max retries exceeded (Name or service not known)"""


@pytest.mark.parametrize(("said", "why"), [(NOT_THERE, "repository not found"), (UNREACHED, "pip failed")])
def test_where_the_package_cannot_be_fetched_the_setup_cell_says_what_to_set(monkeypatch, capsys, tmp_path, said, why):
    monkeypatch.delenv("WORKBENCH_SPEC", raising=False)
    with pytest.raises(RuntimeError) as error:
        run_setup(monkeypatch, capsys, tmp_path, COLAB, answer=1, said=said)
    first, *rest = str(error.value).splitlines()
    assert first == f"{why}: set WORKBENCH_SPEC to a folder or archive of the package, in place of {ARCHIVE}"
    assert rest[-1] == said.splitlines()[-1] and not any("Retrying" in line for line in rest)


def test_a_package_that_is_missing_from_the_index_is_no_missing_repository(monkeypatch, capsys, tmp_path):
    with pytest.raises(RuntimeError, match="^pip failed:\nHTTP error 404"):
        run_setup(monkeypatch, capsys, tmp_path, COLAB | {"workbench"}, answer=1, said="HTTP error 404")


def test_the_list_of_modules_is_that_of_the_requirements_and_each_can_be_imported():
    pairs = re.search(r'^needed = "(.+)"', tool.setup_source("someone/fork"), re.MULTILINE)[1].split()
    assert [pair.split(":")[1] for pair in pairs] == [line for line in LINES if line]
    assert [pair for pair in pairs if not importlib.util.find_spec(pair.split(":")[0])] == []
    with pytest.raises(FileNotFoundError):
        tool.setup_source("someone/fork", ROOT / "tests")


# --- strict nbval


def nbval(folder, scale):
    """Run the project's nbval command on a folder; return {notebook: failed cells} and the output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(ROOT / "pyproject.toml"),
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
        "-rf",
    ]
    command += [
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with",
        str(ROOT / "tests" / "sanitize.cfg"),
        "-q",
        str(folder),
    ]
    env = dict(os.environ) | {"WORKBENCH_SCALE": scale, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, check=False)
    failed = {}
    for name, cell in re.findall(r"^FAILED \S*?(\w+)\.ipynb::Cell (\d+)", done.stdout, re.MULTILINE):
        failed.setdefault(name, []).append(int(cell))
    return failed, done.stdout + done.stderr


def test_strict_nbval_compares_rules_and_alt_texts_and_neither_pixels_nor_numbers(rendered, notebook, tmp_path):
    root = tmp_path / "p"
    shutil.copytree(rendered, root, symlinks=True)

    def variant(name, cell, old, new):
        changed = copy.deepcopy(notebook)
        code = code_cells(changed)[cell]
        assert old in code.source
        code.source = code.source.replace(old, new)
        nbformat.write(changed, root / "notebooks" / f"{name}.ipynb")

    variant("rule", 2, "low=0.6", "low=0.7")
    variant("claim", 4, "0.1)", "0.2)")
    variant("alt", 3, "from left to right", "from right to left")
    variant("caption", 3, "A rise.", "A fall.")
    variant("pixels", 3, "plot(values)", "plot(values**2, color='red')")
    variant("numbers", 3, " points", " dots")
    failed, output = nbval(root / "notebooks", "fast")  # rendered at "default": the same outputs hold at every scale
    assert failed == {"rule": [2], "claim": [4], "alt": [3], "caption": [3]}, output
    assert "0 passed" not in output and "45 passed" in output


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('<img alt="a" src="data:image/png;base64,iVBORw0KGgo=">', '<img alt="a" src="PICTURE">'),
        ("<details><summary>This figure in numbers</summary>3,000 fillers</details>", "NUMBERS"),
        ("Figure: a map\nIn numbers: 3,000 fillers\nok", "Figure: a map\nNUMBERS\nok"),
        ("ok  share >= 0.60\n    here 0.93\nok  more\n", "ok  share >= 0.60\nVALUE\nok  more\n"),
        ('<iframe title="map" srcdoc="&lt;p&gt;x">', '<iframe title="map" srcdoc=PAGE>'),
        ("/tmp/ipykernel_12/345.py:1: note", "CELL:1: note"),
        ("<object at 0x7f12ab34cd56>", "<object at ADDRESS>"),
        ("ok  share in use >= 0.60", "ok  share in use >= 0.60"),
    ],
)
def test_sanitising_removes_what_means_nothing(text, left):
    from nbval.plugin import get_sanitize_patterns

    for pattern, replacement in get_sanitize_patterns((ROOT / "tests" / "sanitize.cfg").read_text()):
        text = re.sub(pattern, replacement, text)
    assert text == left


# --- the command


def test_the_command_says_what_is_wrong_and_how_to_call_it():
    done = subprocess.run(
        [sys.executable, "tools/notebooks.py", "check", "x"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "check looks at all notebooks: name none" in done.stderr
    done = subprocess.run(
        [sys.executable, "tools/notebooks.py", "render", "x"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "not in the folder notebooks: x" in done.stderr
    done = subprocess.run([sys.executable, "tools/notebooks.py", "check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if tool.check() else 0), done.stdout + done.stderr
