import math

import numpy as np
import pytest
import tiny_clip as words
import torch
from tiny_clip_score import tiny_clip

from workbench.models.text_tower import TextTower, phrase_features

PHRASES = ["red cat", "red castle", "a", "cat", "red", "tle", "red cat", "", "much more than the window has room for"]


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


@pytest.fixture(scope="module")
def wide():
    return tiny_clip(window=77)


def off(found, expected):
    return float((found - expected).abs().max())


def ids_of(clip, text):
    return torch.tensor(clip.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("act", ["quick_gelu", "gelu", "silu", "gelu_new"])
@pytest.mark.parametrize(("prefix", "suffix"), [("", ""), ("old oil", "sea")])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_tower_gives_the_features_of_the_model_and_its_gradient(act, prefix, suffix, layers):
    clip = words.tiny_clip(layers=layers, act=act)
    texts = ["red castle moon", "blue cat ship"]
    ids = torch.stack([ids_of(clip, text) for text in texts])
    before, after = (ids_of(clip, text).tolist() if text else [] for text in (prefix, suffix))
    begin, end = clip.tokenizer("")["input_ids"]
    tower = TextTower(clip, [begin, *before])
    vectors = tower.table[torch.cat([ids, torch.tensor([[*after, end]] * 2)], 1)].requires_grad_()
    features = tower.features(vectors)
    expected = clip.text_features([f"{prefix} {text} {suffix}".strip() for text in texts])
    assert (features - expected).abs().max() < 1e-5
    toward = torch.randn(2, clip.width, generator=torch.Generator().manual_seed(0))
    gradient = torch.autograd.grad((features * toward).sum(), vectors)[0]
    vectors = vectors.detach()
    # against differences of the features themselves, in the direction of random steps
    for seed in range(3):
        step = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
        ahead, back = (tower.features(vectors + sign * 1e-3 * step) for sign in (1, -1))
        slope = ((ahead - back) * toward).sum() / 2e-3
        assert abs(float(slope - (gradient * step).sum())) < 2e-2 * max(1.0, abs(float(slope)))


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
    # prefix and comma; then "cat", "red" and "red cat", each with its end, since two phrases are the same
    assert rows == begin + 1 + 2 + 2 + 3
    assert rows_through(wide, lambda: wide.text_features([f"{prefix}, {phrase}" for phrase in phrases])) > 4 * begin
