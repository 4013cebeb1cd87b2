"""Pictures: whatever a user has (a file, its bytes, a PIL image, an array) -> an RGB image, or an error in words. No torch."""

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import PIL.Image
import PIL.ImageOps

from workbench import files
from workbench.values import PictureError

SMALLEST = 8  # pixels a side; below it there is nothing to see
LARGEST = 40_000_000  # pixels; no model here looks at more than a million
_BYTES = (bytes, bytearray, memoryview)
_NAMED = re.compile(r"[^\r\n]+\.(png|jpe?g|jfif|webp|gif|bmp|tiff?|avif|heic|heif|svg|mpo|ppm|ico)", re.IGNORECASE)
_KINDS = "a PIL image, a path, the bytes of a file, an open file, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)"
_RANGES = "int 0..255, such as uint8, or float 0..1"
# What is taken for a picture and is none, by its first bytes.
_OTHERS = (
    (rb"^....ftyp(he|mif1|msf1)", "a HEIC picture, as phones take them; save it as JPEG or PNG"),
    (rb"<svg", "an SVG drawing; save it as PNG"),
    (rb"^%PDF|^%!PS|^\xc5\xd0\xd3\xc6", "a PDF or PostScript page; save it as PNG"),
    (rb"^\s*<(!doctype )?html", "a web page and not the picture on it; download the picture itself"),
)


def as_pictures(images):
    """A list of pictures as RGB; a single one becomes a list of one.

    Args:
        images: a picture; a list, tuple or iterator of pictures; a dict of name to picture, such as `files.upload()` of Colab;
            or an array (n, h, w, 3). A picture is a PIL image; the path of a file, a str or Path; the bytes of a file; a file
            that is open in binary mode; or an array, or tensor on the CPU, (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) of int
            0..255, float 0..1 or bool. Grey becomes RGB; what is transparent becomes white, as on paper; a picture that the
            camera stored on its side is turned upright; of an animation the first frame counts.

    Returns:
        list of PIL.Image.Image, mode RGB, each of the size it had.

    Raises:
        PictureError: no pictures, or one that is not a picture, unreadable, smaller than 8 pixels a side, or larger than 40
            million pixels; it says which.
    """
    images = several(images)
    if not isinstance(images, (list, tuple, Mapping)):
        return [_as_picture(images)]
    if not images:
        raise PictureError(f"There are no pictures: an empty {type(images).__name__} was given.")
    pictures = []
    for name, image in images.items() if isinstance(images, Mapping) else enumerate(images):
        try:
            pictures.append(_as_picture(image))
        except PictureError as err:
            which = f"{name!r}" if isinstance(images, Mapping) else f"{name} of {len(images)}"
            raise PictureError(f"Picture {which}: {err}") from err
    return pictures


def several(images):
    """An array (n, h, w, c) or an iterator of pictures as a list; anything else as it is."""
    batch = getattr(images, "ndim", None) == 4 or (isinstance(images, Iterator) and not hasattr(images, "read"))
    return list(images) if batch else images


def is_named(text):
    """Whether a text names a picture, where a text could stand too: it ends like one (`.png`), or is the path of one."""
    if _NAMED.fullmatch(text):
        return True
    try:
        return bool(_read(text))
    except PictureError:
        return False


def _as_picture(image):
    if isinstance(image, (str, os.PathLike)):
        image = _read(image)
    elif isinstance(image, _BYTES):
        image = _decoded(io.BytesIO(image), f"The picture of {len(image):,} bytes")
    elif hasattr(image, "read"):
        image = _decoded(_whole(image), f"The file {getattr(image, 'name', type(image).__name__)}")
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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd palettes and notes of cameras
            return _as_rgb(image)
    except Exception as err:  # a PIL image reads its file here, and its decoders raise whatever they meet
        raise PictureError(f"The picture cannot be read: {_short(err)}.") from err


def _as_rgb(image):
    image.load()
    try:
        image = PIL.ImageOps.exif_transpose(image)
    except Exception:  # the notes of the camera are damaged: as it was stored
        pass
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _from_deep_grey(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        paper = PIL.Image.new("RGBA", image.size, "white")
        return PIL.Image.alpha_composite(paper, image).convert("RGB")
    return image.convert("RGB")


def _read(given):
    try:
        path = files.path(given, "The path of a picture")
        if path.is_file():
            with open(path, "rb") as file:
                return _decoded(file, path)
    except (OSError, ValueError) as err:
        raise err if isinstance(err, PictureError) else PictureError(f"{given!r} cannot be opened: {_short(err)}.") from err
    if path.exists():
        what = "a folder. Give its files: list(folder.glob('*.png'))" if path.is_dir() else "no file with a picture in it"
        raise PictureError(f"{path} is {what}.")
    hint = " It looks like an address of the web: download it first." if re.match(r"\w+:/", str(given)) else ""
    raise PictureError(f"There is no picture {given}.{hint}")


def _whole(file):
    """What is in an open file, from its beginning where it can go back."""
    if isinstance(file, io.TextIOBase):
        raise PictureError("This file is open as text. Open it as bytes: open(path, 'rb').")
    try:
        if not hasattr(file, "seekable") or file.seekable():
            file.seek(0)
        return io.BytesIO(file.read())
    except (OSError, ValueError, TypeError, AttributeError) as err:
        raise PictureError(f"This {type(file).__name__} cannot be read: {_short(err)}.") from err


def _decoded(file, name):
    """The picture in an open file; one that is too large keeps its size and no pixels, so that no memory is spent on it."""
    head = file.read(1024)
    if not head:
        raise PictureError(f"{name} is empty: it has 0 bytes.")
    other = next((said for sign, said in _OTHERS if re.search(sign, head, re.IGNORECASE | re.DOTALL)), None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about large pictures: we have a limit of our own, and words for it
            image = PIL.Image.open(file)
            if image.format in ("EPS", "WMF"):  # to draw these, Pillow starts another program
                raise ValueError("it is a drawing")
            if image.size[0] * image.size[1] <= LARGEST:
                image.load()
            return image
    except Exception as err:  # its decoders raise whatever they meet in a damaged file
        if other:
            raise PictureError(f"{name} is {other}.") from err
        raise PictureError(f"{name} is not a picture that Pillow can read. ({_short(err)})") from err


def _short(err):
    return " ".join(str(err).split())[:200] or type(err).__name__


def _from_array(image):
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as err:
        raise PictureError(f"Not a picture: {type(image).__name__}. Give {_KINDS} of {_RANGES}. ({_short(err)})") from err
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        turn = " Its channels come first: give picture.transpose(1, 2, 0), of a tensor picture.permute(1, 2, 0)." if first else ""
        raise PictureError(
            f"Not a picture: {type(image).__name__} of shape {array.shape} and dtype {array.dtype}.{turn} "
            f"Give {_KINDS} of {_RANGES}."
        )
    if 0 in array.shape:
        raise PictureError(f"The picture is empty: shape {array.shape}.")
    top = 255 if array.dtype.kind in "ui" else 1
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > top:
        raise PictureError(f"The picture has {array.dtype} values from {array.min()} to {array.max()}; give {_RANGES}.")
    array = array if top == 255 else np.rint(array * 255.0)
    return PIL.Image.fromarray(array.astype(np.uint8))


def _from_deep_grey(image):
    """16 and 32 bit grey: Pillow's own conversion cuts at 255 instead of scaling."""
    array = np.asarray(image, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError("it holds NaN or infinity")
    top = 1.0 if image.mode == "F" and array.max() <= 1 else 255.0 if array.max() <= 255 else 65535.0
    return PIL.Image.fromarray(np.rint(np.clip(array / top, 0, 1) * 255).astype(np.uint8))
