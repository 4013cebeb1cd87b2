import dataclasses
import math

import numpy as np
import pytest
import torch
from tiny_clip import WORDS, tiny_clip
from tiny_lm import tiny_lm

from workbench import classify, pez
from workbench.models import LM
from workbench.search.vocabulary import Vocabulary

QUICK = pez.PEZConfig(length=3, steps=12, restarts=2, candidates=16, width=16)


@pytest.fixture(scope="module")
def lm():
    made = tiny_lm(words=(*WORDS, "great", "awful", "fine", "poor"))
    return LM("tiny", made.model, made.tokenizer)


TEXTS, LABELS = ["red moon", "blue sea", "old fog", "light house", "cat"], ["good", "bad", "good", "bad", "bad"]
VERBALIZERS = {"good": "great", "bad": "awful"}


def by_hand(lm, prompt, ending=""):
    """Log-probability of the right label of each text, one text at a time."""
    words, out = [lm.tokenizer(word)["input_ids"][0] for word in VERBALIZERS.values()], []
    for text, label in zip(TEXTS, LABELS, strict=True):
        ids = lm.tokenizer(f"{prompt} {text}{ending}", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = lm.model(ids).logits[0, -1, words].log_softmax(-1)
        out.append(float(logits[list(VERBALIZERS).index(label)]))
    return out


@pytest.mark.parametrize("method", pez.METHODS)
def test_a_prompt_for_a_language_model_is_worth_what_it_says(lm, method):
    config = QUICK.replace(method=method, prefix="fine", suffix="poor")
    found = classify.search_text(lm, TEXTS, LABELS, VERBALIZERS, config, ending=" ship")
    expected = by_hand(lm, found.text, " ship")
    assert found.text.startswith("fine") and found.text.endswith("poor")
    assert found.target_similarities == pytest.approx(expected, abs=1e-4)
    assert found.similarity == pytest.approx(np.mean(expected), abs=1e-4)
    assert found.accuracy == pytest.approx(np.mean([value > math.log(0.5) for value in expected]))
    assert found.nats > 0


def test_prompts_for_a_language_model_are_better_than_chance_and_repeatable(lm, tmp_path):
    config = QUICK.replace(steps=30, restarts=3)
    found = classify.search_text(lm, TEXTS, LABELS, VERBALIZERS, config, resume=tmp_path)
    rng = np.random.default_rng(0)
    chance = [np.mean(by_hand(lm, " ".join(rng.choice(WORDS, 3)))) for _ in range(30)]
    assert found.similarity >= np.quantile(chance, 0.9)
    again = classify.search_text(lm, TEXTS, LABELS, VERBALIZERS, config, resume=tmp_path)
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(found, seconds=0)


def test_the_gradient_for_a_language_model_is_that_of_its_score(lm):
    config = QUICK.replace(fluency=0.1)
    objective = classify.TextObjective(lm, TEXTS, LABELS, VERBALIZERS, config, Vocabulary(lm.tokenizer, 17, config, False), "")
    ids, rows = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.arange(2)
    vectors = objective.table[ids]
    score, gradient = objective.gradient(vectors, rows)
    assert torch.allclose(score, objective.score(ids, rows), atol=1e-5)
    step = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    ahead, back = (objective.gradient(vectors + sign * 1e-3 * step, rows)[0] for sign in (1, -1))
    assert torch.allclose((ahead - back) / 2e-3, (gradient * step).sum((1, 2)), atol=2e-2)


def test_fluency_makes_a_prompt_for_a_language_model_likelier(lm):
    config, labels = QUICK.replace(steps=24), ["bad", "good", "bad", "good", "good"]
    plain, fluent = (classify.search_text(lm, TEXTS, labels, VERBALIZERS, config.replace(fluency=f)) for f in (0.0, 2.0))
    assert fluent.nats < plain.nats and fluent.similarity <= plain.similarity


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"texts": []}, ValueError, "There are no texts"),
        ({"texts": "red moon"}, TypeError, "texts is a list of str, got str"),
        ({"labels": ["good"]}, ValueError, "5 texts and 1 labels"),
        ({"labels": ["good", "bad", "ugly", "bad", "bad"]}, ValueError, r"without one: \['ugly'\]"),
        ({"verbalizers": {"good": "great moon", "bad": "awful"}}, ValueError, "not one token"),
        ({"verbalizers": {"good": "unknown", "bad": "awful"}}, ValueError, "not one token"),
        ({"texts": ["sea " * 20] * 5}, ValueError, "more than the 16"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(lm, change, error, message):
    task = {"texts": TEXTS, "labels": LABELS, "verbalizers": VERBALIZERS} | change
    with pytest.raises(error, match=message):
        classify.search_text(lm, **task, config=QUICK)


def test_a_clip_is_no_language_model():
    with pytest.raises(TypeError, match="load_lm returns, got CLIP. For pictures and a CLIP: pez.search"):
        classify.search_text(tiny_clip(), TEXTS, LABELS, VERBALIZERS, QUICK)
