"""Proposals: what is drawn and what is scored are the same law, for every proposal of the project."""

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from tiny_llama import tiny_llama
from tiny_lm import every_text, tiny_lm
from transformers import DynamicCache

from workbench import corpus, proposals
from workbench.control.decode import Ranked
from workbench.control.proposals import FromDistribution, FromDSL, FromScipy, LMProposal
from workbench.language.dsl import Decoding, DeepDSL
from workbench.language.writer import Decoder, DecoderConfig
from workbench.values import GuideError, Proposal, Sample

PACKAGE = Path(proposals.__file__).parents[2]
SHARP = {"temperature": 0.7, "top_k": 5, "top_p": 0.9}


@pytest.fixture(scope="module")
def lm():
    return tiny_lm()


@pytest.fixture(scope="module")
def dsl():
    return DeepDSL.load("world")


# ---- all of them --------------------------------------------------------------------------------------------------------
# Per class with both verbs, under temperature .7, top-k 5, top-p .9: log-probabilities drawn with, and scored.


def _lm(request):
    drawn = LMProposal(request.getfixturevalue("lm"), max_tokens=8, **SHARP).sample(300, seed=1)
    parts = [drawn[::-1][at : at + 37] for at in range(0, 300, 37)]  # other sums in other batches
    scored = np.concatenate([LMProposal(request.getfixturevalue("lm"), max_tokens=8, **SHARP).log_score(part) for part in parts])
    return [text.log_prob for text in drawn], scored[::-1]


def _dsl(request):
    law = FromDSL(request.getfixturevalue("dsl"), decoding=Decoding(**SHARP))
    drawn = law.sample(25, seed=1)
    return [text.log_prob for text in drawn], law.log_score(drawn)


def _writing(request):
    dsl, decoding = request.getfixturevalue("dsl"), Decoding(**SHARP)
    drawn = dsl.sample(25, "a castle on a hill, oil on canvas, by Claude Monet", decoding=decoding, seed=2)
    scored = dsl.log_score(drawn, "a castle on a hill, oil on canvas, by Claude Monet", decoding=decoding)
    return [sample.log_prob for sample in drawn], scored


def _prior(request):
    prior = request.getfixturevalue("dsl").prior_
    drawn = prior.sample(100, 3, temperature=0.7, top_p=0.9)
    return [one.log_prob for one in drawn], prior.log_score([one.template for one in drawn], temperature=0.7, top_p=0.9)


def _ngram(request):
    model = request.getfixturevalue("dsl").ngram_
    drawn = model.sample(60, 3)
    return [one.log_prob for one in drawn], model.log_score(drawn[::-1])[::-1]


def _decoder(request):
    pytest.importorskip("peft")
    texts = list(corpus.load("world", n=60, progress=False))
    base = tiny_llama(request.getfixturevalue("tmp_path"), texts)
    model, decoding = Decoder(DecoderConfig(base, steps=2)).fit(texts, progress=False), Decoding(**SHARP)
    drawn = model.sample(25, decoding=decoding, seed=1)
    return [one.log_prob for one in drawn], model.log_score(drawn[::-1], decoding=decoding)[::-1]


def _distribution(request):
    law = FromDistribution(lambda n, seed: stats.poisson(4).rvs(n, random_state=seed), stats.poisson(4).logpmf)
    return stats.poisson(4).logpmf(law.sample(50, seed=1)), law.log_score(law.sample(50, seed=1))


def _scipy(request):
    law = FromScipy(stats.poisson(4))
    return stats.poisson(4).logpmf(law.sample(50, seed=1)), law.log_score(law.sample(50, seed=1))


def _ranked(request):
    law = Ranked(tuple("abc"), np.log([5.0, 3.0, 2.0]))
    drawn = law.sample(50, seed=1)
    return [np.log({"a": 0.5, "b": 0.3, "c": 0.2}[one]) for one in drawn], law.log_score(drawn)


CASES = {
    "LMProposal": _lm,
    "FromDSL": _dsl,
    "DeepDSL": _writing,
    "TemplatePrior": _prior,
    "KneserNey": _ngram,
    "Decoder": _decoder,
    "FromDistribution": _distribution,
    "FromScipy": _scipy,
    "Ranked": _ranked,
}
NONE = {"Proposal"}  # the protocol itself


def found():
    """Names of all classes of the package that have both verbs."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if "def log_score" in text else ():
            if isinstance(node, ast.ClassDef):
                verbs = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
                if {"sample", "log_score"} <= verbs:
                    names.add(node.name)
    return names - NONE


def test_every_proposal_of_the_project_is_among_the_cases():
    assert found() == set(CASES), "give each class with sample and log_score a case in this file"


@pytest.mark.parametrize("name", CASES)
def test_what_is_drawn_is_scored_alike(name, request):
    drawn, scored = CASES[name](request)
    assert len(drawn) >= 25 and np.isfinite(drawn).all()
    np.testing.assert_allclose(scored, drawn, atol=1e-4)


# ---- language models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, SHARP, {"temperature": 2.0, "top_p": 0.6}, {"top_k": 2}, {"prefix": "old ship"}])
def test_probabilities_of_all_texts_add_up_to_one_and_are_those_of_drawing(lm, options):
    law = LMProposal(lm, max_tokens=3, **options)
    prefix = options.get("prefix", "")
    texts = [Sample(f"{prefix} {text}".strip(), ids=text.ids, context=prefix) for text in every_text(3)]
    p = np.exp(law.log_score(texts))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    drawn = law.sample(1500, seed=0)
    seen = {ids: 0 for ids in (text.ids for text in texts)}
    for text in drawn:
        seen[text.ids] += 1
    expected = np.sqrt(2 / np.pi * p * (1 - p) / 1500).sum() / 2  # of the distance, were they the same law
    assert np.abs(np.array(list(seen.values())) / 1500 - p).sum() / 2 < 1.2 * expected + 0.005
    assert {str(text) for text in drawn} <= {str(text) for text in texts}


def test_a_sample_is_a_text_that_knows_how_it_was_written(lm):
    law = LMProposal(lm, prefix="red fox", max_tokens=5, **SHARP)
    one = law.sample(1, seed=0)[0]
    assert isinstance(one, str) and one.startswith("red fox") and one.context == "red fox"
    assert len(one.ids) == len(one.kept) <= 5 and all(1 <= kept <= 5 for kept in one.kept)
    assert type(one.text) is str and one.text == one and one.template is None
    assert isinstance(law, Proposal)
    assert law.sample(20, seed=3) == law.sample(20, seed=3) != law.sample(20, seed=4)


def test_a_cache_that_cannot_drop_texts_changes_nothing(lm, monkeypatch):
    law = LMProposal(lm, max_tokens=8)
    expected = law.sample(100, seed=1)
    assert len({len(text.ids) for text in expected}) > 2
    for cls in DynamicCache.__mro__:
        if "batch_select_indices" in vars(cls):
            monkeypatch.delattr(cls, "batch_select_indices")
    assert law.sample(100, seed=1) == expected


def test_a_plain_str_is_scored_as_its_usual_tokens(lm):
    law = LMProposal(lm, prefix="red", max_tokens=4)
    drawn = law.sample(50, seed=0)
    np.testing.assert_allclose(law.log_score([text.text for text in drawn]), law.log_score(drawn), atol=1e-5)
    assert np.isneginf(law.log_score(["blue fox", "red " + "fox " * 9])).all()


def test_texts_of_another_context_or_never_ended_cannot_have_been_written(lm):
    law = LMProposal(lm, max_tokens=4)
    texts = [Sample("red", ids=(1,)), Sample("red", ids=(1, 0), context="old"), Sample("red", ids=(1, 0, 1)), Sample("", ids=())]
    assert np.isneginf(law.log_score(texts)).all()
    assert np.isfinite(law.log_score([Sample("red", ids=(1, 0))])).all()


def test_given_puts_a_context_before(lm):
    law = LMProposal(lm, max_tokens=4).given("blue moon")
    assert all(text.startswith("blue moon") for text in law.sample(5))
    assert law == LMProposal(lm, prefix="blue moon", max_tokens=4)


def test_gradients_flow_through_log_prob_and_a_copy_has_weights_of_its_own(lm):
    law = LMProposal(lm, max_tokens=4)
    mine = law.copy()
    texts = law.sample(10)
    log_p = mine.log_prob(texts)
    np.testing.assert_allclose(log_p.detach().numpy(), law.log_score(texts), atol=1e-5)
    log_p.sum().backward()
    assert all(p.grad is not None for _, p in mine.parameters()) and mine.lm.model is not lm.model
    assert not any(p.grad is not None for p in lm.model.parameters())
    with pytest.raises(GuideError, match="1 of 1 texts cannot be written"):
        mine.log_prob([Sample("", ids=())])


def test_texts_of_a_large_vocabulary_are_run_in_smaller_batches(lm):
    assert LMProposal(lm, max_tokens=8).batch == 256
    large = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(vocab_size=50_257)), tokenizer=None)
    assert LMProposal(large).batch == 41 and LMProposal(large, max_tokens=10_000).batch == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"temperature": 0}, ValueError, "temperature must be above 0"),
        ({"top_k": -1}, ValueError, "top_k must be an int, 0 for all"),
        ({"top_p": 0}, ValueError, "top_p must be above 0 and at most 1"),
        ({"max_tokens": 0}, ValueError, "max_tokens must be an int of 1 or more"),
        ({"max_tokens": True}, ValueError, "max_tokens must be an int"),
        ({"prefix": 3}, TypeError, "prefix must be a str"),
    ],
)
def test_options_are_checked_at_once(lm, options, error, message):
    with pytest.raises(error, match=message):
        LMProposal(lm, **options)


def test_bad_use_is_said_in_words(lm):
    with pytest.raises(GuideError, match="need more than the 16 positions of this model.* max_tokens to 16 or less"):
        LMProposal(lm, max_tokens=17).sample(1)
    with pytest.raises(ValueError, match="n must be an int of 1 or more"):
        LMProposal(lm, max_tokens=4).sample(0)
    with pytest.raises(TypeError, match="a list of texts, got one str"):
        LMProposal(lm, max_tokens=4).log_score("red fox")
    with pytest.raises(TypeError, match="sample 1 is int"):
        LMProposal(lm, max_tokens=4).log_score(["red", 3])


# ---- adapters -----------------------------------------------------------------------------------------------------------


def test_of_tells_what_a_thing_is(lm):
    assert proposals.of(lm) == LMProposal(lm)
    assert isinstance(proposals.of(stats.norm()), FromScipy)
    law = LMProposal(lm)
    assert proposals.of(law) is law
    language = SimpleNamespace(read=None, codes=())
    assert proposals.of(language) == FromDSL(language)


@pytest.mark.parametrize("law", [stats.norm(1, 2), stats.poisson(3), stats.multivariate_normal([0, 1], np.eye(2))])
def test_laws_of_scipy_sample_and_score(law):
    found = proposals.of(law)
    samples = found.sample(7, seed=1)
    assert type(samples) is list and len(samples) == 7 and samples == found.sample(7, seed=1)
    expected = law.logpmf(samples) if hasattr(law, "pmf") else law.logpdf(samples)
    np.testing.assert_allclose(found.log_score(samples), expected)


def test_a_language_with_a_template_keeps_it(dsl):
    law = proposals.of(dsl).given("a castle on a hill, oil on canvas, by Claude Monet")
    drawn = law.sample(6, seed=0)
    shape = dsl.read("a castle on a hill, oil on canvas, by Claude Monet")
    assert all(text.template.same_shape(shape) and text == text.template.prompt for text in drawn)
    np.testing.assert_allclose(law.log_score(drawn), [text.log_prob for text in drawn], atol=1e-4)
    assert len(set(drawn)) > 1


def test_contexts_of_a_distribution_are_made_by_a_function():
    law = FromDistribution(None, None, contexts=stats.poisson)
    assert law.given(3.0).log_score([2])[0] == pytest.approx(stats.poisson(3).logpmf(2))
    with pytest.raises(GuideError, match="has no contexts"):
        FromDistribution(None, None).given(1)
