"""The rooms of the package: what a file may import of it. A failure names the file, the line and the rule."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "workbench"
# Ground modules import only those above them in this order.
GROUND = (
    "values",
    "words",
    "chips",
    "template",
    "checks",
    "disk",
    "locks",
    "files",
    "artifacts",
    "progress",
    "training",
    "pictures",
    "lesson",
)
ROOMS = {
    "models": {"ground"},
    "world": {"ground", "models.checker"},
    "data": {"ground", "world.grammar"},
    "language": {"ground", "models", "data"},
    "control": {"ground", "models"},
    "search": {"ground", "models", "control"},
    "client": {"ground"},
    "show": {"ground", "models", "world", "data", "language", "control", "search"},
}
NO_TORCH = (
    *(name for name in GROUND if name != "training"),
    "__init__",
    *(f"{room}/__init__" for room in ROOMS if room != "models"),
    *(f"client/{name}" for name in ("combining", "optimisers", "remote", "tuning")),
    "show/service/config",
    "show/service/serving",
    "world/grammar",
    "world/scenes",
    "world/captions",
    "world/completions",
    "world/render",
    "world/newcomers",
    "world/questions",
    *(
        f"data/library/{name}"
        for name in ("adding", "choosing", "entries", "prompt_library", "searching", "shelves", "shipped", "standing")
    ),
    "language/lexicon",
    "language/ngram/__init__",
    "language/ngram/tables",
)
HEAVY = {"torch", "transformers", "sklearn", "scipy", "matplotlib", "umap", "pandas", "pyarrow", "kmedoids"} | {
    "datasets",
    "lancedb",
    "vector_quantize_pytorch",
    "fastapi",
    "uvicorn",
    "httpx",
}


def allowed(owner):
    """What a room or a ground module may import, besides itself: names such as "values", "models" and "world.grammar"."""
    if owner in GROUND:
        return set(GROUND[: GROUND.index(owner)])
    if owner == "__main__":
        return {*GROUND, *ROOMS}
    rooms = ROOMS[owner]
    return (rooms - {"ground"}) | set(GROUND)


def imports(path, root=PACKAGE):
    """Pairs (line, dotted name) of all that a file imports, with relative names made absolute."""
    package = ["workbench", *path.relative_to(root).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            full = ".".join(filter(None, (base, node.module)))
            yield from ((node.lineno, f"{full}.{alias.name}") for alias in node.names)


def breaches(path, root=PACKAGE):
    """What a file imports of the package against the rules, in words."""
    owner = path.relative_to(root).with_suffix("").parts[0]
    for line, name in imports(path, root):
        parts = name.split(".")
        if parts[0] != "workbench" or parts[1:2] in (["__version__"], [owner]):
            continue
        if len(parts) == 1 or parts[1] not in {*GROUND, *ROOMS}:
            yield f"{path}:{line} imports {name}: take it from its own module, not from the front of the package."
        elif not {parts[1], ".".join(parts[1:3])} & allowed(owner):
            rule = ", ".join(sorted(allowed(owner))) or "nothing of the package"
            yield f"{path}:{line} imports {'.'.join(parts[1:3])}: {owner} may import {rule}."


def files():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_the_front_door_has_eight_rooms_and_the_flat_ground():
    flat = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert (flat, rooms) == (set(GROUND), set(ROOMS))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_what_its_room_allows(path):
    assert not list(breaches(path))


def test_the_front_of_the_package_imports_nothing_of_it():
    assert [name for _, name in imports(PACKAGE / "__init__.py") if name.startswith("workbench")] == []


@pytest.mark.parametrize("module", NO_TORCH)
def test_the_light_modules_import_nothing_heavy_at_the_top(module):
    path = PACKAGE / f"{module}.py"
    top = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.Import | ast.ImportFrom)]
    named = {alias.name.split(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module.split(".")[0] for node in top if isinstance(node, ast.ImportFrom) and node.module}
    assert not named & HEAVY, f"{path} imports {named & HEAVY} at its top: import it in the function that needs it."


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("words.py", "from workbench.template import Slot", "words.py:1 imports template.Slot: words may import values."),
        ("data/x.py", "from workbench.language import units", "x.py:1 imports language.units"),
        ("data/x.py", "import workbench.language.units as u", "x.py:1 imports language.units"),
        ("data/x.py", "from ..language import units", "x.py:1 imports language.units"),
        ("data/x.py", "def f():\n    from workbench.language import units", "x.py:2 imports language.units"),
        ("data/x.py", "from workbench.world import scenes", "x.py:1 imports world.scenes"),
        ("search/x.py", "from workbench.language.dsl import DeepDSL", "x.py:1 imports language.dsl"),
        ("show/x.py", "from workbench import DeepDSL", "x.py:1 imports workbench.DeepDSL: take it from its own module"),
        ("show/x.py", "import workbench", "x.py:1 imports workbench: take it from its own module"),
        ("data/x.py", "from workbench import __version__\nfrom workbench.world.grammar import prompt\nimport torch", None),
        ("data/x.py", "from workbench.world import grammar\nfrom workbench.data import y", None),
        ("language/x.py", "from workbench import artifacts\nfrom workbench.language import units, encode", None),
        ("__main__.py", "from workbench.show.pages import report", None),
    ],
)
def test_breaches_are_found_in_every_way_to_write_an_import(tmp_path, file, line, message):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    found = list(breaches(path, tmp_path))
    assert (not found) if message is None else message in found[0]
