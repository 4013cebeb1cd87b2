import gc
import math
import weakref
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from tiny_clip_score import tiny_clip
from tiny_lm import tiny_lm

from workbench.control.scorers import (
    Scorer,
    aesthetic,
    contains,
    has_slot,
    log_prob,
    n_words,
    of_picture,
    shows,
    similarity,
    slot_like,
)
from workbench.language.dsl import Code
from workbench.template import parse
from workbench.values import Sample, TemplateError
from workbench.world.render import render
from workbench.world.scenes import Scene


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


# ---- scorers ------------------------------------------------------------------------------------------------------------

TEXTS = ["Oil painting by Monet", "a monetary crisis", "by claude  monet, 8k", ""]


@pytest.mark.parametrize(
    ("scorer", "expected"),
    [
        (contains("monet"), [1, 0, 1, 0]),
        (contains("claude monet"), [0, 0, 1, 0]),
        (contains(["crisis", "oil"]), [1, 1, 0, 0]),
        (contains("8k"), [0, 0, 1, 0]),
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
    names = [f.__name__ for f in (contains("monet"), contains(["a", "b"]), n_words(), log_prob(lm, mean=True))]
    assert names == ["contains('monet')", "contains(['a', 'b'])", "n_words()", "log_prob(tiny, mean=True)"]
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
        (Scorer(lambda texts: [len(text) for text in texts]) <= 18, [0, 1, 0, 1]),
    ):
        assert scorer(TEXTS).tolist() == expected, scorer
    assert (n_words() <= 3).__name__ == "n_words() <= 3" and repr(Scorer(len) >= 0.5) == "len >= 0.5"
    assert np.isnan((Scorer(lambda texts: [math.nan, 1]) <= 3)(["a", "b"])).tolist() == [True, False]
    assert len({n_words(): 1, n_words() <= 3: 1}) == 2  # keys of moments


def test_a_range_written_as_in_mathematics_is_refused_not_halved():
    with pytest.raises(TypeError, match="a function, not true or false. For a range, use two scorers"):
        _ = 3 <= n_words() <= 20
    for value in (math.nan, "20", True, None):
        with pytest.raises(TypeError, match="compared with a finite number"):
            _ = n_words() <= value
    with pytest.raises(TypeError, match="A scorer is a function"):
        Scorer("n_words")


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
    assert (slot_like(language, "artist", "monet") >= 0.9)(PROMPTS).tolist() == [1, 0, 0, 0]
    assert slot_like(language, "subject", "monet")(PROMPTS[3:]).tolist() == [0]
    assert sorted(language.seen) == sorted(PROMPTS)
    assert has_slot(language, "artist").__name__ == "has_slot('artist')"


def test_what_was_read_is_forgotten_with_its_language():
    from workbench.control.scorers.of_slots import _READ

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
        return [PIL.Image.new("RGB", (8, 8), (len(p), steps or 0, s % 256)) for p, s in zip(prompts, seed, strict=True)]


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
    from workbench.control.scorers import of_pictures

    monkeypatch.setattr(of_pictures._DRAWN, "_room", 10 * 8 * 8 * 3)
    painter = Painter()
    texts = ["x" * i for i in range(1, 100)]
    assert of_picture(painter, red)(texts).tolist() == list(range(1, 100))
    assert len(of_pictures._DRAWN._kept[painter]) == 10
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
