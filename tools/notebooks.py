"""Notebooks: write their badges, navigation and setup cells (sync), execute them (render), say what is wrong with them (check).

python tools/notebooks.py {sync,render,check} [notebook ...]

A notebook is written by hand except for its first cell and its setup cell. Tags say how a cell is treated: `header` and `setup`
are written here; `nbval-ignore-output` marks work whose output is kept for readers and not compared; `exercise` marks a cell that
waits for the reader's answer. Ours is the Python block in the next fold (`<details>`): it is executed in place of the cell, by
`render` and by the tests. The title cell holds `# Title` and one line that ends in a question mark: the question that the table
of the README shows. A lesson that needs an optional package names it in its metadata: "needs": ["lancedb>=0.30"].
"""

import argparse
import ast
import copy
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
OPEN, CLOSE = "<!-- notebooks -->", "<!-- /notebooks -->"
UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip"}
UNCOMPARED_MARKS = re.compile(r"^\s*#\s*(NBVAL_IGNORE_OUTPUT|NBVAL_SKIP|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.MULTILINE)
# https://github.com/owner/name, ssh://git@github.com/owner/name.git, git@github.com:owner/name.git and the like
GITHUB = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^/@]+@)?(?:www\.|ssh\.)?github\.com(?::\d+)?/|(?:[\w-]+@)?github\.com:/?)"
    r"([\w.-]+/[\w.-]+?)(?:\.git)?/?",
    re.IGNORECASE,
)
MAX_LINES, MAX_BYTES, MIN_CHECKS = 30, 1_500_000, 2  # a figure is kept twice: in HTML and as a PNG
SECONDS = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900)
IMPORT_NAMES = {"scikit-learn": "sklearn", "umap-learn": "umap", "pillow": "PIL"}  # where `pip install x` is not `import x`
FOLD = re.compile(r"<details>.*?^```python\n(.*?)^```$.*?</details>", re.DOTALL | re.MULTILINE)
# what a viewer without HTML shows of an object that has no words: <IPython.core.display.HTML object>
STAND_IN = re.compile(r"<[\w.]+ object(?: at 0x[0-9a-f]+)?>|<[\w.]+ at 0x[0-9a-f]+>")
SHOWS = {"HTML", "check", "display", "listing", "print", "show"}
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # in Colab, and elsewhere
HOMES = (*(f"/{folder}/" for folder in ("home", "root", "Users", "tmp")), ":\\Users\\")  # what a private path begins with


def slugs(root=ROOT):
    """Name the GitHub repository, first choice first: where this checkout came from (a fork), then pyproject's.

    An origin that is not on GitHub (a folder, another host) counts for nothing.

    Args:
        root: Path of the project.

    Returns:
        list of one or two str such as "deep-dsl/workbench".
    """
    stated = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["workbench"]["slug"]
    found = GITHUB.fullmatch(_origin(root))
    return list(dict.fromkeys([found[1], stated] if found else [stated]))


def _origin(root):
    """The address that this checkout came from; "" without git, outside of a checkout, and without a remote called origin."""
    # --git-dir: a project that lies inside somebody else's checkout has no origin of its own
    command = ["git", "--git-dir", str(root / ".git"), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def paths(root=ROOT):
    """List the notebooks of the project in the order of their numbers."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def setup_source(slug, root=ROOT, more=()):
    """Write the setup cell: the requirements of the project by name, `more` of them, and where the package comes from."""
    lines = [line.partition("#")[0].strip() for line in (root / "requirements.txt").read_text("utf-8").splitlines()] + [*more]
    odd = [line for line in lines if line and not re.fullmatch(r"[\w-]+>=[\d.]+", line)]
    if odd:
        raise ValueError(f"requirements.txt holds {odd}; the setup cell understands lines like name>=1.2 only.")
    names = {IMPORT_NAMES.get(name := line.split(">=")[0], name.replace("-", "_")): line for line in lines if line}
    needed = " ".join(f"{module}:{wanted}" for module, wanted in names.items())
    source = (ROOT / "tools" / "setup_cell.py").read_text("utf-8").rstrip()
    return source.replace("MODULE:REQUIREMENT", needed).replace("OWNER/NAME", slug)


def _needs(notebook):
    """Requirements of one lesson alone, beyond those of the project: list of str, `needs` in the metadata of the notebook."""
    return list(notebook.metadata.get("needs", []))


def title_of(notebook, path):
    """Find title and question of a notebook.

    Args:
        notebook: nbformat NotebookNode.
        path: Path, for the message.

    Returns:
        (title, question), both str.

    Raises:
        ValueError: no cell begins with "# ", or none of its lines ends in a question mark.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "header" not in _tags(cell) and cell.source.startswith("# "):
            title, *lines = cell.source.splitlines()
            asked = [line.strip(" *_>#") for line in lines if line.strip(" *_>#").endswith("?")]
            if not asked:
                raise ValueError(f"{path.name}: under its title no line ends in a question mark: which question does it answer?")
            return title[2:].strip(), asked[0]
    raise ValueError(f"{path.name}: no text cell begins with '# ' and a title.")


def header_source(path, slug, titles, seconds):
    """Write the first cell: badge, previous | index | next, and how long the notebook takes.

    Args:
        path: Path of the notebook.
        slug: str, "owner/name".
        titles: dict Path -> title of all notebooks, in order.
        seconds: int, or None before the first render.
    """
    order = list(titles)
    here = order.index(path)

    def link(word, other):
        return f"{word}: [{titles[other]}]({other.name}) ([Colab]({_colab(other, slug)}))"

    parts = [link("previous", order[here - 1])] if here else []
    parts.append(f"[index](../README.md#notebooks) ([GitHub](https://github.com/{slug}#notebooks))")
    parts += [link("next", order[here + 1])] if here + 1 < len(order) else []
    cost = f"CPU is enough, about {seconds if seconds else '?'} s."
    return f"[![Open in Colab]({BADGE})]({_colab(path, slug)})\n\n{' | '.join(parts)}\n\n{cost}"


def readme_text(text, notebooks, slug):
    """Put the table of notebooks between its two markers.

    Args:
        text: str, README.md.
        notebooks: dict Path -> NotebookNode, in order.
        slug: str, "owner/name".

    Returns:
        str, the new README.md.

    Raises:
        ValueError: the markers are not there once each.
    """
    if text.count(OPEN) != 1 or text.count(CLOSE) != 1 or text.index(OPEN) > text.index(CLOSE):
        raise ValueError(f"README.md needs the lines {OPEN} and {CLOSE} once each: the table of notebooks goes between them.")
    rows = ["| Notebook | The question it answers | On a CPU | Run it |", "| --- | --- | --- | --- |"]
    for path, notebook in notebooks.items():
        title, question = title_of(notebook, path)
        cost = f"{_seconds(notebook) or '?'} s"
        badge = f"[![Colab][badge]]({_colab(path, slug)})"
        rows.append(f"| [{title}](notebooks/{path.name}) | {question} | {cost} | {badge} |")
    before, after = text.partition(OPEN)[0], text.partition(CLOSE)[2]
    return f"{before}{OPEN}\n" + "\n".join([*rows, "", f"[badge]: {BADGE}"]) + f"\n{CLOSE}{after}"


def sync(root=ROOT):
    """Write first cells, setup cells and the table of the README; the outputs stay.

    Returns:
        list of Path that changed.
    """
    slug = slugs(root)[0]
    notebooks = {path: nbformat.read(path, as_version=4) for path in paths(root)}
    titles = {path: title_of(notebook, path)[0] for path, notebook in notebooks.items()}
    changed = []
    for path, notebook in notebooks.items():
        _put(notebook, ["header"], 0, header_source(path, slug, titles, _seconds(notebook)), nbformat.v4.new_markdown_cell)
        setup = setup_source(slug, root, _needs(notebook))
        _put(notebook, ["setup", "nbval-ignore-output"], 2, setup, nbformat.v4.new_code_cell)
        _normalise(notebook)
        changed += _write(path, _text(notebook))
    readme = root / "README.md"
    return changed + _write(readme, readme_text(readme.read_text("utf-8"), notebooks, slug))


def answered(notebook):
    """Put our answers into the exercises of a notebook, in place.

    Args:
        notebook: nbformat NotebookNode; a code cell with the tag `exercise` takes the Python block of the next fold.

    Returns:
        dict of place in `notebook.cells` -> str, what stood there.

    Raises:
        ValueError: an exercise without such a fold before the next exercise.
    """
    empty = {}
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or "exercise" not in _tags(cell):
            continue
        answer = None
        for other in notebook.cells[place + 1 :]:
            if "exercise" in _tags(other):
                break
            if other.cell_type == "markdown" and (answer := FOLD.search(other.source)):
                break
        if answer is None:
            raise ValueError(f"the exercise {cell.source!r} has no fold with a Python block: <details> ... ```python ... ```")
        empty[place], cell.source = cell.source, answer[1].rstrip("\n")
    return empty


def render(chosen, root=ROOT):
    """Execute notebooks and keep their outputs; the stated time changes only when it is off by a factor of 2.

    A notebook that fails stays as it was. Work starts without a cache of finished work, so that a second render prints the same.

    Args:
        chosen: list of Path; its notebooks are executed.
        root: Path of the project.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    from nbclient import NotebookClient

    sync(root)
    for path in chosen:
        notebook = nbformat.read(path, as_version=4)
        empty = answered(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        client = NotebookClient(
            notebook,
            timeout=1800,
            kernel_name="python3",
            store_widget_state=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
        )
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as cache:
            client.execute(env=dict(os.environ) | {"WORKBENCH_SCALE": "default", "WORKBENCH_CACHE": cache})
        took = time.monotonic() - begin
        for place, source in empty.items():
            notebook.cells[place].source = source
        _normalise(notebook)
        stated = _seconds(notebook)
        if stated is None or not stated / 2 <= took <= stated * 2:
            new = next((seconds for seconds in SECONDS if took <= seconds), SECONDS[-1])
            notebook.cells[0].source = re.sub(r"about (\?|\d+) s\.", f"about {new} s.", notebook.cells[0].source)
        _write(path, _text(notebook))
        print(f"{path.name}: {took:.0f} s, states {_seconds(notebook)} s")
    sync(root)


def check(root=ROOT):
    """Say what is wrong with the notebooks, in milliseconds: nothing is executed.

    Badges may lead to the repository of pyproject.toml or to the one this checkout came from, all to the same: a fresh fork
    is not wrong, and neither is one that ran `sync`.

    Returns:
        list of str, each naming the notebook and what to do; empty when all is well.
    """
    notebooks = {path: nbformat.read(path, as_version=4) for path in paths(root)}
    try:
        titles = {path: title_of(notebook, path)[0] for path, notebook in notebooks.items()}
        found = [_written_problems(notebooks, titles, slug, root) for slug in slugs(root)]
    except ValueError as err:
        return [str(err)]
    problems = min(found, key=len)
    for path, notebook in notebooks.items():
        problems += [f"{path.name}: {problem}" for problem in shape_problems(notebook, root)]
        if path.stat().st_size >= MAX_BYTES:
            problems.append(
                f"{path.name}: {path.stat().st_size:,} bytes, the limit is {MAX_BYTES:,}: show fewer or smaller figures"
            )
    return problems


def shape_problems(notebook, root=ROOT):
    """Say what is wrong with one notebook by itself.

    Args:
        notebook: nbformat NotebookNode.
        root: Path of the project, which must not appear in it.

    Returns:
        list of str.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    work = [cell for cell in code if "exercise" not in _tags(cell)]
    compared = [cell for cell in work if _compared(cell)]
    problems = []
    try:
        answered(copy.deepcopy(notebook))
    except ValueError as err:
        problems.append(str(err))
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        problems.append("not executed from top to bottom: python tools/notebooks.py render")
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        problems.append("holds the output of an error")
    checks = [cell for cell in compared if _calls_check(cell) and _said_ok(cell)]
    if len(checks) < MIN_CHECKS:
        problems.append(f"{len(checks)} compared cells with check(...) and its output, {MIN_CHECKS} are the least")
    if 2 * len(compared) < len(work):
        problems.append(f"only {len(compared)} of {len(work)} code cells are compared, half is the least")
    if "widgets" in notebook.metadata:
        problems.append("holds the state of widgets: python tools/notebooks.py render")
    for number, cell in enumerate(code, 1):
        problems += [f"code cell {number}: {problem}" for problem in _cell_problems(cell)]
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", nbformat.writes(notebook))
    private = sorted(
        {place for place in (*HOMES, f"{root}{os.sep}", f"{Path.home()}{os.sep}") if len(place) > 1 and place in text}
    )
    if private:
        problems.append(f"shows paths of one machine: {', '.join(private)}")
    return problems


def _written_problems(notebooks, titles, slug, root):
    """What `sync` would change if this were the slug."""
    problems = []
    for path, notebook in notebooks.items():
        seconds = _seconds(notebook)
        if not notebook.cells or notebook.cells[0].source != header_source(path, slug, titles, seconds):
            problems.append(f"{path.name}: badge or navigation is out of date: python tools/notebooks.py sync")
        elif not seconds:
            problems.append(f"{path.name}: does not say how long it takes: python tools/notebooks.py render")
        first = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
        if first is None or first.source != setup_source(slug, root, _needs(notebook)) or "setup" not in _tags(first):
            problems.append(f"{path.name}: the first code cell is not the present setup cell: python tools/notebooks.py sync")
    readme = (root / "README.md").read_text("utf-8")
    if readme_text(readme, notebooks, slug) != readme:
        problems.append("README.md: the table of notebooks is out of date: python tools/notebooks.py sync")
    return problems


def _cell_problems(cell):
    """What is wrong with one code cell."""
    if (lines := len(cell.source.splitlines())) > MAX_LINES and "setup" not in _tags(cell):
        yield f"{lines} lines, {MAX_LINES} are the most: move the logic into the package"
    if "setup" not in _tags(cell) and re.search(r"\bpip3? install\b", cell.source):
        yield "installs something: only the setup cell does"
    hiding = (ast.If, ast.IfExp, ast.BoolOp, ast.Try, ast.While)
    for node in ast.walk(_tree(cell)):
        suppressed = isinstance(node, ast.With) and "suppress" in ast.dump(node.items[0])
        if (suppressed or isinstance(node, hiding)) and any(_is_check(inner) for inner in ast.walk(node)):
            yield f"line {node.lineno}: check(...) depends on a condition; it must run at every scale"
    for output in cell.outputs:
        if any("widget-view" in kind for kind in output.get("data", {})):
            yield "holds a widget, which is dead without its kernel: python tools/notebooks.py render"
    if cell.execution_count is not None:
        yield from _hidden(cell)


def _hidden(cell):
    """What a viewer without HTML would miss of an executed cell: it shows text/plain, image/png and what was printed."""
    tree = _tree(cell)
    calls = {getattr(node.func, "id", None) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    last = tree.body[-1] if tree.body else None
    named = isinstance(last, ast.Expr) and isinstance(last.value, ast.Name | ast.Attribute | ast.Subscript)
    if not cell.outputs and (SHOWS & (calls - defined) or named):
        yield "shows something, and no output is kept: python tools/notebooks.py render"
    for output in (output for output in cell.outputs if "data" in output):
        if STAND_IN.search(output.data.get("text/plain", "<no object>")):
            yield "an output has no words for viewers without HTML: give it a __repr__, or use lesson.listing"
    printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout").splitlines()
    for line, after in zip(printed, [*printed, ""][1:], strict=True):
        if line.startswith("ok  ") and re.search(r" [<>]= ", line) and not after.startswith("    here "):
            yield f"a check does not say its value: {line}"
    figures = [output for output in cell.outputs if "<figure" in output.get("data", {}).get("text/html", "")]
    if any("image/png" not in output.data for output in figures):
        yield "a figure has no image/png beside its HTML: use lesson.show"


def _compared(cell):
    return not (UNCOMPARED_TAGS & _tags(cell) or UNCOMPARED_MARKS.search(cell.source))


def _tree(cell):
    # magics are no Python
    return ast.parse("\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in cell.source.splitlines()))


def _is_check(node):
    if not isinstance(node, ast.Call):
        return False
    return getattr(node.func, "id", None) == "check" or getattr(node.func, "attr", None) == "check"


def _calls_check(cell):
    return any(_is_check(node) for node in ast.walk(_tree(cell)))


def _said_ok(cell):
    return any(output.get("name") == "stdout" and re.search(r"^ok  ", output.text, re.MULTILINE) for output in cell.outputs)


def _tags(cell):
    return set(cell.metadata.get("tags", []))


def _colab(path, slug):
    return f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{path.name}"


def _seconds(notebook):
    """The time that the first cell states, None before the first render."""
    header = next((cell.source for cell in notebook.cells if "header" in _tags(cell)), "")
    found = re.search(r"about (\d+) s\.", header)
    return int(found[1]) if found else None


def _put(notebook, tags, place, source, new_cell):
    """Write a cell that this tool owns, found by its first tag, else inserted at `place`."""
    cell = next((cell for cell in notebook.cells if tags[0] in _tags(cell)), None)
    if cell is None:
        cell = new_cell(metadata={"tags": tags})
        notebook.cells.insert(place, cell)
    cell.source = source
    cell.metadata["tags"] = tags  # `_normalise` writes the rest


def _normalise(notebook):
    """Leave nothing in a notebook that differs from run to run or belongs to one editor."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    needs = {"needs": _needs(notebook)} if _needs(notebook) else {}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}} | needs)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict(({"tags": tags} if tags else {}) | (FOLDED if "setup" in tags else {}))
        if cell.cell_type == "code":
            cell.outputs = [_still(output) for output in cell.outputs if _lasts(output)]


def _lasts(output):
    """Whether an output means something without its kernel: no widget, such as a progress bar, and no warning."""
    return output.get("name") != "stderr" and not any("widget-view" in kind for kind in output.get("data", {}))


def _still(output):
    """An output with the words of its picture and no other metadata."""
    if "metadata" in output:
        output.metadata = nbformat.from_dict({kind: value for kind, value in output.metadata.items() if kind == "image/png"})
    return output


def _text(notebook):
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def _write(path, text):
    """Write if different, all or nothing; return the list of paths written."""
    if path.exists() and path.read_text("utf-8") == text:
        return []
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)
    return [path]


def main():
    """Run one of the three verbs; exit 1 when `check` finds something."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["sync", "render", "check"])
    parser.add_argument("notebooks", nargs="*", type=Path, help="notebooks to render, all if none is named")
    options = parser.parse_args()
    if options.notebooks and options.verb != "render":
        parser.error(f"{options.verb} looks at all notebooks: name none")
    unknown = [str(path) for path in options.notebooks if path.resolve() not in paths()]
    if unknown:
        parser.error(f"not in the folder notebooks: {', '.join(unknown)}")
    if options.verb == "sync":
        print("\n".join(f"wrote {path.relative_to(ROOT)}" for path in sync()) or "all up to date")
    elif options.verb == "render":
        render([path.resolve() for path in options.notebooks] or paths())
    else:
        problems = check()
        print("\n".join(problems) or f"{len(paths())} notebooks are well")
        sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
