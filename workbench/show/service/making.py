"""Meta-prompts of a service: a request comes in, a prompt goes out; and one is learned from data sets that a user sends."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from workbench.search import meta
from workbench.search.meta import JOINS, MAPS, MetaConfig, MetaPrompt
from workbench.search.soft.config import LAYOUTS, SoftConfig
from workbench.search.soft.soft_prompt import sha256
from workbench.show.service import bodies
from workbench.show.service.bodies import Body, Encoded, Name, Refused, Text, Texts
from workbench.show.service.lending import in_words

GENERAL = "general"  # the meta-prompt that answers where none is named
_MOST = 4_000_000  # numbers of a meta-prompt: its map grows with the square of the vectors
_NEAREST = 8  # entries of the library by which a meta-prompt is found


class Own(Body):
    """A meta-prompt that the caller brings: what `/meta-prompt/learn` gave."""

    options: dict
    weights: Encoded


class ForMaking(Body):
    """Examples of a task, or a sentence about it; and which meta-prompt is to read them."""

    examples: list[tuple[Text, Text]] | Text
    classes: Texts | None = None
    name: Name | None = None
    search: bool = False
    own: Own | None = None


class TaskBody(Body):
    """A data set to learn from."""

    name: Name
    texts: Texts
    labels: Texts


class ForLearning(Body):
    """Data sets, how many relatives of each the server is to add from its library, and how to learn."""

    tasks: Annotated[list[TaskBody], Field(min_length=1, max_length=256)]
    widen: Annotated[int, Field(ge=0, le=16)] = 0
    layout: Literal[LAYOUTS] = "suffix"
    vectors: Annotated[int, Field(ge=1, le=64)] = 8
    examples: Annotated[int, Field(ge=1, le=64)] = 8
    example: Name = MetaConfig().example
    map: Literal[MAPS] = "last"
    join: Literal[JOINS] = "concatenate"
    steps: Annotated[int, Field(ge=0)] = 50
    rate: Annotated[float, Field(gt=0, le=10)] = 0.01
    seed: int = 0


class Making:
    """The meta-prompts that are there, and those that come.

    Args:
        engine: `Engine`.
        named: dict of name -> `MetaPrompt`.
        lending: `Lending` or None.
        start: str or None, the words that made prompts begin as.

    Raises:
        ValueError: a meta-prompt of another model, or one that another model reads.
    """

    def __init__(self, engine, named, lending, start):
        self.engine, self.named, self.lending, self.start = engine, dict(named or {}), lending, start
        for name, one in self.named.items():
            if {one.sha256, one.maker_sha256} != {sha256(engine.lm)}:
                raise ValueError(f"The meta-prompt {name!r} belongs to another model than {engine.lm.name}: learn it again.")
        self._learner = ThreadPoolExecutor(1, "service learning")
        self._busy = False

    def seen(self, user):
        """The names of the meta-prompts for a user, sorted: list of str."""
        return sorted(name for name, one in self.named.items() if one.user in (None, user))

    async def make(self, user, body):
        """A prompt made from examples, or a description, without training. Equal requests get equal answers."""
        name = "own" if body.own is not None else await self._which(user, body)
        maker = self._given(body.own) if body.own is not None else self.named[name]
        known = {label for _, label in body.examples} if isinstance(body.examples, list) else set()
        if len(body.examples) > self.engine.limits.rows and isinstance(body.examples, list):
            raise Refused(422, f"There are {len(body.examples)} examples, and {self.engine.limits.rows} are allowed.")
        if body.classes is None and len(known) < 2:
            raise Refused(422, "classes must name the labels there are: the examples do not show two.")
        with in_words():
            found = await self.engine.alone(lambda lm: maker.make(lm, body.examples, body.classes, user=maker.user))
        answer = {"vectors": bodies.encode({"vectors": found.vectors}), "classes": list(found.labels), "meta_prompt": name}
        return answer | {"layout": found.config.layout, "template": found.config.template}

    async def _which(self, user, body):
        """The name of a meta-prompt: as asked for, found by search, or the general one."""
        seen = self.seen(user)
        if body.name is not None and body.name not in seen:
            raise Refused(404, f"There is no meta-prompt of this name; there are: {', '.join(seen) or 'none'}.")
        if body.name is not None:
            return body.name
        if body.search:
            if self.lending is None or isinstance(body.examples, str):
                raise Refused(422, "A search for a meta-prompt needs examples, and a library on the server.")
            texts, labels = [list(part) for part in zip(*body.examples, strict=True)] if body.examples else ([], [])
            like = self.named[seen[0]].config.prompt if seen else SoftConfig()  # of the shape that its prompts have
            config = like.replace(start=self.start)
            for entry, _, _ in await self.lending.relatives(user, texts, labels, config, _NEAREST):
                tasks = {entry.name, *(data.name for data in entry.card.data), *(data.sha256 for data in entry.card.data)}
                for name in seen:
                    if name != GENERAL and tasks & {part for task in self.named[name].tasks for part in task}:
                        return name
        if GENERAL not in seen:
            raise Refused(404, f"Name a meta-prompt; there are: {', '.join(seen) or 'none'}.")
        return GENERAL

    async def learn(self, user, body):
        """A meta-prompt learned from data sets. It goes back to the caller and is not kept."""
        limits = self.engine.limits
        if body.steps > limits.steps:
            raise Refused(422, f"steps must be at most {limits.steps}.")
        if self.start is None:
            raise Refused(422, "This server gives no vectors to begin with, and made prompts need some.")
        with in_words():
            prompt = SoftConfig(layout=body.layout, vectors=body.vectors, start=self.start)
            more = {name: getattr(body, name) for name in ("examples", "example", "map", "join", "steps", "rate", "seed")}
            config = MetaConfig(prompt=prompt, **more)
        self._fits(config)
        if sum(len(task.texts) for task in body.tasks) > limits.rows:
            raise Refused(422, f"There are more than {limits.rows} texts in all.")
        tasks, added = [meta.Task(task.name, task.texts, task.labels) for task in body.tasks], []
        none = np.zeros((body.vectors, self.engine.width), np.float32)
        for task in body.tasks:
            await self.engine.check(none, task.texts, task.labels, prompt)
        for task in body.tasks if body.widen else ():
            if self.lending is None:
                raise Refused(422, "This server has no library to find relatives in: leave widen out.")
            for entry, score, rows in await self.lending.relatives(user, task.texts, task.labels, prompt, body.widen):
                fits = rows is not None and len(rows[0]) > config.examples and len(set(rows[1])) > 1
                known = any(one["id"] == entry.id for one in added)
                if not known:
                    added.append({"id": entry.id, "name": entry.name, "for": task.name, "score": score, "used": fits})
                if fits and not known:
                    tasks.append(meta.Task(f"{entry.name} {entry.id}", *(part[: limits.rows] for part in rows)))
        found = await self._aside(lambda lm: meta.learn(lm, tasks, config, progress=False))
        state, weights = found.to_state()
        options = asdict(found.config)
        return {
            "meta_prompt": {"options": options, "weights": bodies.encode(weights)},
            "added": added,
            "history": state["history"],
        }

    async def _aside(self, ask):
        """The answer of a long piece of work, one at a time, while others are answered."""
        if self._busy:
            raise Refused(429, "Somebody learns a meta-prompt here at the moment: try again.", {"retry-after": "10"})
        self._busy = True
        try:
            with in_words():
                return await asyncio.get_running_loop().run_in_executor(self._learner, ask, self.engine.another())
        finally:
            self._busy = False

    def _given(self, own):
        """The meta-prompt that a caller brings."""
        arrays = bodies.decode(own.weights, "weights", _MOST, farthest=1e6)
        try:
            options = MetaConfig(**own.options | {"prompt": SoftConfig(**own.options["prompt"])})
            self._fits(options)
            wide, k, m = self.engine.width, options.prompt.vectors, options.size
            d = wide * (self.engine.lm.model.config.num_hidden_layers + 1) if options.map == "layers" else wide
            shapes = {"variable": (m, wide), "begun": (m, wide)}
            if options.map != "none":
                shapes |= {"base": (k, wide), "centre": (k, d), "read": (16, d), "map": (k * wide, k * 16)}
            if {name: array.shape for name, array in arrays.items()} != shapes:
                raise ValueError("shapes")
            name, digest = self.engine.lm.name, sha256(self.engine.lm)
            return MetaPrompt(arrays, options, name, digest, name, digest, ())
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Refused(422, "own must be a meta-prompt as this server gave it.") from None

    def _fits(self, config):
        k = config.prompt.vectors
        if config.map != "none" and k * self.engine.width * k * 16 > _MOST:
            raise Refused(422, f"{k} vectors with a map are too many for this model: take fewer.")

    ENDPOINTS = {"/meta-prompt": (ForMaking, make), "/meta-prompt/learn": (ForLearning, learn)}
