"""The library of a service: search, add, read and remove, each for the user who asks and by the rights of that user."""

import asyncio
import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, Literal

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


class ForTaking(ForEntry):
    """An entry; `buy` pays for one that is given in exchange."""

    buy: bool = False


class ForReading(ForTaking):
    """An entry; `buy` pays for one that is given in exchange, `rows` asks for its rows too."""

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
        """Entries that are nearest to a prompt or to the rows of a task, of those that this user may see."""
        config = self._config(body, body.size)
        if body.by == "prompt":
            vectors = bodies.read_vectors(body.vectors or "", self.engine.width, self.engine.limits.vectors)
            begun = self._begun(config.replace(vectors=len(vectors)))
            query = soft.SoftPrompt(vectors, (), config, self.engine.lm.name, sha256(self.engine.lm))
        else:
            query, begun = await self.sketch(body.texts, body.labels, config, body.by), None
        return await self.near(user, query, begun, body, body.by)

    async def upload(self, user, body):
        """Add a prompt."""
        vectors = bodies.read_vectors(body.vectors, self.engine.width, self.engine.limits.vectors)
        config = self._config(body, len(vectors))
        card, rows = read_card(body.card), body.rows
        prompt = soft.SoftPrompt(vectors, tuple(body.classes), config, self.engine.lm.name, sha256(self.engine.lm))
        begun = self._begun(config) if rows is None else await self.sketch(*rows, config, "gradient")
        return await self.add(user, prompt, card, begun, rows)

    async def read(self, user, body):
        """A prompt that others have left."""
        entry = await self.take(user, body)
        rows = await self._turn(lambda: self.library.as_user(user).rows(entry)) if body.rows else None
        found = {"vectors": bodies.encode({"vectors": entry.vectors}), **told(entry)}
        found |= {name: entry.state["options"].get(name) for name in ("layout", "template")}
        return found | ({} if rows is None else {"texts": rows[0], "labels": rows[1]})

    async def remove(self, user, body):
        """Remove what this user added, and the rows that were kept with it."""
        return {"removed": await self._turn(lambda: self.library.as_user(user).remove(body.name, body.version))}

    async def near(self, user, query, start, body, by="prompt"):
        """Answer of `Library.search` as plain values."""
        ask = {"by": by, "metric": body.metric, "where": body.where, "start": start}
        answer = await self._turn(lambda: self.library.as_user(user).search(query, body.k, **ask))
        hits = [{"score": hit.score, **told(hit.entry)} for hit in answer]
        return {"hits": hits, "compared": answer.compared, "left_out": answer.left_out, "meaning": answer.meaning}

    async def add(self, user, prompt, card, start, rows=None):
        """Put a prompt into the library: dict that says under which id."""
        entry = await self._turn(lambda: self.library.as_user(user).add(prompt, card, start, rows=rows))
        return {"id": entry.id, "version": entry.version}

    async def take(self, user, body):
        """The `Entry` of a `ForTaking`, with its vectors."""
        mine = self.library.as_user(user)
        return await self._turn(lambda: (mine.buy if body.buy else mine.get)(body.name, body.version))

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
        with in_words():
            return await asyncio.get_running_loop().run_in_executor(self._turns, ask)

    ENDPOINTS = {
        "/library/search": (ForSearch, search),
        "/library/upload": (ForUpload, upload),
        "/library/read": (ForReading, read),
        "/library/remove": (ForEntry, remove),
    }


def read_card(body):
    """The `Card` of a `CardBody`."""
    with in_words():
        return Card(**body.model_dump() | {"data": [DataSet(**one.model_dump()) for one in body.data]})


def told(entry):
    """What is told of an `Entry`: dict of JSON values, nothing of its model."""
    card = {name: value for name, value in asdict(entry.card).items() if value is not None}
    return {"id": entry.id, "version": entry.version, "mine": entry.mine, "card": card, "classes": list(entry.labels)}


@contextlib.contextmanager
def in_words():
    """Errors of the package in the block become refusals, in words that need no Python."""
    try:
        yield
    except (ValueError, TypeError) as err:
        said = _OPTION.sub("", _CALL.sub("the library", _OWN.sub("", str(err))))
        raise Refused(404 if said.startswith("There is no ") and "filter" not in said else 422, said) from None
