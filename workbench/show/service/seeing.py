"""Visual prompts of a service: a gradient, predictions, and the shelf of visual prompts in its library."""

from typing import Annotated, Literal

import numpy as np
import safetensors.numpy
from pydantic import Field

from workbench.data.library.searching import METRICS
from workbench.models.clip import CLIP
from workbench.search.visual import gradient, shelving
from workbench.search.visual.kinds import PIXELS
from workbench.search.visual.towers import tower_of
from workbench.show.service import bodies
from workbench.show.service.bodies import Body, Encoded, Refused, Text, Texts
from workbench.show.service.lending import CardBody, ForTaking, in_words, read_card, told

_SIDE = 1024  # pixels
_SEARCHED = 1_000


class ForStart(Body):
    """Options, as of `VisualConfig`, and all labels there are."""

    options: dict[str, str | int | float | bool | None] = {}
    classes: Texts


class ForPictures(ForStart):
    """A visual prompt: its numbers, its options as of `VisualConfig`, and all labels there are."""

    tensors: Encoded


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

    async def start(self, user, body):
        """The numbers that a visual prompt of some options begins as."""
        config = self._config(body)
        begun = await self._ask(lambda: shelving.start_arrays(tower_of(self.vision, body.classes, config.template), config))
        return {"tensors": bodies.encode(begun), "names": {name: list(one.shape) for name, one in begun.items()}}

    async def gradient(self, user, body):
        """Loss of a visual prompt on pictures, its gradient, and the predicted labels. Nothing is kept."""
        prompt, pictures = await self._prompt(body), self.pictures(body.pictures)
        if len(body.labels) != len(pictures) or not set(body.labels) <= set(body.classes):
            raise Refused(422, "labels must be one of classes for each picture.")
        loss, found, predicted = await self._ask(lambda: gradient(self.vision, prompt, pictures, body.labels))
        if not all(np.isfinite(one).all() for one in (loss, *found.values())):
            raise Refused(422, "The loss of these numbers is not finite: they lie too far out.")
        return {"loss": loss, "gradient": bodies.encode(found), "predictions": predicted}

    async def predict(self, user, body):
        """The likeliest label of each picture, and how likely each label is, in the order of the labels sorted."""
        prompt, pictures = await self._prompt(body), self.pictures(body.pictures)
        found, names = await self._ask(lambda: prompt.probabilities(self.vision, pictures)), prompt.labels
        return {"predictions": [names[i] for i in found.argmax(1)], "classes": names, "probabilities": found.tolist()}

    async def upload(self, user, body):
        """Add a visual prompt to the library."""
        shelf, card, prompt = self._shelf(), read_card(body.card), await self._prompt(body)
        kept = await self._ask(lambda: shelving.shelved(self.vision, prompt))
        return await shelf.add(user, kept, card, kept.start)

    async def search(self, user, body):
        """Visual prompts of the same kind, shape and model that are nearest."""
        shelf, prompt = self._shelf(), await self._prompt(body)
        query = await self._ask(lambda: shelving.shelved(self.vision, prompt))
        return await shelf.near(user, query, query.start, body)

    async def read(self, user, body):
        """A visual prompt that others have left."""
        entry = await self._shelf().take(user, body)
        with in_words():
            prompt = shelving.from_entry(entry)
        options = {name: value for name, value in entry.state["options"].items() if name != "layout"}
        return {"tensors": bodies.encode(prompt.tensors), "options": options, **told(entry)}

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
        config, tensors = self._config(body), bodies.decode(body.tensors, "tensors", shelving.MOST)
        return await self._ask(lambda: shelving.read(self.vision, tensors, sorted(body.classes), config))

    def _config(self, body):
        if not 2 <= len(set(body.classes)) == len(body.classes) <= self.engine.limits.classes:
            raise Refused(422, f"classes must be 2 to {self.engine.limits.classes} different labels.")
        with in_words():
            config = shelving.options_of(body.options)
        # what would cost memory before the numbers that came are compared with it
        if len(config.template) > bodies.WORDS:
            raise Refused(422, f"template is at most {bodies.WORDS} letters long.")
        if max(config.maker, config.tokens, config.width) > 256 or (
            config.kind not in PIXELS and not isinstance(self.vision, CLIP)
        ):
            raise Refused(422, "width, tokens and maker are at most 256, and tokens need a model that reads patches.")
        return config

    def _shelf(self):
        if self.shelf is None:
            raise Refused(404, "This server has no library.")
        return self.shelf

    async def _ask(self, call):
        with in_words():
            return await self.engine.alone(lambda _: call())

    ENDPOINTS = {
        "/visual/start": (ForStart, start),
        "/visual/gradient": (ForVisualGradient, gradient),
        "/visual/predict": (ForVisualPredictions, predict),
        "/visual/upload": (ForVisualUpload, upload),
        "/visual/search": (ForVisualSearch, search),
        "/visual/read": (ForTaking, read),
    }
