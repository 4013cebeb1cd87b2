"""Servers and a browser for tests: Voila, JupyterLab and Chromium on localhost, each ended with the test that started it."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
ELSEWHERE = re.compile(r"^(https?|wss?)://(?!(localhost|127\.0\.0\.1)[:/])")
WIDTH, HEIGHT = 1200, 1000


def chromium():
    """Path of the browser: what WORKBENCH_BROWSER names, else `chromium` of the PATH, else None."""
    named = os.environ.get("WORKBENCH_BROWSER")
    return shutil.which(named) if named else shutil.which("chromium")


def missing(*modules):
    """What the browser tests lack, with how to get it, in a sentence; "" if nothing. `modules` are needed besides playwright."""
    lacking = [name for name in ("playwright", *modules) if importlib.util.find_spec(name) is None]
    if not chromium():
        lacking.append(os.environ.get("WORKBENCH_BROWSER") or "chromium (WORKBENCH_BROWSER=path names another)")
    if not lacking:
        return ""
    return f"browser tests need {', '.join(lacking)}: pip install -e .[offline,test], and the system's chromium"


def needed(*modules):
    """Skip, or fail where WORKBENCH_NEEDS_BROWSER is 1, when the browser or one of the modules is missing."""
    if reason := missing(*modules):
        (pytest.fail if os.environ.get("WORKBENCH_NEEDS_BROWSER") == "1" else pytest.skip)(reason)


def homeless(folder):
    """Variables with which Jupyter and IPython keep what they write in a folder instead of the home folder; no make flags."""
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    own = {name.replace("JUPYTER_LAB", "JUPYTERLAB"): str(folder / name.lower()) for name in (f"JUPYTER_{one}" for one in names)}
    own |= {"IPYTHONDIR": str(folder / "ipython"), "WORKBENCH_OUT": str(folder / "saved")}
    return {**own, "WORKBENCH_DSL": "world", "OMP_NUM_THREADS": "1", "MAKEFLAGS": "", "MAKELEVEL": ""}


def free_port():
    """A port of localhost that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def serving(command, port, ready, log, *, env=None, timeout=120):
    """Run a command until the block ends; yields the address once http://localhost:PORT/READY answers.

    Args:
        command: list of str or Path, of one process that ends its own children when it is terminated.
        port: the port that it was told to listen on.
        ready: path of a static file, as asking for a page would start a kernel; a server that refuses it answers too.
        log: file that takes what the server says; its end is part of the error when it does not start.
        env: variables on top of those of this process.
        timeout: seconds to wait for the first answer.
    """
    # A proxy that does not exist: nothing that the server itself asks for can leave the machine either.
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "localhost,127.0.0.1"}
    command, log = [str(part) for part in command], Path(log)
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **nowhere, **(env or {})},
            start_new_session=True,
        )
        try:
            until = time.monotonic() + timeout
            while not answers(f"http://localhost:{port}/{ready}"):
                if process.poll() is not None or time.monotonic() > until:
                    state = "is still silent" if process.poll() is None else f"ended with {process.returncode}"
                    raise AssertionError(f"{' '.join(command)} {state}:\n{tail(log)}")
                time.sleep(0.2)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()  # the server ends its kernels
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answers(url):
    """Whether a GET of `url` succeeds now, or is answered by 403."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.read())
    except urllib.error.HTTPError as err:
        return err.code == 403
    except OSError:
        return False


def tail(log, lines=40):
    """The last lines of a log."""
    return "\n".join(Path(log).read_text("utf-8", errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def browsing():
    """A Chromium with an empty profile; yields a function that opens a page which notes all that it asks for.

    The page has two lists: `asked`, URLs of requests and sockets, of which those that are not for localhost are stopped, and
    `errors`, exceptions in the page and what its console calls errors.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS), headless=True)
        try:
            yield lambda: noting(browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}))
        finally:
            browser.close()


def noting(context):
    """A new page of `context` with the lists `asked` and `errors`."""
    context.set_default_timeout(180_000)
    context.route(ELSEWHERE, lambda route: route.abort())
    page = context.new_page()
    page.asked, page.errors = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("websocket", lambda connection: page.asked.append(connection.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    return page


def left(page):
    """What a page asked for that is not on localhost."""
    return [url for url in page.asked if ELSEWHERE.match(url)]
