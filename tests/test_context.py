import os
import signal

import numpy as np
import pytest
import torch
from tiny_lm import tiny_lm

from workbench import soft
from workbench.models.lm import fingerprint
from workbench.search.soft import context as module
from workbench.values import ModelError

CONTEXT = "red fox is good old ship is good"
TEXTS = ["old moon", "red ship is bad", "blue castle", "fox is old", "moon is red"]
CONFIG = soft.SoftConfig(layout="prefix", vectors=3, start=None, steps=40, batch=5, rate=0.1)


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(words=("red", "blue", "old", "fox", "ship", "castle", "moon", "is", "good", "bad"), spread=0.4)


def ids(lm, text):
    return lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def by_hand(lm, before, text):
    """Laws of the tokens of a text and its end after tokens: float (t, v), one forward."""
    rows = [*before, *ids(lm, text)]
    with torch.no_grad():
        return lm.model(torch.tensor([rows])).logits[0, len(before) - 1 :].log_softmax(-1)


def test_divergence_is_that_of_plain_forwards_and_zero_between_equals(lm):
    student = "old moon"
    total = tokens = 0
    for text in TEXTS:
        one, other = (by_hand(lm, ids(lm, words), text) for words in (CONTEXT, student))
        total, tokens = total + (one.exp() * (one - other)).sum().item(), tokens + len(one)
    assert soft.divergence(lm, CONTEXT, student, TEXTS) == pytest.approx(total / tokens, abs=1e-5)
    assert soft.divergence(lm, CONTEXT, CONTEXT, TEXTS) == pytest.approx(0, abs=1e-6)


def test_a_prompt_learns_to_stand_for_a_context_and_the_model_stays(lm):
    before = fingerprint(lm)
    prompt = soft.distil(lm, CONTEXT, TEXTS, CONFIG, progress=False)
    start = soft.distil(lm, CONTEXT, TEXTS, CONFIG.replace(steps=0))
    table = lm.model.get_input_embeddings().weight.detach().numpy()
    assert np.array_equal(start.vectors, table[ids(lm, CONTEXT)[:3]]) and start.labels == ()
    first, last = (soft.divergence(lm, CONTEXT, one, TEXTS) for one in (start, prompt))
    assert last < 0.3 * first and fingerprint(lm) == before and prompt.vectors.shape == (3, 32)
    assert prompt.history[-1]["step"] == 40 and prompt.history[-1]["loss"] == pytest.approx(last, rel=0.5)
    assert np.array_equal(soft.distil(lm, CONTEXT, TEXTS, CONFIG, progress=False).vectors, prompt.vectors)
    assert len(prompt.sample(lm, 3, max_tokens=4)) == 3


def test_a_prompt_as_long_as_the_context_and_begun_as_it_has_nothing_to_learn(lm):
    config = CONFIG.replace(vectors=len(ids(lm, CONTEXT)), steps=1)
    assert soft.distil(lm, CONTEXT, TEXTS, config, progress=False).history[0]["loss"] == pytest.approx(0, abs=1e-6)


def test_likely_tokens_are_told_apart_and_the_others_count_as_one(lm, monkeypatch):
    monkeypatch.setattr(module, "_TOP", 4)
    loss = soft.distil(lm, CONTEXT, TEXTS, CONFIG.replace(steps=1), progress=False).history[0]["loss"]
    total = tokens = 0
    for text in TEXTS:
        one = by_hand(lm, ids(lm, CONTEXT), text).exp()
        other = by_hand(lm, ids(lm, CONTEXT)[:3], text).exp()
        top = one.topk(4).indices
        one, other = (torch.cat([p.gather(1, top), 1 - p.gather(1, top).sum(1, keepdim=True)], 1) for p in (one, other))
        total, tokens = total + (one * (one / other).log()).sum().item(), tokens + len(one)
    assert loss == pytest.approx(total / tokens, abs=1e-4)
    assert loss < soft.divergence(lm, CONTEXT, soft.distil(lm, CONTEXT, TEXTS, CONFIG.replace(steps=0)), TEXTS)


def test_a_run_that_was_interrupted_goes_on_bit_equal(lm, tmp_path, monkeypatch):
    whole, batch = soft.distil(lm, CONTEXT, TEXTS, CONFIG.replace(batch=2), progress=False), module.batch

    def pressed(rows, size, step, seed):
        if step == 13:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(rows, size, step, seed)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(module, "batch", pressed)
            part = soft.distil(lm, CONTEXT, TEXTS, CONFIG.replace(batch=2), folder=tmp_path / "run", progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    again = soft.distil(lm, CONTEXT, TEXTS, CONFIG.replace(batch=2), folder=tmp_path / "run", progress=False)
    assert part.stopped == "interrupted" and np.array_equal(again.vectors, whole.vectors) and again.history == whole.history


def test_what_cannot_work_is_refused(lm):
    for context, texts, config, message in [
        ("", TEXTS, CONFIG, "context has no token"),
        (CONTEXT, [], CONFIG, "There are no texts"),
        (CONTEXT, ["red "], CONFIG.replace(layout="suffix"), "distil it with SoftConfig.layout='prefix'"),
        (CONTEXT, ["red " * 9], CONFIG, "Text 0 is too long"),
        (CONTEXT, TEXTS, CONFIG.replace(held_out=0.2), "holds no rows out"),
        (np.zeros((3, 31), np.float32), TEXTS, CONFIG, r"array \(c, 32\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            soft.distil(lm, context, texts, config)
    with pytest.raises(TypeError, match="row 0 is int"):
        soft.distil(lm, 3, TEXTS, CONFIG)
    prompt = soft.distil(lm, CONTEXT, TEXTS, CONFIG.replace(steps=0))
    with pytest.raises(ModelError, match="is another model"):
        soft.divergence(tiny_lm(words=("red",), seed=9), CONTEXT, prompt, TEXTS)
