"""A learned language as the proposal: moments of templates, fillers and pictures. In small: see benchmarks/guide.py."""

import numpy as np
import pytest

from workbench import corpus, guide, ngram
from workbench.control import proposals
from workbench.control.guide.pool import Pool
from workbench.control.proposals import FromDistribution, FromDSL
from workbench.control.scorers import contains, has_slot, n_words, of_picture, shows, slot_like
from workbench.language.dsl import DeepDSL
from workbench.models import load_pipeline
from workbench.values import GuideError, TemplateError

ASKED = {"n_words() <= 25": 1.0, "has_slot('artist')": 0.5, "slot_like('lighting', 'soft lighting') >= 0.2": 0.4}


@pytest.fixture(scope="module")
def dsl():
    return DeepDSL.load("world")


@pytest.fixture(scope="module")
def ebm(dsl):
    """Three moments at once: pointwise, of a template, of a filler."""
    softly = slot_like(dsl, "lighting", "soft lighting") >= 0.2
    return guide.constrain(dsl, {n_words() <= 25: 1.0, has_slot(dsl, "artist"): 0.5, softly: 0.4}, n=320, seed=0)


def moments(ebm, samples):
    """Means of all scorers of a target: dict of name -> float."""
    found = guide.means(samples, ebm.scorers)
    return dict(zip(found.names, found.values, strict=True))


def pairs(texts):
    return [pair for text in texts for words in [ngram.tokens(text)] for pair in zip(words, words[1:], strict=False)]


def distinct(texts):
    return len(set(pairs(texts))) / len(pairs(texts))


def test_a_language_is_asked_for_three_things_at_once(ebm):
    draws = guide.quasi_rejection(ebm, budget=4, n=70, pool=ebm.fit.pool)
    assert draws.proposed == 320 and draws.tvd < 0.05  # no new draws
    found = moments(ebm, draws.samples)
    assert found.keys() == ASKED.keys() and found == pytest.approx(ASKED, abs=0.03)
    assert moments(ebm, ebm.fit.pool.samples)["has_slot('artist')"] < 0.4


def test_what_it_then_writes_is_as_varied_and_as_fluent(ebm):
    unguided = ebm.fit.pool.samples
    draws = guide.quasi_rejection(ebm, budget=4, n=70, pool=ebm.fit.pool).samples
    assert distinct(draws) >= 0.9 * distinct(unguided[:70])
    judge = ngram.KneserNey().fit([ngram.tokens(text) for text in corpus.load("world", n=3000, seed=2, progress=False)])
    mine, base = (judge.perplexity([ngram.tokens(text) for text in texts]) for texts in (draws, unguided))
    assert mine <= 1.1 * base


def test_fresh_draws_have_the_moments_too(ebm, dsl):
    draws = guide.quasi_rejection(ebm, dsl, budget=4, n=40, seed=5, pool=160)
    assert not set(draws.samples) <= set(ebm.fit.pool.samples)
    found = moments(ebm, draws.samples)
    assert found["n_words() <= 25"] == 1 and found == pytest.approx(ASKED, abs=0.16)  # two standard errors of 40
    assert all(text.template.prompt == text for text in draws.samples)


def test_a_language_is_taken_wherever_a_proposal_is(ebm, dsl):
    assert ebm.bases == (FromDSL(dsl),)
    known = Pool(ebm.fit.pool.samples, ebm.fit.pool.log_ratio, FromDSL(dsl), ebm.key)
    assert guide.quasi_rejection(ebm, dsl, beta=3, n=5, pool=known).samples
    some = ebm.fit.pool.samples[:6]
    weights = list(ebm.weights.values())
    features = np.array([scorer(some) for scorer, _ in ebm.tilts]).T
    score = dsl.log_score([text.template for text in some]) + features @ weights
    alive = [text for text, passes in zip(some, ebm.filters[0](some), strict=True) if passes]
    np.testing.assert_allclose(ebm.log_score(alive), score[ebm.filters[0](some) == 1], atol=1e-4)
    assert (guide.EBM(tilts={n_words(): 0.1}) * dsl).bases == (FromDSL(dsl),) == guide.EBM((dsl,), {n_words(): 0.1}).bases


def test_large_sets_are_written_a_batch_at_a_time(dsl, monkeypatch):
    class Small:
        read, codes = None, ()

        def __init__(self):
            self.sizes, self.seeds = [], []

        def sample(self, n, template, *, lock, seed):
            self.sizes.append(n)
            self.seeds.append(seed)
            return dsl.sample(1, seed=0) * n

        def log_score(self, samples, template, *, lock):
            return np.zeros(len(samples))

    language = Small()
    monkeypatch.setattr(proposals, "_BATCH", 40)
    law = FromDSL(language)
    assert len(law.sample(100, seed=3)) == 100
    assert language.sizes == [40, 40, 20] and language.seeds[0] == 3 and len(set(language.seeds)) == 3
    assert law.log_score(law.sample(50, seed=3)).shape == (50,) and law.log_score([]).shape == (0,)


def test_a_template_is_a_context(dsl):
    law = FromDSL(dsl).given("a castle on a hill, oil on canvas, by Claude Monet")
    with pytest.warns(UserWarning, match="effective sample size"):
        ebm = guide.constrain(law, {n_words() <= 9: 0.5}, n=40, seed=0)
    drawn = guide.importance_resample(ebm, n=20, pool=ebm.fit.pool)
    assert moments(ebm, drawn.samples)["n_words() <= 9"] == pytest.approx(0.5, abs=0.05)
    assert all(text.template.same_shape(dsl.read("a castle on a hill, oil on canvas, by Claude Monet")) for text in drawn.samples)


def test_half_of_the_pictures_show_what_was_asked_for(ebm, dsl):
    texts = ebm.fit.pool.samples[:96]
    pipeline = load_pipeline("world", device="cpu")
    square = of_picture(pipeline, shows("square"), steps=2)
    law = FromDistribution(lambda n, seed: texts[:n], lambda texts: np.zeros(len(texts)))
    with pytest.warns(UserWarning, match="effective sample size"):
        target = guide.constrain(law, {square: 0.5}, n=96)
    assert target.fit.before[0] < 0.45
    draws = guide.importance_resample(target, n=40, pool=target.fit.pool)
    assert square(draws.samples).mean() == pytest.approx(0.5, abs=0.03)
    other = of_picture(pipeline, shows("square"), steps=2)
    assert other(draws.samples[::-1]).tolist() == square(draws.samples)[::-1].tolist()


def test_each_picture_may_have_a_seed_of_its_own():
    pipeline = load_pipeline("world", device="cpu")
    prompts = ["a red circle", "a blue star"]
    one, other = (pipeline.draw(prompts, steps=1, seed=seed) for seed in (3, [3, 4]))
    assert [picture.tobytes() for picture in one] == [picture.tobytes() for picture in other]
    with pytest.raises(ValueError, match="a seed for each of 2 prompts, or one int; got 3 seeds"):
        pipeline.draw(prompts, seed=[1, 2, 3])


def test_what_cannot_be_asked_of_a_language_is_said_before_it_writes(dsl):
    with pytest.raises(TemplateError, match="no slot 'artits'. Did you mean 'artist'"):
        guide.constrain(dsl, {has_slot(dsl, "artits"): 0.7})
    name = next(code.name for code in dsl.codes if code.literal)
    with pytest.raises(TemplateError, match=f"'{name}' is a code of function words"):
        has_slot(dsl, name)


def test_what_a_language_never_writes_is_an_error_that_says_so(ebm):
    pool = ebm.fit.pool.samples
    law = FromDistribution(lambda n, seed: pool[:n], lambda texts: np.zeros(len(texts)))
    with pytest.raises(GuideError, match="zeppelin.* was never seen in 320 samples"):
        guide.constrain(law, {contains("zeppelin"): 0.5}, n=320)
    with pytest.raises(GuideError, match="asked"):
        guide.constrain(law, {contains("a"): 1.2}, n=320)


def test_a_language_cannot_be_tuned_and_the_error_says_what_to_do(ebm, dsl):
    for language in (dsl, FromDSL(dsl)):
        with pytest.raises(GuideError, match=r"language cannot be tuned.*no gradients.*quasi_rejection\(ebm, budget=10\)"):
            guide.tune(language, ebm)
