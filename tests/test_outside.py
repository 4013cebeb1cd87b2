"""The outside grammar, which the shipped language learns from: seeded, as varied as real prompts, and readable to the letter."""

import re
from collections import Counter

import pytest

from tools import outside
from workbench.template import Template, parse
from workbench.words import MARKUP, SYNTAX, WORD, split

N = 1500


@pytest.fixture(scope="module")
def prompts():
    return list(outside.generate(N))


def share(prompts, pattern):
    return sum(bool(re.search(pattern, prompt)) for prompt in prompts) / len(prompts)


def test_a_prompt_depends_on_its_number_and_the_seed_alone(prompts):
    assert [outside.prompt(i) for i in (700, 3)] == [prompts[700], prompts[3]]
    assert outside.prompt(3, seed=1) != prompts[3]
    assert len(set(prompts)) > 0.97 * N


@pytest.mark.parametrize(
    ("pattern", "low", "high"),
    [
        (r"^[^,|]*$", 0.2, 0.34),  # measured on real prompts: .27 without a comma
        (r"\bby\b", 0.22, 0.42),  # .39
        (r"^[^A-Z]*$", 0.65, 0.9),  # .8 to 1 in 2022, .13 for Midjourney
        (r"(?i)^an? ", 0.2, 0.5),  # .22
        (r" --\w", 0.03, 0.12),
        (r":\d\.\d\)", 0.02, 0.1),
        (r"<lora:\w+:[\d.]+>", 0.01, 0.08),
        (r"\w_\w", 0.03, 0.12),
        (r"\b\d k\b| - ", 0.02, 0.2),  # .18 when a bot typed them
        (r",$", 0.02, 0.09),  # .05
    ],
)
def test_shares_are_near_those_of_real_prompts(prompts, pattern, low, high):
    assert low < share(prompts, pattern) < high


def test_lengths_are_near_those_of_real_prompts(prompts):
    words = sorted(sum(token.kind == WORD for token in split(prompt)) for prompt in prompts)
    low, middle, high = (words[int(q * N)] for q in (0.1, 0.5, 0.9))
    assert 3 <= low <= 9 and 12 <= middle <= 22 and 26 <= high <= 46  # measured: 6, 18, 43


def test_each_kind_of_the_lexicon_occurs(prompts):
    everything = "\n".join(prompts).lower()
    for kind, (common, phrases) in outside.kinds().items():
        found = {phrase for phrase in phrases if phrase.lower() in everything}
        assert len(found) >= min(20, len(phrases) // 4), f"prompts have only {sorted(found)} of {kind}"
        assert set(common) <= set(phrases), f"no phrases of {kind}: {sorted(set(common) - set(phrases))}"


def test_every_slot_of_a_frame_is_a_kind():
    frames, shares, segments, *_ = outside._read()
    assert set(shares) == set(frames)
    named = re.findall(r"\{(?:\w+ )?(\w+)\}", "\n".join(row for rows in [*frames.values(), *segments.values()] for row in rows))
    assert set(named) <= set(outside.kinds())
    assert set(outside.TAIL) <= set(outside.kinds()) | set(segments)


def test_a_phrase_is_given_to_one_code():
    phrases = [phrase for phrases in outside.codes().values() for phrase in phrases]
    assert len(phrases) == len(set(phrases))


def test_a_prompt_is_one_line_and_nothing_of_a_frame_is_left(prompts):
    assert not [p for p in prompts if re.search(r"[{}\n]|  |\||^\s|\s$|\ba a\b", p.replace(" | ", ", "))]


def test_articles_suit_the_word_behind_them(prompts):
    wrong = Counter(found.lower() for p in prompts for found in re.findall(r"\b(?:a [aio]\w+|an [bcdfgjklmnpqrtvwxyz]\w+)", p))
    assert sum(wrong.values()) < 0.01 * N  # "a one-eyed pirate"


def test_a_prompt_survives_being_printed_and_read_again(prompts):
    for prompt in prompts:
        template = Template.build([prompt])
        assert parse(str(template)).prompt == prompt


def test_syntax_of_other_programs_is_seen_as_such(prompts):
    kinds = {token.kind for prompt in prompts for token in split(prompt)}
    assert {MARKUP, SYNTAX} <= kinds
