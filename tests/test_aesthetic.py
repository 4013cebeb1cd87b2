"""The aesthetic score: the formula, and the head that predicts it."""

import math

import numpy as np
import pytest

from workbench.models import aesthetic, load_clip
from workbench.values import ArtifactError
from workbench.world import scenes
from workbench.world.render import render_all

FRESH = 9_000_000  # seeds that no training has used


def test_the_true_score_is_contrast_and_color_less_noise():
    grey, halves, red = (np.zeros((32, 32, 3), np.float32) for _ in range(3))
    grey += 0.5
    halves[:, 16:] = 1
    red[..., 0] = 1
    noise = np.random.default_rng(0).integers(0, 2, (32, 32, 1)).astype(np.float32) * np.ones(3, np.float32)
    flat, split, colored, noisy = aesthetic.beauty([grey, halves, red, noise])
    assert abs(flat - 5) < 1e-5
    # luma 0 and 1 in equal parts: 0.5; in the 30 inner columns two differ by 1/4 from the mean of their neighbours
    assert abs(split - (5 + 10 * (0.5 - 2 / 30 / 4 / 2))) < 1e-4
    assert abs(colored - (5 + 10 * 0.3 / 3 * math.hypot(1, 0.5))) < 1e-4
    assert noisy < split - 1


def test_the_head_guesses_the_score_from_features():
    head, clip = aesthetic.load_aesthetic(), load_clip("world", device="cpu")
    pictures = render_all(scenes.scenes(300, FRESH, "any"), FRESH)
    guess = head.score(clip.image_features(pictures))
    assert np.allclose(head.score_pictures(pictures[:3]), guess[:3], atol=1e-4)
    assert guess.shape == (300,) and guess.dtype == np.float32
    assert np.corrcoef(guess, aesthetic.beauty(pictures))[0, 1] >= 0.94
    with pytest.raises(ValueError, match=r"reads features \(n, 128\), got \(1, 5\)"):
        head.score(np.zeros((1, 5), np.float32))


def test_a_head_is_saved_and_loaded(tmp_path):
    head = aesthetic.load_aesthetic()
    head.save(tmp_path / "head")
    features = np.random.default_rng(0).normal(size=(3, head.width)).astype(np.float32)
    assert np.array_equal(aesthetic.Aesthetic.load(tmp_path / "head").score(features), head.score(features))
    with pytest.raises(ArtifactError, match="not a saved 'aesthetic head'"):
        aesthetic.Aesthetic.load(tmp_path)
