import builtins
import html
import json
import re

import numpy as np
import pytest
import torch
from matplotlib.text import Annotation

from workbench import lesson
from workbench.show.atlas import (
    CaptionedFigure,
    can_map,
    figures,
    fit,
    hover_map,
    iframe,
    labels,
    neighbours,
    plot_map,
    plot_transitions,
    plot_usage,
    projection,
    transitions,
)

K = 6
NAMES = ["subject", "medium", "artist $x_1$", "lighting", "quality", "scène 画"]


@pytest.fixture(scope="module")
def clusters():
    """Six tight groups of 60 vectors in R^16 whose centres are far apart: the right map is known."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(K), 60)
    return (8 * np.eye(16)[codes] + rng.normal(size=(360, 16))).astype("float32"), codes


@pytest.fixture(scope="module")
def atlas(clusters):
    return fit_on_some(clusters[0], seed=3)


def fit_on_some(vectors, seed):
    """A map that UMAP draws of 240 rows; the others are placed among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_FITTED", 240)
        return fit(vectors, seed=seed)


@pytest.fixture
def texts():
    return [f"filler {row}" for row in range(360)]


def own_cluster_nearest(xy, codes):
    gaps = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    return (codes[gaps.argmin(axis=1)] == codes).mean()


def drawn_texts(picture):
    return [text.get_text() for ax in picture.figure.axes for text in ax.texts if not isinstance(text, Annotation)]


def test_clusters_stay_apart_on_the_map_also_where_rows_were_placed_later(clusters, atlas):
    vectors, codes = clusters
    assert atlas.xy.shape == (360, 2) and atlas.xy.dtype == np.float32
    assert atlas.trustworthiness >= 0.9
    assert own_cluster_nearest(atlas.xy, codes) == 1.0
    assert len(atlas.rows) == 240 and (np.diff(atlas.rows) > 0).all()


def test_a_map_leaves_the_threads_of_torch_as_they_were(clusters, atlas, monkeypatch):
    class Mapper:
        def __init__(self, **_):
            pass

        def fit_transform(self, x):
            torch.set_num_threads(2)  # as numba does when its first parallel loop begins
            return x[:, :2]

    monkeypatch.setattr("umap.UMAP", Mapper)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        fit(clusters[0])
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_shuffled_places_are_not_trusted(clusters, atlas):
    from sklearn.manifold import trustworthiness

    assert trustworthiness(clusters[0], np.random.default_rng(0).permutation(atlas.xy), n_neighbors=15) < 0.6


def test_equal_seeds_give_equal_maps_and_the_input_stays(clusters, atlas):
    before = clusters[0].copy()
    assert np.array_equal(fit_on_some(clusters[0], seed=3).xy, atlas.xy)
    assert not np.array_equal(fit_on_some(clusters[0], seed=4).xy, atlas.xy)
    assert np.array_equal(clusters[0], before)


def test_a_map_can_be_made_of_five_rows_that_are_not_all_equal():
    assert can_map(np.eye(5)) and not can_map(np.eye(4)) and not can_map(np.ones((9, 3)))


def test_few_rows_and_doubled_rows_have_a_map(clusters):
    few = np.vstack([clusters[0][:4]] * 2)
    assert np.isfinite(fit(few).xy).all() and 0 <= fit(few).trustworthiness <= 1


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((4, 3)), "5 rows of width 2 or more, got \\(4, 3\\)"),
        (np.ones(9), "must have shape \\(n, d\\), got \\(9,\\)"),
        (np.ones((9, 3)), "All 9 rows are equal"),
        (np.vstack([np.eye(6), np.full((1, 6), np.nan)]), "NaN or infinity in row 6"),
    ],
)
def test_vectors_that_have_no_map_are_refused_with_a_reason(vectors, said):
    with pytest.raises(ValueError, match=said):
        fit(vectors)


def test_without_umap_the_error_says_what_to_install(clusters, monkeypatch):
    real = builtins.__import__

    def no_umap(name, *args, **kwargs):
        if name == "umap":
            raise ImportError("No module named 'umap'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_umap)
    with pytest.raises(ImportError, match="pip install umap-learn"):
        fit(clusters[0])


def test_neighbours_point_in_the_same_direction():
    vectors = np.array([[1, 0], [2, 0.1], [0, 1], [-1, 0]], dtype=np.float32)
    rows, cosines = neighbours(vectors, 0, k=3)
    assert rows.tolist() == [[1, 2, 3]]
    assert cosines[0] == pytest.approx([2 / np.hypot(2, 0.1), 0, -1], abs=1e-6)
    assert neighbours(vectors, [0, 3], k=1)[0].tolist() == [[1], [2]]


def test_neighbours_refuses_what_is_not_there():
    vectors = np.eye(3)
    with pytest.raises(ValueError, match="k must be an int from 1 to 2, got 3"):
        neighbours(vectors, 0, k=3)
    with pytest.raises(IndexError, match="rows 0..2"):
        neighbours(vectors, 3, k=1)
    with pytest.raises(ValueError, match="must have shape"):
        neighbours(np.ones(3), 0, k=1)


def test_transitions_of_a_known_chain_are_exact():
    shares = transitions([[0, 1, 1], [0, 2], []], k=4)
    expected = np.zeros((5, 5))
    expected[0, [1, 2]] = 0.5  # 0 is followed by 1 once and by 2 once
    expected[1, [1, 4]] = 0.5  # 1 by itself and by the end
    expected[2, 4] = 1  # 2 by the end
    expected[4, [0, 4]] = 2 / 3, 1 / 3  # the start by 0 twice, by the end of an empty prompt once
    assert np.array_equal(shares, expected)
    assert shares.sum(axis=1) == pytest.approx([1, 1, 1, 0, 1])  # code 3 never occurs


def test_transitions_refuse_codes_outside_of_the_alphabet():
    with pytest.raises(ValueError, match="sequence 1 holds code 0..4; with k=4"):
        transitions([[0], [0, 4]], k=4)


def test_the_map_shows_each_used_code_by_name_and_has_title_labels_and_readable_type(clusters, atlas, texts):
    codes = np.where(clusters[1] == 4, 3, clusters[1])  # code 4 has no filler
    picture = plot_map(atlas.xy, codes, NAMES, texts, title="A map")
    assert isinstance(picture, CaptionedFigure) and len(picture.alt.split()) > 10
    assert sorted(drawn_texts(picture)) == sorted(["subject", "medium", "artist $x_1$", "lighting", "scène ▫"])
    ax = picture.figure.axes[0]
    assert ax.get_xlabel() and ax.get_ylabel() and picture.figure.get_suptitle() == "A map"
    notes = [text.get_text() for text in ax.texts if isinstance(text, Annotation)]
    assert notes and set(notes) <= set(texts)
    assert min(text.get_fontsize() for text in ax.texts) >= 8
    assert "360 fillers in 5 of 6 codes" in picture.numbers
    lesson.show(*picture)


def test_the_alt_text_of_a_map_is_the_same_whatever_the_data(clusters, atlas):
    half = slice(None, None, 2)
    assert plot_map(atlas.xy, clusters[1], NAMES).alt == plot_map(atlas.xy[half], clusters[1][half], NAMES).alt


def test_names_on_the_map_do_not_cover_each_other():
    codes = np.arange(600) % 30
    xy = np.random.default_rng(0).normal(size=(600, 2)) * 0.3  # all centres on one heap
    picture = plot_map(xy, codes, [f"code number {code}" for code in range(30)])
    boxes = [text.get_window_extent() for text in picture.figure.axes[0].texts]
    pairs = [(a, b) for number, a in enumerate(boxes) for b in boxes[:number]]
    assert len(boxes) == 30 and not [1 for a, b in pairs if a.overlaps(b)]
    frame = picture.figure.axes[0].get_window_extent().padded(3)
    assert all(frame.contains(*box.min) and frame.contains(*box.max) for box in boxes)


def test_a_name_stands_on_a_filler_of_its_code_even_when_the_code_has_two_clouds():
    xy = np.vstack([np.random.default_rng(0).normal(size=(30, 2)), [[50, 50]] * 20])
    centre = labels.centres(xy, np.zeros(50, dtype=int), 2)
    assert np.abs(xy - centre[0]).sum(axis=1).min() == 0 and np.isnan(centre[1]).all()


def test_48_codes_look_different_and_near_codes_differ_in_hue():
    rng = np.random.default_rng(0)
    centres = rng.uniform(size=(48, 2))
    codes = np.repeat(np.arange(48), 5)
    given = figures.looks_of_map(centres[codes], codes, 48)
    assert len(set(given)) == 48
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 9 * np.eye(48)
    assert all(given[code] % 8 != given[nearest] % 8 for code, nearest in enumerate(gaps.argmin(axis=1)))
    assert all(0 <= look < 48 for look in figures.looks_of_map(np.tile(centres, (2, 1)), np.arange(96), 96))


@pytest.mark.parametrize("looks", [[0, 1], [0, 1, 48], [0, -1, 2]])
def test_looks_that_are_none_or_too_few_are_refused(looks):
    with pytest.raises(ValueError, match=re.escape("looks must be 3 numbers 0..47")):
        plot_map(np.zeros((3, 2)), np.arange(3), ["a", "b", "c"], looks=looks)


@pytest.fixture
def island():
    """A round cloud of 500 places, and 40 more in a round cloud a hundred times as far away as the first is wide."""
    rng = np.random.default_rng(0)
    cloud = rng.uniform(size=(540, 2))
    return np.vstack([cloud[:500], 100 + 0.2 * cloud[500:]]), np.repeat([0, 1], [500, 40])


def test_a_far_island_leaves_the_map_to_the_bulk_and_keeps_its_shape_and_its_side(island):
    xy, codes = island
    near = projection.gathered(xy)
    bulk, far = near[:500], near[500:]
    assert (np.ptp(bulk, axis=0) > 0.7 * np.ptp(near, axis=0)).all()
    assert np.allclose(np.diff(bulk, axis=0), np.diff(xy[:500], axis=0))
    assert np.allclose(np.diff(far, axis=0), np.diff(xy[500:], axis=0), atol=0.05)
    assert (np.argsort(near, axis=0) == np.argsort(xy, axis=0)).all()
    assert (far.min(axis=0) > bulk.max(axis=0)).all()


def test_a_map_without_wide_gaps_stays_as_it_is(clusters):
    xy = np.random.default_rng(0).uniform(size=(400, 2))
    assert np.array_equal(projection.gathered(xy), xy)
    few = np.array([[0.0, 0.0], [1.0, 5.0], [3.0, 5.0]])
    assert np.isfinite(projection.gathered(few)).all() and np.array_equal(projection.gathered(few[:1]), few[:1])
    assert np.array_equal(projection.gathered(np.ones((4, 2))), np.ones((4, 2)))


def test_both_maps_draw_a_far_island_near(island):
    xy, codes = island
    drawn = [dots.get_offsets() for dots in plot_map(xy, codes, ["bulk", "island"]).figure.axes[0].collections]
    assert np.ptp(drawn[0], axis=0).min() > 0.7 * np.ptp(np.vstack(drawn), axis=0).max()
    data = page_data(hover_map(xy, codes, ["bulk", "island"], [str(row) for row in range(540)]))
    assert np.ptp(data["x"][:500]) > 0.7 and np.ptp(data["y"][:500]) > 0.7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"codes": np.zeros(3, dtype=int)}, "codes must be 360 integers"),
        ({"codes": np.full(360, 6)}, "codes 6..6 do not fit 6 names"),
        ({"codes": np.zeros(360)}, "integers, one for each point, got float64"),
        ({"xy": np.full((360, 2), np.nan)}, "xy must be finite"),
        ({"texts": ["one"]}, "1 texts came for 360 points"),
    ],
)
@pytest.mark.parametrize("draw", [plot_map, hover_map])
def test_arrays_that_do_not_fit_each_other_are_refused(clusters, atlas, texts, draw, change, said):
    given = {"xy": atlas.xy, "codes": clusters[1], "names": NAMES, "texts": texts} | change
    with pytest.raises(ValueError, match=said):
        draw(**given)


def test_usage_is_sorted_in_percent_and_names_what_is_unused():
    picture = plot_usage([1, 7, 0, 2], ["a", "b", "c", "d"])
    ax = picture.figure.axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([70, 20, 10, 0])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "d", "a", "c"]
    assert [text.get_text() for text in ax.texts][:4] == ["70.0 %", "20.0 %", "10.0 %", "unused"]
    assert ax.get_xlabel() and ax.get_ylabel() and picture.figure.get_suptitle()
    assert "3 of 4 codes in use: b 70.0 %" in picture.numbers
    lesson.show(*picture)


def test_usage_of_64_codes_takes_two_columns_on_one_scale():
    picture = plot_usage(np.arange(64), [f"code {code}" for code in range(64)])
    left, right = picture.figure.axes
    assert len(left.patches) == len(right.patches) == 32 and left.get_xlim() == right.get_xlim()


def test_usage_without_counts_is_refused():
    with pytest.raises(ValueError, match="no count above 0"):
        plot_usage([0, 0], ["a", "b"])
    with pytest.raises(ValueError, match="shape \\(3,\\) for 2 names"):
        plot_usage([1, 2, 3], ["a", "b"])


def test_the_heat_map_orders_codes_by_where_they_stand_in_a_prompt():
    # prompts run 2 -> 0 -> 3 -> 1, sometimes leaving one out; code 4 never occurs
    picture = plot_transitions(transitions([[2, 0, 3, 1], [2, 3, 1], [0, 3], [2, 0, 1]], k=5), ["b", "d", "a", "c", "never"])
    ax = picture.figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["start of prompt", "a", "b", "c", "d", "never"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c", "d", "never", "end of prompt"]
    shown = ax.images[0].get_array().filled(0)
    assert shown[0, 0] == 0.75 and shown[4, 5] == 1 and np.tril(shown[1:, :5]).sum() == 0
    assert ax.get_xlabel() and ax.get_ylabel() and picture.figure.axes[1].get_ylabel()
    assert "d → end of prompt 100%" in picture.numbers
    lesson.show(*picture)


def test_a_rare_code_at_the_end_of_long_prompts_comes_last():
    picture = plot_transitions(transitions([[0, 1, 2]] * 19 + [[0, 1, 2, 3]], k=4), ["a", "b", "c", "rare"])
    assert [label.get_text() for label in picture.figure.axes[0].get_xticklabels()][:4] == ["a", "b", "c", "rare"]


def test_of_many_codes_the_heat_map_shows_sixteen_and_what_the_others_take():
    # codes 0..15 in half of the prompts each, code 16 to 19 in few
    sequences = [list(range(16))] * 9 + [[0, 16, 17, 18, 19, 1]]
    picture = plot_transitions(transitions(sequences, k=20), [f"code {code}" for code in range(20)])
    ax = picture.figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["start of prompt", *(f"code {code}" for code in range(16))]
    assert [label.get_text() for label in ax.get_xticklabels()][-2:] == ["4 other codes", "end of prompt"]
    shown = ax.images[0].get_array().filled(0)
    assert shown.shape == (17, 18) and shown.sum(axis=1) == pytest.approx(1)
    assert shown[1, -2] == pytest.approx(0.1) and shown[1, 1] == pytest.approx(0.9)  # from code 0 to the others, to code 1


def test_the_map_writes_the_first_fillers_of_each_code():
    codes = np.repeat([0, 1], 300)
    xy = np.random.default_rng(0).uniform(size=(600, 2)) + np.c_[codes * 2, codes * 0]
    picture = plot_map(xy, codes, ["left", "right"], [f"{'ab'[code]}{row % 300}" for row, code in enumerate(codes)])
    notes = [text.get_text() for text in picture.figure.axes[0].texts if isinstance(text, Annotation)]
    assert {"a0", "b0"} & set(notes) and max(int(note[1:]) for note in notes) < 150


def test_the_heat_map_refuses_what_is_no_matrix_of_shares():
    with pytest.raises(ValueError, match="needs a matrix \\(3, 3\\) for 2 names"):
        plot_transitions(np.eye(2), ["a", "b"])
    with pytest.raises(ValueError, match="rows of numbers >= 0 that sum to 1"):
        plot_transitions(2 * np.eye(3), ["a", "b"])


def page_data(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_hover_map_holds_every_filler_and_makes_no_request(clusters, atlas, texts):
    page = hover_map(atlas.xy, clusters[1], NAMES, texts, "A map", height=400)
    data = page_data(page)
    assert data["text"] == texts and data["names"] == NAMES and data["code"] == clusters[1].tolist()
    assert min(data["x"] + data["y"]) == 0 and max(data["x"] + data["y"]) == 1
    assert "default-src 'none'" in page and "<title>A map</title>" in page and "400px" in page
    shell = page.replace("http-equiv", "")
    assert not re.search(r"http|src=|href=|@import|url\(|fetch\(|XMLHttp|{{", shell)


def test_the_hover_map_shows_texts_as_texts_whatever_they_hold(atlas, clusters, texts):
    evil = "</script><script>alert(1)</script><!-- & \u2028 \ud800 \"'"
    page = hover_map(atlas.xy, clusters[1], [evil] * K, [evil] * 360, title="<b>&</b>")
    assert "alert(1)</script>" not in page and "<b>" not in page and "&lt;b&gt;&amp;&lt;/b&gt;" in page
    assert not re.search("[<>&]", re.search('id="data">(.*)</script>', page)[1])
    assert page.count("</script>") == hover_map(atlas.xy, clusters[1], NAMES, texts).count("</script>")
    assert page_data(page)["text"][0] == " ".join(evil.split())
    assert page.encode("utf-8")  # the lone surrogate is escaped


def test_every_control_of_the_hover_map_has_a_name(clusters, atlas, texts):
    page = hover_map(atlas.xy, clusters[1], NAMES, texts)
    shell = page.partition('<script type="application/json"')[0]
    for control in re.findall(r"<(?:button|input|canvas|ul)\b[^>]*>(?:[^<]{2,}</button>)?", shell):
        identity = re.search(r'id="(\w+)"', control)[1]
        labelled = "aria-label=" in control or f'<label>Search\n      <input id="{identity}"' in shell
        assert (
            labelled
            or control.endswith("</button>")
            or f'{identity}.setAttribute("aria-label"' in page.replace("canvas.", "map.")
        )
    assert '<html lang="en">' in page and 'role="status"' in page


def test_a_low_hover_map_is_refused(clusters, atlas, texts):
    with pytest.raises(ValueError, match="height=100; its controls need 240"):
        hover_map(atlas.xy, clusters[1], NAMES, texts, height=100)


def test_a_frame_holds_the_page_apart_and_does_not_make_ipython_warn():
    from IPython.display import HTML

    page = '<!doctype html><p title="a">x & y</p><script>1 < 2</script>'
    frame = iframe(page, title='The "map"', height=300)
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1]) == page
    assert 'sandbox="allow-scripts"' in frame and "height:300px" in frame and 'title="The &quot;map&quot;"' in frame
    assert HTML(frame).data == frame  # a warning would fail
