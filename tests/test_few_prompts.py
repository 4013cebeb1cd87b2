"""Small piles: what is refused, what is warned of, and how long a writer trains on them."""

import warnings

import pytest

from workbench.data.corpus import Corpus
from workbench.language.codebook import CodebookConfig
from workbench.language.dsl import DeepDSL, DSLConfig, fitting
from workbench.language.dsl.cost import cost
from workbench.language.units import Units
from workbench.language.writer.config import WriterConfig

ANIMALS = "fox owl cat hare crow wolf bear deer frog swan".split()
TAIL = "in a quiet garden at dawn, soft light, fine grain, oil on canvas, warm colours, calm mood, wide view, much detail"


class Stopped(Exception):
    pass


@pytest.fixture
def check(monkeypatch):
    """Fit up to the long work: what it warns of."""

    def until(texts, codes=2):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            made = Corpus.from_texts(texts)
            fitting._check_enough(made, Units().fit(made, progress=False), DSLConfig(codebook=CodebookConfig(n_codes=codes)))
        return [str(one.message) for one in said if "prompts are few" in str(one.message)]

    return until


def different(n):
    return [f"{ANIMALS[i % 10]} number{i} near house{i // 7}, style{i % 13}, {'ab'[i % 2]}{i}" for i in range(n)]


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (different(1), "1 were kept of 1 rows"),
        (different(5), "5 were kept of 5 rows"),
        (different(10), "10 were kept of 10 rows"),
        (different(19), "19 were kept of 19 rows"),
        (["a fox in the snow, oil on canvas"] * 50, r"1 were kept of 50 rows \(49 "),
        ([f"a {animal} {TAIL}" for animal in ANIMALS], r"1 were kept of 10 rows \(9 near duplicate"),
        (["狐狸 在 雪地 里, 油画, 柔和 的 光"], "1 were kept of 1 rows"),
        ([" ".join(f"word{i}" for i in range(60))], "1 were kept of 1 rows"),
    ],
)
def test_next_to_nothing_is_refused_with_what_was_dropped(check, texts, kept):
    with pytest.raises(ValueError, match=f"of 2 codes is learned from 20 prompts or more, a good one from 3,000; {kept}"):
        check(texts)


@pytest.mark.parametrize("n", [20, 100, 2999])
def test_few_prompts_are_warned_of(check, n):
    [said] = check(different(n))
    assert said.startswith(f"{n:,} prompts are few: some codes will mix") and "fewer codes (now 2)" in said


def test_enough_prompts_are_not_warned_of(check):
    assert check(different(3000)) == []


def test_more_codes_than_phrases_are_refused_first(check):
    with pytest.raises(ValueError, match="32 codes need 32 different phrases or more; the 20 prompts kept"):
        check([f"fox {'abcdefghijklmnopqrst'[i]}" for i in range(20)], codes=32)


def test_more_codes_than_prompts_are_refused(check):
    with pytest.raises(
        ValueError, match=r"A language of 64 codes is learned from 64 prompts or more.* Add prompts, or take fewer codes\."
    ):
        check(different(30), codes=64)


def test_the_warning_names_the_line_that_fits(minilm, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise Stopped

    monkeypatch.setattr(fitting.encode, "encode", stop)
    with pytest.warns(UserWarning, match="40 prompts are few") as said, pytest.raises(Stopped):
        DeepDSL.fit(different(40), DSLConfig(), minilm, folder=tmp_path, progress=False)
    assert said[0].filename == __file__


@pytest.mark.parametrize(
    ("prompts", "steps"), [(1, 200), (50, 200), (500, 345), (1000, 690), (1300, 897), (3000, 900), (12_000, 900), (40_000, 900)]
)
def test_a_writer_reads_no_prompt_too_often(prompts, steps):
    assert WriterConfig().steps_for(prompts, 87) == steps  # 87 prompts of the built-in corpus make a step
    assert WriterConfig(steps=77).steps_for(prompts, 87) == 77
    assert DSLConfig.full().writer.steps_for(prompts, 87) == min(4000, max(200, -(-60 * prompts // 87)))


def test_steps_that_are_no_number_are_refused():
    for bad in (0, -1, 1.5, "900"):
        with pytest.raises(ValueError, match="steps must be an int"):
            WriterConfig(steps=bad)


def test_the_cost_is_measured(minilm):
    made = Corpus.from_texts(different(300))
    encoding, writing = cost(made, DSLConfig(writer=WriterConfig(width=16, heads=2, layers=1, batch=300)), minilm)
    assert 0 < encoding < 600 and 0 < writing < 3600
    assert cost(made, DSLConfig(writer=None), minilm)[1] == 0
