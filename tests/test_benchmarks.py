"""The benchmarks stay runnable: each says how to use it without doing any work."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench.language.units import Units

SCRIPTS = sorted(Path(__file__).parents[1].glob("benchmarks/*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_compiles_and_says_what_it_measures(script):
    source = script.read_text("utf-8")
    compile(source, str(script), "exec")
    assert source.startswith('"""') and f"benchmarks/{script.name}" in source.split('"""')[1]


def test_every_part_of_a_benchmark_that_can_be_asked_for_gives_tables(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS[0].parent)
    adapt = importlib.import_module("adapt")
    assert [name for name in adapt.PARTS if not callable(getattr(adapt.part(name), "tables", None))] == []


def test_the_benchmark_of_templates_prints_its_help():
    script = next(path for path in SCRIPTS if path.stem == "templates")
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, cwd=script.parents[1], env=_environment()
    )
    assert done.returncode == 0 and "unselected" in done.stdout


def test_gold_spans_say_whether_codes_and_names_are_right(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS[0].parent)
    real = importlib.import_module("real")
    row = {"prompt": "a fox, etching, by ana lopez", "spans": [[2, 5, "animal"], [7, 14, "medium"], [19, 28, "artist"]]}
    (tmp_path / "gold_spans.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    gold = real.Gold(tmp_path, 1, real.half(row["prompt"]))
    units = Units().fit([row["prompt"]], progress=False).split(row["prompt"])
    coded = SimpleNamespace(spans=[units], offsets=[0, len(units)])
    codes = [{"fox": 0, "etching": 1, "ana": 2, "lopez": 2}.get(unit.text, 3) for unit in units]
    lists = {"animal": ["Fox"], "medium": ["fresco"], "artist": ["ana lopes"]}
    found = gold.figures(coded, codes, ["animal", "medium-etching", "place", "a"], lists)
    assert found["V"] == found["purity"] == found["purity, unlisted"] == 1
    assert found["names right"] == pytest.approx(2 / 3) and found["names right, named"] == 1
    assert found["listed"] == pytest.approx(1 / 3)
    assert gold.recall(coded, codes) == {"animal": (1, 1), "medium": (1, 1), "artist": (1, 1)}


def test_the_benchmark_of_real_prompts_says_which_data_it_wants(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS[0].parent)
    monkeypatch.setattr(sys, "argv", ["real.py", "--quick", "--data", str(tmp_path)])
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    with pytest.raises(SystemExit, match=r"No gold_spans\.jsonl in .*: expected the folder that holds it and prompts"):
        importlib.import_module("real").main()


def _environment():
    return {**os.environ, "PYTHONPATH": str(SCRIPTS[0].parents[1])}
