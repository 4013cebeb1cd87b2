"""Pictures: what users have becomes RGB, or an error says what to do."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from workbench.pictures import as_pictures, is_named
from workbench.values import PictureError


def as_picture(image):
    (picture,) = as_pictures(image)
    return picture


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_an_rgb_picture_is_unchanged():
    array = noise(20, 30, 3)
    assert (np.asarray(as_picture(array)) == array).all()
    assert (np.asarray(as_picture(PIL.Image.fromarray(array))) == array).all()


def test_floats_in_0_to_1_are_the_same_picture_as_bytes():
    array = noise(9, 9, 3)
    assert (np.asarray(as_picture(array / 255)) == array).all()
    assert (np.asarray(as_picture((array / 255).astype(np.float32))) == array).all()


def test_a_file_is_read(tmp_path):
    array = noise(16, 17, 3)
    PIL.Image.fromarray(array).save(tmp_path / "a.png")
    assert (np.asarray(as_picture(tmp_path / "a.png")) == array).all()
    assert as_picture(str(tmp_path / "a.png")).size == (17, 16)


def test_grey_becomes_three_equal_channels():
    grey = noise(10, 12)
    for image in (grey, PIL.Image.fromarray(grey)):
        out = np.asarray(as_picture(image))
        assert out.shape == (10, 12, 3) and (out == grey[..., None]).all()


def test_sixteen_bit_grey_is_scaled_and_not_cut():
    deep = (noise(10, 10).astype(np.uint16) * 257).astype(np.uint16)
    out = np.asarray(as_picture(PIL.Image.fromarray(deep)))
    assert (out[..., 0] == deep // 257).all()


def test_what_is_transparent_becomes_white():
    array = noise(10, 10, 4)
    array[..., 3] = 0
    assert (np.asarray(as_picture(array)) == 255).all()
    array[..., 3] = 255
    assert (np.asarray(as_picture(PIL.Image.fromarray(array))) == array[..., :3]).all()


def test_a_palette_with_a_transparent_colour_becomes_white_there(tmp_path):
    image = PIL.Image.new("P", (10, 10), 0)
    image.putpalette([10, 20, 30] + [0] * 765)
    image.save(tmp_path / "p.png", transparency=0)
    assert (np.asarray(as_picture(tmp_path / "p.png")) == 255).all()


def test_black_and_white_bits_and_booleans_are_pictures():
    bits = noise(10, 10) > 127
    assert set(np.unique(np.asarray(as_picture(PIL.Image.fromarray(bits))))) == {0, 255}
    assert set(np.unique(np.asarray(as_picture(bits)))) == {0, 255}


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((1, 1, 3), np.uint8), "1 x 1 pixels; at least 8 x 8"),
        (np.zeros((7, 100, 3), np.uint8), "100 x 7 pixels"),
        (np.zeros((0, 10, 3), np.uint8), "empty"),
        (np.zeros((10, 10, 5), np.uint8), r"shape \(10, 10, 5\)"),
        (np.zeros(10, np.uint8), r"shape \(10,\)"),
        (np.full((10, 10, 3), 3.0), "from 3.0 to 3.0; give int 0..255"),
        (np.full((10, 10, 3), np.nan), "nan"),
        (np.full((10, 10, 3), 300), "int64 values from 300"),
        ("no such file.png", "There is no picture no such file.png"),
        (42, "Not a picture: int"),
        (None, "Not a picture: NoneType"),
        ({"a": 1}, "Picture 'a': Not a picture: int"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_picture_is_refused_in_words(image, message):
    with pytest.raises(PictureError, match=message):
        as_picture(image)


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(PictureError, match="a.png is not a picture that Pillow can read"):
        as_picture(tmp_path / "a.png")


def test_a_picture_cut_in_two_is_refused(tmp_path):
    PIL.Image.fromarray(noise(64, 64, 3)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(PictureError, match="not a picture that Pillow can read"):
        as_picture(tmp_path / "a.png")


def test_fifty_million_pixels_are_refused_and_the_error_says_how_to_reduce(tmp_path):
    image = PIL.Image.new("L", (10_000, 5_000))
    with pytest.raises(PictureError, match="50 million pixels; at most 40.*thumbnail"):
        as_picture(image)
    image.save(tmp_path / "big.png")
    with pytest.raises(PictureError, match="50 million pixels"):
        as_picture(tmp_path / "big.png")


@pytest.mark.parametrize("side", [11_000, 20_000])
def test_a_bomb_is_refused_without_a_warning(tmp_path, side):
    PIL.Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(PictureError):
        as_picture(tmp_path / "bomb.png")


def test_lists_and_batches_and_single_ones():
    one, batch = noise(10, 10, 3), noise(4, 10, 10, 3)
    assert len(as_pictures(one)) == 1
    assert len(as_pictures(batch)) == len(as_pictures(list(batch))) == 4
    assert len(as_pictures([one, PIL.Image.fromarray(one)])) == 2


def test_an_error_in_a_list_says_which():
    with pytest.raises(PictureError, match="Picture 1 of 2: Not a picture: int"):
        as_pictures([noise(10, 10, 3), 5])
    with pytest.raises(PictureError, match="no pictures"):
        as_pictures([])


def test_the_input_is_not_changed():
    array = noise(10, 10, 4)
    before = array.copy()
    as_picture(array)
    assert (array == before).all()


# ---- every way in -----------------------------------------------------------------------------------------------------------


def corners(width=24, height=16):
    """A picture whose four corners differ: red and green above, blue and white below."""
    array = np.zeros((height, width, 3), np.uint8)
    array[: height // 2, : width // 2, 0] = array[: height // 2, width // 2 :, 1] = array[height // 2 :, : width // 2, 2] = 255
    array[height // 2 :, width // 2 :] = 255
    return PIL.Image.fromarray(array)


def seen(picture):
    """The colours of the corners of a picture, by rows: "rg/bw" for `corners`."""
    (width, height), names = picture.size, {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    places = ((2, 2), (width - 3, 2), (2, height - 3), (width - 3, height - 3))
    found = [names.get(tuple(int(v > 127) for v in picture.getpixel(place)), "?") for place in places]
    return f"{found[0]}{found[1]}/{found[2]}{found[3]}"


def data(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def star(tmp_path, monkeypatch):
    """The path of a picture in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    corners().save(tmp_path / "star.png")
    return tmp_path / "star.png"


class Stream(io.RawIOBase):
    """Bytes that come once, as from a network."""

    def __init__(self, data):
        self.left = data

    def readable(self):
        return True

    def readall(self):
        found, self.left = self.left, b""
        return found


def test_one_picture_is_the_same_by_every_way_in(star):
    raw, image = star.read_bytes(), corners()
    array = np.asarray(image)
    half_read = io.BytesIO(raw)
    half_read.read(50)
    with open(star, "rb") as file:
        ways = (
            (star, str(star), "~/star.png", star.parent / "." / "star.png", Path("~/star.png"))
            + (raw, bytearray(raw), memoryview(raw), io.BytesIO(raw), half_read, Stream(raw), file)
            + (image, PIL.Image.open(star), array, array.astype(np.int64), array.astype(np.uint16), array.view(np.int8))
            + (array / 255, array > 127, torch.from_numpy(array.copy()), torch.from_numpy(array / np.float32(255)))
            + (np.asfortranarray(array), array[:, ::-1][:, ::-1])
        )
        for way in ways[:17] + ways[18:]:
            assert (np.asarray(as_picture(way)) == array).all(), type(way)
        with pytest.raises(PictureError, match="int8 values from -1"):
            as_picture(ways[17])


def test_uploads_iterators_and_tensors_of_several_are_lists(star):
    raw, array = star.read_bytes(), np.asarray(corners())
    assert len(as_pictures({"a.png": raw, "b (1).png": raw})) == 2
    assert len(as_pictures(iter([star, raw, array]))) == len(as_pictures(path for path in [star] * 3)) == 3
    assert len(as_pictures(torch.from_numpy(np.stack([array] * 3)))) == 3
    with pytest.raises(PictureError, match=r"^Picture 'b.png': The picture of 9 bytes is not a picture that Pillow can read"):
        as_pictures({"a.png": raw, "b.png": b"not a one"})
    with pytest.raises(PictureError, match="an empty dict was given"):
        as_pictures({})


def test_grey_with_a_channel_of_its_own_is_grey():
    grey = noise(10, 12, 1)
    assert (np.asarray(as_picture(grey)) == grey).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stored_on_its_side_is_seen_upright(kind, orientation, tmp_path):
    # How each orientation of EXIF 2.3 is stored: what a viewer has to undo.
    turn = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE"}
    turn |= {8: "ROTATE_270"}
    stored = corners(48, 32)
    if orientation > 1:
        stored = stored.transpose(PIL.Image.Transpose[turn[orientation]])
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"save_all": True, "append_images": [stored]} if kind == "MPO" else {"lossless": True} if kind == "WEBP" else {}
    raw = data(stored, kind, exif=exif.tobytes(), **options)
    (tmp_path / "phone.jpg").write_bytes(raw)
    for way in (tmp_path / "phone.jpg", raw, io.BytesIO(raw), PIL.Image.open(io.BytesIO(raw))):
        found = as_picture(way)
        assert (found.size, seen(found)) == ((48, 32), "rg/bw")


def test_damaged_notes_of_a_camera_do_not_hide_the_picture():
    for notes in (b"II*\0\xff\xff\xff\xff", bytes(range(256)), b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x09"):
        assert seen(as_picture(data(corners(), "JPEG", exif=b"Exif\0\0" + notes))) == "rg/bw"
    exif = PIL.Image.Exif()
    exif[0x0112] = 77
    assert seen(as_picture(data(corners(), "JPEG", exif=exif.tobytes()))) == "rg/bw"


def test_all_kinds_of_colour_are_seen_as_they_are_meant():
    image = corners()
    assert seen(as_picture(data(image.convert("CMYK"), "JPEG", quality=95))) == "rg/bw"
    deep = PIL.Image.fromarray((np.asarray(image.convert("L")).astype(np.uint16) * 257).astype(np.uint16))
    assert (np.asarray(as_picture(data(deep)))[..., 0] == np.asarray(image.convert("L"))).all()
    for mode in ("P", "YCbCr", "HSV", "LAB", "1", "L", "RGBX", "RGBa", "PA", "LA", "I", "F", "CMYK"):
        given = image.convert("RGBA").convert(mode) if mode in ("RGBa", "PA") else image.convert(mode) if mode != "LAB" else None
        if given is not None:
            found = as_picture(given)
            assert found.mode == "RGB" and found.size == image.size, mode
    clear = image.convert("RGBA")
    clear.putalpha(0)
    for kind in ("PNG", "WEBP", "GIF"):
        assert (np.asarray(as_picture(data(clear, kind))) == 255).all(), kind
    assert (np.asarray(as_picture(data(deep, transparency=int(np.asarray(deep)[0, 0])))) >= 0).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind):
    other = PIL.Image.new("RGB", (24, 16), "white")
    raw = data(corners(), kind, save_all=True, append_images=[other, other], **({"lossless": True} if kind == "WEBP" else {}))
    assert seen(as_picture(raw)) == "rg/bw"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_a_picture_cut_anywhere_is_named_or_whole(kind, tmp_path):
    whole = data(PIL.Image.fromarray(noise(40, 40, 3)), kind)
    path, refused = tmp_path / "cut.png", 0
    for length in np.linspace(0, len(whole) - 1, 40).astype(int).tolist():
        path.write_bytes(whole[:length])
        for way in (path, whole[:length]):
            try:
                assert as_picture(way).size == (40, 40)
            except PictureError as err:
                refused += 1
                assert "cut.png" in str(err) or "The picture of " in str(err)
    assert refused > 40
    path.write_bytes(whole[: len(whole) // 2])
    if kind not in ("GIF", "WEBP"):  # Pillow opens it, and reads its end when it is first needed
        with open(path, "rb") as file, pytest.raises(PictureError, match="The picture cannot be read"):
            as_picture(PIL.Image.open(file))


def bomb(side):
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty: it has 0 bytes"),
        (b"a red star in snow\n" * 9, "not a picture that Pillow can read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99, "a HEIC picture, as phones take them; save it as JPEG or PNG"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing; save it as PNG"),
        (b"<SVG/>", "an SVG drawing"),
        (b"%PDF-1.7\n", "a PDF or PostScript page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n", "a PDF or PostScript page"),
        (b"\n<!DOCTYPE html><html><body>404", "a web page and not the picture on it"),
        (bomb(30_000), "900 million pixels|can read"),
        (bomb(7_000), "49 million pixels"),
        (bomb(1), "1 x 1 pixels; at least 8 x 8"),
        (bomb(64), "not a picture that Pillow can read"),
        (b"\x89PNG\r\n\x1a\n", "not a picture that Pillow can read"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 500, "not a picture that Pillow can read"),
        (b"PK\x03\x04" + b"\0" * 50, "not a picture that Pillow can read"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value[:8]),
)
def test_what_is_taken_for_a_picture_is_named(raw, message, tmp_path):
    (tmp_path / "a.png").write_bytes(raw)
    for way in (tmp_path / "a.png", raw, io.BytesIO(raw)):
        with pytest.raises(PictureError, match=message):
            as_picture(way)


def test_places_without_a_picture_are_named(tmp_path):
    (tmp_path / "a.png").write_text("x")
    for given, message in (
        ("", "must be a str or Path with something in it"),
        ("a\0.png", "must be a str or Path with something in it"),
        (tmp_path, r"is a folder. Give its files"),
        ("/dev/zero", "no file with a picture in it"),
        ("https://example.org/a.png", "There is no picture https://example.org/a.png. It looks like an address of the web"),
        (torch.zeros(3, 20, 20), r"Its channels come first: give .*permute\(1, 2, 0\)"),
        (np.zeros((3, 20, 20)), r"Its channels come first: give picture.transpose\(1, 2, 0\)"),
        (torch.zeros(20, 20, requires_grad=True), r"Not a picture: Tensor.*detach"),
        (np.full((9, 9), -1), "int64 values from -1 to -1; give int 0..255"),
        (np.full((9, 9), 70_000), "values from 70000"),
        (np.zeros((9, 9), complex), "dtype complex128"),
        (np.array([["a"] * 9] * 9), "dtype <U1"),
        (PIL.Image.fromarray(np.full((9, 9), np.nan, np.float32)), "cannot be read: it holds NaN"),
        (io.StringIO("text"), r"open as text. Open it as bytes: open\(path, 'rb'\)"),
        ({"a": None}, "Picture 'a': Not a picture: NoneType"),
    ):
        with pytest.raises(PictureError, match=message):
            as_picture(given)
    with open(tmp_path / "a.png", "rb") as file:
        pass
    with pytest.raises(PictureError, match="closed file"):
        as_picture(file)


def test_a_text_names_a_picture_by_its_ending_or_by_what_is_there(star, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    star.rename(tmp_path / "star")
    (tmp_path / "a fox").write_text("no picture")
    (tmp_path / "folder").mkdir()
    for text in ("a.png", "~/b.JPG", "/x/y z.webp", "star", "~/star", str(tmp_path / "star")):
        assert is_named(text), text
    for text in ("a red star", "a fox", "folder", "", "v1.5", "a.pngs", "in png", "x" * 9000, "a\0b", "two\n.png", "~"):
        assert not is_named(text), text
