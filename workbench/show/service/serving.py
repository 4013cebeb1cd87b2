"""How the service starts: as an app in this process, as a server in a thread, or as the command `deep-dsl serve`."""

import contextlib
import socket
import threading
import time
from pathlib import Path

from workbench import checks, files
from workbench.show.service.config import LOOPBACK, Limits

START = " . The label is:"  # what prompts begin as, unless told otherwise


def create(lm, *, limits=None, tokens=None, start=START, library=None, meta_prompts=None, keep=None, rates=None, vision=None):
    """The training service as an ASGI app.

    Args:
        lm: `models.LM`; until the app ends its weights need no gradients.
        limits: `Limits`; None takes the defaults.
        tokens: dict of token (str) -> user (str); None: all who reach the loopback of this machine are the user "me".
        start: str, words whose embeddings clients may begin with and the library compares by; None gives none away.
        library: `library.Library` to search and to add to, for all users by their rights; or None.
        meta_prompts: dict of name -> `meta.MetaPrompt`; the one named "general" answers where none is named.
        keep: str or Path of a folder for rows whose users agree to that; None keeps nothing.
        rates: str or Path of the file in which several workers count requests, see `rates.Rates`; None: this app counts alone.
        vision: `models.CLIP` or the `Checker` of the world, for visual prompts; None: there are none.

    Returns:
        FastAPI app. `app.state.engine.close()` ends its thread.

    Raises:
        ImportError: FastAPI is not installed.
        TypeError: not an LM.
        ValueError: tokens of another kind.
    """
    _needs("fastapi")
    for token, user in (tokens or {}).items():
        if not all(isinstance(one, str) and one.strip() == one and one for one in (token, user)):
            raise ValueError("tokens is a dict of token -> user, both str with something in them.")
    from workbench.show.service.app import build

    return build(lm, limits or Limits(), tokens, start, library, meta_prompts, keep, rates, vision)


@contextlib.contextmanager
def running(app, port=0, host="127.0.0.1"):
    """The app as a server in a thread of this process; the block gets its address.

    Args:
        app: what `create` returned.
        port: int, 0 for any that is free.
        host: str. Beyond the loopback the app must have tokens.

    Yields:
        str, such as "http://127.0.0.1:8000".
    """
    server, held = _server(app, host, port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]}, name="service", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("The server did not start.")
            time.sleep(0.01)
        yield f"http://{host}:{held.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        held.close()


def parser(prog):
    """The arguments of `deep-dsl serve`: an argparse.ArgumentParser."""
    import argparse

    found = argparse.ArgumentParser(
        prog=f"{prog} serve",
        allow_abbrev=False,
        description="Let others train prompts on a model that stays on this machine. Nothing of what they send is kept.",
        epilog="Clients: workbench.client.Client(address), or any that speaks HTTP and JSON; the page /docs shows how.",
    )
    found.add_argument("--model", default="smollm2", metavar="NAME", help="as in models.load_lm (default: smollm2)")
    found.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of its weights (default: float32)")
    found.add_argument("--host", default="127.0.0.1", help="default: this machine only; anything else needs --tokens")
    found.add_argument("--port", type=int, default=8000, help="default: 8000")
    found.add_argument("--tokens", type=files.path, metavar="FILE", help='JSON, {"token": "user", ...}: who may ask')
    found.add_argument(
        "--start", default=START, metavar="WORDS", help="words that prompts begin as; their vectors are given to all"
    )
    found.add_argument("--library", type=_place, metavar="FOLDER", help="library to search and to add to, or s3://bucket/path")
    found.add_argument("--meta", type=files.path, metavar="FOLDER", help="folder of folders that MetaPrompt.save has written")
    found.add_argument("--keep", type=files.path, metavar="FOLDER", help="where rows are kept whose users agree to that")
    found.add_argument("--vision", metavar="NAME", help="a CLIP for visual prompts, as in models.load_clip (default: none)")
    found.add_argument("--workers", type=int, default=1, metavar="N", help="processes, the model in memory of each (default: 1)")
    return found


def _place(text):
    return text if "://" in text else files.path(text)


def serve(options):
    """Run the service until Ctrl-C, with the arguments of `parser`."""
    _needs("fastapi", "uvicorn")
    checks.whole("port", options.port, 0, 65_535)
    tokens = None if options.tokens is None else files.read_json(options.tokens)
    if tokens is not None and not isinstance(tokens, dict):
        raise ValueError(f'{options.tokens} must hold {{"token": "user", ...}}.')
    _check_host(options.host, tokens)
    if checks.whole("--workers", options.workers) > 1:
        from workbench.show.service.workers import run

        run(options, tokens, listening(options.host, options.port))
        return
    app = loaded(options, tokens)
    server, held = _server(app, options.host, options.port)
    print(answers(options.host, held), flush=True)
    with held:
        server.run(sockets=[held])


def loaded(options, tokens, rates=None):
    """The app of `serve`, with its model."""
    from workbench.data.library import Library
    from workbench.models import load_clip, load_lm
    from workbench.search.meta import MetaPrompt

    library = None if options.library is None else Library.open(options.library)
    found = sorted(one for one in Path(options.meta).iterdir() if one.is_dir()) if options.meta is not None else []
    meta_prompts = {one.name: MetaPrompt.load(one) for one in found}
    print(f"Loading {options.model} ...", flush=True)
    lm = load_lm(options.model, options.dtype)
    if options.dtype == "bfloat16":
        lm.model.set_attn_implementation("eager")  # the other's gradient is 8 times slower
    vision = None if options.vision is None else load_clip(options.vision, device="cpu")
    print("Loaded, once for all who ask.", flush=True)
    more = {"vision": vision, "library": library, "meta_prompts": meta_prompts, "keep": options.keep, "rates": rates}
    return create(lm, tokens=tokens, start=options.start, **more)


def answers(host, held):
    """What is said once requests are answered: str."""
    address = f"http://{host}:{held.getsockname()[1]}"
    return f"{address} answers; {address}/docs shows how to ask. Ctrl-C ends it."


def _server(app, host, port):
    """A uvicorn server and its socket, which listens."""
    _needs("uvicorn")
    _check_host(host, app.state.tokens)
    held = listening(host, port)
    return uvicorn_of(app), held


def listening(host, port):
    """A socket that is bound. Raises ValueError where that cannot be."""
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, checks.whole("port", port, 0, 65_535)))
    except OSError as err:
        held.close()
        raise ValueError(f"{host}, port {port}, cannot be listened to ({err.strerror}). Take another port, or 0.") from err
    return held


def uvicorn_of(app):
    """The uvicorn server of an app."""
    import uvicorn

    from workbench.show.service.patience import Patient

    quiet = {"log_level": "warning", "access_log": False, "server_header": False, "ws": "none"}
    return uvicorn.Server(uvicorn.Config(app, http=Patient, timeout_keep_alive=30, timeout_graceful_shutdown=10, **quiet))


def _check_host(host, tokens):
    if host not in LOOPBACK and not tokens:
        raise ValueError(f"{host} can be reached by others: give tokens too, or listen on {LOOPBACK[0]} only.")


def _needs(*names):
    import importlib.util

    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"The training service needs {name}: pip install 'fastapi>=0.115' 'uvicorn>=0.30'")
