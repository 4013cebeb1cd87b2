"""Several processes behind one address: each has the model in memory, and the system gives it every connection that it can take.

What users share stays shared: tokens and meta-prompts are read by all and never change, the library and what is kept lie on disk
and take one writer at a time, requests are counted in one file. What is each worker's own: its queue (`Limits.waiting`), the
batches that it makes of requests, and one meta-prompt at a time that it learns.
"""

import contextlib
import multiprocessing
import signal
import tempfile
import threading
import time
from pathlib import Path

from workbench.show.service.config import Limits
from workbench.show.service.gate import users
from workbench.show.service.rates import Rates, fcntl
from workbench.show.service.serving import answers, loaded, uvicorn_of

_PAUSE = 0.2  # seconds between two looks at the workers
_SOON = 10.0  # seconds: a worker that ends before it answers, or that soon after, is not started again


def run(options, tokens, held):
    """Run workers until Ctrl-C; one that dies is started again.

    Args:
        options: of `serving.parser`.
        tokens: dict of token -> user, or None.
        held: socket, bound; closed at the end.

    Raises:
        ValueError: a system without locks of files, or a worker that cannot start.
    """
    if fcntl is None:
        raise ValueError("Several workers need the file locks of Linux or macOS: leave --workers out.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # systems end services by it
    context = multiprocessing.get_context("spawn")
    with held, tempfile.TemporaryDirectory(prefix="deep-dsl-service-") as folder:
        held.listen(2048)
        rates = Path(folder, "rates")
        Rates.begin(rates, users(tokens), Limits())

        def start():
            near, far = context.Pipe(duplex=False)
            child = context.Process(target=_work, args=(options, tokens, held, str(rates), far), daemon=True)
            child.start()
            far.close()
            return child, near

        children = [start() for _ in range(options.workers)]
        try:
            for child, near in children:
                _wait(child, near)
            print(answers(options.host, held), flush=True)
            begun = time.monotonic()
            while True:
                time.sleep(_PAUSE)
                for i, (child, near) in enumerate(children):
                    if child.is_alive():
                        continue
                    if said := _said(near):
                        raise ValueError(said)
                    if time.monotonic() - begun < _SOON and child.exitcode > 0:
                        raise ValueError("A worker ended at once: see its message above.")
                    print("A worker ended. Another takes its place.", flush=True)
                    children[i], begun = start(), time.monotonic()
        finally:
            for child, _ in children:
                child.terminate()  # uvicorn finishes what it has begun
            for child, _ in children:
                child.join(15)
                if child.is_alive():
                    child.kill()
                    child.join()


def _wait(child, near):
    """Wait until a worker answers."""
    while not near.poll(_PAUSE) and child.is_alive():
        pass
    if (said := _said(near)) != "":
        raise ValueError(said or "A worker could not start: see its message above.")


def _said(near):
    """Why a worker could not start, in its own words: str, "" where it did; None where it has not said anything."""
    with contextlib.suppress(EOFError, OSError):  # it was killed
        if near.poll():
            return near.recv()


def _work(options, tokens, held, rates, far):
    """One worker, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
    try:
        server = uvicorn_of(loaded(options, tokens, rates))
    except Exception as err:
        far.send(" ".join(str(err).split()) or type(err).__name__)
        return

    def watch():
        multiprocessing.parent_process().join()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    far.send("")
    server.run(sockets=[held])
