import numpy as np
import pytest
import torch
from tiny_clip_score import tiny_clip

from workbench.search.rank import Built, Choice, Ranked, build_prompt, rank_phrases
from workbench.template import Slot, Template
from workbench.values import PictureError

PHRASES = ["red cat", "red castle", "a", "cat", "red", "tle", "red cat", "", "much more than the window has room for"]
COLORS, THINGS, PLACES = ("red", "blue", "green"), ("cat", "castle", "owl"), ("sea", "hill", "snow")


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


@pytest.fixture(scope="module")
def wide():
    return tiny_clip(window=77)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def off(found, expected):
    return float((found - expected).abs().max())


# ---- ranking ------------------------------------------------------------------------------------------------------------


def test_phrases_are_ranked_as_by_full_texts(clip, picture):
    ranked = rank_phrases(clip, picture, PHRASES, "a cat")
    expected = clip.text_features([f"a cat, {phrase}" for phrase in PHRASES]) @ clip.image_features(picture)[0]
    assert [one.phrase for one in ranked] == [PHRASES[i] for i in torch.sort(expected, descending=True, stable=True).indices]
    assert all(isinstance(one, Ranked) for one in ranked)
    assert np.allclose([one.similarity for one in ranked], sorted(expected.tolist(), reverse=True), atol=1e-5)
    assert rank_phrases(clip, picture, PHRASES, "a cat", top=2) == ranked[:2]


def test_a_phrase_is_nearest_to_itself(clip):
    best = rank_phrases(clip, clip.text_features("cat, owl"), ["red", "owl", "cat"], "cat", top=1)[0]
    assert best.phrase == "owl" and best.similarity == pytest.approx(1, abs=1e-5)
    target = clip.text_features("cat owl")[0].numpy()
    assert rank_phrases(clip, target, ["red", "owl"], "cat", top=1, joint=" ")[0].phrase == "owl"


def test_of_several_pictures_the_mean_counts(clip, picture):
    pictures = [picture, 255 - picture]
    both = {one.phrase: one.similarity for one in rank_phrases(clip, pictures, COLORS)}
    each = [{one.phrase: one.similarity for one in rank_phrases(clip, one, COLORS)} for one in pictures]
    assert both == pytest.approx({phrase: (each[0][phrase] + each[1][phrase]) / 2 for phrase in COLORS}, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"phrases": []}, ValueError, "no phrases"),
        ({"phrases": "red"}, TypeError, "phrases is a list of str, got str"),
        ({"phrases": ["red", 3]}, TypeError, "row 1 is int"),
        ({"prefix": None}, TypeError, "prefix and joint are str"),
        ({"prefix": "red cat " * 20}, ValueError, "fills the window of 24 tokens"),
        ({"top": 0}, ValueError, "top must be an int of 1 or more"),
        ({"top": 1.5}, ValueError, "top must be an int of 1 or more"),
        ({"image": torch.zeros(3, 9)}, ValueError, r"16 wide, got shape \(3, 9\)"),
        ({"image": torch.full((16,), torch.nan)}, ValueError, "NaN"),
        ({"image": "no such picture.png"}, PictureError, "no picture"),
    ],
)
def test_what_cannot_be_ranked_is_refused(clip, picture, options, error, message):
    with pytest.raises(error, match=message):
        rank_phrases(**{"clip": clip, "image": picture, "phrases": ["red"], **options})


# ---- building -----------------------------------------------------------------------------------------------------------

SLOTS = [
    Choice("color", COLORS, before="a ", optional=False),
    Choice("thing", THINGS, before=" ", optional=False),
    ("place", PLACES),
    Choice("artist", ("monet", "klee"), before=", by "),
]


@pytest.mark.parametrize("text", ["a red owl, snow, by klee", "a blue cat, by monet", "a green castle, hill", "a red cat"])
def test_a_beam_as_wide_as_the_language_finds_the_prompt_that_was_meant(wide, text):
    built = build_prompt(wide, wide.text_features(text), SLOTS, beam=108)
    assert isinstance(built, Built) and built.text == text
    assert built.similarity == pytest.approx(1, abs=1e-5) and built.steps[-1].similarity == pytest.approx(1, abs=1e-5)


def test_a_built_prompt_tells_its_slots_and_steps(wide):
    built = build_prompt(wide, wide.text_features("a red owl, by klee"), SLOTS, beam=8)
    parts = ["a ", Slot("color", "red"), " ", Slot("thing", "owl"), ", by ", Slot("artist", "klee")]
    assert built.template == Template.build(parts)
    assert [(step.slot, step.filler) for step in built.steps] == [("color", "red"), ("thing", "owl"), ("artist", "klee")]
    grown = ["a red", "a red owl", "a red owl, by klee"]
    expected = wide.text_features(grown) @ wide.text_features("a red owl, by klee")[0]
    assert np.allclose([step.similarity for step in built.steps], expected, atol=1e-5)


def test_fillers_chosen_first_are_changed_when_that_helps(wide, monkeypatch):
    from workbench.search import rank

    target = [wide.text_features(f"a {c} {t}, {p}") for c in COLORS for t in THINGS for p in PLACES][::4]
    with_exchange = [build_prompt(wide, one, SLOTS[:3], beam=1).similarity for one in target]
    monkeypatch.setattr(rank, "_exchange", lambda *given: given[3])
    without = [build_prompt(wide, one, SLOTS[:3], beam=1).similarity for one in target]
    assert np.all(np.array(with_exchange) >= np.array(without) - 1e-6) and sum(with_exchange) > sum(without) + 0.01


def test_what_belongs_together_is_filled_or_left_out_as_one(wide, picture):
    group = [("place", PLACES), Choice("color", COLORS, before=", a "), Choice("thing", THINGS, before=" ", optional=False)]
    for seed in range(12):
        target = torch.randn(16, generator=torch.Generator().manual_seed(seed))
        names = [slot.name for slot in build_prompt(wide, target, group).template.slots]
        assert names and ("color" in names) == ("thing" in names)
        few = build_prompt(wide, target, group, max_slots=1)
        assert [slot.name for slot in few.template.slots] == ["place"]


def test_a_slot_that_must_be_filled_is_filled(wide):
    must = [Choice("thing", ("owl",), optional=False), Choice("color", ("red",), optional=False)]
    assert build_prompt(wide, wide.text_features("owl"), must).text == "owl, red"


def test_nothing_is_said_twice(wide):
    must = Choice("color", COLORS, optional=False)
    fillers = [slot.text for slot in build_prompt(wide, wide.text_features("red, red"), [must, must], beam=9).template.slots]
    assert len(set(fillers)) == 2
    only = must._replace(fillers=("red",))
    assert build_prompt(wide, wide.text_features("blue"), [only, only]).text == "red, red"  # but if there is nothing else


def test_a_filler_has_to_gain_what_it_costs(wide):
    target = wide.text_features("a red cat, sea")
    free = build_prompt(wide, target, [Choice("thing", ("a red cat",)), ("place", ("sea",))])
    gain = free.steps[1].similarity - free.steps[0].similarity
    assert free.text == "a red cat, sea" and gain > 0
    for cost, text in ((gain - 1e-3, "a red cat, sea"), (gain + 1e-3, "a red cat")):
        slots = [Choice("thing", ("a red cat",), optional=False), Choice("place", ("sea",), costs=(cost,))]
        built = build_prompt(wide, target, slots)
        assert built.text == text
    assert built.similarity == pytest.approx(free.steps[0].similarity, abs=1e-5)


def test_an_article_follows_its_filler(wide):
    slots = [Choice("thing", ("owl", "cat"), before="a ")]
    assert build_prompt(wide, wide.text_features("an owl"), slots).text == "an owl"
    assert build_prompt(wide, wide.text_features("a cat"), [slots[0]._replace(before="an ")]).text == "a cat"


def test_a_slot_that_comes_first_has_no_separator_before_it(wide):
    built = build_prompt(wide, wide.text_features("snow"), [("color", COLORS), Choice("place", PLACES, before=", ", after=".")])
    assert not built.text.startswith(",")


@pytest.mark.parametrize(
    ("slots", "options", "error", "message"),
    [
        ([], {}, ValueError, "no slots"),
        ([("color", [])], {}, ValueError, "no fillers of slot 'color'"),
        ([("color", ["red", " "])], {}, ValueError, "empty filler"),
        ([("color", "red")], {}, TypeError, "fillers of slot 'color' is a list of str, got str"),
        (["red"], {}, TypeError, "Slot 1 is a Choice"),
        ([Choice("color", COLORS, costs=(0.1,))], {}, ValueError, "3 fillers and 1 costs"),
        ([("color", COLORS)], {"beam": 0}, ValueError, "beam must be"),
        ([("color", COLORS)], {"max_slots": 0}, ValueError, "max_slots must be"),
        (SLOTS, {"max_slots": 1}, ValueError, "2 slots or more are filled together"),
    ],
)
def test_what_cannot_be_built_is_refused(wide, picture, slots, options, error, message):
    with pytest.raises(error, match=message):
        build_prompt(wide, picture, slots, **options)
