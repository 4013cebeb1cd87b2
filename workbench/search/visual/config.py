"""Options of a visual prompt."""

from dataclasses import dataclass

from workbench import checks

RATES = {"pad": 0.1, "channel": 0.05, "mask": 0.1, "tokens": 0.02, "deep": 0.02}
KINDS = tuple(RATES)


@dataclass(frozen=True)
class VisualConfig(checks.Options):
    """Options of `visual.tune`.

    Attributes:
        kind: str. Pixels are numbers from -1 to 1 here.
            "pad": a border around the picture, of `width` pixels in three colors.
            "channel": a fourth channel, one number a pixel, and a map from four channels to the three that the model reads.
            "mask": a factor for each pixel and color.
            "tokens": vectors behind those of the patches, in the first layer of a vision transformer; "deep": in each layer.
        width: int, pixels of the border.
        shrink: bool; the border stands around a picture made smaller; otherwise it covers the picture's edge.
        shared: bool; the mask has one factor for all three colors.
        binary: bool; the factors of the mask are 0 and 1.
        tokens: int, vectors of the kinds "tokens" and "deep"; 0 only with `steps` 0: the model alone.
        template: str, the text of a label for a CLIP, such as "a photo of a {label}".
        maker: int, width of a small network that makes the prompt from each picture, added to a prompt for all; 0 for none.
        steps: int, steps of training; 0 gives the prompt as it starts.
        batch: int, pictures of a step.
        rate: float or None, the highest learning rate; None takes that of the kind.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        Border: Bahng et al., "Exploring Visual Prompts for Adapting Large-Scale Models", arXiv:2203.17274; tokens: Jia et al.,
        "Visual Prompt Tuning", arXiv:2203.12119. Rates: own trials.
    """

    kind: str = "pad"
    width: int = 4
    shrink: bool = False
    shared: bool = False
    binary: bool = False
    tokens: int = 8
    template: str = "{label}"
    maker: int = 0
    steps: int = 300
    batch: int = 32
    rate: float | None = None
    seed: int = 0

    def __post_init__(self):
        if self.rate is None and self.kind in RATES:
            object.__setattr__(self, "rate", RATES[self.kind])
        self.check(
            choices={"kind": KINDS},
            wholes={"width": 1, "tokens": 0, "maker": 0, "steps": 0, "batch": 1},
            places={"template": ("{label}",)},
        )
        if self.kind in ("tokens", "deep") and self.steps and not self.tokens:
            raise ValueError("VisualConfig: with no tokens there is nothing to learn: take steps=0, or some tokens.")

    def replace(self, **changes):
        """The same options with some changed; another kind has its own rate unless one is given."""
        return super().replace(**({"rate": None} if "kind" in changes else {}) | changes)
