"""The short form of the stress benchmark: nothing is torn, lost or misread."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def rows():
    """Rows of the table: dict of what was tried to dict of column to int."""
    done = subprocess.run(
        [sys.executable, "benchmarks/stress.py", "--short"],
        capture_output=True,
        text=True,
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
    )
    assert "| all |" in done.stdout, done.stderr
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in done.stdout.splitlines() if line.startswith("|")]
    columns = lines[0][1:-1]
    found = {what: dict(zip(columns, (int(n.replace(",", "")) for n in cells[:-1]), strict=True)) for what, *cells in lines[2:]}
    found["notes"] = done.stderr
    return found


def test_everything_was_tried(rows):
    tried = {what.partition(":")[0] for what, row in rows.items() if what != "notes" and row["tried"]}
    assert tried == {"kills and signals", "damages", "hostile", "together", "interrupts", "full disk", "all"}


@pytest.mark.parametrize("failure", ["silent", "crashed", "lost", "doubled", "unequal", "leftovers"])
def test_nothing_fails(rows, failure):
    assert rows["all"][failure] == 0, rows["notes"]
