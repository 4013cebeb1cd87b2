"""The library of a service: search, add, read and remove, each for the user who asks and by the rights of that user."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import Request
from pydantic import Field

from workbench.data.library import Card, DataSet
from workbench.data.library.entries import ACCESS
from workbench.data.library.searching import BY, METRICS
from workbench.search import soft
from workbench.search.soft.learning import start_vectors
from workbench.search.soft.soft_prompt import sha256
from workbench.show.service import bodies
from workbench.show.service.bodies import Body, Encoded, Name, Refused, Text, Texts
from workbench.show.service.engine import settings

_OWN = re.compile(r"^(Card|DataSet|SoftConfig|MetaConfig|VisualConfig): ")  # what the package calls things inside
_CALL = re.compile(r"(a )?library\.\w+(\([^)]*\))?")
_OPTION = re.compile(r"(, or |: take |, such as | with )?(Soft|Meta)Config\([^)]*\)|(: |, )?Task\([^.]*\)(?=[.]$)")


class Source(Body):
    """A data set."""

    name: Name
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    link: Annotated[str, Field(max_length=1_000)] = ""
    licence: Annotated[str, Field(max_length=1_000)] = ""


class CardBody(Body):
    """What its submitter says of a prompt."""

    name: Name
    data: Annotated[list[Source], Field(min_length=1, max_length=100)]
    date: Annotated[str, Field(max_length=40)]
    tags: Annotated[list[Name], Field(max_length=100)] = []
    access: Literal[ACCESS] = "free"
    readers: Annotated[list[Name], Field(max_length=1_000)] = []
    submitter: Annotated[str, Field(max_length=1_000)] = ""
    contact: Annotated[str, Field(max_length=1_000)] = ""
    share: bool = False
    parents: Annotated[list[Name], Field(max_length=100)] = []
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    loss: Annotated[float, Field(ge=0)] | None = None
    note: Annotated[str, Field(max_length=10_000)] = ""


class ForSearch(bodies.Prompted):
    """A prompt that began as the server says, or rows of a task."""

    vectors: Encoded | None = None
    texts: Texts | None = None
    labels: list[Text] | None = None
    by: Literal[tuple(BY)] = "prompt"
    metric: Literal[tuple(METRICS)] = "centred"
    k: Annotated[int, Field(ge=1, le=1_000)] = 5
    where: dict[str, str | float] | None = None
    size: Annotated[int, Field(ge=1, le=256)] = 8


class ForUpload(bodies.Prompted):
    """A prompt that began as the server says, and its card. Rows are kept with it: they are a consent to keep them."""

    classes: Texts
    card: CardBody
    rows: tuple[Texts, list[Text]] | None = None


class ForEntry(Body):
    """An entry by its name or id."""

    name: Name
    version: Annotated[int, Field(ge=1, le=2**31)] | None = None


class ForReading(ForEntry):
    """An entry; `buy` pays for one that is given in exchange, `rows` asks for its rows too."""

    buy: bool = False
    rows: bool = False


class Lending:
    """The library as users see it.

    Args:
        engine: `Engine`.
        library: `library.Library`.
        start: str, the words that all prompts here begin as.
    """

    def __init__(self, engine, library, start):
        self.engine, self.library, self.start = engine, library, start
        self._turns = ThreadPoolExecutor(1, "service library")

    async def search(self, user, body):
        """Answer of `Library.search` as plain values."""
        config = self._config(body, body.size)
        if body.by == "prompt":
            vectors = bodies.read_vectors(body.vectors or "", self.engine.width, self.engine.limits.vectors)
            begun = self._begun(config.replace(vectors=len(vectors)))
            query = soft.SoftPrompt(vectors, (), config, self.engine.lm.name, sha256(self.engine.lm))
        else:
            query, begun = await self.sketch(body.texts, body.labels, config, body.by), None
        ask = {"by": body.by, "metric": body.metric, "where": body.where, "start": begun}
        answer = await self._turn(lambda: self.library.as_user(user).search(query, body.k, **ask))
        hits = [{"score": hit.score, **told(hit.entry)} for hit in answer]
        return {"hits": hits, "compared": answer.compared, "left_out": answer.left_out, "meaning": answer.meaning}

    async def upload(self, user, body):
        """Add a prompt."""
        config = settings(body)
        vectors = bodies.read_vectors(body.vectors, self.engine.width, self.engine.limits.vectors)
        config = self._config(body, len(vectors))
        rows = None if body.rows is None else (body.rows[0], body.rows[1])
        try:
            card = body.card.model_dump() | {"data": [DataSet(**one.model_dump()) for one in body.card.data]}
            card = Card(**card)
        except (ValueError, TypeError) as err:
            raise refused(err) from None
        prompt = soft.SoftPrompt(vectors, tuple(body.classes), config, self.engine.lm.name, sha256(self.engine.lm))
        begun = self._begun(config) if rows is None else await self.sketch(*rows, config, "gradient")
        entry = await self._turn(lambda: self.library.as_user(user).add(prompt, card, begun, rows=rows))
        return {"id": entry.id, "version": entry.version}

    async def read(self, user, body):
        """An entry with its vectors."""

        def ask():
            mine = self.library.as_user(user)
            entry = (mine.buy if body.buy else mine.get)(body.name, body.version)
            return entry, mine.rows(entry) if body.rows else None

        entry, rows = await self._turn(ask)
        found = {"vectors": bodies.encode({"vectors": entry.vectors}), "classes": list(entry.labels), **told(entry)}
        found |= {name: entry.state["options"].get(name) for name in ("layout", "template")}
        return found | ({} if rows is None else {"texts": rows[0], "labels": rows[1]})

    async def remove(self, user, body):
        """Remove what this user added."""
        return {"removed": await self._turn(lambda: self.library.as_user(user).remove(body.name, body.version))}

    async def relatives(self, user, texts, labels, config, k):
        """The k nearest entries to rows by gradient, as far as their rows can be read: list of (entry, score, rows or None)."""
        query = await self.sketch(texts, labels, config, "gradient")

        def ask():
            mine, found = self.library.as_user(user), []
            for hit in mine.search(query, k, by="gradient"):
                try:
                    rows = mine.rows(mine.get(hit.entry.id))
                except ValueError:
                    rows = None
                found.append((hit.entry, hit.score, rows))
            return found

        return await self._turn(ask)

    async def sketch(self, texts, labels, config, by):
        """The `soft.Sketch` of rows."""
        if not texts or (by == "gradient" and not labels):
            raise Refused(422, f"A search by {by} needs texts{' and labels' if by == 'gradient' else ''}.")
        begun = self._begun(config)
        await self.engine.check(begun, texts, labels or [str(i % 2) for i in range(len(texts))], config)
        return await self.engine.alone(lambda lm: soft.sketch(lm, texts, labels or None, config))

    def _config(self, body, vectors):
        if self.start is None:
            raise Refused(422, "This server gives no vectors to begin with, so that nothing can be compared here.")
        return settings(body).replace(start=self.start, vectors=vectors)

    def _begun(self, config):
        return start_vectors(self.engine.lm, config).cpu().numpy().copy()

    async def _turn(self, ask):
        try:
            return await asyncio.get_running_loop().run_in_executor(self._turns, ask)
        except (ValueError, TypeError) as err:
            raise refused(err) from None


def told(entry):
    """What is told of an `Entry`: dict of JSON values, nothing of its model."""
    card = {name: value for name, value in asdict(entry.card).items() if value is not None}
    return {"id": entry.id, "version": entry.version, "mine": entry.mine, "card": card, "classes": list(entry.labels)}


def refused(err):
    """An error of the package as a refusal, in words that need no Python."""
    said = _OPTION.sub("", _CALL.sub("the library", _OWN.sub("", str(err))))
    return Refused(404 if said.startswith("There is no ") and "filter" not in said else 422, said)


def add_endpoints(app, lending):
    """Add the library to an app; without one, it says that there is none."""

    def there():
        if lending is None:
            raise Refused(404, "This server has no library.")
        return lending

    @app.post("/library/search")
    async def search(body: ForSearch, request: Request):
        """Entries that are nearest to a prompt or to the rows of a task, of those that this user may see."""
        return await there().search(request.scope["user"], body)

    @app.post("/library/upload")
    async def upload(body: ForUpload, request: Request):
        """Add a prompt."""
        return await there().upload(request.scope["user"], body)

    @app.post("/library/read")
    async def read(body: ForReading, request: Request):
        """A prompt that others have left."""
        return await there().read(request.scope["user"], body)

    @app.post("/library/remove")
    async def remove(body: ForEntry, request: Request):
        """Remove what this user added."""
        return await there().remove(request.scope["user"], body)
