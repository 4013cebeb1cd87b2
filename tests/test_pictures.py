"""Pictures: what users have becomes RGB, or an error says what to do."""

import numpy as np
import PIL.Image
import pytest

from workbench.pictures import as_pictures
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
        (np.full((10, 10, 3), 3.0), "from 3.0 to 3.0; give uint8"),
        (np.full((10, 10, 3), np.nan), "nan"),
        (np.full((10, 10, 3), 300), "int64 values from 300"),
        ("no such file.png", "There is no picture no such file.png"),
        (42, "Not a picture: int"),
        (None, "Not a picture: NoneType"),
        ({"a": 1}, "Not a picture: dict"),
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
