"""Syntax of other programs: kept to the letter by all that reads and writes, whatever it stands next to."""

import random
import re
import time

import pytest

from workbench import words
from workbench.language import ngram
from workbench.language.dsl import DeepDSL
from workbench.language.dsl.masks import without_syntax
from workbench.language.units import Units, UnitsConfig
from workbench.language.writer.tokens import Tokens
from workbench.template import Slot, Template, parse
from workbench.values import TemplateError
from workbench.world import grammar

ATOMS = r"""<lora:ink_style:0.8>|<lyco:x:1:0.5>|<hypernet:anime:1>|<LoRA:A b:0.7>|<random:red,blue>|embedding:EasyNegative
embedding:sd/bad_v2.pt|__color__|__folder/list__|__list*__|__2$$animal__|{red;blue}|{2$$a;b;c}|{a;{b;c} d}|${x={a;b}}
[fox;cat]|[a:b:.5]|[red fox, blue:oil:12]|[a:.5]|[a::0.5]|BREAK|AND|ADDCOMM|--style raw|--sref https://example.org/a.png 12
--no text|—ar 16:9|https://example.org/a(b).png?x=1&y=2|IMG_1234.jpg|>_<|^_^|:3|:)|<3""".replace("\n", "|").split("|")
ATOMS = [atom.replace(";", "|") for atom in ATOMS]
WEIGHED = ["(%s:1.2)", "((%s))", "[%s]", "{{%s}}", "%s++", "(%s)--", "(%s)1.3", "1.5::%s::", "%s::2", "%s::-.5", r"\(%s\)", "%s"]
TAGS = ["long_hair", "looking_at_viewer", "hatsune_miku_(vocaloid)", "1girl", "fate/stay_night", "re:zero_kara", "dr._stone"]
PLAIN = ["a castle on a hill", "a red fox", "oil on canvas", "by Claude Monet", "8k", "soft light", "in a forest"]


def cut(text, kind):
    return [text[token.start : token.end] for token in words.split(text) if token.kind == kind]


def mixes(n, seed=0):
    """Prompts of plain phrases, weights, tags and syntax, and the syntax of each, in order."""
    rng = random.Random(seed)
    for _ in range(n):
        pieces, there = [rng.choice(PLAIN)], []
        for _ in range(rng.randint(1, 6)):
            kind = rng.random()
            if kind < 0.4:
                atom = rng.choice(ATOMS)
                if atom.startswith("--no"):
                    continue  # it takes all that follows: only at the end
                there.append(atom)
                pieces.append(atom)
            else:
                pieces.append(rng.choice(WEIGHED) % rng.choice(PLAIN if kind < 0.8 else TAGS))
        if rng.random() < 0.2:
            pieces.append("--no text, letters")
            there.append(pieces[-1])
        yield rng.choice([", ", " , "]).join(pieces), there


@pytest.fixture(scope="module")
def dsl():
    return DeepDSL.load("world")


@pytest.mark.parametrize("atom", [*ATOMS, "--no text, letters", "--p abc", "--motion=high"])
@pytest.mark.parametrize("frame", ["a red fox, {}", "{}", "a red fox {}\nan old ship", "a (red fox) {}"])
def test_syntax_is_one_token(atom, frame):
    assert cut(frame.replace("{}", atom), words.SYNTAX) == [atom]


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("(red:1.2), ((fog))", ["(", ":1.2", ")", "((", "))"]),
        ("( red : 1.2 ), (red:.5)", ["(", ": 1.2", ")", "(", ":.5", ")"]),
        ("red++, (red fog)--, (red)1.3, (red)-", ["++", "(", ")", "--", "(", ")", "1.3", "(", ")", "-"]),
        ("red::2 fog::-.5 3d::1", ["::2", "::-.5", "::1"]),
        ("{{red}}, 1.5::red fog::, -2::sea::", ["{{", "}}", "1.5::", "::", "-2::", "::"]),
        ("([a|b]:1.2), (__c__)", ["(", ":1.2", ")", "(", ")"]),
    ],
)
def test_weights_of_all_programs_are_marks_around_words(text, marks):
    assert cut(text, words.MARKUP) == marks
    assert set(cut(text, words.WORD)) <= {"red", "fog", "sea", "3d"}


@pytest.mark.parametrize(
    "text",
    [
        "A SAMURAI AND HIS DOG TAKE A BREAK",
        "a door at 10:30, ratio 16:9. Then 1999.",
        "a < b, 3 > 2, { teal frog } with { red eyes }",
        "photo: 35mm, scale:large, and/or, sci - fi, c++ code, house--red",
        "[ a log cabin ] in the [ forest ]",
        "fog | [ sea | sky ] | 8k",  # there | separates
        "an android break dance, a.b.c, x_, _y_, ____",
    ],
)
def test_ordinary_prompts_hold_no_syntax(text):
    assert cut(text, words.SYNTAX) == []


@pytest.mark.parametrize(
    "tag", [*TAGS, r"hatsune_miku_\(vocaloid\)", "o_o", "water\u00adcolor", "water\u200bcolor", "\u0645\u06cc\u200c\u0631"]
)
def test_a_tag_is_one_word_and_invisible_signs_cut_none(tag):
    assert cut(f"a {tag}, (fog)", words.WORD) == ["a", tag, "fog"]


def test_an_invisible_sign_makes_no_other_word():
    units = Units(UnitsConfig()).fit(["watercolor sea"] * 3, progress=False)
    assert [span.text for span in units.split("Water\u00adcolor, fog")] == ["watercolor", "fog"]
    assert ngram.tokens("Water\u00adcolor <lora:x:1>, fog") == ["watercolor", ",", "fog"]


def test_the_built_in_world_has_no_syntax():
    for split in grammar.SPLITS:
        for prompt in grammar.generate(1500, 11, split):
            assert cut(prompt.text, words.SYNTAX) == []
            assert not re.search(r"[^\s\w](?<![\[(|,.'’&+/-])\w", "".join(cut(prompt.text, words.WORD)))


def test_10_000_mixes_are_cut_printed_and_parsed_without_loss():
    begin = time.process_time()
    for text, there in mixes(10_000):
        tokens = words.split(text)
        ends = [0, *(token.end for token in tokens)]
        assert not "".join(text[a : b.start] for a, b in zip(ends, tokens, strict=False)).strip()
        found = cut(text, words.SYNTAX)
        assert [one for one in found if one[0] != "\\"] == there, text
        template = Template.build([text, Slot("lora", "x"), text])
        assert parse(str(template)) == template
    assert time.process_time() - begin < 60


def test_reading_keeps_every_mix_to_the_letter(dsl):
    texts = [text for text, _ in mixes(150, 1)]
    for text, template in zip(texts, dsl.read(texts), strict=True):
        assert template.prompt == text and parse(str(template)) == template
        assert dsl.read(str(template)) == template or not template.slots
        for slot in template.slots:
            assert not cut(text[slot.start : slot.end], words.SYNTAX)


def test_sample_vary_and_infill_keep_syntax_once_and_to_the_letter(dsl):
    done = 0
    for text, there in mixes(24, 2):
        text += ", a red fox in a forest, 8k" if "--no" not in text else ""
        written = dsl.sample(1, template=text, seed=3) + dsl.vary(text, 1, seed=3)
        if "--no" not in text:
            written += dsl.infill(text + ", <?>", 1, seed=3)
        for sample in written:
            found = cut(sample.text, words.SYNTAX)
            assert [one for one in found if one[0] != "\\"] == there, (text, sample.text)
            for opens, closes in ("()", "[]", "{}"):
                assert sample.text.count(opens) - text.count(opens) == sample.text.count(closes) - text.count(closes)
            done += 1
    assert done > 50


@pytest.mark.parametrize("template", ["<person:portrait of a samurai>, by <artist:Rembrandt>", "<person:a fox>, <lora:x:1>, <3"])
def test_a_printed_template_is_understood_as_text(dsl, template):
    names = ["person", "artist"][: len(parse(template.replace("<3", "")).slots)]
    read = dsl.read(template)
    assert [slot.name for slot in read.slots] == names and all(slot.code is not None for slot in read.slots)
    assert dsl.sample(1, template=template, seed=4) == dsl.sample(1, template=read, seed=4)
    assert dsl.vary(template, 1, seed=4) == dsl.vary(read, 1, seed=4)
    assert dsl.log_score([template]) == dsl.log_score([read])


def test_slips_in_a_printed_template_are_named_and_raw_prompts_are_text(dsl):
    with pytest.raises(TemplateError, match=r"no slot 'artits'. Did you mean 'artist'\?"):
        dsl.read("<person:a fox>, by <artits:Goya>")
    for text in ("by <artits:Goya>", "<b>fox</b> <3", "<lora:?>, <lora:artist:1>", "i <3 <this", "<random:a|<lora:x:1>>"):
        assert dsl.read(text).prompt == text
    assert dsl.infill("i <3 a castle -> <?>, <lora:x:0.8>", 1)[0].text.startswith("i <3 a castle -> ")


def test_slots_named_like_syntax_print_and_parse():
    for name in ("lora", "LoRA", "embedding", r"\lora", "lora:x"):
        template = Template.build([Slot(name, "x"), ", <lora:x:1>", Slot(name)])
        assert parse(str(template)) == template
    assert str(Template.build([Slot("lora", "x")])) == r"<\lora:x>"
    assert parse("a, <lora:x:1>, >_<").parts == ("a, <lora:x:1>, >_<",)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a, <lora:x:1>, b", "a, b"),
        ("<lora:x:1>, a", "a"),
        ("a, <lora:x:1> <lora:y:1>", "a"),
        ("a, <lora:x:1>, __c__, b", "a, b"),
        ("a <lora:x:1> b", "a b"),
        ("a <lora:x:1>, b", "a, b"),
        ("a BREAK b", "a, b"),
        ("a, BREAK, b AND c", "a, b, c"),
        (r"a \(b\), c", "a b, c"),
        ("a (b:1.2), c --ar 16:9", "a (b:1.2), c --ar 16:9"),
    ],
)
def test_what_learns_to_write_sees_prompts_without_syntax(text, left):
    assert without_syntax(Template.build([text])).prompt == left


def test_the_writer_neither_reads_nor_knows_syntax():
    tokens = Tokens.learn(["a red fox, <lora:ink:0.8>, long_hair BREAK 8k"] * 9, 300)
    assert not any(sign in token for token in tokens.known for sign in "<>{}[]") and "▁break" not in tokens.known
    assert "▁long_hair" in tokens.known
    text = "a red fox, <lora:ink:0.8>, 8k"
    assert [text[p.start : p.end] for p in tokens.split(text)] == ["a", "red", "fox", ",", ",", "8k"]


def test_syntax_is_shown_as_a_chip_that_says_so():
    shown = Template.build(["a ", Slot("x", "fox"), ", <lora:x:1>, __c__"])._repr_html_()
    assert shown.count(" as is<") == 2 and "&lt;lora:x:1&gt;" in shown and "kept to the letter" in shown
    assert [str(p) for p in Template.build(["a {b|c} d"]).pieces()] == ["a ", "{b|c}", " d"]


@pytest.mark.parametrize(
    "piece",
    ["--a ", "{", "{{{{|", "____", "[[[[", "[a|", "<<<<", "<a:", "🇩", "\u0301", "a.b.c.", "f/1.8 ", "__a", "a_(", ")1", "--no "],
)
def test_100_kb_of_the_worst_take_seconds(piece):
    begin = time.process_time()
    text = piece * (100_000 // len(piece)) + "]}>)|"
    assert words.split(text)[-1].end == len(text)
    template = Template.build([text, Slot("x", "y")])
    assert parse(str(template)) == template and without_syntax(template)
    assert time.process_time() - begin < 8  # usual is one to two seconds, a quadratic step would need minutes


def test_a_text_that_would_take_minutes_to_read_is_refused(dsl):
    for verb in (dsl.read, dsl.tag, lambda text: dsl.sample(1, template=text)):
        with pytest.raises(ValueError, match=r"may have 10,000 characters, got 100,000: '--a --a"):
            verb("--a " * 25_000)
