"""Encoding by several processes of Ray, which is an optional package."""

import contextlib
import threading
import time
import warnings

import pytest
from tiny_encoder import write_bert

from workbench import __main__ as command
from workbench.language.encode import encode, spreading
from workbench.models import load_encoder

needs_ray = pytest.mark.skipif(
    not spreading.there(), reason="needs the extra ray; benchmarks/scaling.py shows the same at its size"
)
TEXTS = [f"a castle {i} on the hill, oil painting of lighthouse {i % 7}, {'light, ' * (i % 5)}8k" for i in range(2_000)]
SIZE = 50


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(write_bert(tmp_path_factory.mktemp("bert")), layer=2, device="cpu")


@pytest.fixture(scope="module")
def ray():
    """One Ray for all: it takes seconds to start."""
    found = pytest.importorskip("ray", reason="needs the extra ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Ray itself imports
        found.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield found
        found.shutdown()


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_loses_nothing_and_the_bytes_are_those_of_a_local_run(ray, encoder, tmp_path):
    import psutil

    whole = encode(TEXTS, encoder, tmp_path / "local", SIZE, progress=False)
    killed = []

    def kill():
        while not any((tmp_path / "ray").rglob("[!.]*.safetensors")):  # until it has begun
            time.sleep(0.01)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "MapWorker" in " ".join(child.cmdline()) and not killed:
                    child.kill()
                    killed.append(child.pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    found = encode(TEXTS, encoder, tmp_path / "ray", SIZE, progress=False, workers=2)
    thread.join(10)
    assert killed, "the run was over before a process could be killed"
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local") and len(files_of(tmp_path / "ray")) == len(TEXTS) // SIZE
    assert len(found) == len(TEXTS) and found.n_words == whole.n_words and found.made + found.kept == len(TEXTS)
    again = encode(TEXTS, encoder, tmp_path / "ray", SIZE, progress=False, workers=2)
    assert (again.made, again.kept) == (0, len(TEXTS))


def test_without_ray_the_error_says_what_to_install_before_anything_is_read(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert command.main(["encode", str(tmp_path / "none.txt"), "--ray"]) == 2
    assert "needs Ray: pip install" in capsys.readouterr().err


def test_the_command_encodes_here_without_ray(tmp_path, monkeypatch, capsys, minilm):
    (tmp_path / "mine.txt").write_text("a castle on a hill\na fox in the snow, oil on canvas\n", "utf-8")
    arguments = ["encode", str(tmp_path / "mine.txt"), "--folder", str(tmp_path / "shards"), "--no-progress"]
    assert command.main(arguments) == 0 and "2 prompts encoded, 0 were there: 13 words" in capsys.readouterr().out
    assert command.main(arguments) == 0 and "0 prompts encoded, 2 were there" in capsys.readouterr().out


@pytest.mark.parametrize("workers", [-1, 1.5, True])
def test_workers_are_a_whole_number(workers, encoder, tmp_path):
    with pytest.raises((ValueError, TypeError), match="workers"):
        encode(["castle"], encoder, tmp_path, workers=workers)
