import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench import words

# The same examples in every run, and no time limit for each: machines that run tests are busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def cut(text, kind=None):
    return [text[word.start : word.end] for word in words.split(text) if kind in (None, word.kind)]


def kinds(text):
    return {text[word.start : word.end]: word.kind for word in words.split(text)}


@given(st.text(st.one_of(st.characters(), st.sampled_from("a1 .,:-'(\n\r\t\u0600\u0301\ud83d🧛🏾")), max_size=60))
@example("\u0600 a")  # one grapheme with the space behind it
@example("\u0600\u2003")
@example("--v 5 :1.2 ")
@example("a.\u2028b")
def test_tokens_stand_in_order_do_not_overlap_and_cover_all_that_is_visible(text):
    tokens = words.split(text)
    ends = [0, *(token.end for token in tokens)]
    assert all(end <= token.start < token.end for end, token in zip(ends, tokens, strict=False))
    covered = {place for token in tokens for place in range(token.start, token.end)}
    assert all(place in covered for place, character in enumerate(text) if not character.isspace())
    for token in tokens:
        inside = text[token.start : token.end]
        assert token.kind in (words.WORD, words.SEPARATOR, words.JOINT, words.MARKUP, words.SYNTAX)
        assert token.kind == words.SEPARATOR or inside == inside.strip()


@pytest.mark.parametrize("text", ["", " ", "\t \u00a0"])
def test_text_without_visible_characters_has_no_tokens(text):
    assert words.split(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "o'keeffe",
        "o’keeffe",
        "close-up",
        "d&d",
        "sci-fi",
        "f/1.8",
        "F/2",
        "f2.8",
        "16:9",
        "35mm",
        "1980s",
        "1.2",
        "80%",
        "M.C.",
        "🧛🏾",
        "é",
        "東京",
    ],
)
def test_what_belongs_together_is_one_word(text):
    assert words.split(f"{text} art")[0] == words.Word(0, len(text), words.WORD)
    assert cut(f"{text} art") == [text, "art"]


def test_initials_keep_their_full_stop_and_sentences_do_not():
    assert cut("by h. r. giger and m.c. escher") == ["by", "h.", "r.", "giger", "and", "m.c.", "escher"]
    assert cut("a hill. a dog.") == ["a", "hill", ".", "a", "dog", "."]
    assert cut("in the year 1999. then") == ["in", "the", "year", "1999", ".", "then"]


@pytest.mark.parametrize("separator", [",", "|", ".", ";", "!", "...", "、", "，", "؛", "—", "•", "\n", "\r\n"])
def test_separators_end_segments(separator):
    assert kinds(f"fog{separator} b") == {"fog": words.WORD, separator: words.SEPARATOR, "b": words.WORD}


def test_a_line_end_is_a_separator_and_not_white_space():
    assert cut("a \n b") == ["a", "\n", "b"]


@pytest.mark.parametrize(
    ("text", "joint"), [("sci - fi", "-"), ("tom ' s", "'"), ("rock & roll", "&"), ("and/or", "/"), ("'hello", "'")]
)
def test_hyphens_quotes_and_slashes_outside_words_are_joints(text, joint):
    assert cut(text, words.JOINT) == [joint]


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("(red:1.2)", ["(", ":1.2", ")"]),
        ("< red:0.8 >", ["<", ":0.8", ">"]),
        ("((red)) [[dog]]", ["((", "))", "[[", "]]"]),
        ("a castle::2 dog", ["::2"]),
        ("a castle --ar 16:9 --v 5", ["--ar 16:9", "--v 5"]),
        ("_bold_ #tag", ["_", "_", "#"]),
        ("a cat", []),
    ],
)
def test_brackets_weights_and_flags_are_markup(text, marks):
    assert cut(text, words.MARKUP) == marks


def test_a_weight_leaves_its_word_alone():
    assert cut("(red:1.2), dog", words.WORD) == ["red", "dog"]


@pytest.mark.parametrize("piece", ["a.", ":1 ", "--a ", "'", "(", "1.", "f/", "\u0600", "e\u0301", ":1", "a-"])
def test_100_kb_take_time_in_proportion(piece):
    begin = time.process_time()
    text = piece * (100_000 // len(piece)) + ":" + "1" * 1000 + "x"
    assert words.split(text)[-1].end == len(text)
    assert time.process_time() - begin < 3  # usual is under half a second
