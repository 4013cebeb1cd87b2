"""The client: what `soft.gradient` gives, asked of a server. Nothing here loads torch."""

import asyncio
import base64
import threading

import numpy as np
import safetensors.numpy

from workbench import checks
from workbench.client import tuning
from workbench.values import WorkbenchError


class ClientError(WorkbenchError):
    """The server refused a request, or cannot be reached. `status` is its HTTP status, or None."""

    def __init__(self, sentence, status=None):
        super().__init__(sentence)
        self.status = status


class Client:
    """A server that trains prompts, from outside.

    Args:
        server: str, its address, such as "http://127.0.0.1:8000"; or an ASGI app, such as `service.create` makes, which is asked
            in this process.
        token: str, or None where the server wants none.
        seconds: float, the longest wait for an answer.

    Raises:
        ImportError: httpx is not installed.
        TypeError: neither an address nor an app.
    """

    def __init__(self, server, token=None, seconds=120.0):
        try:
            import httpx
        except ImportError as err:
            raise ImportError("The client needs httpx: pip install 'httpx>=0.27'") from err
        if not isinstance(server, str) and not callable(server):
            raise TypeError(f"server is an address, such as 'http://127.0.0.1:8000', or an app; got {type(server).__name__}.")
        self._failure, inside = httpx.HTTPError, not isinstance(server, str)
        self._http = httpx.Client(
            base_url="http://localhost" if inside else server,
            transport=_inside(httpx, server) if inside else None,
            headers={} if token is None else {"authorization": f"Bearer {token}"},
            timeout=checks.number("seconds", seconds, 0, above=True),
            trust_env=False,
        )
        self._about = None

    def close(self):
        """Close the connections."""
        self._http.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- what the server knows ----------------------------------------------------------------------------------------------

    def about(self):
        """What the server says of itself, asked once: dict with `width`, `limits` and whether there is a `library`."""
        if self._about is None:
            self._about = self.ask("GET", "/about")
        return {name: value for name, value in self._about.items() if name != "start"}

    def start(self, k=8):
        """Vectors to begin with, as the server gives them, the last ones last, repeated from the front if they are too few.

        Args:
            k: int.

        Returns:
            float32 array (k, w).

        Raises:
            ClientError: the server gives none.
        """
        checks.whole("k", k)
        self.about()
        if self._about["start"] is None:
            raise ClientError("This server gives no vectors to begin with: bring your own, start=...")
        given = decode(self._about["start"])["vectors"]
        return np.tile(given, (-(-k // len(given)), 1))[-k:]

    # ---- the model ----------------------------------------------------------------------------------------------------------

    def gradient(self, vectors, texts, labels, config=None, *, classes=None, keep=False):
        """The loss of a prompt on some rows, its gradient, and what is predicted: the triple of `soft.gradient`.

        Args:
            vectors: float32 array (k, w).
            texts: list of n str.
            labels: list of n str, or None (layout "prefix").
            config: `TuneConfig`, of which `layout`, `template` and `loss` count (`SoftConfig` has them too); None: the defaults.
            classes: list of c str, all labels there are; None takes those that occur, sorted.
            keep: bool, let the server keep these rows. `kept` lists what it keeps, `delete` deletes it.

        Returns:
            (loss, float, nats; its gradient, float32 array (k, w); the likeliest labels, list of n str, or None without labels).

        Raises:
            ClientError: what the server refuses, in its own words.
            ValueError: vectors that are no float32 array of two axes.
        """
        body = _rows(vectors, texts, labels, config, classes) | ({"keep": True} if keep else {})
        found = self.ask("POST", "/gradient", body)
        return found["loss"], decode(found["gradient"])["gradient"], found["predictions"]

    def probabilities(self, vectors, texts, classes, config=None):
        """How likely each label is: float64 (n, c), in the order of `classes`; rows sum to 1. Arguments as in `gradient`."""
        return np.array(self._predicted(vectors, texts, classes, config, "probabilities"))

    def predict(self, vectors, texts, classes, config=None):
        """The likeliest label of each text: list of n str. Arguments and errors as in `gradient`."""
        return self._predicted(vectors, texts, classes, config, "predictions")

    def _predicted(self, vectors, texts, classes, config, wanted):
        rows, most, out = _rows(vectors, texts, None, config, list(classes)), self.about()["limits"]["rows"], []
        body = {name: rows[name] for name in ("vectors", "layout", "template", "classes")}
        for at in range(0, len(rows["texts"]), most):
            out += self.ask("POST", "/predict", body | {"texts": rows["texts"][at : at + most]})[wanted]
        return out

    def update(self, vectors, texts, labels, rule, rate, state=None, config=None, *, classes=None):
        """One step that the server takes, by a rule of the client.

        Args:
            vectors: float32 array (k, w); texts, labels, config, classes: as in `gradient`.
            texts: list of n str.
            labels: list of n str, or None.
            rule: `SGD` or `AdamW`.
            rate: float > 0.
            state: dict of arrays as the last call gave it, or None; the server keeps none.
            config: `TuneConfig` or None.
            classes: list of c str, or None.

        Returns:
            (vectors, float32 array (k, w); state, dict of arrays; loss, float, nats; predictions).

        Raises:
            ClientError, ValueError: as in `gradient`.
        """
        options = {"name": rule.name, "rate": float(rate), "weight_decay": rule.weight_decay}
        options |= {"momentum": rule.momentum} if rule.name == "sgd" else {"betas": list(rule.betas), "epsilon": rule.epsilon}
        body = _rows(vectors, texts, labels, config, classes) | {"rule": options}
        found = self.ask("POST", "/update", body | ({"state": encode(state)} if state else {}))
        return decode(found["vectors"])["vectors"], decode(found["state"]), found["loss"], found["predictions"]

    def choose(self, vectors, texts, labels, n=8, how="kmeans", seed=0, config=None):
        """The numbers of the rows that stand for a data set, as `meta.choose` finds them: list of n int."""
        rows = _rows(vectors, texts, labels, config, None)
        body = {name: rows[name] for name in ("vectors", "layout", "template", "texts", "labels")}
        return self.ask("POST", "/choose", body | {"n": n, "how": how, "seed": checks.seed(seed)})["rows"]

    def tune(self, texts, labels, config=None, *, start=None, rule=None, classes=None):
        """Learn a prompt here, with gradients from there: see `tune` of this module."""
        return tuning.tune(self, texts, labels, config, start=start, rule=rule, classes=classes)

    # ---- pictures -----------------------------------------------------------------------------------------------------------

    def visual_start(self, classes, options=None):
        """The numbers that a visual prompt begins as.

        Args:
            classes: list of c str, all labels there are.
            options: dict, of `visual.VisualConfig`, such as {"kind": "mask"}; None: the defaults.

        Returns:
            dict of name -> float32 array.

        Raises:
            ClientError: what the server refuses, in its own words.
        """
        return decode(self.ask("POST", "/visual/start", {"options": options or {}, "classes": list(classes)})["tensors"])

    def visual_gradient(self, tensors, pictures, labels, classes, options=None):
        """The loss of a visual prompt, its gradient, and what is predicted: the triple of `visual.gradient`.

        Args:
            tensors: dict of name -> float32 array, as `visual_start` gives them.
            pictures: uint8 array (n, height, width, 3).
            labels: list of n str.
            classes: list of c str, all labels there are.
            options: dict or None, as in `visual_start`.

        Returns:
            (loss, float, nats; dict of name -> float32 array; the likeliest labels, list of n str).

        Raises:
            ClientError: what the server refuses, in its own words.
            ValueError: pictures that are no uint8 array of four axes.
        """
        body = _seen(tensors, pictures, classes, options) | {"labels": checks.texts(labels, "labels")}
        found = self.ask("POST", "/visual/gradient", body)
        return found["loss"], decode(found["gradient"]), found["predictions"]

    def visual_predict(self, tensors, pictures, classes, options=None):
        """The likeliest label of each picture: list of n str. Arguments and errors as in `visual_gradient`."""
        return self.ask("POST", "/visual/predict", _seen(tensors, pictures, classes, options))["predictions"]

    # ---- what the server keeps, with consent --------------------------------------------------------------------------------

    def kept(self):
        """Names of what the server keeps of this user: list of str."""
        return self.ask("GET", "/kept")["kept"]

    def delete(self, name):
        """Delete what the server keeps under a name."""
        self.ask("DELETE", f"/kept/{name}")

    # ---- transport ----------------------------------------------------------------------------------------------------------

    def ask(self, method, path, body=None):
        """One request, for what has no method here: dict of JSON values. Raises ClientError."""
        try:
            answer = self._http.request(method, path, json=body)
        except self._failure as err:
            raise ClientError(f"{self._http.base_url} cannot be asked: {str(err) or type(err).__name__}.") from err
        try:
            found = answer.json()
        except ValueError:
            found = {"error": "No JSON came: is this address that of a training service?"}
        if answer.status_code >= 400 or "error" in found:
            raise ClientError(found.get("error", f"status {answer.status_code}"), answer.status_code)
        return found


def encode(arrays):
    """Arrays as text: dict of str to float32 array -> str, base64 of safetensors."""
    data = safetensors.numpy.save({name: np.asarray(array, np.float32, order="C") for name, array in arrays.items()})
    return base64.b64encode(data).decode()


def decode(text):
    """Arrays that came as text: dict of str to numpy array."""
    return safetensors.numpy.load(base64.b64decode(text, validate=True))


def _rows(vectors, texts, labels, config, classes):
    """The body of a request. It is the same for equal vectors, however they were combined."""
    vectors, config = np.asarray(vectors), config or tuning.TuneConfig()
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise ValueError(f"vectors must be a float32 array (k, w), got {vectors.dtype} {vectors.shape}.")
    return {
        "vectors": encode({"vectors": vectors}),
        "layout": config.layout,
        "template": config.template,
        "loss": config.loss,
        "texts": checks.texts(texts, "texts"),
        "labels": None if labels is None else checks.texts(labels, "labels"),
        "classes": None if classes is None else checks.texts(classes, "classes"),
    }


def _seen(tensors, pictures, classes, options):
    """The body of a request about pictures."""
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim != 4:
        raise ValueError(f"pictures must be a uint8 array (n, height, width, 3), got {pictures.dtype} {pictures.shape}.")
    data = safetensors.numpy.save({"pictures": np.ascontiguousarray(pictures)})
    said = {"pictures": base64.b64encode(data).decode(), "classes": checks.texts(classes, "classes")}
    return said | {"tensors": encode(tensors), "options": options or {}}


def _inside(httpx, app):
    """A transport that asks an ASGI app in this process, on a loop of its own: notebooks have one running already."""
    loop, there = asyncio.new_event_loop(), httpx.ASGITransport(app=app, raise_app_exceptions=False)
    thread = threading.Thread(target=loop.run_forever, name="client", daemon=True)
    thread.start()

    async def answer(request):
        found = await there.handle_async_request(request)
        return found.status_code, found.headers, await found.aread()

    class Inside(httpx.BaseTransport):
        def handle_request(self, request):
            request.read()
            status, headers, body = asyncio.run_coroutine_threadsafe(answer(request), loop).result()
            return httpx.Response(status, headers=headers, content=body)

        def close(self):
            if not loop.is_closed():
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()

    return Inside()
