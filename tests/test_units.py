import math
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench import artifacts, words
from workbench import units as units_module
from workbench.language.units import Span, Units, UnitsConfig, npmi
from workbench.values import ArtifactError, NotFittedError

THINGS = ("castle", "boat", "tower", "robot", "cat", "bird", "horse", "hill", "lamp", "tree")
COLOURS = ("red", "old", "tin", "glass", "tiny", "wild")


def corpus():
    """120 prompts in which "oil on canvas" and "claude monet" are fixed and all else is mixed evenly."""
    prompts = []
    for i, thing in enumerate(THINGS * 12):
        colour = COLOURS[(i // 10 + i) % 6]
        tail = ("oil on canvas", "ink sketch", "photo")[i % 3]
        artist = (", by claude monet", "", " by claude monet", ", 8k")[(i // 3) % 4]
        prompts.append(f"a {colour} {thing}, {tail}{artist}")
    return prompts


@pytest.fixture(scope="module")
def units():
    return Units().fit(corpus(), progress=False)


def texts(units, prompt):
    return [span.text for span in units.split(prompt)]


def test_neighbours_that_the_corpus_keeps_together_become_phrases(units):
    assert {"oil on canvas", "claude monet"} <= set(units.phrases_)
    assert units.phrases_["claude monet"] == pytest.approx(1.0)
    assert texts(units, "a red boat, oil on canvas, by Claude Monet") == [
        "a",
        "red",
        "boat",
        "oil on canvas",
        "by",
        "claude monet",
    ]


def test_words_that_meet_by_chance_stay_apart(units):
    assert not any(f"{colour} {thing}" in units.phrases_ for colour in COLOURS for thing in THINGS)


def test_the_spelling_of_a_phrase_is_kept_and_its_key_is_lower_case(units):
    text = "Oil  ON Canvas"
    (span,) = units.split(text)
    assert span == Span(0, len(text), 0, 3, 2, "oil on canvas")


@pytest.mark.parametrize("between", [", ", " | ", " (", ") ", "\n", ". ", " ((", ":1.2) "])
def test_no_unit_reaches_over_a_separator_or_a_bracket(units, between):
    assert texts(units, f"claude{between}monet") == ["claude", "monet"]
    assert [span.before for span in units.split(f"claude{between}monet")] == [2, 1]


def test_a_phrase_that_only_ever_crosses_a_comma_is_not_learned():
    units = Units().fit(["salt, pepper"] * 50 + ["blue bird, red fish"] * 10, progress=False)
    assert "salt pepper" not in units.phrases_
    assert texts(units, "salt pepper") == ["salt", "pepper"]


def test_by_stands_alone_however_often_its_neighbours_return():
    units = Units(UnitsConfig(min_count=2)).fit(["painted by ana lopez", "a wall"] * 100, progress=False)
    assert texts(units, "painted by ana lopez") == ["painted", "by", "ana lopez"]


def test_function_words_at_one_edge_only_are_split_from_the_phrase(monkeypatch):
    monkeypatch.setattr(units_module, "_PASSES", 4)
    prompts = ["the milky way", "portrait of a king", "in the style of gold", "ship of the line"] * 50
    units = Units(UnitsConfig(threshold=0.0)).fit(prompts, progress=False)
    assert "the milky way" in units.phrases_
    assert texts(units, "the milky way") == ["the", "milky way"]
    assert texts(units, "ship of the line") == ["ship of the line"]


def test_a_phrase_of_function_words_at_both_edges_is_one_unit():
    prompts = [f"{thing} in the style of {colour}" for thing in THINGS for colour in COLOURS] * 2
    units = Units().fit(prompts, progress=False)
    assert texts(units, "boat in the style of red") == ["boat", "in the style of", "red"]


def test_a_phrase_that_opens_with_an_article_is_no_preposition():
    units = Units(UnitsConfig(threshold=0.0)).fit(["a painting of a", "in front of the", "red hill"] * 60, progress=False)
    assert {"a painting of a", "in front of the"} <= set(units.phrases_)
    assert texts(units, "a painting of a") == ["a", "painting", "of a"]
    assert texts(units, "in front of the") == ["in front of the"]


def test_a_joint_stands_inside_a_unit_but_never_at_its_edge():
    units = Units().fit(["sci - fi", "a - b", "fi stuff", "some sci"] * 60, progress=False)
    assert texts(units, "sci - fi") == ["sci - fi"]
    assert texts(units, "- sci - fi -") == ["sci - fi"]
    assert texts(units, "- & '") == []


def test_offsets_word_numbers_and_separators_of_a_known_prompt(units):
    text = "(a Red boat), oil on canvas by Claude Monet 🎨"
    assert units.split(text) == [
        Span(1, 2, 0, 1, 2, "a"),
        Span(3, 6, 1, 2, 0, "red"),
        Span(7, 11, 2, 3, 0, "boat"),
        Span(14, 27, 3, 6, 1, "oil on canvas"),
        Span(28, 30, 6, 7, 0, "by"),
        Span(31, 43, 7, 9, 0, "claude monet"),
        Span(44, 45, 9, 10, 0, "🎨"),
    ]


FITTED = Units(UnitsConfig(threshold=0.0, min_count=1)).fit(corpus(), progress=False)
PIECES = [
    "oil",
    "on",
    "canvas",
    "Claude",
    "monet",
    "by",
    "a",
    "-",
    "&",
    ",",
    "|",
    "((",
    ":1.2)",
    "--ar 16:9",
    "8k",
    "٭",
    "👩‍🎨",
    " ",
]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)))
@example("")
@example("\u0600 oil on canvas")
@example("by by - by")
@example("\ud83d oil")
def test_every_word_of_any_text_is_in_exactly_one_unit(text):
    spans, tokens = FITTED.split(text), [token for token in words.split(text) if token.kind == words.WORD]
    assert [n for span in spans for n in range(span.first, span.last)] == list(range(len(tokens)))
    for span in spans:
        assert (span.start, span.end) == (tokens[span.first].start, tokens[span.last - 1].end)
    assert [span.before for span in spans[:1]] == [2] * bool(spans)
    for left, right in zip(spans, spans[1:], strict=False):
        between = [token.kind for token in words.split(text) if left.end <= token.start < right.start]
        assert right.before == int(any(kind in (words.SEPARATOR, words.MARKUP) for kind in between))


def test_saved_units_split_as_before(units, tmp_path):
    units.save(tmp_path / "units")
    again = Units.load(tmp_path / "units")
    assert again.config == units.config and again.phrases_ == units.phrases_ and again.to_state() == units.to_state()
    assert [again.split(text) for text in corpus()] == [units.split(text) for text in corpus()]


@pytest.mark.parametrize("state", [{}, {"options": {"max_words": 6}}, {"options": {}, "passes": [["oil", "on"]], "report": {}}])
def test_what_is_not_saved_units_is_an_artifact_error(state, units, tmp_path):
    artifacts.save(tmp_path, "units", units.to_state()[0] | {"options": {}, "passes": None} | state, {})
    with pytest.raises(ArtifactError, match="is not a 'units' that this workbench .* can read"):
        Units.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "threshold must be a number from -1 to 1, got 1.5"),
        ({"threshold": "high"}, "threshold must be a number from -1 to 1, got 'high'"),
        ({"threshold": math.nan}, "threshold must be a number from -1 to 1, got nan"),
        ({"min_count": 0}, "min_count must be an int of 1 or more, got 0"),
        ({"min_count": 2.5}, "min_count must be an int of 1 or more, got 2.5"),
        ({"min_count": True}, "min_count must be an int of 1 or more, got True"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UnitsConfig(**options)


@pytest.mark.parametrize(
    ("given_texts", "error", "message"),
    [
        (iter(["a boat"]), TypeError, "can be read only once. Give a list"),
        ((text for text in ["a boat"]), TypeError, "generator can be read only once"),
        ("a boat", TypeError, r"got one string. Expected a list of prompts: fit\(\[text\]\)"),
        (["a boat", None], TypeError, "Row 1 of texts is NoneType, expected str"),
        ([], ValueError, "got no texts"),
    ],
)
def test_texts_that_cannot_be_learned_from_are_refused(given_texts, error, message):
    with pytest.raises(error, match=message):
        Units().fit(given_texts, progress=False)


def test_units_without_phrases_say_what_to_do():
    with pytest.raises(NotFittedError, match=r"call fit\(texts\) first"):
        Units().split("a boat")
    with pytest.raises(NotFittedError, match="no phrases to save"):
        Units().to_state()


def test_pairs_beyond_the_bound_are_forgotten_and_counted(monkeypatch):
    prompts = ["oil canvas"] * 40 + [f"word{i} other{i}" for i in range(200)]
    whole = Units().fit(prompts, progress=False)
    assert whole.report_["counts_pruned"] == 0
    monkeypatch.setattr(units_module, "_MAX_COUNTS", 50)
    bounded = Units().fit(prompts, progress=False)
    assert bounded.report_["counts_pruned"] > 200
    assert bounded.phrases_.keys() == whole.phrases_.keys() == {"oil canvas"}


def test_the_report_says_what_was_read_and_found(units):
    assert units.report_["prompts"] == 120
    assert units.report_["words"] == sum(len(text.replace(",", "").split()) for text in corpus())
    assert sum(units.report_["phrases_per_pass"]) == len(units.phrases_)


def test_a_pair_has_to_be_seen_min_count_times_and_twice_in_a_tiny_corpus():
    assert Units().fit(["oil canvas", "red hill"], progress=False).phrases_ == {}
    assert set(Units().fit(["oil canvas", "oil canvas", "red hill"], progress=False).phrases_) == {"oil canvas"}
    often = ["oil canvas"] * 4 + [f"a{i} b{i}" for i in range(2000)]
    assert Units().fit(often, progress=False).phrases_ == {}
    assert set(Units(UnitsConfig(min_count=4)).fit(often, progress=False).phrases_) == {"oil canvas"}


def test_no_phrase_is_longer_than_six_words(monkeypatch):
    monkeypatch.setattr(units_module, "_PASSES", 5)
    prompts = ["one two three four five six seven eight nine ten"] * 30 + ["red hill"] * 30
    units = Units().fit(prompts, progress=False)
    assert max(len(phrase.split()) for phrase in units.phrases_) == 6
    assert max(span.last - span.first for span in units.split(prompts[0])) == 6


def test_one_word_again_and_again_is_no_special_case():
    units = Units().fit(["very"] * 5 + ["very very very very"] * 20, progress=False)
    assert " ".join(texts(units, "very very very")) == "very very very"


def test_normalised_pmi_of_known_counts():
    assert npmi(10, 10, 10, 1000) == pytest.approx(1.0)
    assert npmi(10, 100, 100, 1000) == pytest.approx(0.0)
    assert npmi(1, 10, 20, 100) == pytest.approx(math.log(0.5) / math.log(100))


def test_a_long_row_without_separators_takes_seconds_not_hours(units):
    row = "oil on canvas claude monet red " * 8_000
    start = time.perf_counter()
    assert len(units.split(row)) == 8_000 * 3
    assert time.perf_counter() - start < 20
