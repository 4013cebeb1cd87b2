"""The layers of the package: what a module may import of it. A failure names the file, the line and the rule."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "workbench"
# Ground modules import only those above them in this order.
GROUND = ("values", "words", "template", "artifacts", "pictures", "models", "proposals", "world", "lesson")
STAGES = ("corpus", "encode", "ngram", "units", "codebook", "prior", "writer", "atlas", "pez", "score", "guide", "wildcards")
ASSEMBLY = ("dsl",)
TOP = ("site", "widgets", "report", "__main__")
NO_TORCH = (
    "values",
    "words",
    "template",
    "artifacts",
    "pictures",
    "world/grammar",
    "world/scenes",
    "world/render",
    "lesson",
    "__init__",
    "world/__init__",
    "ngram/__init__",
    "ngram/tables",
    "ngram/two_sided",
)
HEAVY = {"torch", "transformers", "sklearn", "scipy", "matplotlib", "umap", "pandas", "pyarrow", "kmedoids"}


def allowed(module):
    """The modules of the package that `module` may import; its own sub-modules are always allowed."""
    if module in GROUND:
        return set(GROUND[: GROUND.index(module)])
    if module in STAGES:
        return set(GROUND)
    if module in ASSEMBLY:
        return set(GROUND) | set(STAGES)
    if module in TOP:
        return set(GROUND) | set(STAGES) | set(ASSEMBLY) | set(TOP)
    raise AssertionError(f"workbench/{module} has no layer yet: put it into one of the lists of tests/test_layers.py.")


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
        if name.split(".")[0] != "workbench":
            continue
        target = name.split(".")[1] if "." in name else ""
        if target == "__version__":
            continue
        if not (root / f"{target}.py").exists() and not (root / target).is_dir() or not target:
            yield f"{path}:{line} imports {name}: take it from its own module, not from the front of the package."
        elif target != owner and target not in allowed(owner):
            rule = ", ".join(sorted(allowed(owner))) or "nothing of the package"
            yield f"{path}:{line} imports {target}: {owner} may import {rule}."


def files():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_its_layer_allows(path):
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
    ("owner", "line", "message"),
    [
        ("words", "from workbench.template import Slot", "words.py:1 imports template: words may import values."),
        ("encode", "from workbench import units", "encode.py:1 imports units"),
        ("encode", "import workbench.units as u", "encode.py:1 imports units"),
        ("encode", "from .units import x", "encode.py:1 imports units"),
        ("encode", "def f():\n    from workbench.units import x", "encode.py:2 imports units"),
        ("world/grammar", "from ..encode import x", "grammar.py:1 imports encode"),
        ("lesson", "from workbench.dsl import DeepDSL", "lesson.py:1 imports dsl"),
        ("dsl", "from workbench import DeepDSL", "dsl.py:1 imports workbench.DeepDSL: take it from its own module"),
        ("dsl", "import workbench", "dsl.py:1 imports workbench: take it from its own module"),
        ("dsl", "from workbench.report import write", "dsl.py:1 imports report"),
        ("encode", "from workbench import __version__\nfrom workbench.models import x\nimport torch", None),
        ("dsl", "from workbench import units, encode", None),
        ("report", "from workbench.dsl import DeepDSL", None),
        ("world/grammar", "from workbench.world.lists import x\nfrom workbench.words import split", None),
    ],
)
def test_breaches_are_found_in_every_way_to_write_an_import(tmp_path, owner, line, message):
    for name in (*GROUND, *STAGES, *ASSEMBLY, *TOP):
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "__init__.py").touch()
    path = tmp_path / f"{owner}.py"
    path.write_text(line)
    found = list(breaches(path, tmp_path))
    assert (not found) if message is None else message in found[0]
