"""Aesthetic score: a formula, and a head on CLIP features that predicts it, as real ones predict people's votes."""

from pathlib import Path

import numpy as np

from workbench import artifacts
from workbench.models import load_clip
from workbench.pictures import as_pictures

FOLDER = Path(__file__).parents[1] / "world" / "models" / "aesthetic"
_LUMA = np.float32([0.299, 0.587, 0.114])


def beauty(images):
    """The true score of this world by a formula: contrast + colorfulness - fine noise. A definition, not a claim about beauty.

    Args:
        images: n pictures of any size, see `pictures.as_pictures`; they are read at 32 x 32.

    Returns:
        float32 (n,), about 0..10: 5 + 10 * (contrast + colorfulness - fineness), where contrast is the standard deviation of
        luma, colorfulness a third of Hasler and Süsstrunk's measure, and fineness half of the mean absolute difference of a pixel
        from the mean of its four neighbours; all of pixels in 0..1.

    Raises:
        PictureError: one of them is not a picture.

    Source:
        Colorfulness: Hasler and Süsstrunk, "Measuring colourfulness in natural images", SPIE 5007 (2003), section 7.
    """
    pictures = [picture if picture.size == (32, 32) else picture.resize((32, 32)) for picture in as_pictures(images)]
    pixels = np.stack([np.asarray(picture) for picture in pictures]).astype(np.float32) / 255
    luma = pixels @ _LUMA
    red_green = pixels[..., 0] - pixels[..., 1]
    yellow_blue = (pixels[..., 0] + pixels[..., 1]) / 2 - pixels[..., 2]
    spread = np.hypot(red_green.std((1, 2)), yellow_blue.std((1, 2)))
    mean = np.hypot(red_green.mean((1, 2)), yellow_blue.mean((1, 2)))
    near = (luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]) / 4
    fineness = np.abs(luma[:, 1:-1, 1:-1] - near).mean((1, 2))
    return (5 + 10 * (luma.std((1, 2)) + (spread + 0.3 * mean) / 3 - fineness / 2)).astype(np.float32)


_LAYOUT = {"mean": "float32 d", "scale": "float32 d", "linear": "float32 d", "hidden": "float32 d h"}
_LAYOUT |= {"hidden_bias": "float32 h", "out": "float32 h", "bias": "float32"}


class Aesthetic(artifacts.Saved):
    """A head of one hidden layer on the unit image features of a CLIP.

    Attributes:
        weights: dict of str to float32 array: "mean" and "scale" (d,), "hidden" (d, h), "hidden_bias" (h,), "out" (h,),
            "linear" (d,), "bias" ().
    """

    kind = "aesthetic head"

    def __init__(self, weights):
        self.weights = weights

    @property
    def width(self):
        """Width d of the features it reads, int."""
        return len(self.weights["mean"])

    def score(self, features):
        """Predict the score of pictures from their features.

        Args:
            features: float32 (n, d), array or tensor, `models.CLIP.image_features` of the CLIP it was trained on.

        Returns:
            float32 array (n,), on the scale of `beauty`.

        Raises:
            ValueError: features of another width.
        """
        features = np.asarray(features.detach().cpu() if hasattr(features, "detach") else features, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ValueError(
                f"This head reads features (n, {self.width}), got {features.shape}. Give CLIP.image_features of the CLIP it was "
                "trained on."
            )
        w = self.weights
        x = (features - w["mean"]) * w["scale"]
        hidden = np.tanh(x @ w["hidden"] + w["hidden_bias"])
        return (hidden @ w["out"] + x @ w["linear"] + w["bias"]).astype(np.float32)

    def score_pictures(self, images, clip=None):
        """Predict the score of pictures.

        Args:
            images: n pictures, see `pictures.as_pictures`.
            clip: `models.CLIP` the head was trained on; None loads the built-in one, which takes about a second.

        Returns:
            float32 array (n,), on the scale of `beauty`.

        Raises:
            PictureError: one of them is not a picture.
            ValueError: a CLIP of another width.
        """
        return self.score((clip or load_clip("world")).image_features(images))

    def to_state(self):
        """(config, tensors) for `save`."""
        return {"width": self.width}, {key: np.asarray(value, np.float32) for key, value in self.weights.items()}

    @classmethod
    def from_state(cls, config, tensors):
        """The head that `to_state` describes."""
        if artifacts.check_layout(tensors, _LAYOUT)["d"] != config["width"]:
            raise ValueError("its weights have another width")
        return cls(tensors)


def load_aesthetic():
    """Load the `Aesthetic` that comes with the package, for `load_clip("world")`."""
    return Aesthetic.load(FOLDER)
