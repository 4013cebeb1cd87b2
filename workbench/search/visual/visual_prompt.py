"""A visual prompt: numbers that are put onto pictures, tied to the model they were learned with."""

from dataclasses import asdict, dataclass

import torch

from workbench import checks
from workbench.artifacts import Saved
from workbench.pictures import as_pictures
from workbench.search.visual.config import VisualConfig
from workbench.search.visual.kinds import PIXELS, Numbers, prompted, starts
from workbench.search.visual.towers import as_array, sha256, tower_of
from workbench.values import ModelError

STOPPED = ("steps", "interrupted")
_CHUNK = 128


@dataclass(frozen=True, eq=False)
class VisualPrompt(Saved):
    """Numbers that make a frozen vision model read pictures of another kind.

    Attributes:
        tensors: dict of name -> float32 array: "own.border" (1, 3, m), "own.channel" (1, 1, s, s) and "own.map" (1, 3, 4),
            "own.mask" (1, 1 or 3, s, s), or "own.tokens" (1, layers, k, w); and the weights of a maker, "maker....".
        labels: tuple of c str, sorted.
        config: `VisualConfig` it was learned with.
        sha256: str, of the weights of the model; another model is refused.
        history: tuple of dicts, one for each 10 steps: `step`, `loss` (nats) and `accuracy` (share, on the pictures of these
            steps).
        stopped: str, "steps" or "interrupted".

    Source:
        Bahng et al., arXiv:2203.17274; Jia et al., arXiv:2203.12119.
    """

    kind = "visual prompt"
    tensors: dict
    labels: tuple
    config: VisualConfig
    sha256: str
    history: tuple = ()
    stopped: str = "steps"

    @property
    def size(self):
        """How many numbers were learned: int."""
        return sum(array.size for array in self.tensors.values())

    def probabilities(self, vision, pictures):
        """How likely each label is.

        Args:
            vision: the `models.CLIP` or `Checker` it was learned with.
            pictures: n pictures, see `pictures.as_pictures`.

        Returns:
            float32 (n, c), 0..1, in the order of `labels`; rows sum to 1.

        Raises:
            ModelError: another model.
            PictureError: one of them is not a picture.
            TypeError: no vision model.
        """
        (tower, numbers), pictures = self._on(vision), as_pictures(pictures)
        parts = (pictures[at : at + _CHUNK] for at in range(0, len(pictures), _CHUNK))
        with torch.inference_mode():
            found = [scores(tower, numbers, tower.pixels(part), self.config) for part in parts]
            return torch.cat(found).softmax(1).cpu().numpy()

    def classify(self, vision, pictures):
        """The likeliest label of each picture: list of n str. Arguments and errors as in `probabilities`."""
        return [self.labels[best] for best in self.probabilities(vision, pictures).argmax(1)]

    def show(self, vision, pictures):
        """Pictures with the prompt on them, as the model gets them.

        Args:
            vision: as in `probabilities`.
            pictures: n pictures.

        Returns:
            uint8 (n, s, s, 3); what the prompt moved beyond black and white is cut.

        Raises:
            ValueError: a prompt of tokens, which no picture shows.
            ModelError, PictureError, TypeError: as in `probabilities`.
        """
        if self.config.kind not in PIXELS:
            raise ValueError("Tokens stand behind the patches inside of the model: there is no picture of them.")
        tower, numbers = self._on(vision)
        with torch.inference_mode():
            pixels = tower.pixels(pictures)
            return as_array(prompted(self.config.kind, numbers(pixels), pixels, self.config)[0])

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        config = {"options": asdict(self.config), "labels": list(self.labels), "sha256": self.sha256}
        return {**config, "history": list(self.history), "stopped": self.stopped}, dict(self.tensors)

    @classmethod
    def from_state(cls, config, tensors):
        """The `VisualPrompt` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        checks.one_of("stopped", config["stopped"], STOPPED)
        labels, options = tuple(checks.texts(config["labels"], "labels")), VisualConfig(**config["options"])
        history = tuple(dict(row) for row in config["history"])
        return cls(tensors, labels, options, config["sha256"], history, config["stopped"])

    def _on(self, vision):
        """The tower of a model and the module of this prompt."""
        tower = tower_of(vision, self.labels, self.config.template)
        if sha256(tower.model) != self.sha256:
            raise ModelError(
                f"This visual prompt was learned with another model: the sha256 of its weights is {sha256(tower.model)[:12]}..., "
                f"expected {self.sha256[:12]}.... Load the old one, or learn the prompt again."
            )
        numbers = Numbers(starts(tower, self.config)[0], self.config.maker, self.config.seed)
        try:
            numbers.load_state_dict({name: torch.from_numpy(array) for name, array in self.tensors.items()})
        except RuntimeError as err:
            raise ModelError(f"The numbers of this visual prompt do not fit its options: {err}") from err
        return tower, numbers.to(next(tower.model.parameters()).device)


def scores(tower, numbers, pixels, config):
    """Scores (n, c) of pictures with a prompt on them."""
    return tower.scores(*prompted(config.kind, numbers(pixels), pixels, config))


def arrays(numbers):
    """The state of `Numbers` as arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in numbers.state_dict().items()}
