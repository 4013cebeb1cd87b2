"""How prompts of the built-in world look once typed."""

import random
from collections import Counter

from workbench.world import grammar, spelling


def texts(prompt):
    return [prompt.text[filler.start : filler.end] for filler in prompt.fillers]


def test_one_or_two_words_in_a_hundred_are_misspelled():
    slips = total = 0
    for clean, typed in zip(grammar.generate(3000, noise=False), grammar.generate(3000), strict=True):
        for meant, got in zip(texts(clean), texts(typed), strict=True):
            total += meant.count(" ") + 1
            slips += meant.lower().replace(" ", "") != got.lower().replace(" ", "")
    assert 0.01 < slips / total < 0.02


def test_a_misspelled_word_keeps_its_first_letter_and_nearly_all_others():
    rng = random.Random(0)
    for _ in range(300):
        slip = spelling.misspell("an old lighthouse", rng)
        assert slip.startswith("an old l") and abs(len(slip) - len("an old lighthouse")) <= 1
        assert (Counter(slip) - Counter("an old lighthouse")).total() <= 1
    assert spelling.misspell("by 8k", rng) == "by 8k"


def test_bots_separate_digits_and_hyphens_and_leave_apertures_alone():
    assert spelling.bot_gaps("8k") == "8 k"
    assert spelling.bot_gaps("shot on 35mm film") == "shot on 3 5 mm film"
    assert spelling.bot_gaps("sci-fi") == "sci - fi"
    assert spelling.bot_gaps("bird's eye view") == "bird ' s eye view"
    assert spelling.bot_gaps("f/1.8") == "f/1.8"


def test_typing_spares_weights_and_never_makes_an_initial_of_a_separated_8k():
    pieces = [["", "8k", "quality", False], ["", ".", "separator", False], [" ", "--ar 16:9", "weight", False]]
    typed = {separator: set() for separator in ",."}
    for separator, seen in typed.items():
        for seed in range(300):
            seen.add("".join(gap + text for gap, text, *_ in spelling.roughen(pieces, random.Random(seed), separator)))
    assert typed["."] == {"8k. --ar 16:9", "8K. --ar 16:9"}
    assert typed[","] - typed["."] - {"8K.--ar 16:9"} == {"8 k. --ar 16:9", "8k.--ar 16:9"}
    assert pieces[0] == ["", "8k", "quality", False]
