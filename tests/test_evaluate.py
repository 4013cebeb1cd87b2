from types import SimpleNamespace

import pytest

from workbench import corpus as corpora
from workbench import evaluate
from workbench.language.dsl import DeepDSL
from workbench.values import CorpusError, Unit
from workbench.words import WORD, split
from workbench.world.grammar import LABELS


@pytest.fixture(scope="module")
def prompts():
    return corpora.load("world", n=200, seed=0, progress=False)


def language(prompts, code_of):
    """A language whose units are the words, with a code by the true label."""

    def tag(texts):
        for i, text in enumerate(texts):
            pairs = zip(split(text), prompts.truth(i).labels, strict=True)
            words = [(word, code_of(label)) for word, label in pairs if word.kind == WORD]
            yield [Unit(text[w.start : w.end], w.start, w.end, code, str(code)) for w, code in words]

    return SimpleNamespace(tag=tag)


def test_codes_equal_to_the_labels_score_one_and_a_single_code_nothing(prompts):
    assert evaluate(language(prompts, LABELS.index), prompts) == pytest.approx({"words": 1.0, "open_slots": 1.0, "unseen": None})
    found = evaluate(language(prompts, lambda label: 0), prompts, n=50)
    assert found == {"words": 0.0, "open_slots": 0.0, "unseen": None}


def test_fillers_that_training_never_saw_are_scored_apart(prompts, minilm):
    held_out = corpora.load("world", n=50, split="test", progress=False)
    assert 0 <= evaluate(DeepDSL.load("world", encoder=minilm), held_out)["unseen"] <= 1


def test_the_truth_of_other_prompts_is_not_known(minilm):
    other = corpora.load(["a castle on the hill", "an old boat in the rain"], progress=False)
    with pytest.raises(CorpusError, match="The truth is known"):
        evaluate(DeepDSL.load("world", encoder=minilm), other)
