import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench import artifacts
from workbench.language.prior import PriorConfig, TemplatePrior, gru
from workbench.language.prior import template_prior as priors
from workbench.language.prior.steps import Alphabet
from workbench.template import Slot, Template
from workbench.values import ArtifactError, NotFittedError, Sample

SMALL = PriorConfig(width=32, epochs=4)
TINY = PriorConfig(width=8, epochs=1)


def make(*parts):
    """A template of literals and of ints, the codes of open slots."""
    return Template.build(part if isinstance(part, str) else Slot(f"c{part}", code=part) for part in parts)


def far_apart(n, seed=0):
    """A language with a rule that no bigram can know: the last slot repeats the first, three steps later.

    One of four codes, then code 4 with 0 to 2 literals on the way, then the first code again. Per template log 4 nats for the
    first code and log 2 for the literal; the other three steps hold no surprise.
    """
    rng = np.random.default_rng(seed)
    rows = zip(rng.integers(4, size=n).tolist(), rng.integers(2, size=n).tolist(), strict=True)
    return [make("a ", first, ", ", 4, (" by ", " | ")[which], first) for first, which in rows]


ENTROPY = math.log(4) + math.log(2)  # nats per template of `far_apart`


@pytest.fixture(scope="module")
def prior():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gru, "BATCH", 32)
        patch.setattr(gru, "RATE", 1e-2)
        patch.setattr(gru, "DROPOUT", 0.0)
        return TemplatePrior(SMALL).fit(far_apart(600), progress=False)


def mixed(n, seed=0):
    """Templates of different lengths and literals, for what has to hold of any language."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        parts = ["A "] if rng.random() < 0.3 else []
        for i in range(rng.integers(1, 6)):
            parts += [(", ", " by ", " ", "")[rng.choice(4, p=(0.5, 0.2, 0.2, 0.1))]] if i else []
            parts.append(int(rng.choice((2, 3, 5, 7))))
        out.append(make(*parts, "." if rng.random() < 0.2 else ""))
    return out


@pytest.fixture(scope="module")
def varied():
    return TemplatePrior(PriorConfig(width=24, epochs=2)).fit(mixed(600), progress=False)


def parts(sample):
    """Literals and codes of a sample."""
    return tuple(part.code if isinstance(part, Slot) else part for part in sample.template.parts)


def log_probs(samples):
    return np.array([sample.log_prob for sample in samples])


# ---- what is learned ----------------------------------------------------------------------------------------------------


def test_a_rule_across_three_steps_is_learned_down_to_the_entropy(prior):
    # 3 slots and the end are 4 choices.
    found = prior.perplexity(far_apart(200, seed=1))
    assert math.exp(ENTROPY / 4) <= found * 1.02 and found < math.exp(ENTROPY / 4) * 1.05
    assert prior.history_[-1] < prior.history_[0]


def test_samples_are_of_the_language_in_its_proportions(prior):
    samples = prior.sample(2000, seed=0)
    language = {make(*parts(Sample("", template=template))) for template in far_apart(200)}
    inside = np.array([make(*parts(sample)) in language for sample in samples])
    assert inside.mean() > 0.97
    firsts = np.bincount([parts(sample)[1] for sample, good in zip(samples, inside, strict=True) if good], minlength=5)
    np.testing.assert_allclose(firsts[:4] / firsts.sum(), 0.25, atol=0.06)
    np.testing.assert_allclose(log_probs(samples)[inside].mean(), -ENTROPY, atol=0.1)


def test_samples_come_as_often_as_their_log_probability_says(varied):
    counts = {}
    for sample in varied.sample(4000, seed=1, temperature=0.5, top_p=0.8):
        counts.setdefault(sample, [0, sample.log_prob])[0] += 1
    common = sorted(counts.values(), reverse=True)[:8]
    for count, value in common:
        expected = 4000 * math.exp(value)
        assert abs(count - expected) < 4.5 * math.sqrt(expected)
    assert sum(math.exp(value) for _, value in counts.values()) <= 1 + 1e-9


def test_the_probabilities_of_all_templates_add_up_to_one(monkeypatch):
    monkeypatch.setattr(priors, "MAX_PARTS", 3)
    prior = TemplatePrior(TINY).fit([make(1, ", ", 2), make(1), make(", ", 2), make(2, 1, ", "), make(", ")] * 6, progress=False)
    codes, commas = (1, 2), (", ",)
    every = {
        make(*parts)
        for a in (*commas, None)
        for first in (*codes, None)
        for b in (*commas, None)
        for second in (*codes, None)
        for c in (*commas, None)
        for third in (*codes, None)
        if (parts := [part for part in (a, first, b, second, c, third) if part is not None])
    }
    every = {template for template in every if len(template.parts) <= 3}
    for options in ({}, {"temperature": 0.7, "top_p": 0.9}, {"length": 1}, {"length": 2}):
        assert np.exp(prior.log_score(sorted(every, key=str), **options)).sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7, "top_p": 0.9}, {"temperature": 1.6}, {"top_p": 0.5}, {"length": 3, "top_p": 0.9}]
)
def test_sample_and_log_score_agree(varied, options):
    samples = varied.sample(300, seed=2, **options)
    assert all(type(sample.log_prob) is float for sample in samples) and np.isfinite(log_probs(samples)).all()
    for scored in (samples, [sample.template for sample in samples]):
        np.testing.assert_allclose(varied.log_score(scored, **options), log_probs(samples), atol=1e-9)


def test_a_low_temperature_or_a_small_nucleus_gives_the_most_probable_choice(varied):
    cold = varied.sample(20, seed=0, temperature=1e-4)
    narrow = varied.sample(20, seed=1, top_p=1e-6)
    assert len(set(cold)) == len(set(narrow)) == 1 and cold[0] == narrow[0]
    np.testing.assert_array_equal(log_probs(narrow), 0.0)
    assert len(set(varied.sample(20, seed=0, temperature=1e-320))) == 1


def test_samples_have_the_length_asked_for_and_are_never_longer_than_learned(monkeypatch):
    monkeypatch.setattr(priors, "MAX_PARTS", 9)
    prior = TemplatePrior(TINY).fit(mixed(200), progress=False)
    for length in (1, 3, 5):
        assert {len(sample.template.slots) for sample in prior.sample(50, seed=0, length=length)} == {length}
    samples = prior.sample(300, seed=0, temperature=5.0)
    lengths = [len(sample.template.parts) for sample in samples]
    assert min(lengths) >= 1 and 8 <= max(lengths) <= 9
    slots = [slot for sample in samples for slot in sample.template.slots]
    assert {slot.code for slot in slots} == {2, 3, 5, 7} and {(slot.name, slot.text) for slot in slots} == {(None, None)}


def test_the_text_of_a_sample_shows_its_codes(varied):
    for sample in varied.sample(30, seed=0):
        assert sample == "".join(part if isinstance(part, str) else f"<{part}>" for part in parts(sample))


def test_what_cannot_be_written_has_no_probability(varied):
    impossible = [make(9), make(2, " near ", 3), make(), make(*([2, ", "] * 40)), make("A ")]
    found = varied.log_score([*impossible, make(2)])
    assert (found[:4] == -np.inf).all() and np.isfinite(found[4:]).all()
    assert varied.log_score([make(2), make(2, ", ", 3), make(2, 3, 5)], length=2).tolist()[::2] == [-np.inf, -np.inf]
    assert varied.log_score([]).shape == (0,)


def test_a_language_without_literals_needs_none():
    prior = TemplatePrior(TINY).fit([make(1, 2), make(2)] * 20, progress=False)
    assert prior.literals_ == ()
    assert all(isinstance(part, Slot) for one in prior.sample(50, seed=0) for part in one.template.parts)


def test_the_bigram_of_the_benchmark_knows_what_a_bigram_can_and_no_more(prior):
    path = Path(__file__).parents[1] / "benchmarks" / "prior.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_the_prior", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    train, held = (prior.simplify(far_apart(n, seed))[0] for n, seed in ((1000, 0), (200, 1)))
    bigram = benchmark.Bigram(len(prior.codes_), len(prior.literals_) + 1).fit(train)
    # It forgets the first code (log 4), and after each of the two, whether it was the first or the last (twice log 2).
    expected = ENTROPY + math.log(4) + 2 * math.log(2)
    assert -bigram.log_score(held).mean() == pytest.approx(expected, rel=0.02)


# ---- equal seeds, and keeping -------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_priors_and_samples_and_leave_torch_alone(varied):
    state = torch.random.get_rng_state()
    again = TemplatePrior(varied.config).fit(mixed(600), progress=False)
    assert again.history_ == varied.history_
    for name, tensor in varied.to_state()[1].items():
        np.testing.assert_array_equal(tensor, again.to_state()[1][name], err_msg=name)
    first, other = varied.sample(30, seed=3), varied.sample(30, seed=4)
    assert first == again.sample(30, seed=3) != other
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_restored_prior_is_equal_to_the_saved_one(varied, tmp_path):
    config, tensors = varied.to_state()
    varied.save(tmp_path / "prior")
    again = TemplatePrior.load(tmp_path / "prior")
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float16)}
    assert again.config == varied.config and again.report_ == varied.report_ and again.to_state()[0] == config
    assert again.literals_ == varied.literals_ and again.codes_ == varied.codes_ == (2, 3, 5, 7)
    templates = mixed(50, seed=5)
    np.testing.assert_array_equal(again.log_score(templates), varied.log_score(templates))
    assert again.sample(20, seed=0) == varied.sample(20)


def test_a_state_with_a_part_missing_is_refused(varied, tmp_path):
    config, tensors = varied.to_state()
    fewer = {name: tensor for name, tensor in tensors.items() if name != "code.weight"}
    options = {**config["options"], "depth": 3}
    for broken in (
        ({}, tensors),
        ({**config, "options": options}, tensors),
        (config, fewer),
        ({**config, "codes": [1]}, tensors),
    ):
        artifacts.save(tmp_path / "prior", "prior", *broken)
        with pytest.raises(ArtifactError, match="is not a 'prior' that this workbench"):
            TemplatePrior.load(tmp_path / "prior")


# ---- rare literals and long templates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rare", "instead"),
    [
        (" BY ", " by "),  # case aside
        (" ,  ", ", "),  # white space aside
        (", by the ", ", by "),  # shares most words
        (" near a ", " in a "),
        (", ((", ", ("),
        (" without ", " "),  # no word in common: the most common one without separators
        ("Under the ", "a "),  # begins without white space, so it stands at the beginning
        ("; ", None),  # no kept literal has this separator
        (", by ", ", by "),
    ],
)
def test_a_rare_literal_gives_way_to_the_most_similar_one(rare, instead):
    alphabet = Alphabet((1,), ("", ", ", " ", " by ", ", by ", " in a ", ", (", "a "))
    assert alphabet.nearest(rare) == instead


def test_what_was_changed_or_left_out_is_counted(monkeypatch):
    monkeypatch.setattr(priors, "MAX_PARTS", 6)
    common = [make(1, ", ", 2, " by ", 1)] * 30
    odd = [make(1, ",  ", 2), make(1, " BY ", 2), make(1, "; ", 2), make(), make(*([1, ", "] * 5))]
    prior = TemplatePrior(TINY).fit(common + odd, progress=False)
    assert prior.literals_ == (", ", " by ")
    assert prior.report_ == {
        "templates": 35,
        "used": 33,
        "held_out": 3,
        "replaced": 2,
        "replaced_literals": 2,
        "cut": 1,
        "left_out": {"unknown literal": 1, "empty": 1},
        "examples": {",  ": ", ", " BY ": " by "},
    }
    steps, report = prior.simplify(odd)
    assert len(steps) == report["used"] == 3
    assert steps[-1] == [(0, 0), (0, 1), (0, 1)]  # cut behind the third slot, where a segment ends; without an end


def test_a_cut_comes_where_a_segment_ends_if_one_does():
    alphabet = Alphabet((1, 2), ("", ", ", " by "))
    assert alphabet.simplest(make(1, ", ", 2, " by ", 1, " by ", 2), 5) == ([(0, 0)], {"cut"})
    assert alphabet.simplest(make(1, " by ", 2, " by ", 1), 3) == ([(0, 0), (1, 2)], {"cut"})
    assert alphabet.simplest(make(1, 3), 5) == (None, {"unknown code"})


def test_perplexity_reads_templates_as_fit_does(prior):
    plain, rare = make("a ", 0, ", ", 4, " by ", 0), make("A  ", 0, " , ", 4, " By ", 0)
    assert prior.perplexity([plain]) == pytest.approx(prior.perplexity([rare]))
    assert prior.perplexity([plain]) == pytest.approx(math.exp(-prior.log_score([plain])[0] / 4))
    assert prior.log_score([rare])[0] == -np.inf


# ---- what is refused ----------------------------------------------------------------------------------------------------


def test_a_prior_that_has_learned_nothing_says_so():
    prior = TemplatePrior()
    for use in (
        lambda: prior.sample(1, seed=0),
        lambda: prior.log_score([]),
        lambda: prior.perplexity([]),
        lambda: prior.simplify([]),
        prior.to_state,
    ):
        with pytest.raises(NotFittedError, match="call fit first"):
            use()


@pytest.mark.parametrize("templates", ["a castle", ["a castle"], make(1), 3])
def test_what_is_no_list_of_templates_is_refused(prior, templates):
    for use in (prior.log_score, prior.perplexity, lambda t: TemplatePrior().fit(t, progress=False)):
        with pytest.raises(TypeError, match="needs a list of Template, got (str|Template|int)"):
            use(templates)


def test_slots_without_a_code_are_refused(prior):
    templates = [make(1), Template.parse("a castle, <artist:?>")]
    for use in (prior.log_score, prior.perplexity, lambda t: TemplatePrior().fit(t, progress=False)):
        with pytest.raises(ValueError, match="the slot <artist:\\?> of template 1 has no code"):
            use(templates)


def test_too_few_templates_are_refused(prior):
    for few in ([], [make(1)], [make(1), make()]):
        with pytest.raises(ValueError, match="needs 2 templates or more"):
            TemplatePrior().fit(few, progress=False)
    assert TemplatePrior(PriorConfig(width=4, epochs=1)).fit([make(1), make(2)], progress=False).codes_ == (1, 2)
    with pytest.raises(ValueError, match="None of 1 templates can be written"):
        prior.perplexity([make(77)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be an int of 1 or more, got 0"),
        ({"n": 2.0}, "n must be an int"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"temperature": -1.0}, "temperature must be above 0"),
        ({"temperature": math.nan}, "temperature must be above 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1"),
        ({"length": 0}, r"length must be a number of slots, 1\.\.32"),
        ({"length": 33}, r"length must be a number of slots, 1\.\.32"),
    ],
)
def test_options_of_sampling_out_of_range_are_refused(prior, options, message):
    with pytest.raises(ValueError, match=message):
        prior.sample(**{"n": 1, "seed": 0, **options})
    if "n" not in options:
        with pytest.raises(ValueError, match=message):
            prior.log_score([make(1)], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be an int of 1 or more, got 0"),
        ({"epochs": 1.5}, "epochs must be an int"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PriorConfig(**options)


def test_learning_that_breaks_down_is_an_error(monkeypatch):
    monkeypatch.setattr(gru, "RATE", 1e30)
    with pytest.raises(ValueError, match="prior: the .* not finite|prior: the held-out figure"):
        TemplatePrior(TINY).fit(mixed(100), progress=False)


def test_every_epoch_reads_each_template_once_in_another_order():
    drawn = gru.Epochs([[(0, 0)] * (1 + i % 7) for i in range(200)], seed=0)
    rows = [[row for step in range(e * len(drawn), (e + 1) * len(drawn)) for row in drawn(step)] for e in range(2)]
    assert sorted(rows[0]) == sorted(rows[1]) == list(range(200)) and rows[0] != rows[1]
    again = gru.Epochs([[(0, 0)] * (1 + i % 7) for i in range(200)], seed=0)
    np.testing.assert_array_equal(again(5), drawn(5))
