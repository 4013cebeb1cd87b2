"""Visual prompts of a service: a gradient, predictions, and the shelf of visual prompts in its library."""

from typing import Annotated, Literal

import numpy as np
import safetensors.numpy
from fastapi import Request
from pydantic import Field

from workbench.data.library import Card, DataSet
from workbench.data.library.searching import METRICS
from workbench.models.clip import CLIP
from workbench.search.visual import gradient, shelving
from workbench.search.visual.kinds import PIXELS
from workbench.show.service import bodies
from workbench.show.service.bodies import Body, Encoded, Refused, Text, Texts
from workbench.show.service.lending import CardBody, refused, told

_MOST = 4_000_000  # numbers of a prompt
_SIDE = 1024  # pixels
_SEARCHED = 1_000


class ForPictures(Body):
    """A visual prompt: its numbers, its options as of `VisualConfig`, and all labels there are."""

    tensors: Encoded
    options: dict[str, str | int | float | bool | None] = {}
    classes: Texts


class ForVisualPredictions(ForPictures):
    """Pictures: base64 of a safetensors file with one array, `pictures`, uint8 (n, height, width, 3)."""

    pictures: Encoded


class ForVisualGradient(ForVisualPredictions):
    """Pictures and a label for each."""

    labels: list[Text]


class ForVisualUpload(ForPictures):
    """A visual prompt and its card."""

    card: CardBody


class ForVisualSearch(ForPictures):
    """A visual prompt that others are to be like."""

    metric: Literal[tuple(METRICS)] = "cosine"
    k: Annotated[int, Field(ge=1, le=_SEARCHED)] = 5
    where: dict[str, str | float] | None = None


class Seeing:
    """The vision model of a service.

    Args:
        engine: `Engine`, whose thread asks it too.
        vision: `models.CLIP`, or the `Checker` of the world.
        shelf: `Lending` or None.
    """

    def __init__(self, engine, vision, shelf):
        self.engine, self.vision, self.shelf = engine, vision, shelf

    async def about(self, options, classes):
        """What a prompt of some options begins as."""
        config = self._config(options)
        self._few(classes)
        begun = await self._ask(lambda: shelving.start_arrays(self.vision, classes, config))
        return {"tensors": bodies.encode(begun), "names": {name: list(one.shape) for name, one in begun.items()}}

    async def gradient(self, body):
        """(loss, dict of arrays, labels)."""
        prompt, pictures = await self._prompt(body), self.pictures(body.pictures)
        if len(body.labels) != len(pictures) or not set(body.labels) <= set(body.classes):
            raise Refused(422, "labels must be one of classes for each picture.")
        return await self._ask(lambda: gradient(self.vision, prompt, pictures, body.labels))

    async def predict(self, body):
        """float32 (n, c)."""
        prompt, pictures = await self._prompt(body), self.pictures(body.pictures)
        return await self._ask(lambda: prompt.probabilities(self.vision, pictures))

    async def upload(self, user, body):
        """Add a visual prompt to the library."""
        prompt = await self._prompt(body)
        try:
            card = Card(**body.card.model_dump() | {"data": [DataSet(**one.model_dump()) for one in body.card.data]})
        except (ValueError, TypeError) as err:
            raise refused(err) from None
        kept = await self._ask(lambda: shelving.shelved(self.vision, prompt))
        entry = await self._shelf()._turn(lambda: self.shelf.library.as_user(user).add(kept, card, kept.start))
        return {"id": entry.id, "version": entry.version}

    async def search(self, user, body):
        """Visual prompts of the same kind, shape and model that are nearest."""
        prompt = await self._prompt(body)
        query = await self._ask(lambda: shelving.shelved(self.vision, prompt))
        ask = {"metric": body.metric, "where": body.where, "start": query.start}
        answer = await self._shelf()._turn(lambda: self.shelf.library.as_user(user).search(query, body.k, **ask))
        hits = [{"score": hit.score, **told(hit.entry)} for hit in answer]
        return {"hits": hits, "compared": answer.compared, "left_out": answer.left_out, "meaning": answer.meaning}

    async def read(self, user, body):
        """A visual prompt of the library."""

        def ask():
            mine = self.shelf.library.as_user(user)
            return (mine.buy if body.buy else mine.get)(body.name, body.version)

        entry = await self._shelf()._turn(ask)
        try:
            prompt = shelving.from_entry(entry)
        except ValueError as err:
            raise refused(err) from None
        options = {name: value for name, value in entry.state["options"].items() if name != "layout"}
        return {"tensors": bodies.encode(prompt.tensors), "options": options, "classes": list(prompt.labels), **told(entry)}

    def pictures(self, text):
        """Pictures that came as text: uint8 (n, height, width, 3). Raises `Refused` for what is none."""
        try:
            arrays = safetensors.numpy.load(bodies.bytes_of(text))
        except Exception as err:
            raise Refused(422, "pictures must be base64 of a safetensors file.") from err
        found = arrays.get("pictures")
        fits = len(arrays) == 1 and found is not None and found.dtype == np.uint8 and found.ndim == 4
        if not fits or found.shape[3] != 3 or not found.size or max(found.shape[1:3]) > _SIDE:
            raise Refused(422, f"pictures must be one uint8 array (n, height, width, 3) of that name, sides at most {_SIDE}.")
        if len(found) > self.engine.limits.rows:
            raise Refused(422, f"There are {len(found)} pictures, and {self.engine.limits.rows} are allowed in a request.")
        return found.copy()

    async def _prompt(self, body):
        config, tensors = self._config(body.options), bodies.decode(body.tensors, "tensors", _MOST)
        self._few(body.classes)
        return await self._ask(lambda: shelving.read(self.vision, tensors, sorted(body.classes), config))

    def _config(self, options):
        try:
            config = shelving.options_of(options)
        except ValueError as err:
            raise refused(err) from None
        # what would cost memory before the numbers that came are compared with it
        if max(config.maker, config.tokens, config.width) > 256 or (
            config.kind not in PIXELS and not isinstance(self.vision, CLIP)
        ):
            raise Refused(422, "width, tokens and maker are at most 256, and tokens need a model that reads patches.")
        return config

    def _few(self, classes):
        if not 2 <= len(set(classes)) == len(classes) <= self.engine.limits.classes:
            raise Refused(422, f"classes must be 2 to {self.engine.limits.classes} different labels.")

    def _shelf(self):
        if self.shelf is None:
            raise Refused(404, "This server has no library.")
        return self.shelf

    async def _ask(self, call):
        try:
            return await self.engine.alone(lambda _: call())
        except (ValueError, TypeError) as err:
            raise refused(err) from None


def add_endpoints(app, seeing):
    """Add visual prompts to an app; without a vision model, it says that there is none."""
    from workbench.show.service.lending import ForReading

    def there():
        if seeing is None:
            raise Refused(404, "This server has no vision model.")
        return seeing

    class ForStart(Body):
        """Options, as of `VisualConfig`, and labels."""

        options: dict[str, str | int | float | bool | None] = {}
        classes: Texts

    @app.post("/visual/start")
    async def start(body: ForStart):
        """The numbers that a visual prompt of some options begins as."""
        return await there().about(body.options, body.classes)

    @app.post("/visual/gradient")
    async def slope(body: ForVisualGradient):
        """Loss of a visual prompt on pictures, its gradient, and the predicted labels. Nothing is kept."""
        loss, found, predicted = await there().gradient(body)
        return {"loss": loss, "gradient": bodies.encode(found), "predictions": predicted}

    @app.post("/visual/predict")
    async def predict(body: ForVisualPredictions):
        """The likeliest label of each picture, and how likely each label is, in the order of the labels sorted."""
        found, names = await there().predict(body), sorted(body.classes)
        return {"predictions": [names[i] for i in found.argmax(1)], "classes": names, "probabilities": found.tolist()}

    @app.post("/visual/upload")
    async def upload(body: ForVisualUpload, request: Request):
        """Add a visual prompt to the library."""
        return await there().upload(request.scope["user"], body)

    @app.post("/visual/search")
    async def search(body: ForVisualSearch, request: Request):
        """Visual prompts of the same kind, shape and model that are nearest."""
        return await there().search(request.scope["user"], body)

    @app.post("/visual/read")
    async def read(body: ForReading, request: Request):
        """A visual prompt that others have left."""
        return await there().read(request.scope["user"], body)
