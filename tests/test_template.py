import random
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.template import MASK, Slot, Template, escape, parse
from workbench.values import TemplateError, WorkbenchError

# The same examples in every run, and no time limit for each: machines that run tests are busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SAMURAI = "<subject:portrait of a samurai>, <medium:oil on canvas>, by <artist:Rembrandt>, <quality:8k>"
BACKSLASH = "\\"


def slot(name, text):
    return Slot(name, text)


# Any code point, half surrogates too, and the characters of the language more often than by chance.
texts = st.text(st.one_of(st.characters(), st.sampled_from("<>\\:? ,\n\0\ud83d🎨שa")), max_size=30)
slots = st.one_of(
    st.just(Slot(None)),
    st.builds(Slot, texts.filter(bool), st.one_of(st.none(), st.just("?"), texts)),
)
templates = st.lists(st.one_of(texts, slots), max_size=8).map(Template.build)


# --- print and parse ---


def test_the_printed_form_is_the_one_of_the_design():
    template = Template.build(
        [
            slot("subject", "portrait of a samurai"),
            ", ",
            slot("medium", "oil on canvas"),
            ", by ",
            slot("artist", "Rembrandt"),
            ", ",
            slot("quality", "8k"),
        ]
    )
    assert str(template) == SAMURAI
    assert template.prompt == "portrait of a samurai, oil on canvas, by Rembrandt, 8k"
    assert template.skeleton == "<subject>, <medium>, by <artist>, <quality>"
    assert [(s.name, s.start, s.end) for s in template.slots] == [
        ("subject", 0, 21),
        ("medium", 23, 36),
        ("artist", 41, 50),
        ("quality", 52, 54),
    ]


@given(templates)
@example(Template.build([]))
@example(
    Template.build(["a", Slot("x", "?"), Slot("x", " ? "), Slot("x", r"\?"), Slot("x", ""), Slot("?", None), Slot(":?", ":")])
)
@example(Template.build([BACKSLASH, Slot(BACKSLASH, BACKSLASH), BACKSLASH]))
@example(Template.build(["<<>>((", Slot("<>", "]}>"), "שלום\0\u202e👩‍🎨"]))
def test_parsing_what_is_printed_gives_the_same_template(template):
    assert parse(str(template)) == template
    assert Template.parse(str(template)) == template
    assert str(parse(str(template))) == str(template)


@given(texts)
def test_any_prompt_survives_as_a_template_without_slots(text):
    assert parse(str(Template.build([text]))).prompt == text
    assert parse(escape(text)) == Template.build([text])


@given(st.text())
def test_parsing_anything_gives_a_template_that_round_trips_or_an_error_of_ours(text):
    try:
        template = parse(text)
    except TemplateError:
        return
    assert parse(str(template)) == template


@given(templates)
def test_offsets_cut_each_filler_out_of_the_prompt(template):
    filled = template.fill(["x"] * sum(s.text is None for s in template.slots))
    assert all(filled.prompt[s.start : s.end] == s.text for s in filled.slots)
    starts = [s.start for s in filled.slots]
    assert starts == sorted(starts)


@given(st.lists(st.one_of(texts, slots), max_size=8))
def test_templates_of_the_same_meaning_are_equal_however_they_are_put_together(parts):
    cut = [half for part in parts for half in ([part[:1], "", part[1:]] if isinstance(part, str) else [part])]
    assert Template.build(cut) == Template.build(parts)
    assert hash(Template.build(cut)) == hash(Template.build(parts))
    assert all(part != "" for part in Template.build(cut).parts)


def test_masks_count_as_no_characters():
    template = parse("ab<?>cd<x:?>e<y:fg>")
    assert [(s.start, s.end) for s in template.slots] == [(2, 2), (4, 4), (5, 7)]


def test_a_template_typed_by_hand_is_read():
    template = parse("a castle on a hill, <?>, by <artist:?>")
    assert template.parts[0] == "a castle on a hill, "
    assert [(s.name, s.text) for s in template.slots] == [(None, None), ("artist", None)]
    assert parse("<artist: ? >, < ? >") == parse("<artist:?>, <?>")
    assert MASK == str(parse(MASK))


def test_a_backslash_before_an_ordinary_character_is_itself():
    assert parse(r"style \(art\), C:\new").prompt == r"style \(art\), C:\new"
    assert parse("<a:x\\\ny>").slots[0].text == "x\\\ny"


def test_escaped_characters_are_text_and_the_first_bare_colon_ends_the_name():
    assert parse(r"\<3 <a\:b:c:d\>> \\ \>").parts == ("<3 ", Slot("a:b", "c:d>", 3, 7), r" \ >")
    assert escape(r"a<b>\c") == r"a\<b\>\\c"


def test_an_empty_filler_is_not_a_mask():
    assert parse("<artist:>").slots[0].text == "" and not parse("<artist:>").masked
    assert parse(r"<artist:\?>").prompt == "?"
    assert parse("<artist:?>").masked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a < b", r"Character 2, '< b': this < opens a slot that is not closed. To write the character itself, write \\<"),
        ("i love this > that", r"Character 12, '> that': this > closes no slot. .* write \\> \(template.escape does it\)"),
        ("a <b <c:d>", r"Character 2, '<b <c:d>': this < opens"),
        ("by <artist>", r"Character 3, '<artist>' is not a slot. Write <name:text>, <name:\?> or <\?>"),
        ("by <:Bosch>", "Character 3, '<:Bosch>' is not a slot"),
        ("by <>", "Character 3, '<>' is not a slot"),
        ("<" + "x" * 100, r"Character 0, '<x{38}…': this <"),
    ],
)
def test_a_stray_bracket_is_an_error_with_its_place_an_excerpt_and_the_way_out(text, message):
    with pytest.raises(TemplateError, match=message):
        parse(text)


# --- names ---


NAMES = {"artist": 3, "lighting": 5, "17": 17}


def test_names_give_slots_their_code_which_equality_does_not_see():
    template = parse("<artist:Goya>, <17:?>, <?>", NAMES)
    assert [s.code for s in template.slots] == [3, 17, None]
    assert template == parse("<artist:Goya>, <17:?>, <?>")
    assert [s.code for s in template.fill({"17": "x"}).open().slots] == [3, 17, None]


def test_an_unknown_name_is_an_error_that_names_the_near_ones_and_the_mask():
    with pytest.raises(TemplateError) as caught:
        parse("a dog, by <artits:Goya>", NAMES)
    text = str(caught.value)
    assert "Character 10, '<artits:Goya>': there is no code named 'artits'. Did you mean 'artist'?" in text
    assert "There are: '17', 'artist', 'lighting'." in text
    assert "To leave a slot open, write <?>" in text


def test_without_names_any_name_is_read():
    assert parse("<artits:Goya>").slots[0].name == "artits"


def test_a_very_long_unknown_name_is_cut_in_the_error_and_costs_no_time():
    begin = time.perf_counter()
    with pytest.raises(TemplateError) as caught:
        parse(f"<{'artist' * 20_000}:x>", {f"name {number}": number for number in range(1000)})
    assert time.perf_counter() - begin < 1 and len(str(caught.value)) < 600


# --- fill, open, prompt ---


def test_the_prompt_of_an_open_template_is_an_error_that_says_which_slots():
    with pytest.raises(TemplateError, match=r"still open: <artist:\?> \(slot 2\), <\?> \(slot 3\). Fill them"):
        _ = parse("<subject:a dog> by <artist:?>, <?>").prompt


def test_fillers_in_order_fill_every_open_slot():
    template = parse("<subject:a dog>, <light:?>, by <artist:?>").fill(["dusk", "Hokusai"])
    assert str(template) == "<subject:a dog>, <light:dusk>, by <artist:Hokusai>"
    assert template.prompt == "a dog, dusk, by Hokusai"


def test_fillers_by_name_fill_all_slots_of_that_name_and_leave_the_others_open():
    template = parse("<a:?> <a:?> <b:?>")
    assert str(template.fill({"a": "x"})) == "<a:x> <a:x> <b:?>"
    assert str(template.fill({"a": ["x", "y"], "b": "?"})) == r"<a:x> <a:y> <b:\?>"
    assert template.fill({}) == template


def test_a_filled_mask_of_unknown_kind_becomes_text():
    assert parse("a <?>, b").fill(["c"]).parts == ("a c, b",)


@pytest.mark.parametrize(
    ("fillers", "message"),
    [
        ({"artis": "x"}, "No open slot is named 'artis'. Did you mean 'artist'. There are: 'artist', 'light'"),
        ({"subject": "x"}, r"No open slot is named 'subject'. It has a text: open\('subject'\) masks it"),
        ({"artist": ["x"]}, "2 open slots are named 'artist', got 1 fillers"),
        (["x"], "3 slots are open, got 1 fillers"),
    ],
)
def test_fillers_that_do_not_fit_are_errors(fillers, message):
    template = parse("<subject:a dog>, <light:?>, by <artist:?> and <artist:?>")
    with pytest.raises(TemplateError, match=message.replace("'artist'. There", r"'artist'\? There")):
        template.fill(fillers)


def test_fillers_of_a_wrong_type_are_errors():
    template = parse("<a:?>")
    with pytest.raises(TypeError, match="fill needs a dict of names or a list of str, got str"):
        template.fill("x")
    with pytest.raises(TypeError, match=r"A filler is a str, got int for <a:\?>"):
        template.fill([3])
    with pytest.raises(TypeError, match="A filler is a str, got NoneType"):
        template.fill({"a": None})


def test_open_masks_all_slots_or_those_named():
    template = parse(SAMURAI)
    assert str(template.open("artist", "quality")) == (
        "<subject:portrait of a samurai>, <medium:oil on canvas>, by <artist:?>, <quality:?>"
    )
    assert all(s.text is None for s in template.open().slots) and template.masked is False
    with pytest.raises(TemplateError, match="no slot named 'mediun'. Did you mean 'medium'"):
        template.open("mediun")
    with pytest.raises(TemplateError, match="There are no names"):
        parse("plain").open("artist")


@given(templates)
def test_opening_and_filling_with_the_same_texts_changes_nothing(template):
    filled = template.fill(["x"] * sum(s.text is None for s in template.slots))
    assert filled.open().fill([s.text for s in filled.slots]) == filled


# --- match ---


def test_match_lays_the_template_over_another_prompt():
    template = parse(SAMURAI)
    assert template.match("a red fox, ink wash, by Sesshu, 4k, sharp") == ("a red fox", "ink wash", "Sesshu", "4k, sharp")
    assert template.match("a red fox, ink wash, from Sesshu, 4k") is None
    assert template.match("a red fox, ink wash, by , 4k") is None


@pytest.mark.parametrize(
    ("template", "text", "fillers"),
    [
        ("", "", ()),
        ("", "a", None),
        ("abc", "abc", ()),
        ("abc", "abcd", None),
        ("<a:x>", "", None),
        ("<a:x>", "long text", ("long text",)),
        ("<a:x>b", "bbb", ("bb",)),
        ("b<a:x>", "bbb", ("bb",)),
        ("a<x:?>a", "aa", None),
        ("a<x:?>a", "aaa", ("a",)),
        ("<a:x>, <b:y>", "1, 2, 3", ("1", "2, 3")),
        ("<a:x><b:y><?>", "word", ("w", "o", "rd")),
        ("<a:x><b:y>", "w", None),
        ("<a:x><b:y>-<c:z>", "--1-2-3", ("-", "-1", "2-3")),
        ("<a:x>-<b:y>-", "1-2-3-", ("1", "2-3")),
        ("(<a:x>", "(a", ("a",)),
    ],
)
def test_match_takes_as_little_as_it_can_from_the_left(template, text, fillers):
    assert parse(template).match(text) == fillers


@given(templates, st.data())
def test_a_prompt_made_from_a_template_matches_it(template, data):
    fillers = data.draw(st.lists(texts.filter(bool), min_size=len(template.slots), max_size=len(template.slots)))
    text = template.open().fill(fillers).prompt
    found = template.match(text)
    assert found is not None and all(found)
    assert template.open().fill(found).prompt == text


@given(st.lists(st.sampled_from(["a", "b", "ab", Slot(None)]), max_size=5), st.text("ab", max_size=8))
def test_match_agrees_with_a_regular_expression_that_backtracks(parts, text):
    template = Template.build(parts)
    pattern = "".join("(.+?)" if isinstance(part, Slot) else re.escape(part) for part in template.parts)
    known = re.fullmatch(pattern, text, re.DOTALL)
    assert template.match(text) == (known and known.groups())


def test_match_wants_a_str():
    with pytest.raises(TypeError, match="match needs a str, got list"):
        parse("<a:?>").match(["a"])


def test_templates_have_the_same_shape_whatever_their_fillers():
    assert parse("<a:x>, <b:?>").same_shape(parse("<a:?>, <b:long text>"))
    assert not parse("<a:x>, <b:?>").same_shape(parse("<a:x>; <b:?>"))
    assert not parse("<a:x>, <b:?>").same_shape(parse("<a:x>, <c:?>"))
    assert not parse("<a:x>").same_shape(parse(escape("<a>")))  # they only look alike


# --- segments ---


def test_segments_end_behind_their_separators():
    template = parse("<a:x>, big <b:y, z>.\n| by <c:w>")
    a, b, c = template.slots
    assert template.segments() == [(a, ", "), ("big ", b, ".\n| "), ("by ", c)]
    assert parse("").segments() == [] and parse(" ").segments() == [(" ",)]
    assert parse(", a,").segments() == [(", ",), ("a,",)]
    assert parse("a | b,, c").segments() == [("a | ",), ("b,, ",), ("c",)]


@given(templates)
def test_segments_lose_nothing(template):
    segments = template.segments()
    assert all(segments) and all(part != "" for segment in segments for part in segment)
    assert Template.build(part for segment in segments for part in segment) == template


# --- pictures of it ---


def test_repr_shows_the_code_that_makes_the_template():
    template = parse("by <artist:Goya>")
    assert repr(template) == "Template.parse('by <artist:Goya>')"


def luminance(colour):
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_html_shows_names_as_text_and_title_and_is_readable_on_every_chip():
    shown = Template.build([*(Slot(f"kind {number}", "x") for number in range(60)), Slot(None), Slot("open")])._repr_html_()
    assert shown.count("<span dir=") == 62 and 'title="kind 7"' in shown and "> kind 7<" in shown
    colours = set(re.findall(r"background:(#\w{6});color:(#\w{6})", shown))
    assert len(colours) == 9  # eight kinds of chip and the open one
    for ground, ink in colours:
        assert (luminance(ground) + 0.05) / (luminance(ink) + 0.05) > 7  # WCAG AAA


def chip_colours(shown):
    return re.findall('title="([^"]*)" style="background:(#......)', shown)


def test_html_gives_the_first_eight_of_an_order_of_names_eight_colours_whatever_their_hashes():
    order = [f"kind {number}" for number in range(20)]
    colours = dict(chip_colours(Template.build(Slot(name, "x") for name in reversed(order)).html(order)))
    assert len({colours[name] for name in order[:8]}) == 8
    assert [colours[name] for name in order[8:16]] == [colours[name] for name in order[:8]]


def test_html_without_an_order_goes_by_the_number_of_the_code_and_then_by_the_name():
    numbered = Template.build(Slot(f"kind {code}", "x", code=code) for code in range(8))
    assert len({colour for _, colour in chip_colours(numbered.html())}) == 8
    parsed = chip_colours(Template.parse(str(numbered)).html())
    assert parsed == chip_colours(Template.parse(str(numbered)).html(["another"])) != chip_colours(numbered.html())


def test_html_is_escaped_and_the_same_name_has_the_same_colour():
    shown = Template.build(["<script>&\0", Slot('"><b>', "<i>'")])._repr_html_()
    assert "<script>" not in shown and "<b>" not in shown and "<i>" not in shown and "\0" not in shown
    assert "&lt;script&gt;" in shown and "&amp;␀" in shown and 'title="&quot;&gt;&lt;b&gt;"' in shown
    first, second = (re.search("background:(#......)", Template.build([Slot("a", t)])._repr_html_())[1] for t in "xy")
    assert first == second


# --- what is no template ---


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([3], TypeError, "A part of a template is a str or a Slot, got int"),
        ([Slot(None, "x")], TemplateError, "A slot without a name is always open, got the text 'x'"),
        ([Slot("", "x")], TemplateError, "at least one character"),
        ([Slot(17, "x")], TypeError, "are str or None, got 17 and 'x'"),
    ],
)
def test_parts_that_make_no_template_are_errors(parts, error, message):
    with pytest.raises(error, match=message):
        Template.build(parts)


def test_errors_of_the_language_are_of_our_family_and_value_errors():
    assert issubclass(TemplateError, WorkbenchError) and issubclass(TemplateError, ValueError)
    with pytest.raises(TypeError, match="parse needs a str, got bytes"):
        parse(b"<a:?>")


# --- size ---

BIG = 100_000
_RANDOM = random.Random(0)
LARGE = {
    "one word": "a" * BIG,
    "only <": "<" * BIG,
    "only >": ">" * BIG,
    "only backslashes": BACKSLASH * BIG,
    "masks": "<?>" * (BIG // 3),
    "separators": "a, " * (BIG // 3),
    "never closed": "<" + "a:" * (BIG // 2),
    "colons": ":" * BIG,
    "quotes": "'" * BIG,
    "initials": "a." * (BIG // 2),
    "weights": "(x:1.2 " * (BIG // 7),
    "flags": "--a " * (BIG // 4),
    "spaces": " " * BIG,
    "digits": ":" + "1" * BIG,
    "noise": "".join(_RANDOM.choices("<>\\:?, \n\0🎨שa.", k=BIG)),
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_100_kb_take_time_in_proportion(text):
    begin = time.process_time()
    template = Template.build([text[: BIG // 2], Slot(text, text), text[BIG // 2 :]])
    assert parse(str(template)) == template
    assert template.match(template.prompt) is not None
    assert template.segments() and template._repr_html_() and template.skeleton
    try:
        parse(text)
    except TemplateError as err:
        assert len(str(err)) < 500
    assert time.process_time() - begin < 5  # a quadratic step would need minutes; usual is under a second


def test_a_hard_text_for_match_takes_time_in_proportion():
    begin = time.process_time()
    template = parse("<?>".join(["a" * (BIG // 2) + "b", "ab", "a" * 1000]))
    assert template.match("a" * BIG) is None
    assert parse("<?>a<?>a<?>a<?>b").match("a" * BIG) is None
    assert time.process_time() - begin < 2
