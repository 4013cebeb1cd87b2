"""Visual prompts: what each kind leaves alone, what it can solve, and what is refused. The truth of the shifts is known."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench import visual
from workbench.models import load_clip, load_lm
from workbench.models.checker import load_checker
from workbench.search.visual.kinds import Numbers, edge, prompted, starts
from workbench.search.visual.towers import CheckerTower, tower_of
from workbench.values import ArtifactError, ModelError, PictureError
from workbench.world import render, scenes, shifts

FAST = visual.VisualConfig(steps=4, batch=8)


@pytest.fixture(scope="module")
def clip():
    return load_clip("world", device="cpu")


@pytest.fixture(scope="module")
def checker():
    return load_checker()


def drawn(n, seed=0, shift=None, what="color"):
    """Pictures of the world, shifted, and their labels."""
    some = scenes.scenes(n, seed)
    pictures = render.render_all(some, seed)
    return pictures if shift is None else shifts.shifted(pictures, shift, seed), [getattr(one, what) for one in some]


def share(prompt, model, pictures, labels):
    return np.mean([a == b for a, b in zip(prompt.classify(model, pictures), labels, strict=True)])


# ---- kinds --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "count"), [(2, 720), (4, 1344)])
def test_a_border_leaves_the_inner_pixels_to_the_bit_and_has_the_numbers_of_its_area(clip, width, count):
    config, pictures = visual.VisualConfig(kind="pad", width=width, steps=0), drawn(3)[0]
    prompt = visual.tune(clip, pictures, ["red", "blue", "red"], config)
    assert prompt.size == count == 3 * (32**2 - (32 - 2 * width) ** 2)
    inner = slice(width, 32 - width)
    shown = prompt.show(clip, pictures)
    assert np.array_equal(shown[:, inner, inner], pictures[:, inner, inner])
    assert not np.array_equal(shown, pictures)


def test_a_border_can_stand_around_a_smaller_picture(clip):
    pictures = np.full((1, 32, 32, 3), 200, np.uint8)
    shown = visual.tune(
        clip, np.repeat(pictures, 2, 0), ["red", "blue"], visual.VisualConfig(width=4, shrink=True, steps=0)
    ).show(clip, pictures)
    assert (shown[0, 4:28, 4:28] == 200).all() and (shown[0, :4] == 128).all()


@pytest.mark.parametrize("config", [{"kind": "channel"}, {"kind": "mask"}, {"kind": "mask", "shared": True}])
def test_a_prompt_that_has_not_learned_leaves_predictions_as_they_are(clip, config):
    pictures, labels = drawn(40)
    config = visual.VisualConfig(steps=0, **config)
    tower = tower_of(clip, sorted(set(labels)), "{label}")
    pixels = tower.pixels(pictures)
    numbers = Numbers(starts(tower, config)[0], 0, 0)
    with torch.no_grad():
        plain, mine = tower.scores(pixels), tower.scores(*prompted(config.kind, numbers(pixels), pixels, config))
    assert torch.allclose(plain, mine, atol=1e-4)
    expected = {"channel": 32 * 32 + 12, "mask": 3 * 32 * 32}[config.kind] if not config.shared else 32 * 32
    assert sum(p.numel() for p in numbers.parameters()) == expected


def test_no_tokens_are_the_model_alone_and_tokens_have_their_numbers(clip):
    pictures, labels = drawn(20)
    features = clip.image_features(pictures)
    texts = clip.text_features(sorted(set(labels)))
    plain = (features @ texts.T * clip.model.logit_scale.exp().detach()).softmax(1).numpy()
    none = visual.tune(clip, pictures, labels, visual.VisualConfig(kind="tokens", tokens=0, steps=0))
    assert none.size == 0 and np.allclose(none.probabilities(clip, pictures), plain, atol=1e-5)
    for kind, count in (("tokens", 8 * 128), ("deep", 8 * 128 * 4)):
        prompt = visual.tune(clip, pictures, labels, visual.VisualConfig(kind=kind, steps=0))
        assert prompt.size == count and not np.allclose(prompt.probabilities(clip, pictures), plain, atol=1e-5)
    assert not any(layer._forward_pre_hooks for layer in clip.model.vision_model.encoder.layers)


def test_a_binary_mask_has_zeros_and_ones_and_still_learns(checker):
    pictures, labels = drawn(60)
    prompt = visual.tune(checker, pictures, labels, visual.VisualConfig(kind="mask", binary=True, rate=0.3, steps=20))
    given = np.full((1, 32, 32, 3), 255, np.uint8)
    assert set(np.unique(prompt.show(checker, given))) == {128, 255}  # grey is 0 where pixels go from -1 to 1


def test_the_border_is_what_is_not_inside():
    assert int(edge(8, 2).sum()) == 64 - 16 and edge(8, 2)[0, 0] and not edge(8, 2)[4, 4]


# ---- learning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", visual.KINDS)
def test_nothing_but_the_prompt_is_learned(clip, kind):
    before = {name: value.clone() for name, value in clip.model.state_dict().items()}
    pictures, labels = drawn(16)
    start = visual.tune(clip, pictures, labels, FAST.replace(kind=kind, steps=0))
    prompt = visual.tune(clip, pictures, labels, FAST.replace(kind=kind))
    assert all(torch.equal(before[name], value) for name, value in clip.model.state_dict().items())
    assert not any(weight.grad is not None or weight.requires_grad for weight in clip.model.parameters())
    assert any(not np.array_equal(prompt.tensors[name], start.tensors[name]) for name in start.tensors)


def test_a_channel_solves_colors_that_changed_places_and_their_opposites(checker):
    for shift in ("swapped", "inverted"):
        pictures, labels = drawn(200, 1, shift)
        unseen, truth = drawn(200, 5000, shift)
        prompt = visual.tune(checker, pictures, labels, visual.VisualConfig(kind="channel", steps=10))
        nothing = visual.tune(checker, pictures, labels, visual.VisualConfig(kind="mask", steps=0))
        assert share(nothing, checker, unseen, truth) < 0.4
        assert share(prompt, checker, unseen, truth) >= 0.98


def test_equal_seeds_give_equal_prompts_and_another_seed_another_one(checker):
    pictures, labels = drawn(24)
    one, two, other = (
        visual.tune(checker, pictures, labels, FAST.replace(seed=seed)).tensors["own.border"] for seed in (0, 0, 1)
    )
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_a_run_that_was_stopped_goes_on_to_the_same_prompt(checker, tmp_path, monkeypatch):
    pictures, labels = drawn(24)
    config = FAST.replace(steps=20)
    whole = visual.tune(checker, pictures, labels, config)
    from workbench.search.visual import learning

    real, calls = learning.scores, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) > 13:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(learning, "scores", dies)
    with pytest.raises(MemoryError):
        visual.tune(checker, pictures, labels, config, folder=tmp_path / "run", progress=False)
    monkeypatch.setattr(learning, "scores", real)
    again = visual.tune(checker, pictures, labels, config, folder=tmp_path / "run", progress=False)
    assert np.array_equal(whole.tensors["own.border"], again.tensors["own.border"]) and whole.history == again.history
    with pytest.raises(ArtifactError, match="another run|other"):
        visual.tune(checker, pictures[::-1], labels, config, folder=tmp_path / "run", progress=False)


def test_a_gradient_is_that_of_a_finite_difference(checker):
    pictures, labels = drawn(12)
    prompt = visual.tune(checker, pictures, labels, visual.VisualConfig(kind="channel", steps=0))
    loss, grads, predicted = visual.gradient(checker, prompt, pictures, labels)
    assert len(predicted) == 12 and set(grads) == set(prompt.tensors)
    step = 1e-3

    def moved(by):
        tensors = {name: array.copy() for name, array in prompt.tensors.items()}
        tensors["own.map"][0, 1, 0] += by
        other = visual.VisualPrompt(tensors, prompt.labels, prompt.config, prompt.sha256)
        return visual.gradient(checker, other, pictures, labels)[0]

    slope = (moved(step) - moved(-step)) / (2 * step)
    assert grads["own.map"][0, 1, 0] == pytest.approx(slope, rel=0.02, abs=1e-3)


def test_a_maker_that_says_the_same_for_all_is_the_prompt_alone_and_moves_by_learning(checker):
    pictures, labels = drawn(24)
    plain = visual.tune(checker, pictures, labels, FAST.replace(steps=0))
    made = visual.tune(checker, pictures, labels, FAST.replace(steps=0, maker=8))
    assert np.allclose(plain.probabilities(checker, pictures), made.probabilities(checker, pictures), atol=1e-6)
    learned = visual.tune(checker, pictures, labels, FAST.replace(maker=8))
    assert any(not np.array_equal(learned.tensors[name], made.tensors[name]) for name in made.tensors if "maker" in name)


# ---- a prompt -----------------------------------------------------------------------------------------------------------


def test_a_prompt_is_saved_and_loaded_to_the_bit_and_belongs_to_its_model(clip, checker, tmp_path):
    pictures, labels = drawn(24)
    prompt = visual.tune(checker, pictures, labels, FAST.replace(maker=4))
    prompt.save(tmp_path / "prompt")
    loaded = visual.VisualPrompt.load(tmp_path / "prompt")
    assert np.array_equal(prompt.probabilities(checker, pictures), loaded.probabilities(checker, pictures))
    assert loaded.history == prompt.history and loaded.config == prompt.config
    with pytest.raises(ModelError, match="another model"):
        loaded.classify(clip, pictures)


def test_answers_are_a_distribution_and_do_not_depend_on_the_batch(checker):
    pictures, labels = drawn(20)
    prompt = visual.tune(checker, pictures, labels, FAST)
    together = prompt.probabilities(checker, pictures)
    alone = np.concatenate([prompt.probabilities(checker, picture) for picture in pictures])
    assert np.allclose(together.sum(1), 1, atol=1e-6) and np.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda c: visual.tune("clip", *drawn(4)), TypeError, "load_clip"),
        (lambda c: visual.tune(c, *drawn(4), visual.VisualConfig(kind="tokens")), ModelError, "vision transformer"),
        (lambda c: visual.tune(c, drawn(4)[0], ["red", "blue"]), ValueError, "4 pictures and 2 labels"),
        (lambda c: visual.tune(c, drawn(4)[0], ["red"] * 4), ValueError, "two labels"),
        (lambda c: visual.tune(c, drawn(2)[0], ["red", "plaid"]), ValueError, "one attribute"),
        (lambda c: visual.tune(c, ["no.png", "none.png"], ["red", "blue"]), PictureError, "no.png"),
        (lambda c: visual.tune(c, *drawn(4), visual.VisualConfig(width=16)), ValueError, "leaves nothing"),
        (lambda c: visual.VisualConfig(kind="frame"), ValueError, "kind"),
        (lambda c: visual.VisualConfig(template="a photo"), ValueError, "label"),
        (lambda c: shifts.shifted(drawn(2)[0], "upside"), ValueError, "shift"),
        (lambda c: shifts.shifted([1], "dark"), TypeError, "uint8"),
    ],
)
def test_bad_input_is_refused_in_words(checker, call, error, words):
    with pytest.raises(error, match=words):
        call(checker)


def test_tokens_are_in_no_picture(clip):
    pictures, labels = drawn(8)
    with pytest.raises(ValueError, match="no picture of them"):
        visual.tune(clip, pictures, labels, FAST.replace(kind="tokens", steps=0)).show(clip, pictures)


# ---- shifts -------------------------------------------------------------------------------------------------------------


def test_shifts_do_what_they_say():
    pictures = drawn(3)[0]
    assert np.array_equal(shifts.shifted(shifts.shifted(pictures, "inverted"), "inverted"), pictures)
    assert np.array_equal(shifts.shifted(pictures, "swapped")[..., 0], pictures[..., 2])
    assert np.array_equal(shifts.shifted(pictures, "rotated")[0], np.rot90(pictures[0]))
    assert (shifts.shifted(pictures, "blot")[:, 10:22, 10:22] == 128).all()
    assert np.array_equal(shifts.shifted(pictures, "dark")[:, :, 16:], pictures[:, :, 16:])
    noisy = [shifts.shifted(pictures, "noise", seed) for seed in (0, 0, 1)]
    assert np.array_equal(noisy[0], noisy[1]) and not np.array_equal(noisy[0], noisy[2])
    assert all(shifts.shifted(pictures, name).shape == pictures.shape for name in shifts.SHIFTS)


# ---- questions ----------------------------------------------------------------------------------------------------------


def test_a_frozen_language_model_answers_questions_about_pictures(clip, tmp_path):
    lm = load_lm("world")
    some = scenes.scenes(160, 3)
    asked = [("color", "object")[i % 2] for i in range(160)]
    answers = [getattr(scene, what) for scene, what in zip(some, asked, strict=True)]
    pictures = render.render_all(some, 3)
    weights = sha(lm)
    config = visual.questions._CONFIG.replace(steps=2, batch=8)
    learned = visual.learn_questions(clip, lm, pictures, asked, answers, config, progress=False)
    said = learned.answer(clip, lm, pictures[:6], asked[:6])
    assert all(answer in learned.answers[question] for answer, question in zip(said, asked[:6], strict=True))
    assert sha(lm) == weights
    learned.save(tmp_path / "questions")
    assert visual.Questions.load(tmp_path / "questions").answer(clip, lm, pictures[:6], asked[:6]) == said
    with pytest.raises(ValueError, match="Unknown questions: style"):
        learned.answer(clip, lm, pictures[:1], ["style"])
    with pytest.raises(ValueError, match="3 pictures and 2 questions"):
        learned.answer(clip, lm, pictures[:3], asked[:2])


def sha(lm):
    from workbench.models.lm import fingerprint

    return fingerprint(lm)


# ---- what must not pass silently, and what is asked first -----------------------------------------------------------------


def test_no_tokens_cannot_be_learned_and_have_no_gradient(clip):
    with pytest.raises(ValueError, match="no tokens there is nothing to learn: take steps=0"):
        visual.VisualConfig(kind="deep", tokens=0)
    pictures, labels = drawn(4)
    none = visual.tune(clip, pictures, labels, visual.VisualConfig(kind="tokens", tokens=0, steps=0))
    loss, grads, _ = visual.gradient(clip, none, pictures, labels)
    assert np.isfinite(loss) and grads["own.tokens"].shape == (1, 1, 0, 128)


def test_pixels_of_many_pictures_are_made_in_parts(checker, monkeypatch):
    pictures, labels = drawn(300)
    prompt, sizes = visual.tune(checker, pictures[:20], labels[:20], FAST.replace(steps=0)), []
    real = type(tower_of(checker, prompt.labels, "{label}")).pixels
    monkeypatch.setattr(CheckerTower, "pixels", lambda self, some: (sizes.append(len(some)), real(self, some))[1])
    assert len(prompt.classify(checker, pictures)) == 300 and sum(sizes) == 300 and max(sizes) <= 128


@pytest.fixture
def learned(clip):
    pictures, labels = drawn(4)
    config = visual.questions._CONFIG.replace(steps=0)
    return visual.learn_questions(clip, load_lm("world"), pictures, ["color"] * 4, labels, config, progress=False)


def test_questions_are_looked_at_before_pictures(clip, learned, monkeypatch):
    lm, pictures = load_lm("world"), drawn(3)[0]
    monkeypatch.setattr(type(clip), "image_features", lambda *_: pytest.fail("the pictures were looked at"))
    for call, words in (
        (lambda: learned.answer(clip, lm, pictures, ["style"] * 3), "Unknown questions: style"),
        (lambda: learned.answer(clip, lm, pictures, ["color"] * 2), "3 pictures and 2 questions"),
        (lambda: visual.learn_questions(clip, lm, pictures, ["color"] * 3, ["red"] * 2), "3 questions and 2 answers"),
        (lambda: visual.learn_questions(clip, lm, pictures, ["color"] * 3, ["red"] * 3), "two answers or more"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_questions_belong_to_their_clip(clip, learned, tmp_path):
    other = replace(clip, model=copy.deepcopy(clip.model))
    with torch.no_grad():
        other.model.visual_projection.weight.mul_(-1)
    learned.save(tmp_path / "questions")
    for one in (learned, visual.Questions.load(tmp_path / "questions")):
        with pytest.raises(ModelError, match="learned with another CLIP than world"):
            one.answer(other, load_lm("world"), drawn(1)[0], ["color"])
