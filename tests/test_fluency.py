import dataclasses

import pytest
import torch
from tiny_clip import WORDS, tiny_clip
from tiny_lm import tiny_lm

from workbench import pez
from workbench.models import LM
from workbench.search.fluency import Fluency
from workbench.search.run import Run

QUICK = pez.PEZConfig(length=3, steps=12, restarts=2, candidates=16, width=16)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


@pytest.fixture(scope="module")
def lm():
    made = tiny_lm(words=(*WORDS, "great", "awful", "fine", "poor"))
    return LM("tiny", made.model, made.tokenizer)


def test_fluency_is_what_the_language_model_says_of_the_text(clip, lm):
    nats = Fluency(lm, 2)(["red moon", "sea"])
    ids = torch.tensor([lm.tokenizer("red moon")["input_ids"]])
    with torch.no_grad():
        logits = lm.model(torch.cat([torch.zeros(1, 1, dtype=torch.long), ids], 1)).logits.log_softmax(-1)[0]
    expected = -(logits[0, ids[0, 0]] + logits[1, ids[0, 1]]) / 2
    assert float(nats[0]) == pytest.approx(float(expected), abs=1e-4)
    config = QUICK.replace(vocabulary="words", steps=30, blocked=tuple("xyz"))
    plain = pez.search(clip, "blue cat old", config, lm=lm)
    fluent = pez.search(clip, "blue cat old", config.replace(fluency=1.0), lm=lm)
    assert fluent.nats < plain.nats and fluent.similarity <= plain.similarity + 1e-6
    assert pez.search(clip, "blue cat old", config).nats is None


@pytest.mark.parametrize(
    ("method", "options"), [("pez", {}), ("hotflip", {}), ("gcg", {"polish": 0}), ("pez", {"blocked": ("oo", "ca")})]
)
def test_swaps_that_cannot_win_are_not_shown_to_the_language_model(clip, lm, monkeypatch, method, options):
    config = QUICK.replace(method=method, fluency=0.01, steps=20, **options)
    totals, read, asked = Run.totals, Fluency.__call__, [0]

    def counted(self, texts):
        asked[0] += len(texts)
        return read(self, texts)

    monkeypatch.setattr(Fluency, "__call__", counted)
    few = pez.search(clip, "blue cat old", config, lm=lm)
    shown, asked[0] = asked[0], 0
    monkeypatch.setattr(Run, "totals", lambda self, ids, similarity, least=None: totals(self, ids, similarity))
    whole = pez.search(clip, "blue cat old", config, lm=lm)
    assert dataclasses.replace(few, seconds=0) == dataclasses.replace(whole, seconds=0)
    assert shown == asked[0] if method == "gcg" else shown < asked[0]
