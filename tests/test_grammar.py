"""The grammar of the built-in world: prompts whose slots are known."""

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from workbench import words
from workbench.world import grammar, lexicon

FUNCTION_WORDS = set("a an the of by in on at with and under near during lit made shot dressed style from".split())
OPEN_OF_ISSUE = "subject action scene medium movement artist lighting camera color material".split()


@pytest.fixture(scope="module")
def clean():
    """1,500 training prompts without noise."""
    return list(grammar.generate(1500, seed=1, noise=False))


@pytest.fixture(scope="module")
def typed():
    """5,000 training prompts as people type them."""
    return list(grammar.generate(5000, seed=1))


def texts(prompt):
    return [prompt.text[filler.start : filler.end] for filler in prompt.fillers]


def lists(label):
    return {*grammar.fillers(label, "train"), *grammar.fillers(label, "test")}


def bare(text, label):
    """A filler without the one adjective that may stand in front of a subject."""
    first, _, rest = text.partition(" ")
    return rest if label == "subject" and first in lexicon.ADJECTIVES and text not in lists("subject") else text


def test_a_known_prompt_is_labelled_word_by_word():
    pieces = [
        ["", "an", "function", False],
        [" ", "oil painting", "medium", False],
        [" ", "of", "function", False],
        [" ", "fox", "subject", True],
        ["", ",", "separator", False],
        [" ", "(", "weight", False],
        ["", "oil on canvas", "medium", False],
        ["", ":1.2", "weight", False],
        ["", ")", "weight", False],
    ]
    prompt = grammar._finish(pieces)
    assert prompt.text == "an oil painting of fox, (oil on canvas:1.2)"
    expected = "function medium medium function subject separator weight medium medium medium weight weight"
    assert prompt.labels == tuple(expected.split())
    assert prompt.fillers == (
        grammar.Filler(3, 15, "medium", False),
        grammar.Filler(19, 22, "subject", True),
        grammar.Filler(25, 38, "medium", False),
    )


@pytest.mark.parametrize("split", grammar.SPLITS)
def test_there_is_one_label_per_word_and_it_is_that_of_the_filler_around_it(split):
    for prompt in grammar.generate(2000, seed=2, split=split):
        tokens = words.split(prompt.text)
        assert len(tokens) == len(prompt.labels), prompt.text
        for token, label in zip(tokens, prompt.labels, strict=True):
            word = prompt.text[token.start : token.end]
            around = [f for f in prompt.fillers if f.start <= token.start and token.end <= f.end]
            if around:
                assert label == around[0].label and token.kind in (words.WORD, words.JOINT), (word, prompt.text)
            elif token.kind == words.WORD:
                assert label == "function" and word.lower() in FUNCTION_WORDS, (word, prompt.text)
            else:
                assert label == {words.SEPARATOR: "separator", words.MARKUP: "weight"}[token.kind], (word, prompt.text)


def test_fillers_stand_in_order_apart_from_each_other_and_without_blanks_around(typed):
    for prompt in typed:
        ends = [0, *(filler.end for filler in prompt.fillers)]
        assert all(end <= filler.start < filler.end for end, filler in zip(ends, prompt.fillers, strict=False))
        assert all(text == text.strip() and text for text in texts(prompt))


def test_without_noise_every_filler_is_written_as_in_its_list(clean):
    for prompt in clean:
        for text, filler in zip(texts(prompt), prompt.fillers, strict=True):
            assert bare(text, filler.label) in lists(filler.label), (text, filler.label)


def test_noise_changes_the_typing_and_never_the_truth():
    changed = 0
    for clean, typed in zip(grammar.generate(400, seed=3, noise=False), grammar.generate(400, seed=3), strict=True):
        assert [f[2:] for f in clean.fillers] == [f[2:] for f in typed.fillers]
        kept = [label for label in typed.labels if label in ("function", "weight")]
        assert kept == [label for label in clean.labels if label in ("function", "weight")]
        changed += clean.text != typed.text
    assert 0.5 < changed / 400 < 0.9


def test_casing_and_bot_spelling_vary_as_people_vary(typed):
    text = [prompt.text for prompt in typed]
    assert 0.35 < sum(t == t.lower() for t in text) / len(text) < 0.8
    assert 0.02 < sum(t == t.title() for t in text) / len(text) < 0.1
    assert any(re.search(r"\b8 k\b", t) for t in text) and any("ukiyo - e" in t for t in text)
    assert all(re.search(mark, "\n".join(text)) for mark in (r", ", r" \| ", r"\. ", r"\(\(", r":1\.2\)", r"(?m) --ar 16:9$"))


def test_training_prompts_never_have_a_held_out_filler(clean, typed):
    held_out = {label: set(grammar.fillers(label, "test")) for label in grammar.OPEN_SLOTS}
    assert not any(filler.unseen for prompt in typed for filler in prompt.fillers)
    for prompt in clean:
        for text, filler in zip(texts(prompt), prompt.fillers, strict=True):
            assert bare(text, filler.label) not in held_out.get(filler.label, ()), text


def test_a_held_out_filler_stands_nowhere_in_a_training_prompt_not_even_inside_another(clean):
    corpus = "\n".join(prompt.text for prompt in clean)
    for label in grammar.OPEN_SLOTS:
        for filler in grammar.fillers(label, "test"):
            assert not re.search(rf"(?<!\w){re.escape(filler)}(?!\w)", corpus), (label, filler)


def test_half_the_open_fillers_of_test_prompts_are_unseen_and_the_marks_are_right():
    drawn, unseen = Counter(), Counter()
    held_out = {label: set(grammar.fillers(label, "test")) for label in lexicon.SLOTS}
    for prompt in grammar.generate(2500, split="test", noise=False):
        for text, filler in zip(texts(prompt), prompt.fillers, strict=True):
            drawn[filler.label] += 1
            unseen[filler.label] += filler.unseen
            assert filler.unseen == (bare(text, filler.label) in held_out[filler.label]), text
    for label in grammar.OPEN_SLOTS:
        assert 0.4 < unseen[label] / drawn[label] < 0.6, label
    assert unseen["quality"] == unseen["site"] == 0 < min(drawn["quality"], drawn["site"])


def test_all_labels_occur_in_both_splits(typed):
    assert list(grammar.OPEN_SLOTS) == OPEN_OF_ISSUE
    assert {label for prompt in typed for label in prompt.labels} == set(grammar.LABELS)
    assert {label for prompt in grammar.generate(500, split="test") for label in prompt.labels} == set(grammar.LABELS)


def test_artists_come_in_three_forms(clean):
    before = Counter()
    for prompt in clean:
        for filler in prompt.fillers:
            if filler.label == "artist":
                lead = re.search(r"(?:^|in the style of|by|and|[,|.(\[])\s*$", prompt.text[: filler.start])
                before[lead.group().strip() if lead else "?"] += 1
    assert before["?"] == 0
    assert min(before["by"], before["in the style of"], before["and"], before[","]) > 50


def test_some_words_fill_more_than_one_slot(clean):
    slots = {}
    for prompt in clean:
        for token, label in zip(words.split(prompt.text), prompt.labels, strict=True):
            slots.setdefault(prompt.text[token.start : token.end], set()).add(label)
    assert {"color", "material"} <= slots["gold"] and {"material", "medium"} <= slots["bronze"]
    assert {"function", "medium"} <= slots["on"]  # shot on; oil on canvas


def test_prompts_are_equal_for_equal_seeds_and_differ_between_seeds_and_splits():
    first = list(grammar.generate(50, seed=5))
    assert first == list(grammar.generate(50, seed=5))
    others = [list(grammar.generate(50, seed=6)), list(grammar.generate(50, seed=5, split="test"))]
    assert all(sum(a.text == b.text for a, b in zip(first, other, strict=True)) < 3 for other in others)


def test_rows_of_the_two_splits_are_no_twins():
    rows = zip(grammar.generate(200), grammar.generate(200, split="test"), strict=True)
    assert any(" | " in train.text and ", " in test.text for train, test in rows)


def test_a_prompt_hardly_ever_says_the_same_thing_twice(clean):
    repeats = [prompt for prompt in clean if len(set(texts(prompt))) < len(prompt.fillers)]
    assert len(repeats) / len(clean) < 0.01


def test_prompt_i_does_not_depend_on_n_and_can_be_written_again_alone():
    many = list(grammar.generate(300, seed=9, split="test"))
    assert list(grammar.generate(20, seed=9, split="test")) == many[:20]
    assert all(grammar.prompt(i, seed=9, split="test") == many[i] for i in (0, 17, 299))
    assert grammar.prompt(3, seed=9, split="test", noise=False).fillers[0].label == many[3].fillers[0].label


def test_prompts_come_one_at_a_time():
    assert len(list(islice(grammar.generate(10**12), 3))) == 3
    assert list(grammar.generate(0)) == []


def test_truth_is_the_same_in_every_process_and_needs_no_torch():
    code = (
        "import sys, hashlib\nfrom workbench.world import grammar\n"
        "text = repr([list(grammar.generate(40, seed=2, split='test')), grammar.fillers('artist')])\n"
        "print('torch' in sys.modules, hashlib.sha256(text.encode()).hexdigest())"
    )
    root = Path(words.__file__).parents[1]
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout and runs[0].stdout.startswith("False ")


def test_prompts_are_seldom_equal_and_of_the_length_people_type(typed):
    assert 1 - len({prompt.text.lower() for prompt in typed}) / len(typed) < 0.02
    sizes = sorted(len(prompt.labels) for prompt in typed)
    assert sizes[0] >= 2 and 15 < sizes[len(sizes) // 2] < 30 and 35 < sizes[int(len(sizes) * 0.95)] < 60


@pytest.mark.parametrize("size", [-1, 2.0, True, "3"])
def test_a_size_that_is_no_count_is_refused_at_once(size):
    with pytest.raises(ValueError, match=r"n must be an int of 0 or more, got"):
        grammar.generate(size)
    with pytest.raises(ValueError, match=r"i must be an int of 0 or more, got"):
        grammar.prompt(size)


def test_bad_arguments_are_refused_with_the_choices_there_are():
    with pytest.raises(ValueError, match=r"split must be one of train, test; got 'dev'"):
        grammar.generate(3, split="dev")
    with pytest.raises(ValueError, match=r"split must be one of"):
        grammar.fillers("artist", split="dev")
    with pytest.raises(ValueError, match=r"seed must be an int, got None"):
        grammar.generate(3, seed=None)
    with pytest.raises(ValueError, match=r"'colour' is not a slot with fillers. Choose one of: subject, .*color.*site"):
        grammar.fillers("colour")
    with pytest.raises(ValueError, match=r"'function' is not a slot with fillers"):
        grammar.fillers("function")
