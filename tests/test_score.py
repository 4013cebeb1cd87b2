import gc
import math
import re
import weakref
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
from tiny_clip_score import tiny_clip
from tiny_lm import tiny_lm

from workbench.control.scorers import (
    aesthetic,
    at_least,
    at_most,
    contains,
    has_slot,
    log_prob,
    matches,
    n_words,
    of_picture,
    shows,
    similarity,
    slot_like,
)
from workbench.language.dsl import Code
from workbench.search.rank import Built, Choice, PhraseTable, Ranked, build_prompt, phrase_features, rank_phrases
from workbench.template import Slot, Template, parse
from workbench.values import ArtifactError, PictureError, Sample, TemplateError
from workbench.world.render import render
from workbench.world.scenes import Scene

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


@pytest.mark.parametrize("options", [{}, {"act": "gelu"}, {"legacy_end": True}])
@pytest.mark.parametrize("prefix", ["", "a cat", "red, red"])
def test_features_of_phrases_are_those_of_the_full_texts(options, prefix):
    clip = tiny_clip(**options)
    found = phrase_features(clip, PHRASES, prefix)
    assert found.shape == (len(PHRASES), 16) and found.dtype == torch.float32
    assert off(found, clip.text_features([f"{prefix}, {phrase}" if prefix else phrase for phrase in PHRASES])) < 1e-5


def test_features_are_exact_where_the_tokenizer_joins_prefix_and_phrase(clip):
    apart, joined = (clip.tokenizer(text)["input_ids"] for text in ("cas", "castle"))
    assert joined[: len(apart) - 1] != apart[:-1]  # the case there is
    phrases = ["tle", "e", " red", "tle, red"]
    assert off(phrase_features(clip, phrases, "cas", joint=""), clip.text_features(["cas" + p for p in phrases])) < 1e-5


def test_an_end_token_within_a_phrase_ends_it_as_in_the_model(clip):
    phrases = ["red <|endoftext|> cat", "塔", "<|endoftext|>", "red"]
    assert off(phrase_features(clip, phrases, "a"), clip.text_features([f"a, {phrase}" for phrase in phrases])) < 1e-5


def test_many_phrases_in_several_pieces_keep_their_order(wide):
    rng = np.random.default_rng(0)
    phrases = ["".join(rng.choice(list("abc "), rng.integers(1, 30))).strip() or "a" for _ in range(300)]
    texts = [f"a red castle, {phrase}" for phrase in phrases]
    assert off(phrase_features(wide, phrases, "a red castle"), wide.text_features(texts)) < 1e-5
    mixed = [*phrases[:40], *texts[:40], *(f"a red castle, {text}" for text in texts[:40])]
    assert off(phrase_features(wide, mixed), wide.text_features(mixed)) < 1e-5


def rows_through(clip, work):
    """Rows that the first layer of the text tower computes during `work()`."""
    seen = []
    mlp = clip.model.text_model.encoder.layers[0].mlp
    hook = mlp.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[:-1]))
    try:
        work()
    finally:
        hook.remove()
    return sum(math.prod(shape) for shape in seen)


def test_what_texts_share_is_computed_once(wide):
    prefix, phrases = "a castle by the sea in the snow", ["cat", "red", "red cat", "red cat"]
    begin = len(wide.tokenizer(prefix)["input_ids"]) - 1
    rows = rows_through(wide, lambda: phrase_features(wide, phrases, prefix))
    # prefix and comma; "cat", "red" and the "cat" after it; three ends, since two phrases are the same
    assert rows == begin + 1 + 3 + 3
    assert rows_through(wide, lambda: wide.text_features([f"{prefix}, {phrase}" for phrase in phrases])) > 4 * begin


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
        ({"top": 0}, ValueError, "top is how many"),
        ({"top": 1.5}, ValueError, "top is how many"),
        ({"image": torch.zeros(3, 9)}, ValueError, r"16 wide, got shape \(3, 9\)"),
        ({"image": torch.full((16,), torch.nan)}, ValueError, "NaN"),
        ({"image": "no such picture.png"}, PictureError, "no picture"),
    ],
)
def test_what_cannot_be_ranked_is_refused(clip, picture, options, error, message):
    with pytest.raises(error, match=message):
        rank_phrases(**{"clip": clip, "image": picture, "phrases": ["red"], **options})


# ---- tables -------------------------------------------------------------------------------------------------------------


def test_a_table_ranks_as_without_one_and_outlives_its_session(clip, picture, tmp_path):
    table = PhraseTable(clip, COLORS + THINGS, prefix="a cat")
    expected = rank_phrases(clip, picture, COLORS + THINGS, "a cat")
    assert table.features.dtype == np.float16 and table.features.nbytes == 2 * 6 * 16
    table.save(tmp_path / "table")
    for one in (table, PhraseTable.load(tmp_path / "table", clip)):
        assert one.prefix == "a cat" and one.phrases == COLORS + THINGS
        found = one.rank(picture)
        assert {r.phrase: r.similarity for r in found} == pytest.approx({r.phrase: r.similarity for r in expected}, abs=1e-3)
        assert one.rank(picture, top=2) == found[:2]
    assert repr(table) == "PhraseTable(6 phrases, clip='tiny', prefix='a cat', 0.0 MB)"


def test_a_table_of_another_clip_is_refused(clip, tmp_path):
    PhraseTable(clip, COLORS).save(tmp_path)
    with pytest.raises(ArtifactError, match="does not belong to 'tiny'"):
        PhraseTable.load(tmp_path, tiny_clip(seed=1))


def test_a_folder_without_a_table_is_refused(clip, tmp_path):
    with pytest.raises(ArtifactError, match="not a saved 'phrase-table'"):
        PhraseTable.load(tmp_path, clip)


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
    from workbench.control.scorers import building

    target = [wide.text_features(f"a {c} {t}, {p}") for c in COLORS for t in THINGS for p in PLACES]
    with_exchange = [build_prompt(wide, one, SLOTS[:3], beam=1).similarity for one in target]
    monkeypatch.setattr(building, "_exchange", lambda *given: given[3])
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


# ---- scorers ------------------------------------------------------------------------------------------------------------

TEXTS = ["Oil painting by Monet", "a monetary crisis", "by claude  monet, 8k", ""]


@pytest.mark.parametrize(
    ("scorer", "expected"),
    [
        (contains("monet"), [1, 0, 1, 0]),
        (contains("claude monet"), [0, 0, 1, 0]),
        (contains(["crisis", "oil"]), [1, 1, 0, 0]),
        (contains("8k"), [0, 0, 1, 0]),
        (matches("^a"), [0, 1, 0, 0]),
        (matches(re.compile("monet", re.IGNORECASE)), [1, 1, 1, 0]),
        (n_words(), [4, 3, 4, 0]),
    ],
)
def test_scorers_of_words_give_known_numbers(scorer, expected):
    found = scorer(TEXTS)
    assert found.dtype == np.float64 and found.tolist() == expected
    assert scorer([]).shape == (0,)
    assert scorer([Sample(TEXTS[0], template=None, log_prob=0.0), Sample(TEXTS[1])]).tolist() == expected[:2]


def test_scorers_have_names_to_print(clip):
    lm = tiny_lm()
    names = [f.__name__ for f in (contains("monet"), contains(["a", "b"]), matches("^a"), n_words(), log_prob(lm, mean=True))]
    assert names == ["contains('monet')", "contains(['a', 'b'])", "matches('^a')", "n_words()", "log_prob(tiny, mean=True)"]
    assert similarity(clip, "red").__name__ == "similarity(tiny, 'red')"


def test_similarity_is_the_cosine_to_texts_or_pictures(clip, picture):
    texts = ["red cat", "owl"]
    assert similarity(clip, "owl")(texts)[1] == pytest.approx(1, abs=1e-5)
    expected = (clip.text_features(texts) @ clip.text_features(["red", "cat"]).T).mean(1)
    assert np.allclose(similarity(clip, ["red", "cat"])(texts), expected, atol=1e-5)
    expected = clip.text_features(texts) @ clip.image_features(picture)[0]
    assert np.allclose(similarity(clip, picture)(texts), expected, atol=1e-5)


def test_log_probabilities_of_all_texts_of_a_length_sum_to_one():
    lm = tiny_lm(words=("red", "fox"))
    texts = ["<end>", "red", "fox"]
    assert np.exp(log_prob(lm)(texts)).sum() == pytest.approx(1, abs=1e-5)
    pairs = [f"{a} {b}" for a in texts for b in texts]
    assert np.exp(log_prob(lm)(pairs)).sum() == pytest.approx(1, abs=1e-5)
    assert np.allclose(log_prob(lm, mean=True)(pairs), log_prob(lm)(pairs) / 2)


def test_log_probability_does_not_depend_on_the_batch():
    score = log_prob(tiny_lm())
    texts = ["red fox", "", "old ship sea moon robot", "castle"] * 30
    assert np.allclose(score(texts), [score([text])[0] for text in texts[:4]] * 30, atol=1e-5)
    assert score([""]).tolist() == [0]
    with pytest.raises(ValueError, match="Text 1 has 20 tokens; tiny reads 15 at most"):
        score(["red", "red " * 20])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: contains([]), ValueError, "no phrases"),
        (lambda: contains(" "), ValueError, "empty"),
        (lambda: contains([1]), TypeError, "row 0 is int"),
        (lambda: matches("("), ValueError, "not a regular expression"),
        (lambda: matches(3), TypeError, "got int"),
        (lambda: n_words()("a text"), TypeError, "texts is a list of str, got str"),
        (lambda: n_words()([None]), TypeError, "row 0 is NoneType"),
    ],
)
def test_what_cannot_be_scored_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---- scorers compared with numbers --------------------------------------------------------------------------------------


def test_a_scorer_compared_with_a_number_answers_yes_or_no():
    for scorer, expected in (
        (n_words() <= 3, [0, 1, 0, 1]),
        (n_words() >= 4, [1, 0, 1, 0]),
        (n_words() < 3, [0, 0, 0, 1]),
        (n_words() > 3, [1, 0, 1, 0]),
        (3 >= n_words(), [0, 1, 0, 1]),
        (at_most(lambda texts: [len(text) for text in texts], 18), [0, 1, 0, 1]),
        (at_least(n_words(), 4), [1, 0, 1, 0]),
    ):
        assert scorer(TEXTS).tolist() == expected, scorer
    assert (n_words() <= 3).__name__ == "n_words() <= 3" and repr(at_least(n_words(), 0.5)) == "n_words() >= 0.5"
    assert np.isnan(at_most(lambda texts: [math.nan, 1], 3)(["a", "b"])).tolist() == [True, False]
    assert len({n_words(): 1, n_words() <= 3: 1}) == 2  # keys of a wish


def test_a_range_written_as_in_mathematics_is_refused_not_halved():
    with pytest.raises(TypeError, match="a function, not true or false. For a range, make two wishes"):
        _ = 3 <= n_words() <= 20
    for value in (math.nan, "20", True, None):
        with pytest.raises(TypeError, match="compared with a finite number"):
            _ = n_words() <= value
    with pytest.raises(TypeError, match="A scorer is a function"):
        at_most("n_words", 3)


# ---- slots --------------------------------------------------------------------------------------------------------------


class Language:
    """A language that reads what is written with slots, and knows three words on the axes of a plane."""

    WORDS = {"monet": (1, 0), "manet": (0.8, 0.6), "castle": (-1, 0), "sea": (0, -1), "hill": (0, 1)}

    def __init__(self):
        names = ("artist", "subject", "of a")
        self.codes = [Code(i, name, 1, 0.3, (), name == "of a") for i, name in enumerate(names)]
        self.encoder, self.seen = self, []
        self.fillers = SimpleNamespace(texts=("monet", "castle", "sea", "hill"))  # their mean is 0

    def read(self, texts):
        self.seen += texts
        return [parse(text) for text in texts]

    def embed_words(self, words):
        return np.array([self.WORDS.get(word, (0, 0)) for word in words], float)


PROMPTS = ["<subject:castle>, by <artist:Monet>", "by <artist:castle> and <artist:Manet>", "<subject:monet>", "nothing"]


def test_slots_are_found_by_reading_and_every_text_is_read_once_for_all_scorers():
    language = Language()
    assert has_slot(language, "artist")(PROMPTS * 2).tolist() == [1, 1, 0, 0] * 2
    assert has_slot(language, ["artist", "subject"])([Sample(text) for text in PROMPTS]).tolist() == [1, 1, 1, 0]
    assert np.allclose(slot_like(language, "artist", "Monet")(PROMPTS), [1, 0.8, 0, 0])
    assert np.allclose(slot_like(language, "artist", "monet", missing=-1)(PROMPTS), [1, 0.8, -1, -1])
    assert (slot_like(language, "artist", "monet") >= 0.9)(PROMPTS).tolist() == [1, 0, 0, 0]
    assert slot_like(language, "subject", "monet")(PROMPTS[3:]).tolist() == [0]
    assert sorted(language.seen) == sorted(PROMPTS)
    assert has_slot(language, "artist").__name__ == "has_slot('artist')"


def test_what_was_read_is_forgotten_with_its_language():
    from workbench.control.scorers.slots import _READ

    language = Language()
    has_slot(language, "artist")(PROMPTS)
    assert language in _READ._kept
    gone = weakref.ref(language)
    del language
    gc.collect()
    assert gone() is None


def test_the_template_a_sample_was_written_from_counts_only_when_asked_for():
    language = Language()
    written = Sample("<subject:monet>", template=parse("<artist:monet>"))
    assert has_slot(language, "artist")([written]).tolist() == [0]
    language.seen.clear()
    assert has_slot(language, "artist", written=True)([written, PROMPTS[0]]).tolist() == [1, 1]
    assert has_slot(language, "artist", written=True)([Sample("x", template=parse("<artist:monet>"), log_prob=0.0)]).tolist() == [
        1
    ]
    assert slot_like(language, "artist", "monet", written=True)([written]).tolist() == [1]
    assert set(language.seen) <= {PROMPTS[0]}  # what knows its template is not read


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda dsl: has_slot(dsl, "artst"), TemplateError, "no slot 'artst'. Did you mean 'artist'. It has: artist, subject"),
        (lambda dsl: slot_like(dsl, "colour", "red"), TemplateError, "no slot 'colour'. It has: artist, subject"),
        (lambda dsl: has_slot(dsl, ["artist", "of a"]), TemplateError, "'of a' is a code of function words.* use contains"),
        (lambda dsl: has_slot(dsl, []), TemplateError, "Give the name of a slot"),
        (lambda dsl: has_slot("artist", dsl), TypeError, "needs a language that reads, such as a DeepDSL, got str"),
        (lambda dsl: slot_like(dsl, "artist", "x\x00"), ValueError, "the encoder knows no word of it"),
        (lambda dsl: slot_like(dsl, "artist", ["monet"]), TypeError, "compares with a str, got list"),
        (lambda dsl: has_slot(dsl, "artist")("by Monet"), TypeError, "texts is a list of str, got str"),
    ],
)
def test_slots_that_cannot_be_asked_for_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(Language())


# ---- pictures -----------------------------------------------------------------------------------------------------------


class Painter:
    """Paints a square as red as the text is long, with a blue that depends on the seed."""

    def __init__(self):
        self.drawn, self.seeds = [], []

    def draw(self, prompts, *, steps, guidance, seed, batch):
        self.drawn += prompts
        self.seeds += seed
        return [PIL.Image.new("RGB", (8, 8), (len(p), steps, s % 256)) for p, s in zip(prompts, seed, strict=True)]


def red(pictures):
    return [picture.getpixel((0, 0))[0] for picture in pictures]


def blue(pictures):
    return [picture.getpixel((0, 0))[2] for picture in pictures]


def test_a_text_is_scored_by_its_picture_which_is_drawn_once():
    painter = Painter()
    texts = ["a", "bb", "a", Sample("ccc")] * 50
    assert of_picture(painter, red)(texts).tolist() == [1, 2, 1, 3] * 50
    assert painter.drawn == ["a", "bb", "ccc"]
    found = of_picture(painter, blue)(["ccc", "a", "d"])
    assert painter.drawn == ["a", "bb", "ccc", "d"] and len(set(painter.seeds)) == 4
    assert of_picture(Painter(), blue)(["d", "a", "ccc"]).tolist() == found[[2, 1, 0]].tolist()
    assert of_picture(Painter(), blue, seed=1)(["ccc", "a", "d"]).tolist() != found.tolist()
    assert of_picture(painter, lambda xs: [x.getpixel((0, 0))[1] for x in xs], steps=7)(["a"]).tolist() == [7]
    assert of_picture(painter, red).__name__ == "of_picture(red)"
    several = of_picture(painter, blue, pictures=3)
    each = [of_picture(painter, blue, seed=seed)(["a", "ccc"]) for seed in range(3)]
    assert np.allclose(several(["a", "ccc"]), np.mean(each, 0)) and several.__name__ == "of_picture(blue, pictures=3)"


def test_pictures_are_kept_up_to_a_limit(monkeypatch):
    from workbench.control.scorers import shown

    monkeypatch.setattr(shown._DRAWN, "_room", 10 * 8 * 8 * 3)
    painter = Painter()
    texts = ["x" * i for i in range(1, 100)]
    assert of_picture(painter, red)(texts).tolist() == list(range(1, 100))
    assert len(shown._DRAWN._kept[painter]) == 10
    assert of_picture(painter, red)(texts[-10:]).tolist() == list(range(90, 100)) and len(painter.drawn) == 99


def test_pictures_of_the_world_are_read_and_judged():
    pictures = [render(Scene("circle", "red", "sea", "photo"), seed=0), render(Scene("star", "blue", "sea", "photo"), seed=1)]
    assert shows("circle")(pictures).tolist() == [1, 0]
    assert shows("sea")(pictures).tolist() == [1, 1] and shows("blue")(pictures).tolist() == [0, 1]
    assert shows("circle").__name__ == "shows('circle')"
    found = aesthetic()(pictures)
    assert found.dtype == np.float64 and found.shape == (2,) and np.isfinite(found).all()


def test_similarity_is_also_of_pictures(clip, picture):
    expected = clip.image_features([picture]) @ clip.text_features("red cat")[0]
    found = similarity(clip, "red cat")([PIL.Image.fromarray(picture), picture])
    assert np.allclose(found, expected.numpy(), atol=1e-5)
    painter = SimpleNamespace(draw=lambda prompts, **options: [PIL.Image.fromarray(picture)] * len(prompts))
    assert np.allclose(of_picture(painter, similarity(clip, "red cat"))(["a", "b"]), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: shows("cirkle"), ValueError, "never show 'cirkle'. Did you mean 'circle'. They show: circle, square"),
        (lambda: of_picture("world", red), TypeError, "needs a pipeline, such as models.load_pipeline"),
        (lambda: of_picture(Painter(), "red"), TypeError, "needs a function of pictures, got 'red'"),
        (lambda: of_picture(Painter(), red, steps=0), ValueError, "steps must be an int of 1 or more, got 0"),
        (lambda: of_picture(Painter(), lambda xs: [1])(["a", "b"]), ValueError, "returned 1 numbers for 2 pictures"),
        (lambda: of_picture(Painter(), red)("a text"), TypeError, "texts is a list of str, got str"),
    ],
)
def test_pictures_that_cannot_be_scored_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
