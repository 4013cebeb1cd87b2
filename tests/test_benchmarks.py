"""The benchmarks stay runnable: each says how to use it without doing any work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__).parents[1].glob("benchmarks/*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_compiles_and_says_what_it_measures(script):
    source = script.read_text("utf-8")
    compile(source, str(script), "exec")
    assert source.startswith('"""') and f"benchmarks/{script.name}" in source.split('"""')[1]


def test_the_benchmark_of_templates_prints_its_help():
    script = next(path for path in SCRIPTS if path.stem == "templates")
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, cwd=script.parents[1], env=_environment()
    )
    assert done.returncode == 0 and "unselected" in done.stdout


def _environment():
    return {**os.environ, "PYTHONPATH": str(SCRIPTS[0].parents[1])}
