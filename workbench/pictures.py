"""Pictures: whatever a user has (a file, a PIL image, an array) -> an RGB image, or an error in words. No torch."""

import warnings
from pathlib import Path

import numpy as np
import PIL.Image

from workbench.values import PictureError

SMALLEST = 8  # pixels a side; below it there is nothing to see
LARGEST = 40_000_000  # pixels; no model here looks at more than a million


def as_pictures(images):
    """A list of pictures as RGB; a single one becomes a list of one.

    Args:
        images: a picture, a list or tuple of pictures, or an array (n, h, w, 3). A picture is a PIL image; the path of a file; or
            an array (h, w), (h, w, 3) or (h, w, 4), uint8 or float in 0..1. Grey becomes RGB; what is transparent becomes
            white, as on paper.

    Returns:
        list of PIL.Image.Image, mode RGB, each of the size it had.

    Raises:
        PictureError: no pictures, or one that is not a picture, unreadable, smaller than 8 pixels a side, or larger than 40
            million pixels; it says which.
    """
    if isinstance(images, np.ndarray) and images.ndim == 4:
        images = list(images)
    if not isinstance(images, (list, tuple)):
        return [_as_picture(images)]
    if not images:
        raise PictureError("There are no pictures: an empty list was given.")
    pictures = []
    for number, image in enumerate(images):
        try:
            pictures.append(_as_picture(image))
        except PictureError as err:
            raise PictureError(f"Picture {number} of {len(images)}: {err}") from err
    return pictures


def _as_picture(image):
    if isinstance(image, (str, Path)):
        image = _read(image)
    elif not isinstance(image, PIL.Image.Image):
        image = _from_array(image)
    width, height = image.size
    if min(width, height) < SMALLEST:
        raise PictureError(f"The picture is {width} x {height} pixels; at least {SMALLEST} x {SMALLEST} are wanted.")
    if width * height > LARGEST:
        raise PictureError(
            f"The picture is {width} x {height} = {width * height / 1e6:.0f} million pixels; at most {LARGEST / 1e6:.0f} million "
            "are read. Reduce it first: image.thumbnail((1024, 1024))."
        )
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        paper = PIL.Image.new("RGBA", image.size, "white")
        return PIL.Image.alpha_composite(paper, image).convert("RGB")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _from_deep_grey(image)
    return image.convert("RGB")


def _read(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # we have a limit of our own, and words for it
            image = PIL.Image.open(path)
        with image:
            if image.size[0] * image.size[1] <= LARGEST:  # otherwise the check of the size speaks, before memory is spent
                image.load()
            return image
    except FileNotFoundError as err:
        raise PictureError(f"There is no picture {path}.") from err
    except (OSError, ValueError, PIL.Image.DecompressionBombError) as err:
        raise PictureError(f"{path} is not a picture that Pillow can read. ({' '.join(str(err).split())[:200]})") from err


def _from_array(image):
    shapes = "(h, w), (h, w, 3) or (h, w, 4), uint8 or float in 0..1"
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as err:
        raise PictureError(f"Not a picture: {type(image).__name__}. Give a PIL image, a path, or an array {shapes}.") from err
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PictureError(
            f"Not a picture: {type(image).__name__} of shape {array.shape} and dtype {array.dtype}. Give a PIL image, a path, or "
            f"an array {shapes}."
        )
    if 0 in array.shape:
        raise PictureError(f"The picture is empty: shape {array.shape}.")
    if array.dtype != np.uint8:
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise PictureError(
                f"The picture has {array.dtype} values from {array.min()} to {array.max()}; give uint8 0..255 or float 0..1."
            )
        array = np.rint(array * 255.0).astype(np.uint8)
    return PIL.Image.fromarray(array)


def _from_deep_grey(image):
    """16 and 32 bit grey: Pillow's own conversion cuts at 255 instead of scaling."""
    array = np.asarray(image, dtype=np.float64)
    top = 1.0 if image.mode == "F" and array.max() <= 1 else 255.0 if array.max() <= 255 else 65535.0
    return PIL.Image.fromarray(np.rint(np.clip(array / top, 0, 1) * 255).astype(np.uint8))
