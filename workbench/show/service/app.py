"""The training service as an app: gradients, predictions, steps and choices on a model that stays with the server."""

import numpy as np
import torch
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from workbench import __version__
from workbench.search import meta, soft
from workbench.search.soft.learning import start_vectors
from workbench.search.soft.soft_prompt import SoftPrompt, sha256
from workbench.show.service import bodies, manual
from workbench.show.service.bodies import Refused
from workbench.show.service.engine import Engine, settings
from workbench.show.service.gate import Gate, users
from workbench.show.service.keeping import Keeping
from workbench.show.service.lending import Lending
from workbench.show.service.making import Making
from workbench.show.service.rates import Rates
from workbench.show.service.seeing import Seeing


def build(lm, limits, tokens, start, library, meta_prompts, keep, rates, vision):
    """The app of `service.create`, whose arguments these are."""
    engine = Engine(lm, limits)
    rates = Rates(users(tokens), engine.limits, rates)
    app = FastAPI(
        title="Prompt training",
        version=__version__,
        description="Train a prompt on a model that stays here. Vectors go and come as base64 of safetensors, all else as JSON.",
        lifespan=lambda app: _closing(engine, rates),
        docs_url=None,  # that page loads scripts from the web
        redoc_url=None,
    )
    app.state.engine, app.state.tokens, app.state.meta_prompts = engine, tokens, meta_prompts
    kept = Keeping(keep)
    app.add_middleware(Gate, limits=engine.limits, tokens=tokens or {}, rates=rates)
    for kind, answer in _FAILURES.items():
        app.add_exception_handler(kind, answer)
    manual.add_page(app)
    begun = None
    if start is not None:
        k = len(lm.tokenizer(start, add_special_tokens=False)["input_ids"])
        begun = start_vectors(lm, soft.SoftConfig(start=start, vectors=max(1, k))).cpu().numpy().copy()
    shelf = None if library is None else Lending(engine, library, start)
    makers = Making(engine, meta_prompts, shelf, start)
    _add_endpoints(app, Lending, shelf, "This server has no library.")
    _add_endpoints(app, Making, makers)
    _add_endpoints(app, Seeing, None if vision is None else Seeing(engine, vision, shelf), "This server has no vision model.")

    @app.get("/about")
    async def about():
        """What a client has to know: the width of vectors, vectors to begin with, and the limits."""
        limits = {name: getattr(engine.limits, name) for name in ("body", "rows", "classes", "vectors", "tokens", "rate")}
        found = {
            "vision": vision is not None,
            "width": engine.width,
            "start": None if begun is None else bodies.encode({"vectors": begun}),
            "limits": limits,
        }
        return found | {"library": library is not None, "keeps": kept.folder is not None, "version": __version__}

    async def slope(body):
        """(vectors, loss, gradient, predictions) of a request."""
        vectors = bodies.read_vectors(body.vectors, engine.width, engine.limits.vectors)
        found = await engine.gradient(vectors, body.texts, body.labels, settings(body), body.classes)
        return vectors, *found

    @app.post("/gradient")
    async def gradient(body: bodies.ForGradient, request: Request):
        """Loss of a prompt on the rows, its gradient, and the predicted labels. Nothing is kept unless `keep` says so."""
        if body.keep:
            kept.check()
        _, loss, found, predicted = await slope(body)
        answer = {"loss": loss, "gradient": bodies.encode({"gradient": found}), "predictions": predicted}
        return answer | ({"kept": kept.put(request.scope["user"], body)} if body.keep else {})

    @app.post("/predict")
    async def predict(body: bodies.ForPredictions):
        """The likeliest label of each text, and how likely each label is, in the order of `classes`."""
        vectors = bodies.read_vectors(body.vectors, engine.width, engine.limits.vectors)
        found = await engine.probabilities(vectors, body.texts, body.classes, settings(body))
        return {"predictions": [body.classes[i] for i in found.argmax(1)], "probabilities": found.tolist()}

    @app.post("/update")
    async def update(body: bodies.ForUpdate):
        """The vectors one step further by the rule that is given. Its state comes back and is to be sent again."""
        state = None
        if body.state is not None:
            state = bodies.decode(body.state, "state", 3 * engine.limits.vectors * engine.width, farthest=np.inf)
        vectors, loss, found, predicted = await slope(body)
        vectors, state = step(vectors, found, body.rule, state)
        answer = {"vectors": bodies.encode({"vectors": vectors}), "state": bodies.encode(state)}
        return answer | {"loss": loss, "predictions": predicted}

    @app.post("/choose")
    async def choose(body: bodies.ForChoice):
        """The rows that stand for a data set, as the model sees it under a prompt: their numbers."""
        vectors, config = bodies.read_vectors(body.vectors, engine.width, engine.limits.vectors), settings(body)
        classes = sorted(set(body.labels))
        if body.n > len(body.texts):
            raise Refused(422, f"There are {len(body.texts)} rows: {body.n} cannot be chosen.")
        cost = await engine.check(vectors, body.texts, body.labels, config, classes)

        def ask(lm):
            prompt = SoftPrompt(vectors, tuple(classes), config, lm.name, sha256(lm))
            return meta.choose(lm, prompt, body.texts, body.labels, body.n, body.how, body.seed)

        return {"rows": await engine.alone(ask, cost)}

    @app.get("/meta-prompts")
    async def names(request: Request):
        """The meta-prompts that there are for this user."""
        return {"meta_prompts": makers.seen(request.scope["user"])}

    @app.get("/kept")
    async def list_kept(request: Request):
        """What is kept of this user's rows, by the user's own consent."""
        return {"kept": kept.listed(request.scope["user"])}

    @app.delete("/kept/{name}")
    async def delete_kept(name: str, request: Request):
        """Delete what was kept."""
        kept.delete(request.scope["user"], name)
        return {"deleted": name}

    return app


def _add_endpoints(app, kind, thing, lacking=""):
    """Add the `ENDPOINTS` of a class, path -> (body, method of user and body). Where there is no such thing, each says so."""
    for path, (body, method) in kind.ENDPOINTS.items():
        app.post(path, name=method.__name__, description=method.__doc__)(_endpoint(body, method, thing, lacking))


def _endpoint(kind, method, thing, lacking):
    async def endpoint(body: kind, request: Request):
        if thing is None:
            raise Refused(404, lacking)
        return await method(thing, request.scope["user"], body)

    return endpoint


def step(vectors, gradient, rule, state):
    """Vectors after one step of torch's own SGD or AdamW.

    Args:
        vectors: float32 (k, w).
        gradient: float32 (k, w).
        rule: `bodies.Rule`.
        state: dict of arrays as this function returned it, or None before the first step.

    Returns:
        (float32 (k, w), dict of arrays).

    Raises:
        Refused: a state of another rule or shape, or vectors that would leave the range of numbers.
    """
    point = torch.nn.Parameter(torch.from_numpy(vectors.copy()))
    if rule.name == "sgd":
        wanted, optimizer = ("momentum",), torch.optim.SGD([point], rule.rate, rule.momentum, weight_decay=rule.weight_decay)
        names = ("momentum_buffer",)
    else:
        wanted, names = ("first", "second", "steps"), ("exp_avg", "exp_avg_sq", "step")
        optimizer = torch.optim.AdamW([point], rule.rate, rule.betas, rule.epsilon, rule.weight_decay)
    if state:
        shapes = {name: () if name == "steps" else vectors.shape for name in wanted}
        if {name: array.shape for name, array in state.items()} != shapes:
            raise Refused(422, f"state must hold {', '.join(wanted)} as the last answer gave them, for vectors of this shape.")
        if state.get("second", np.zeros(1)).min() < 0 or not 0 <= state.get("steps", 0) < 1e6:
            raise Refused(422, "state is not one that this rule can have.")
        optimizer.state[point] = {new: torch.from_numpy(state[old].copy()) for old, new in zip(wanted, names, strict=True)}
    point.grad = torch.from_numpy(gradient.copy())
    optimizer.step()
    moved, found = point.detach().numpy(), optimizer.state[point]
    if not np.isfinite(moved).all() or np.abs(moved).max() > bodies.FARTHEST:
        raise Refused(422, "This step would leave the range of numbers: take a smaller rate.")
    kept = {old: found[new] for old, new in zip(wanted, names, strict=True) if found.get(new) is not None}
    return moved, {name: np.asarray(value.numpy(), np.float32) for name, value in kept.items()}


class _closing:
    """The engine ends with the app."""

    def __init__(self, engine, rates):
        self.engine, self.rates = engine, rates

    async def __aenter__(self):
        pass

    async def __aexit__(self, *_):
        self.engine.close()
        self.rates.close()


async def _refused(_, err):
    return JSONResponse({"error": err.sentence}, err.status, err.headers)


async def _invalid(_, err):
    return JSONResponse({"error": bodies.sentence(err.errors())}, 422)


async def _unknown(_, err):
    said = {404: "There is no such place here.", 405: "This place takes another method."}
    return JSONResponse({"error": said.get(err.status_code, "The body must be JSON.")}, err.status_code)


_FAILURES = {Refused: _refused, RequestValidationError: _invalid, HTTPException: _unknown}
