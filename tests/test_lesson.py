import base64
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from workbench import lesson
from workbench.template import Slot, Template
from workbench.values import Sample

ALT = "A line that rises from left to right"


def line_figure(values=(1, 2, 3)):
    figure = Figure()
    ax = figure.subplots()
    ax.plot(values)
    ax.set_title("A line")
    return figure


def printed(capsys, *args, **options):
    assert lesson.check(*args, **options) is None
    return capsys.readouterr().out


def test_a_true_claim_prints_its_rule_and_under_a_range_its_value(capsys):
    assert printed(capsys, "share in use", 0.93173, low=0.6) == "ok  share in use >= 0.60\n    here 0.9317\n"
    assert printed(capsys, "loss", 0.2, high=0.95) == "ok  loss <= 0.95\n    here 0.2\n"
    assert printed(capsys, "loss", 0.1, low=0, high=0.125) == "ok  0 <= loss <= 0.125\n    here 0.1\n"
    assert printed(capsys, "prompts", 12_345, low=9) == "ok  prompts >= 9\n    here 12,345\n"
    assert printed(capsys, "codes", 32, equal=32) == "ok  codes == 32\n"
    assert printed(capsys, "words", ["a", "b"], equal=["a", "b"]) == "ok  words == ['a', 'b']\n"
    assert printed(capsys, "two runs are equal", True) == "ok  two runs are equal\n"


def test_bounds_are_allowed_values(capsys):
    assert printed(capsys, "x", 1, low=1, high=1)


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (0.5, {"low": 0.6}),
        (0.7, {"high": 0.6}),
        (3, {"low": 4, "high": 5}),
        (31, {"equal": 32}),
        (False, {}),
        (1, {"equal": True}),
    ],
)
def test_a_false_claim_raises_with_the_value_and_prints_nothing(capsys, value, options):
    with pytest.raises(AssertionError, match=f"the claim.*the value is {value}"):
        lesson.check("the claim", value, **options)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("options", [{"low": 0}, {"high": 0}, {"low": -1e9, "high": 1e9}, {"equal": float("nan")}])
@pytest.mark.parametrize("nan", [float("nan"), np.float32("nan")])
def test_nan_makes_every_claim_false(nan, options):
    with pytest.raises(AssertionError, match="nan"):
        lesson.check("x", nan, **options)


def test_numpy_scalars_count_as_the_numbers_they_hold(capsys):
    assert printed(capsys, "x", np.float32(0.5), low=np.float64(0.5)) == "ok  x >= 0.50\n    here 0.5\n"
    assert printed(capsys, "x", np.int64(3), equal=3) == "ok  x == 3\n"
    assert printed(capsys, "x", np.bool_(True)) == "ok  x\n"
    with pytest.raises(AssertionError, match="x; the value is False"):
        lesson.check("x", np.bool_(False))


def test_what_cannot_be_compared_is_refused_before_it_passes_by_accident():
    with pytest.raises(TypeError, match=r"array of shape \(3,\): reduce it"):
        lesson.check("x", np.ones(3), low=0)
    with pytest.raises(TypeError, match="wants a bool, got 1"):
        lesson.check("x", 1)
    with pytest.raises(TypeError, match="wants a number, got True"):
        lesson.check("x", True, low=0)
    with pytest.raises(TypeError, match="wants a number, got None"):
        lesson.check("x", None, low=0)
    with pytest.raises(ValueError, match="NaN as a bound"):
        lesson.check("x", 1, low=float("nan"))
    with pytest.raises(ValueError, match="low=2 above high=1"):
        lesson.check("x", 1, low=2, high=1)
    with pytest.raises(ValueError, match="one of them"):
        lesson.check("x", 1, low=0, equal=1)


def test_a_figure_becomes_html_with_picture_alt_text_caption_and_numbers():
    page = lesson.figure_html(line_figure(), ALT + ' <"quoted">', caption="Up & up.", numbers="1 to 3")
    assert f'alt="{ALT} &lt;&quot;quoted&quot;&gt;"' in page
    assert "<figcaption>Up &amp; up.</figcaption>" in page and "1 to 3</details>" in page
    assert base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]).startswith(b"\x89PNG")
    assert "\n" not in page and "<figcaption>" not in lesson.figure_html(line_figure(), ALT)


def test_numbers_of_a_figure_may_be_a_dict_which_is_rounded():
    page = lesson.figure_html(line_figure(), ALT, numbers={"all": {"a": 0.51234, "b": np.float32(1)}, "few": {"n": 12}})
    assert "</summary>all: a 0.512, b 1; few: n 12</details>" in page


def test_equal_figures_give_equal_bytes():
    assert lesson.figure_html(line_figure(), ALT) == lesson.figure_html(line_figure(), ALT)
    assert lesson.figure_html(line_figure(), ALT) != lesson.figure_html(line_figure((3, 1)), ALT)


def test_photographs_keep_all_their_colours_and_charts_do_with_256():
    figure = Figure()
    figure.suptitle("Noise")
    figure.subplots().imshow(np.random.default_rng(0).random((64, 64, 3)))
    assert b"PLTE" not in lesson._png(figure)
    assert b"PLTE" in lesson._png(line_figure())


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: None,
        lambda ax: ax.scatter([], []),
        lambda ax: ax.plot([], []),
        lambda ax: ax.plot([1, 2], [np.nan, np.nan]),
        lambda ax: ax.scatter([np.nan], [1.0]),
    ],
)
def test_empty_axes_are_refused(draw):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.plot([1, 2])
    draw(right)
    with pytest.raises(ValueError, match=r"axes \[1\] of 2 hold no data"):
        lesson.show(figure, ALT)


def test_a_figure_without_axes_is_refused():
    with pytest.raises(ValueError, match="it holds no data"):
        lesson.show(Figure(), ALT)


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: ax.scatter([1], [2]),
        lambda ax: ax.bar([0, 1], [0, 3]),
        lambda ax: ax.imshow(np.eye(2)),
        lambda ax: ax.pcolormesh(np.eye(2)),
        lambda ax: ax.fill_between([0, 1], [0, 1]),
        lambda ax: ax.text(0.5, 0.5, "words"),
    ],
)
def test_whatever_is_drawn_counts_as_data(draw):
    figure = Figure()
    figure.suptitle("A drawing")
    draw(figure.subplots())
    assert lesson.figure_html(figure, ALT)


def test_a_figure_without_a_title_is_refused():
    figure = Figure()
    figure.subplots().plot([1, 2])
    with pytest.raises(ValueError, match="has no title"):
        lesson.show(figure, ALT)


def test_an_alt_text_under_six_words_is_refused():
    with pytest.raises(ValueError, match="under 6 words"):
        lesson.show(line_figure(), "A line that rises slowly")


def test_show_closes_the_figure_so_that_it_is_not_shown_twice(capsys):
    from matplotlib import pyplot

    pyplot.switch_backend("Agg")
    figure, ax = pyplot.subplots()
    ax.set_title("A line")
    ax.plot([1, 2])
    lesson.show(figure, ALT)
    assert pyplot.get_fignums() == []
    assert capsys.readouterr().out == f"Figure: {ALT}\n"  # no shell: words instead of a picture


def test_in_a_shell_show_displays_html_and_beside_it_the_picture_and_the_words(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: "a shell")
    monkeypatch.setattr(IPython.display, "display", lambda data, raw, metadata: shown.append((data, metadata)))
    lesson.show(line_figure(), ALT, "Up\n& up.", "1 to 3")
    (data, metadata), *more = shown
    assert not more and data["text/html"] == lesson.figure_html(line_figure(), ALT, "Up\n& up.", "1 to 3")
    assert data["text/plain"] == f"Figure: {ALT}\nUp & up.\nIn numbers: 1 to 3"
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG") and data["image/png"] in data["text/html"]
    assert metadata == {"image/png": {"alt": ALT, "width": 614}}


def test_the_scale_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("WORKBENCH_SCALE", raising=False)
    assert lesson.scale() == "default" and lesson.pick(fast=1, default=2, full=3) == 2
    for scale, number in (("fast", 1), ("default", 2), ("full", 3), ("", 2)):
        monkeypatch.setenv("WORKBENCH_SCALE", scale)
        assert lesson.scale() == (scale or "default") and lesson.pick(fast=1, default=2, full=3) == number
    monkeypatch.setenv("WORKBENCH_SCALE", "huge")
    with pytest.raises(ValueError, match="'huge'; it can be fast, default, full"):
        lesson.scale()


def test_lesson_works_without_ipython():
    code = (
        "import sys; sys.modules['IPython'] = None; from workbench.lesson import check, show; check('x', 1, low=0);"
        f"from matplotlib.figure import Figure; f = Figure(); f.suptitle('A line'); f.subplots().plot([1, 2]); show(f, {ALT!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (f"ok  x >= 0\n    here 1\nFigure: {ALT}\n", 0), done.stderr


def test_a_gallery_shows_each_picture_in_its_place_and_hides_what_is_left_of_the_grid():
    pictures = [np.full((8, 8, 3), value, np.uint8) for value in (10, 20, 30)]
    figure = lesson.gallery(pictures, ["a", "b\nc", ""], columns=2)
    assert [ax.get_visible() for ax in figure.axes] == [True, True, True, False]
    assert [int(ax.images[0].get_array().max()) for ax in figure.axes[:3]] == [10, 20, 30]
    assert [ax.get_title() for ax in figure.axes[:3]] == ["a", "b\nc", ""]
    assert 'alt="' in lesson.figure_html(figure, ALT)
    assert len(lesson.gallery(pictures).axes) == 3


@pytest.mark.parametrize(("pictures", "titles"), [([], None), ([np.zeros((8, 8))], ["a", "b"])])
def test_a_gallery_without_pictures_or_with_other_titles_is_refused(pictures, titles):
    with pytest.raises(ValueError, match="no pictures|gallery needs a title for each"):
        lesson.gallery(pictures, titles)


# ---- listings ---------------------------------------------------------------------------------------------------------------


TEMPLATE = Template.build(["by ", Slot("artist", "Ada & Bob")])


def test_a_listing_shows_texts_as_text_and_templates_as_chips_without_a_frame():
    page = lesson.listing({"<b>1 & 2": ["<i>x</i>", TEMPLATE], "": ["z"]})._repr_html_()
    assert "&lt;b&gt;1 &amp; 2</b></p>" in page and page.count("<p ") == 1  # "" is no heading
    assert "&lt;i&gt;x&lt;/i&gt;" in page and TEMPLATE.html() in page and "<iframe" not in page


def test_a_listing_reads_well_without_html():
    told = lesson.listing({"all": ["x", TEMPLATE], "": [Sample("y")], "more": []})
    assert repr(told) == f"all\n  x\n  {TEMPLATE}\n\n  y\n\nmore" and "<artist:Ada & Bob>" in str(told)


def test_a_listing_shows_the_template_of_a_sample_that_has_one():
    assert repr(lesson.listing({"": [Sample("by Ada & Bob", template=TEMPLATE)]})) == f"  {TEMPLATE}"


def test_a_listing_gives_chips_the_colours_of_an_order_and_puts_groups_side_by_side():
    template, order = Template.build([Slot("artist", "Ada"), Slot("scene", "sea")]), ["scene", "artist"]
    page = lesson.listing({"before": [template], "after": ["x"]}, order=order, columns=True)._repr_html_()
    assert template.html(order) in page and page.count("<td ") == 2 and page.count("<tr>") == 1
