"""The service behind several processes: what users share is shared, and one that dies is replaced."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from workbench import client, library
from workbench.__main__ import main
from workbench.show.service import workers as behind
from workbench.show.service.config import Limits
from workbench.show.service.rates import Rates
from workbench.show.service.serving import listening

psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs file locks and signals")


def test_workers_count_the_requests_of_a_user_together(tmp_path):
    limits = Limits(rate=1, burst=5)
    Rates.begin(tmp_path / "rates", ["anna", "ben"], limits)
    one, two = (Rates(["ben", "anna"], limits, tmp_path / "rates") for _ in range(2))
    assert [worker.take("anna") for worker in (one, two, one, two, one, two, one)] == [True] * 5 + [False] * 2
    assert two.take("ben")
    one.close(), two.close()
    alone = Rates(["anna"], limits)
    assert [alone.take("anna") for _ in range(6)] == [True] * 5 + [False]


def _take(file, limits, n, to):
    rates = Rates(["anna"], limits, file)
    to.put(sum(rates.take("anna") for _ in range(n)))
    rates.close()


def test_no_ticket_is_given_twice_when_workers_ask_at_once(tmp_path):
    limits, context = Limits(rate=1, burst=300), multiprocessing.get_context("fork")
    Rates.begin(tmp_path / "rates", ["anna"], limits)
    found = context.Queue()
    many = [context.Process(target=_take, args=(tmp_path / "rates", limits, 400, found)) for _ in range(2)]
    for one in many:
        one.start()
    assert 300 <= sum(found.get(timeout=60) for _ in many) <= 330  # some come while they ask
    for one in many:
        one.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(address, pids of two workers, process) of `deep-dsl serve --workers 2`."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "tokens.json").write_text(json.dumps({"a-token": "anna", "b-token": "ben"}), "utf-8")
    arguments = ["--model", "world", "--workers", "2", "--port", "0", "--tokens", "tokens.json", "--library", "shelf"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "workbench", "serve", *arguments, "--keep", "kept"]
    child = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
    try:
        said = next((line for line in child.stdout if " answers; " in line), "")
        yield said.split()[0], child
        child.terminate()
        assert child.wait(60) == 130
    finally:
        for one in workers(child):
            with contextlib.suppress(psutil.Error):
                one.kill()
        child.kill()
        child.wait()
        child.stdout.close()


def workers(child):
    with contextlib.suppress(psutil.Error):
        return [one for one in psutil.Process(child.pid).children() if "spawn_main" in " ".join(one.cmdline())]
    return []


@contextlib.contextmanager
def only(child, i):
    """Let one worker answer, the other stands still."""
    some = sorted(workers(child), key=lambda one: one.pid)
    assert len(some) == 2
    other = some[1 - i]
    other.suspend()
    try:
        yield
    finally:
        other.resume()


def ask(address, token, call):
    with client.Client(address, token=token, seconds=60) as there:
        return call(there)


def test_what_one_worker_stores_the_other_finds_and_a_dead_one_is_replaced(served):
    address, child = served
    width = ask(address, "a-token", client.Client.about)["width"]
    vectors = np.random.default_rng(0).normal(size=(2, width)).astype(np.float32)
    rows, labels = ["a red circle", "a blue star"], ["half", "full"]
    card = {"name": "mine", "date": library.now(), "data": [{"name": "own", "sha256": "0" * 64}]}
    body = {"vectors": client.remote.encode({"vectors": vectors}), "classes": labels, "card": card}
    with only(child, 0):
        first = ask(address, "a-token", lambda there: there.gradient(vectors, rows, labels, keep=True))
        entry = ask(address, "a-token", lambda there: there.ask("POST", "/library/upload", body))
    with only(child, 1):
        second = ask(address, "a-token", lambda there: there.gradient(vectors, rows, labels))
        read = ask(address, "b-token", lambda there: there.ask("POST", "/library/read", {"name": entry["id"]}))
        kept = ask(address, "a-token", client.Client.kept)
        assert len(kept) == 1 and ask(address, "b-token", client.Client.kept) == []
        ask(address, "a-token", lambda there: there.delete(kept[0]))
        with pytest.raises(client.ClientError, match="Give your token"):
            ask(address, "c-token", client.Client.kept)
    with only(child, 0):
        assert ask(address, "a-token", client.Client.kept) == []
    assert first[0] == second[0] and (first[1] == second[1]).all() and first[2] == second[2]
    assert (client.remote.decode(read["vectors"])["vectors"] == vectors).all()

    before = {one.pid for one in workers(child)}
    os.kill(min(before), signal.SIGKILL)
    for _ in range(600):
        time.sleep(0.1)
        if len({one.pid for one in workers(child)} - before) == 1 and len(workers(child)) == 2:
            break
    assert len({one.pid for one in workers(child)} & before) == 1
    assert ask(address, "a-token", lambda there: there.gradient(vectors, rows, labels))[0] == first[0]


@pytest.mark.parametrize("n", ["0", "-2"])
def test_a_number_of_workers_below_one_is_refused(n, capsys):
    assert main(["serve", "--model", "world", "--workers", n]) == 2
    assert "--workers must be" in capsys.readouterr().err


def test_workers_that_cannot_start_end_with_one_sentence(tmp_path, capfd):
    assert main(["serve", "--model", str(tmp_path / "none"), "--workers", "2", "--port", "0"]) == 2
    assert "error: " in capfd.readouterr().err


def test_a_worker_that_cannot_start_again_ends_the_service_and_says_why(monkeypatch, capsys):
    said, started = iter(["", "", "shelf/library.json is damaged."]), []

    class Child:
        """A process that says the next thing and is alive if that was nothing; the first one dies later."""

        exitcode = 0

        def __init__(self, target, args, daemon):
            self.far, self.looks = args[-1], 0

        def start(self):
            self.first, self.word = not started, next(said)
            started.append(self)
            self.far.send(self.word)

        def is_alive(self):
            self.looks += 1
            return not self.word and not (self.first and self.looks > 3)

        def terminate(self):
            self.word = "ended"

        def join(self, seconds=None):
            pass

    context = types.SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Child)
    monkeypatch.setattr(behind.multiprocessing, "get_context", lambda _: context)
    options, before = types.SimpleNamespace(workers=2, host="127.0.0.1"), signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ValueError, match=r"shelf/library\.json is damaged"):
            behind.run(options, None, listening("127.0.0.1", 0))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(started) == 3
    assert "A worker ended. Another takes its place." in capsys.readouterr().out
