"""Open notebooks as Colab would: each alone in an empty folder, in a fresh environment that has what Colab preinstalls.

python tools/colab.py [notebook ...] [--scale fast] [--environment FOLDER]

For each notebook: a new copy of the environment (hard links, seconds), an empty home, the notebook by itself in a folder, Colab's
variables and a stand-in for `google.colab`; the setup cell installs the package from an archive of this checkout, built like the
one that GitHub serves. Then all cells run. It fails when a cell does, and when one preinstalled package has another version than
before. What differs from Colab: Python's version, torch without a GPU, and no network but for pip; the encoder that Colab would
get from the model hub is preinstalled (the extra `offline` of pyproject.toml).

Needs nothing but Python 3.11 and git.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "constraints-colab.txt"
STAND_IN = ROOT / "tools" / "stand_in"
STARTED = "import google.colab\n"  # Colab's kernel has it imported before the first cell
# of the variables of this machine, those that Colab would not have and that change what a notebook finds
DROPPED = ("PYTHON", "VIRTUAL_ENV", "CONDA", "WORKBENCH", "JUPYTER", "IPYTHON", "HF_", "TRANSFORMERS_", "XDG_", "MPL")


def make_environment(folder, root=ROOT):
    """Build the environment that Colab would start with, or leave it alone if it is already there and up to date.

    Args:
        folder: Path, a virtual environment; one of an older list is built anew.
        root: Path of the project, for its offline encoder.

    Returns:
        float, seconds that it took; 0.0 when nothing was to be done.

    Raises:
        RuntimeError: pip failed, or the list is not complete.
    """
    encoder = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["offline"]
    modules = [path.read_text("utf-8") for path in sorted(STAND_IN.rglob("*.py"))]
    recipe = json.dumps([PACKAGES.read_text("utf-8"), encoder, modules, sys.version])
    stamp, mark = folder / "built-from", hashlib.sha256(recipe.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == mark:
        return 0.0
    begin = time.monotonic()
    _call([sys.executable, "-m", "venv", "--clear", str(folder)])
    # without dependencies: the list is complete, and what it leaves out (jedi) is not on Colab either
    _call([str(_python(folder)), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(PACKAGES), *encoder])
    # it exits with 1 as jedi is missing
    checked = subprocess.run([str(_python(folder)), "-m", "pip", "check"], capture_output=True, text=True, check=False)
    # of the encoder, only the weights are used
    fine = re.compile("|".join(["ipython .* requires jedi", *(re.escape(one.split("==")[0]) for one in encoder)]))
    wrong = [line for line in checked.stdout.splitlines() if " requires " in line and not fine.match(line)]
    if wrong:
        raise RuntimeError(f"{PACKAGES.name} does not hold together:\n" + "\n".join(wrong))
    asked = [str(_python(folder)), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    place = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    shutil.copytree(STAND_IN, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    stamp.write_text(mark)
    return time.monotonic() - begin


def clone(environment, folder):
    """Copy an environment by hard links, so that installing into the copy leaves the first as it was: pip replaces files.

    The scripts in its `bin` still start the first one's interpreter: call `python -m pip`, never `pip`.
    """

    def link(source, target):
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy2(source, target)

    shutil.copytree(environment, folder, symlinks=True, copy_function=link)


def archive(path, root=ROOT):
    """Pack the checkout as GitHub does, with the changes that are not committed yet; ignored files stay out.

    Args:
        path: Path of the zip file to write.
        root: Path of the checkout.

    Returns:
        list of str, the names in the archive.

    Raises:
        RuntimeError: `root` is no git checkout.
    """
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = sorted(name for name in set(_call(command).split("\0")) if name and (root / name).is_file())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name in names:
            packed.write(root / name, f"{root.name}-main/{name}")
    return [f"{root.name}-main/{name}" for name in names]


def packages(python):
    """List what is installed, as `pip freeze` does.

    Args:
        python: Path of an interpreter.

    Returns:
        dict of str, name -> version.
    """
    listed = json.loads(_call([str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]))
    return {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in listed}


def compare(before, after):
    """Say what an installation did to an environment.

    Args:
        before: dict name -> version, from `packages`.
        after: the same, later.

    Returns:
        (changed, added), each a list of str: "numpy 2.1.3 -> 2.4.0" or "numpy 2.1.3 -> gone", and "kmedoids 0.5.5".
    """
    changed = [f"{name} {old} -> {after.get(name, 'gone')}" for name, old in before.items() if after.get(name) != old]
    return changed, [f"{name} {new}" for name, new in after.items() if name not in before]


def surroundings(environment, place, spec, scale, outer=os.environ):
    """Make the variables under which a notebook runs.

    Args:
        environment: Path of the virtual environment.
        place: Path of a folder of this run; its `home` becomes the home.
        spec: str, what pip installs the package from.
        scale: str, fast, default or full.
        outer: dict of the variables here: proxies, certificates, pip's settings and threads stay.

    Returns:
        dict of str.
    """
    env = {name: value for name, value in outer.items() if not name.startswith(DROPPED)}
    settings = [Path.home() / folder / "pip.conf" for folder in (".config/pip", ".pip")]  # a new home would lose them
    if "PIP_CONFIG_FILE" not in env and (found := next((path for path in settings if path.exists()), None)):
        env["PIP_CONFIG_FILE"] = str(found)
    env |= {"PATH": f"{_python(environment).parent}{os.pathsep}{outer.get('PATH', os.defpath)}", "HOME": str(place / "home")}
    env |= {"PIP_CACHE_DIR": str(place.parent / "pip"), "TMPDIR": str(place / "tmp")}
    env |= {"COLAB_RELEASE_TAG": "release-colab-stand-in", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    env |= {"HF_HUB_OFFLINE": "1", "WORKBENCH_SPEC": spec, "WORKBENCH_SCALE": scale, "WORKBENCH_CACHE": str(place / "cache")}
    return env


def open_alone(notebook, environment, place, spec, scale):
    """Run one notebook by itself in a new copy of an environment.

    Args:
        notebook: Path.
        environment: Path, from `make_environment`.
        place: Path of a folder that does not exist yet.
        spec: str, see `surroundings`.
        scale: str.

    Returns:
        dict with `name`, `seconds` of the kernel's start and all cells, `setup` seconds of the start and the first code cell,
        `slowest`, the number of another code cell and its seconds, `problems` and `added`, lists of str.
    """
    copied, content = place / "environment", place / "content"
    clone(environment, copied)
    for folder in (content, place / "tmp", startup := place / "home" / ".ipython" / "profile_default" / "startup"):
        folder.mkdir(parents=True)
    (startup / "00-colab.py").write_text(STARTED, "utf-8")
    shutil.copy(notebook, content)
    before = packages(_python(copied))
    result = place / "result.json"
    command = [str(_python(copied)), str(Path(__file__).resolve()), "--inside", str(content / notebook.name), str(result)]
    done = subprocess.run(
        command,
        cwd=content,
        env=surroundings(copied, place, spec, scale),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    changed, added = compare(before, packages(_python(copied)))
    if result.exists():
        told = json.loads(result.read_text("utf-8"))
    else:
        told = {"seconds": 0.0, "setup": 0.0, "slowest": [1, 0.0]}
        told["problems"] = [f"nothing ran:\n{(done.stdout + done.stderr)[-2000:]}"]
    told["problems"] += [f"the setup changed {one}" for one in changed]
    if not any(name.startswith("deep-dsl-workbench ") for name in added):
        told["problems"].append("the setup did not install the package: was there another one around?")
    return {"name": notebook.name, "added": added} | told


def inside(path):
    """Execute a notebook with this interpreter, which is that of the copied environment.

    Args:
        path: Path.

    Returns:
        dict with `seconds`, `setup`, `slowest` and `problems`, see `open_alone`.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

    from notebooks import answered  # beside this file, which runs as a script here

    notebook = nbformat.read(path, as_version=4)
    answered(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    ended, problems, begin = [], [], time.monotonic()

    def note(cell, cell_index, execute_reply=None):
        ended.append(time.monotonic())

    client = NotebookClient(
        notebook,
        timeout=1800,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_executed=note,
    )
    try:
        client.execute()
    except (CellControlSignal, CellExecutionError, DeadKernelError) as err:
        told = re.sub(r"\x1b\[[0-9;]*m", "", str(err)).strip().splitlines()
        problems.append(f"code cell {len(ended) + (not isinstance(err, CellExecutionError))} failed:\n" + "\n".join(told[-15:]))
    ended = ended or [begin]
    took = [after - before for before, after in pairwise([*ended, time.monotonic()] if problems else ended)]
    slowest = max(enumerate(took, 2), key=lambda one: one[1], default=(1, ended[0] - begin))
    return {"seconds": time.monotonic() - begin, "setup": ended[0] - begin, "slowest": slowest, "problems": problems}


def table(results):
    """Write the results as lines of text.

    Args:
        results: list of dict, from `open_alone`.

    Returns:
        str; of each problem the first line.
    """
    width = max(len(one["name"]) for one in results)
    lines = [f"{'notebook':<{width}}  seconds  setup  result"]
    for one in results:
        said = f"installed {', '.join(one['added'])}; nothing preinstalled changed"
        said = "FAILED: " + "; ".join(text.partition("\n")[0] for text in one["problems"]) if one["problems"] else said
        lines.append(f"{one['name']:<{width}}  {one['seconds']:7.0f}  {one['setup']:5.0f}  {said}")
    return "\n".join(lines)


def _python(environment):
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _call(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:5])} ... failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def main():
    """Open the notebooks named, or all; exit 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="paths, or names like 04_sampling; all if none is named")
    parser.add_argument("--scale", choices=["fast", "default", "full"], default="fast")
    parser.add_argument("--environment", type=Path, help="where to keep what Colab preinstalls; else it is removed at the end")
    parser.add_argument("--inside", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        options.inside[1].write_text(json.dumps(inside(options.inside[0])), "utf-8")
        return
    named = [path if path.exists() else ROOT / "notebooks" / f"{path.stem}.ipynb" for path in options.notebooks]
    missing = [str(path) for path, found in zip(options.notebooks, named, strict=True) if not found.exists()]
    if missing:
        parser.error(f"no such notebook: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        environment = (options.environment or work / "colab").absolute()
        print(f"an environment with what Colab preinstalls: {environment}", flush=True)
        print(f"built in {make_environment(environment):.0f} s", flush=True)
        packed = work / "main.zip"
        archive(packed)
        results = []
        for path in named or sorted((ROOT / "notebooks").glob("*.ipynb")):
            results.append(open_alone(path.resolve(), environment, work / path.stem, str(packed), options.scale))
            seconds, (cell, took) = results[-1]["seconds"], results[-1]["slowest"]
            told = f"{path.name}: {seconds:.0f} s; after the setup, code cell {cell} was the slowest, {took:.0f} s"
            print("\n".join([told, *results[-1]["problems"]]), flush=True)
            shutil.rmtree(work / path.stem)
    failed = sum(bool(one["problems"]) for one in results)
    print(f"\n{table(results)}\n\nat the scale {options.scale}:\n{len(results) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
