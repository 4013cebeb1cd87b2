"""The studio without a browser: its session by a language made of lists, by the built-in one, and its controls."""

import ast
import csv
import html
import json
import os
import re
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import widgets
from workbench.chips import CHIPS, INK, OPEN_CHIP, PATTERNS
from workbench.language.dsl import Code, DeepDSL, Fillers
from workbench.show import palette
from workbench.show.widgets import Favourites, Session, look, typed
from workbench.show.widgets.favourites import file_name
from workbench.template import Slot, Template, parse
from workbench.values import ArtifactError, Sample, TemplateError

WORDS = {
    "subject": ("cat", "dog", "old wizard", "red cloak", "castle", "lighthouse", "sailor", "owl", "ship"),
    "medium": ("oil painting", "etching", "pixel art", "photo", "tapestry", "fresco"),
    "artist": ("Rembrandt", "Hokusai", "Klimt", "Goya", "Turner"),
}
KNOWN = re.compile("|".join(rf"\b{text}\b" for texts in WORDS.values() for text in texts), re.IGNORECASE)
PROMPT = "a cat and a dog, oil painting, by Rembrandt"


class Lists:
    """A language of three lists: what `DeepDSL` does, by rule and without a model."""

    def __init__(self, writes=True):
        self.codes = tuple(
            Code(i, name, 10 - i, 0.3, tuple((text, 1) for text in texts), False) for i, (name, texts) in enumerate(WORDS.items())
        )
        self.writer_ = SimpleNamespace() if writes else None
        self.calls = []
        texts = [(text.lower(), code.id) for code in self.codes for text, _ in code.fillers]
        vectors = np.random.default_rng(0).normal(size=(len(texts), 8)).astype("float32")
        self.fillers = Fillers(tuple(t for t, _ in texts), np.array([c for _, c in texts]), np.ones(len(texts), int), vectors)
        self.templates = (SimpleNamespace(examples=(str(self.read(PROMPT)), str(self.read("a cat")))),)

    def read(self, text):
        if isinstance(text, Template):
            parts = [self.read(part).parts if isinstance(part, str) else [part] for part in text.parts]
            return Template.build(sum(map(list, parts), []))
        parts, at = [], 0
        for found in KNOWN.finditer(text):
            name = next(n for n, texts in WORDS.items() if found[0].lower() in [t.lower() for t in texts])
            parts += [text[at : found.start()], Slot(name, found[0], code=list(WORDS).index(name))]
            at = found.end()
        return Template.build([*parts, text[at:]])

    def _written(self, template, open_, rng):
        parts, number = [], 0
        for part in template.parts:
            if isinstance(part, Slot):
                if number in open_ or part.text is None:
                    name = part.name or str(rng.choice(list(WORDS)))
                    text = str(rng.choice(WORDS[name]))
                    part = Slot(name, text, code=part.code) if part.name else text
                number += 1
            parts.append(part)
        made = Template.build(parts)
        return Sample(made.prompt, template=made, log_prob=-1.0)

    def sample(self, n, template=None, *, lock=(), decoding=None, seed=0):
        self.calls.append(("sample", n, tuple(lock), decoding.temperature, seed))
        rng = np.random.default_rng(seed)
        template = self.read("a cat, etching") if template is None else template
        open_ = set(range(len(template.slots))) - set(lock)
        return [self._written(template, open_, rng) for _ in range(n)]

    def vary(self, template, n, proximity, *, lock=(), decoding=None, seed=0):
        assert 0 <= proximity <= 1
        self.calls.append(("vary", n, tuple(lock), decoding.temperature, seed))
        free = [i for i in range(len(template.slots)) if i not in lock]
        rng = np.random.default_rng(seed)
        return [self._written(template, {int(rng.choice(free))}, rng) for _ in range(n)]

    def infill(self, template, n, *, decoding=None, seed=0):
        self.calls.append(("infill", n, (), decoding.temperature, seed))
        if not template.masked:
            raise TemplateError("no mask")
        rng = np.random.default_rng(seed)
        return [self._written(template, set(), rng) for _ in range(n)]


@pytest.fixture
def session():
    return Session(Lists(), PROMPT)


@pytest.fixture(scope="module")
def world():
    return DeepDSL.load("world")


# ---- the session ---------------------------------------------------------------------------------------------------------


def test_a_prompt_becomes_chips_and_stays_to_the_letter(session):
    assert session.text == PROMPT
    assert [(slot.name, slot.text) for slot in session.template.slots] == [
        ("subject", "cat"),
        ("subject", "dog"),
        ("medium", "oil painting"),
        ("artist", "Rembrandt"),
    ]
    assert session.undos == 0 and not session.failed


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["<", ">", "?", ":", "artist", "<?>", "<artist:?>", "\\", " cat", "👨‍👩‍👧", "\n"])).map("".join)
)
def test_any_text_is_shown_as_it_was_typed(text):
    text = re.sub(r"<artist:(?!\?>)", "<artists:", text)  # a slot of a printed template shows its filler alone
    session = Session(Lists())
    assert session.type(text)
    assert session.text == text


def test_only_masks_of_known_names_are_masks():
    session = Session(Lists(), r"I <3 <lora:cat:0.8> a < b \< <?> <artist:?> <foo:?>")
    assert [slot.name for slot in session.template.slots if slot.text is None] == [None, "artist"]
    assert "<foo:?> is taken as text" in session.message


def test_a_printed_template_is_understood_and_syntax_has_its_own_chip():
    session = Session(Lists(), "<subject:cat>, <lora:x:1>, by <artist:?>, __style__")
    assert [(slot.name, slot.text) for slot in session.template.slots] == [("subject", "cat"), ("artist", None)]
    shown = look.studio_html(session)
    assert shown.count(" as is</span>") == 2 and "&lt;lora:x:1&gt;" in shown


def test_locked_text_stays_to_the_letter_in_all_results(session):
    assert session.lock(1) and session.lock(3)
    for verb in (session.reroll, session.vary):
        assert verb()
        assert session.results
        for result in session.results:
            assert result.template.slots[1].text == "dog" and result.template.slots[3].text == "Rembrandt"
            assert result.text.endswith(", by Rembrandt") and " and a dog, " in result.text
    assert {call[2] for call in session.dsl.calls} == {(1, 3)}


def test_of_two_chips_of_one_kind_only_the_locked_one_stays(session):
    session.lock(0)
    session.reroll()
    assert {result.template.slots[0].text for result in session.results} == {"cat"}
    assert len({result.template.slots[1].text for result in session.results}) > 1
    session.unlock(0)
    session.reroll()
    assert len({result.template.slots[0].text for result in session.results}) > 1


def test_a_rerolled_chip_changes_at_once_and_nothing_else_does(session):
    assert session.reroll(2)
    medium = session.template.slots[2].text
    assert medium != "oil painting" and session.text == PROMPT.replace("oil painting", medium)
    assert session.results[0].text == session.text
    assert all(result.text.startswith("a cat and a dog, ") for result in session.results)


def test_equal_seeds_give_equal_sessions():
    def run(seed):
        session = Session(Lists(), PROMPT, seed=seed)
        session.lock(0), session.reroll(), session.use(1), session.vary(), session.mask(1), session.fill(), session.keep(0)
        return session._now

    assert run(4) == run(4) != run(5)


def test_each_click_takes_the_next_seed_and_results_know_theirs(session):
    session.reroll(), session.reroll()
    assert session.seed == 2
    assert {(result.seed, result.verb) for result in session.results} == {(1, "re-roll")}
    assert [result.number for result in session.results] == list(range(1, len(session.results) + 1))


def test_results_differ_from_each_other_and_from_the_start(session):
    session.reroll(2)
    texts = [result.text for result in session.results]
    assert len(set(texts)) == len(texts) and PROMPT not in texts
    assert "differ: a higher temperature" in session.message  # there are six media


def test_a_mask_is_filled_and_what_is_written_becomes_chips(session):
    session.lock(3)
    assert session.mask(2) and session.text == "a cat and a dog, <?>, by Rembrandt"
    assert session.fill() and session.use(0)
    assert session.text == session.results[0].text
    assert session.text.startswith("a cat and a dog, ") and session.text.endswith(", by Rembrandt")
    assert len(session.template.slots) == 4 and session.locked == {3}
    assert session.template.slots[3].text == "Rembrandt"


def test_a_lock_behind_a_filled_mask_moves_with_its_chip():
    session = Session(Lists(), "a cat, <?> by Rembrandt")
    session.lock(2)
    start = session.template
    filled = Template.build(["a ", Slot("subject", "cat"), ", an owl on a ship by ", Slot("artist", "Rembrandt")])
    template, locked = typed.adopted(session.dsl, start, session.locked, filled)
    assert [slot.text for slot in template.slots] == ["cat", "owl", "ship", "Rembrandt"] and locked == {3}
    assert template.prompt == filled.prompt


def test_a_result_becomes_the_start_and_locks_stay(session):
    session.lock(1)
    session.reroll(), session.use(2)
    assert session.text == session.results[2].text and session.locked == {1}
    # a result of an earlier start
    session.mask(0)
    assert session.use(0) and session.text == session.results[0].text and session.locked == {1}


def test_locks_survive_typing_where_their_chip_does(session):
    session.lock(1), session.lock(3)
    session.type("an owl, a cat and a dog, tapestry, by Goya")
    assert [session.template.slots[i].text for i in session.locked] == ["dog"]


def test_undo_brings_all_back_step_by_step(session):
    steps = [session._now]
    verbs = (
        lambda: session.lock(0),
        session.reroll,
        lambda: session.keep(1),
        lambda: session.use(0),
        lambda: session.mask(2),
        session.fill,
        lambda: session.type("a ship"),
        lambda: session.put("Klimt"),
        lambda: session.remove(0),
    )
    for verb in verbs:
        assert verb()
        steps.append(session._now)
    for before in steps[-2::-1]:
        assert session.undo() and session._now == before
    assert not session.undo() and session.message == "There is nothing to take back."


def test_what_is_refused_changes_nothing_and_cannot_be_undone(session):
    before = session._now
    for refused in (
        lambda: session.lock(9),
        lambda: session.use(0),
        lambda: session.keep(3),
        session.fill,
        lambda: session.remove(0),
    ):
        assert not refused() and session.failed and session.message
        assert session._now == before and session.undos == 0
    assert not session.mask(None) and session.message == "Choose a chip first."


def test_a_locked_chip_is_neither_masked_nor_rerolled_nor_replaced(session):
    session.lock(0)
    for verb in (session.mask, session.reroll, lambda number: session.put("owl", number)):
        assert not verb(0) and "is locked" in session.message
    assert session.text == PROMPT


def test_favourites_are_kept_once(session):
    session.reroll()
    assert session.keep(0) and session.keep(1) and session.keep(0)
    assert [one.text for one in session.kept] == [result.text for result in session.results[:2]]
    assert session.message == "This prompt is kept already."
    assert session.keep() and session.kept[-1].verb == "typed" and session.kept[-1].text == PROMPT


@pytest.mark.parametrize(
    ("filler", "number", "name", "text"),
    [
        ("owl", 0, None, "a owl and a dog, <?>, by <artist:?>"),
        ("Goya", None, "artist", "a cat and a dog, <?>, by Goya"),
        ("pixel art", None, "medium", "a cat and a dog, pixel art, by <artist:?>"),
        ("  pixel \n art ", None, None, "a cat and a dog, <?>, by pixel art"),
    ],
)
def test_a_filler_goes_where_there_is_room_for_it(filler, number, name, text):
    session = Session(Lists(), "a cat and a dog, <?>, by <artist:?>")
    if name is None and number is None:
        session.type("a cat and a dog, <?>, by <artist:?>")
        text = "a cat and a dog, <?>, by <artist:?>".replace("<artist:?>", "pixel art")
    assert session.put(filler, number, name)
    assert session.text == text


def test_a_filler_without_room_is_appended(session):
    assert session.put("Klimt", name="artist") and session.text == PROMPT + ", Klimt"
    assert session.template.slots[-1].name == "artist"
    empty = Session(Lists())
    assert empty.put("owl") and empty.text == "owl"


# ---- bad input -----------------------------------------------------------------------------------------------------------


def test_an_empty_prompt_writes_from_nothing():
    session = Session(Lists())
    assert "Type a prompt" in session.message
    assert session.type("  ") and "empty" in session.message
    assert session.reroll() and session.results and "from nothing" in session.message
    assert session.use(0) and session.text == session.results[0].text
    assert not Session(Lists()).keep() and not Session(Lists()).vary() and not Session(Lists()).fill()


def test_a_paste_that_is_too_long_is_refused_and_the_prompt_stays(session):
    assert not session.type("cat " * 6000)
    assert "24,000 characters" in session.message and session.text == PROMPT


def test_what_is_put_into_the_prompt_and_what_is_kept_has_an_end(session, monkeypatch):
    assert not session.put("x" * 10_001) and "may have 10,000" in session.message and session.text == PROMPT
    assert session.type("x" * 9_990) and session.put("a cat") and not session.put("a cat")
    assert "may have 10,000" in session.message and len(session.text) == 9_997
    monkeypatch.setattr("workbench.show.widgets.session.MOST_KEPT", 2)
    for text in ("a cat", "a dog", "a ship"):
        session.type(text), session.keep()
    assert session.failed and "save them, then remove some" in session.message and len(session.kept) == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [("half \ud83d cat", "half � cat"), ("\udc00", "�"), ("\udc00\ud83d", "��"), ("\ud83d\ude00 cat", "😀 cat")],
)
def test_halves_of_characters_are_joined_or_replaced_as_no_page_takes_them(session, text, shown):
    assert session.type(text) and session.text == shown and ("�" in shown) == ("Half a character" in session.message)
    session.type("a cat")
    assert session.put(text) and session.text == f"a cat, {shown}"


def test_masks_alone_are_written_from_nothing():
    session = Session(Lists(), "<?>")
    assert session.fill() and session.use(0) and not session.template.masked


def test_a_prompt_without_chips_and_one_with_all_locked_say_so(session):
    for number in range(4):
        session.lock(number)
    for verb in (session.reroll, session.vary):
        assert not verb() and "All chips are locked" in session.message
    session.type("zzz")
    for verb in (session.reroll, session.vary):
        assert not verb() and "no chip" in session.message


@pytest.mark.parametrize("value", [0, 1, -3, 7, 0.5])
def test_sliders_stop_at_their_ends(session, value):
    session.proximity = session.temperature = value
    assert session.proximity == min(max(value, 0), 1) and session.temperature == min(max(value, 0.1), 2)
    assert session.vary() and session.reroll()
    assert session.dsl.calls[-1][3] == session.temperature


def test_what_is_no_number_changes_no_slider(session):
    before = session.proximity, session.temperature, session.seed
    for value in (float("nan"), None, "x", True):
        session.proximity = session.temperature = session.seed = value
    assert (session.proximity, session.temperature, session.seed) == before
    session.seed = 2**40
    assert session.seed == 2**31 - 1 and session.reroll() and session.seed == 2**31 - 1


def test_a_language_without_writer_is_read_only():
    session = Session(Lists(writes=False), PROMPT)
    assert "only reads" in session.message and len(session.template.slots) == 4
    assert session.lock(0) and session.unlock(0) and session.mask(1)
    for verb in (session.reroll, session.vary, session.fill):
        assert not verb() and "only reads" in session.message


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"n": 0}, ValueError),
        ({"n": 21}, ValueError),
        ({"n": True}, ValueError),
        ({"seed": "1"}, ValueError),
        ({"text": 3}, TypeError),
    ],
)
def test_a_session_with_senseless_options_is_refused(options, error):
    with pytest.raises(error, match="got"):
        Session(Lists(), **options)


# ---- with the built-in language ------------------------------------------------------------------------------------------


def test_locked_text_stays_with_the_built_in_language(world):
    session = Session(world, "a cat and an old wizard with a red cloak, oil painting, by Rembrandt", n=3)
    number = next(i for i, slot in enumerate(session.template.slots) if "wizard" in slot.text)
    locked = session.template.slots[number].text
    assert session.lock(number)
    for verb in (session.reroll, session.vary):
        assert verb(), session.message
        assert all(result.template.slots[number].text == locked for result in session.results)
    assert session.mask(len(session.template.slots) - 1) and session.fill(), session.message
    start = session.text.split("<?>")[0]
    assert all(result.text.startswith(start) for result in session.results)
    assert session.use(0) and locked in [session.template.slots[i].text for i in session.locked]


def test_samples_can_lock_slots_by_number(world):
    prompt = "a cat and a dog, oil painting"
    template = world.read(prompt)
    for number, slot in enumerate(template.slots):
        for sample in world.sample(3, template, lock=[number], seed=1) + world.vary(prompt, 3, 0.0, lock=[number], seed=1):
            assert sample.template.slots[number].text == slot.text
    with pytest.raises(TemplateError, match="no slot number 9 to lock"):
        world.sample(1, template, lock=[9])
    with pytest.raises(TemplateError, match="all its slots are locked"):
        world.vary(prompt, 1, lock=range(len(template.slots)))


def test_a_prompt_longer_than_the_window_is_read_but_not_written(world):
    session = Session(world, "a castle, " * 300)
    assert not session.failed and len(session.template.slots) == 300
    assert not session.reroll() and "window" in session.message


@pytest.mark.parametrize("text", ["a < b > c, oil painting", "👨‍👩‍👧 in a castle, 🎨", "<lora:x:0.8> a castle", "\\<?\\>"])
def test_odd_prompts_are_rerolled(world, text):
    session = Session(world, text, n=1)
    assert session.text == text
    assert session.reroll() or "no chip" in session.message


# ---- favourites ----------------------------------------------------------------------------------------------------------


def kept(*texts):
    session = Session(Lists())
    for text in texts:
        session.type(text)
        assert session.keep()
    return session.kept


def test_favourites_survive_jsonl_with_their_templates(tmp_path, session):
    session.lock(1), session.reroll(), session.keep(0)
    path = Favourites(session.kept).save(tmp_path / "new" / "mine.jsonl")
    (row,) = map(json.loads, path.read_text("utf-8").splitlines())
    assert row["text"] == session.results[0].text and parse(row["template"]).prompt == row["text"]
    assert parse(row["start"]).prompt == PROMPT and row["locked"] == [1] and row["seed"] == 0 and row["verb"] == "re-roll"
    # enough to write it again
    again = Session(Lists(), parse(row["start"]).prompt, seed=row["seed"])
    again.lock(1), again.reroll()
    assert again.results[row["number"] - 1].text == row["text"]


@pytest.mark.parametrize("text", ["=1+1", "+cat", "-cat", "@cat", "  =HYPERLINK(1)", "\t=1", "\ncat"])
def test_no_cell_of_the_csv_is_a_formula(tmp_path, text):
    path = Favourites(kept(text)).save(tmp_path / "mine.csv")
    with open(path, encoding="utf-8", newline="") as file:
        head, row = csv.reader(file)
    assert head[0] == "text" and row[0] == "'" + text
    assert not any(cell.lstrip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") for cell in row if cell)


def test_quotes_commas_and_halves_of_emoji_survive(tmp_path):
    one, half = kept('a "cat", 👨‍👩‍👧', "half a cat")
    broken = "half \ud83d cat"
    rows = Favourites([one, half._replace(text=broken, template=Template.build([broken]), start=Template.build([broken]))])
    assert json.loads(rows.to_jsonl().splitlines()[1])["text"] == "half \ud83d cat"
    assert '"a ""cat"", 👨‍👩‍👧"' in rows.to_csv()
    assert rows.save(tmp_path / "a.csv").read_text("utf-8").count("half ? ") == 3  # text, template and start


def files_of(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_of_other_origin_is_not_replaced(tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(ArtifactError, match="a.csv is there already; it stays as it is. Give another name"):
        Favourites(kept("cat")).save(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "mine"
    with pytest.raises(ValueError, match="csv or .jsonl"):
        Favourites(kept("cat")).save(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match="Nothing is kept"):
        Favourites(()).save(tmp_path / "b.csv")
    assert files_of(tmp_path) == ["a.csv"]


def damages(path, data):
    """Ways in which a file can be another than it was written."""
    yield from (
        lambda bad=bad: path.write_bytes(bad) for bad in (b"", data[:-1], data + b"x", data[:9] + b"?" + data[10:], b"\0")
    )
    yield lambda: (path.unlink(), path.symlink_to(path.with_name("elsewhere")))
    yield lambda: (path.unlink(), path.with_name("elsewhere").write_bytes(b"other"), path.symlink_to(path.with_name("elsewhere")))
    yield lambda: (path.unlink(), os.mkfifo(path))


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_own_favourites_are_replaced_and_damaged_or_changed_ones_are_named_and_stay(tmp_path, ending):
    path, first, more = tmp_path / f"mine{ending}", Favourites(kept("cat")), Favourites(kept("cat", "dog"))
    first.save(path)
    data = path.read_bytes()
    more.save(path, before=first)
    assert path.read_bytes().startswith(data) and path.read_bytes() != data
    for damage in damages(path, data):
        path.unlink()
        first.save(path)
        damage()
        before = path.lstat()
        with pytest.raises(ArtifactError, match=f"mine{ending} was damaged or changed since it was saved; it stays"):
            more.save(path, before=first)
        assert path.lstat() == before
    assert set(files_of(tmp_path)) == {path.name, "elsewhere"}


def test_of_windows_that_save_under_one_name_at_once_one_does_and_the_others_are_told(tmp_path):
    start, said = threading.Barrier(8), []

    def window(number):
        rows = Favourites(kept(f"cat number {number}"))
        start.wait()
        try:
            said.append(rows.save(tmp_path / "favourites.jsonl"))
            mine.append(number)
        except ArtifactError as err:
            said.append(str(err))

    mine = []
    threads = [threading.Thread(target=window, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (row,) = map(json.loads, (tmp_path / "favourites.jsonl").read_text().splitlines())
    assert len(mine) == 1 and row["text"] == f"cat number {mine[0]}"
    assert sum("there already" in str(one) for one in said) == 7 and files_of(tmp_path) == ["favourites.jsonl"]


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", ".hidden", "a\\b", "x" * 200, "a.", "nul\0", "字" * 60, "\ud83d"])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(ValueError, match="no name for a file"):
        file_name(name, ".csv")


def test_names_get_their_ending_once():
    assert file_name(" my cats ", ".csv") == file_name("my cats.CSV", ".csv") == "my cats.csv"


# ---- colours -------------------------------------------------------------------------------------------------------------


def contrast(one, other):
    """The contrast ratio of WCAG 2.2 of two #rrggbb."""

    def light(colour):
        shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_ink_of_all_chips_stands_out_in_any_theme():
    assert min(contrast(INK, ground) for ground in (*CHIPS, OPEN_CHIP)) >= 4.5


def test_chips_have_the_colours_and_patterns_of_templates():
    dsl = Lists()
    looks = palette.looks(dsl) | {"artist": 8 + 3}
    for slot in dsl.read(PROMPT).slots:
        hue, pattern = (int(name.rsplit("-", 1)[1]) for name in look.chip_classes(slot, looks))
        shown = Template.build([slot]).html(looks)
        assert f"background:{CHIPS[hue]}" in shown and (PATTERNS[pattern] or "<div") in shown
    assert (hue, pattern) == (3, 1)
    style = look.style_html()
    assert all(f"dsl-hue-{i}" in style for i in range(8)) and all(pattern in style for pattern in PATTERNS)


# ---- controls ------------------------------------------------------------------------------------------------------------


class Static(HTMLParser):
    """Names of the elements and attributes of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def studio():
    pytest.importorskip("ipywidgets")
    from workbench.show.widgets.studio_view import Studio

    now = SimpleNamespace(time=0.0)

    def clock():
        return now.time

    made = Studio(Session(Lists(), PROMPT, n=4), clock)
    made.now = now
    return made


def chips(studio):
    return [child for child in studio.chips.children if "dsl-chip" in child._dom_classes]


def shown(box):
    return html.unescape(re.sub("<[^>]*>", "", box.value))


def test_chips_say_text_name_and_state_in_words(studio):
    assert [chip.description for chip in chips(studio)] == [
        "cat · subject",
        "dog · subject",
        "oil painting · medium",
        "Rembrandt · artist",
    ]
    chips(studio)[1].click()
    studio.lock_button.click()
    assert chips(studio)[1].description == "dog · subject · locked"
    assert {"dsl-locked", "dsl-chosen"} <= set(chips(studio)[1]._dom_classes)
    assert studio.lock_button.description == "Unlock chip" and studio.mask_button.disabled
    chips(studio)[2].click()
    studio.mask_button.click()
    assert studio.prompt.value == "a cat and a dog, <?>, by Rembrandt"
    assert chips(studio)[2].description == "? · open" and "dsl-open" in chips(studio)[2]._dom_classes
    studio.undo_button.click()
    assert studio.prompt.value == PROMPT and not studio.undo_button.disabled


def test_typing_lock_reroll_keep_use_and_undo(studio):
    studio.prompt.value = "a ship, etching, by Goya"
    chips(studio)[2].click()
    studio.lock_button.click()
    studio.reroll_button.click()
    rows = studio.result_rows
    assert len(studio.results.children) == 4
    texts = [re.search('dsl-result-text" dir="auto">(.*)</span>', row.text.value)[1] for row in rows]
    assert [re.sub("</?b>", "", text) for text in texts] == [result.text for result in studio.session.results]
    assert all(text.endswith(", by Goya") for text in texts)
    rows[1].keep.click()
    rows[1].use.click()
    assert studio.prompt.value == studio.session.results[1].text == studio.session.kept[0].text
    assert chips(studio)[2].description == "Goya · artist · locked"
    studio.undo_button.click()
    assert studio.prompt.value == "a ship, etching, by Goya"


def test_copy_shows_the_text_to_the_letter(studio):
    studio.reroll_button.click()
    assert studio.copied.layout.display == "none"
    studio.result_rows[2].copy.click()
    assert studio.copied.value == studio.session.results[2].text and studio.copied.layout.display is None


def test_two_quick_clicks_are_one(studio):
    studio.reroll_button.click()
    studio.reroll_button.click()  # it waited while the first was at work
    assert studio.session.seed == 1
    studio.now.time = 1.0
    studio.reroll_button.click()
    assert studio.session.seed == 2
    studio.vary_button.click()  # another button is another wish
    assert studio.session.seed == 3
    assert "dsl-busy" not in studio._dom_classes


def test_a_click_within_a_click_is_passed_over(studio):
    studio.on_change(lambda: None)
    studio.session.dsl.sample, sample = (
        (lambda *a, **k: (studio.reroll_button.click(), sample(*a, **k))[1]),
        studio.session.dsl.sample,
    )
    studio.reroll_button.click()
    assert studio.session.seed == 1


def test_what_goes_wrong_is_said_and_not_raised(studio):
    def broken(*_, **__):
        raise RuntimeError("<b>out of memory</b>")

    studio.session.dsl.sample = broken
    studio.reroll_button.click()
    assert "dsl-complaint" in studio.status.value and "&lt;b&gt;out of memory" in studio.status.value
    assert "dsl-busy" not in studio._dom_classes
    studio.fill_button.click()
    assert "No chip is open" in studio.status.value


def test_what_a_control_did_is_said_beside_it_and_nowhere_else(studio):
    boxes = list(studio.children)

    def said():
        """(class of the control above the message, its words), of all messages that are shown."""
        live = [box for box in boxes if "dsl-status" in box._dom_classes and box.value]
        return [(boxes[boxes.index(box) - 1]._dom_classes[-1], shown(box)) for box in live]

    studio.fill_button.click()
    assert said() == [
        ("dsl-write", "Fill masks did nothing. No chip is open. Mask one, or type <?> where something new may stand.")
    ]
    studio.prompt.value = "a cat"
    assert said() == [("dsl-read-row", "1 chip read.")]
    chips(studio)[0].click()
    studio.lock_button.click()
    assert said() == [("dsl-chip-actions", "“cat” is locked.")]
    studio.vary_button.click()
    assert said() == [("dsl-write", "Vary did nothing. All chips are locked. Unlock one to vary it.")]
    studio.undo_button.click()
    studio.reroll_button.click()
    studio.result_rows[0].keep.click()
    assert said() == [("dsl-write", "Kept: 1 favourite.")]


def test_results_of_another_prompt_go_and_undo_brings_them_back(studio):
    studio.reroll_button.click()
    assert len(studio.results.children) == 4
    studio.prompt.value = "a ship"
    assert not studio.results.children
    studio.undo_button.click()
    assert len(studio.results.children) == 4


def test_a_message_is_one_line_of_text(studio):
    def broken(*_, **__):
        raise RuntimeError("first\nsecond\0\r\n" + "x" * 10_000)

    studio.session.dsl.sample = broken
    studio.reroll_button.click()
    assert "\n" not in studio.status.value and "(RuntimeError): first second▫ xxx" in studio.status.value
    assert 400 < len(shown(studio.status)) <= 500


def test_a_search_that_is_too_long_and_a_map_that_fails_say_so(studio, monkeypatch):
    view = widgets.atlas_view(studio.session.dsl, studio, draw=False)
    view.search.value = "x" * 10_001
    assert "search for less" in view.status.value
    view.search.value = "cat"
    assert "1 filler found" in view.status.value
    monkeypatch.setattr("workbench.show.atlas.fit", lambda *_, **__: 1 / 0)
    view.draw()
    assert "The map cannot be drawn (ZeroDivisionError)" in view.status.value and not view.map.value


def test_favourites_too_long_for_a_link_can_be_saved_only(studio, tmp_path):
    view = widgets.gallery(studio, tmp_path)
    for number in range(70):
        studio.session.type(f"{number} " + "x" * 9_900)
        studio.session.keep()
    view.show()
    assert "save them" in view.links.value and len(view.links.value) < 100
    view.save(".jsonl"), studio.session.remove(0), view.save(".jsonl")
    assert "Saved 69" in view.status.value and len((tmp_path / "favourites.jsonl").read_text().splitlines()) == 69
    (tmp_path / "favourites.jsonl").write_text("damaged")
    view.save(".jsonl")
    assert "was damaged or changed" in view.status.value and "dsl-complaint" in view.status.value


def test_what_was_refused_stays_in_the_field(studio):
    studio.prompt.value = "cat " * 6000
    assert len(studio.prompt.value) == 24_000 and "may have 10,000" in studio.status.value
    assert len(chips(studio)) == 4
    studio.prompt.value = "a cat"
    assert len(chips(studio)) == 1


def test_a_long_prompt_shows_its_first_chips_and_says_so(studio):
    studio.prompt.value = "cat " * 2500
    assert len(chips(studio)) == 60
    assert "the first 60 of 2,500 chips" in shown(studio.chips.children[-1])
    studio.prompt.value = "x" * 10_000
    assert not chips(studio) and "no chips" in studio.chosen_name.value


def test_settings_reach_the_session(studio):
    studio.proximity.value, studio.temperature.value, studio.seed.value = 0.0, 2.0, 7
    session = studio.session
    assert (session.proximity, session.temperature, session.seed) == (0.0, 2.0, 7)
    studio.vary_button.click()
    assert session.dsl.calls[-1][3:] == (2.0, 7) and studio.seed.value == 8


def test_prompts_are_text_and_never_html(studio):
    studio.prompt.value = "<script>alert(1)</script> cat <img src=x onerror=alert(1)>"
    studio.reroll_button.click()
    studio.session.keep(0)
    values = [w.value for w in (*studio.chips.children, studio.chosen_name, studio.status) if hasattr(w, "value")]
    values += [row.text.value for row in studio.result_rows] + [studio.to_html()]
    for value in values:
        assert not {"script", "img"} & Static(value).tags


def test_a_language_without_writer_has_no_buttons_to_write():
    pytest.importorskip("ipywidgets")
    made = widgets.studio(Lists(writes=False), PROMPT)
    assert made.reroll_button.disabled and made.vary_button.disabled and made.fill_button.disabled
    assert "only reads" in made.status.value and len(chips(made)) == 4


def controls_of(box):
    yield box
    for child in getattr(box, "children", ()):
        yield from controls_of(child)


# what ipywidgets 7.7.1 calls them (its sources): no trait of version 8 alone may be set
SEVEN = {
    "Box": {"children", "layout"},
    "VBox": {"children", "layout"},
    "HTML": {"value", "layout"},
    "Layout": {"width", "height", "display", "flex_flow", "flex", "align_items", "max_width"},
    "Button": {"description", "tooltip", "layout"},
    "Text": {"description", "value", "layout", "style"},
    "Textarea": {"description", "value", "continuous_update", "rows", "layout", "style"},
    "Select": {"description", "options", "rows", "layout", "style"},
    "Dropdown": {"description", "options", "style"},
    "FloatSlider": {"description", "value", "min", "max", "step", "style", "layout"},
    "BoundedIntText": {"description", "value", "min", "max", "style", "layout"},
}


def test_only_controls_and_options_that_ipywidgets_7_has_too():
    sources = sorted(Path(look.__file__).parent.rglob("*.py"))
    assert len(sources) >= 8
    used = set()
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                if node.func.value.id == "w":
                    used.add(node.func.attr)
                    assert {k.arg for k in node.keywords} <= SEVEN[node.func.attr], f"{path}:{node.lineno}"
    assert {"Button", "FloatSlider", "Textarea", "Select"} <= used


def test_every_control_has_a_name_and_names_differ(studio):
    from ipywidgets import HTML

    studio.reroll_button.click()
    names = [c.description for c in controls_of(studio) if hasattr(c, "description") and not isinstance(c, HTML)]
    assert all(names) and len(set(names)) == len(names)


def test_static_twins_need_nothing_but_inline_style(studio):
    studio.choose(0)
    studio.lock_button.click()
    studio.reroll_button.click()
    studio.result_rows[0].keep.click()
    page = Static(studio.to_html())
    assert page.tags <= {"div", "span", "p", "ol", "li", "code", "br"}
    assert page.attributes <= {"style", "dir", "title"}
    for word in ("subject, locked", "Rembrandt", "seed 0", "Favourites"):
        assert word in page.text


def test_the_gallery_shows_removes_and_saves(studio, tmp_path):
    from workbench.show.widgets import gallery

    view = gallery(studio, tmp_path)
    assert view.csv.disabled and "Nothing is kept" in view.to_html()
    studio.reroll_button.click()
    for row in studio.result_rows[:3]:
        row.keep.click()
    assert len(view.list.children) == 3 and not view.csv.disabled and 'download="favourites.csv"' in view.links.value
    view.list.children[1].children[1].click()
    assert [one.text for one in studio.session.kept] == [studio.session.results[i].text for i in (0, 2)]
    view.jsonl.click(), view.csv.click()
    assert files_of(tmp_path) == ["favourites.csv", "favourites.jsonl"]
    view.csv.click()  # its own file is replaced
    assert "Saved 2" in view.status.value
    view.file.value = "../up"
    view.csv.click()
    assert "no name for a file" in view.status.value and not (tmp_path.parent / "up.csv").exists()
    (tmp_path / "other.csv").write_text("x")
    view.file.value = "other"
    view.csv.click()
    assert "there already" in view.status.value and (tmp_path / "other.csv").read_text() == "x"
    studio.undo_button.click()
    assert len(view.list.children) == 3
    assert Static(view.to_html()).attributes <= {"style", "dir", "title"}


def test_the_gallery_of_a_session_works_alone(session):
    pytest.importorskip("ipywidgets")
    from workbench.show.widgets import gallery

    session.keep()
    view = gallery(session)
    view.remove(0)
    assert not session.kept and "Nothing is kept" in view.list.children[0].value


def test_a_filler_of_the_map_goes_into_the_prompt(studio, monkeypatch):
    from workbench import atlas
    from workbench.show.widgets import atlas_view

    view = atlas_view(studio.session.dsl, studio, draw=False)
    view.put()
    assert "Choose a filler" in view.status.value
    view.search.value = "ART"
    assert view.list.options == ("pixel art · medium",)
    view.list.index = 0
    assert "Near “pixel art”" in view.near.value
    chips(studio)[2].click()
    view.put_button.click()
    assert studio.prompt.value == "a cat and a dog, pixel art, by Rembrandt"
    view.search.value, view.code.value = "", "artist"
    assert len(view.list.options) == 5
    view.picked.value = "goya"  # as the page does when a filler is clicked on the map
    assert view.picked.value == "" and studio.prompt.value == "a cat and a dog, goya, by Rembrandt"
    view.search.value, view.code.value = "", "medium"
    chips(studio)[3].click()  # the list shows what could stand there
    assert view.code.value == "artist"
    view.search.value = "no such filler"
    assert "0 fillers" in view.status.value
    monkeypatch.setattr(atlas, "fit", lambda x, seed: SimpleNamespace(xy=np.asarray(x)[:, :2], trustworthiness=1.0))
    view.draw_button.click()
    assert view.map.value.startswith("<div><iframe") and "sandbox" in view.map.value
    page = view.to_html()
    assert {"img", "details"} <= Static(page).tags and not {"script", "svg", "style", "iframe"} & Static(page).tags


# ---- the page and the package --------------------------------------------------------------------------------------------


def test_the_app_says_in_words_that_a_folder_is_no_language(tmp_path, monkeypatch):
    pytest.importorskip("ipywidgets")
    from workbench.show.widgets import app

    monkeypatch.setenv("WORKBENCH_DSL", str(tmp_path / "<none>"))
    box = app.page()
    assert "cannot be loaded" in box.children[0].value and "&lt;none&gt;" in box.children[0].value


def test_the_app_shows_studio_gallery_and_atlas(monkeypatch, tmp_path):
    pytest.importorskip("ipywidgets")
    from workbench.show.widgets import app

    asked = []
    monkeypatch.delenv("WORKBENCH_DSL", raising=False)
    monkeypatch.setattr(app.DeepDSL, "load", lambda name: asked.append(name) or Lists())
    box = app.page(folder=tmp_path)
    assert asked == ["world"]
    inside = {name: child for child in controls_of(box) for name in child._dom_classes}
    assert {"dsl-studio", "dsl-gallery", "dsl-atlas", "dsl-columns"} <= set(inside) and "dsl-page" in box._dom_classes
    assert inside["dsl-studio"].session.text == PROMPT
    assert app.warm("another").result() is app.warm("another").result() and asked == ["world", "another"]
    app.page("another", folder=tmp_path)
    assert asked == ["world", "another"] and not app._coming
    notebook = json.loads(app.NOTEBOOK.read_text("utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    assert "app.page()" in "".join(notebook["cells"][-1]["source"])


def test_without_ipywidgets_the_session_works_and_the_studio_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    for show in (widgets.studio, widgets.atlas_view, widgets.gallery):
        with pytest.raises(ImportError, match="pip install ipywidgets"):
            show(None)


@pytest.mark.parametrize("module", ["__init__", "favourites", "look", "session", "typed"])
def test_what_needs_no_ipywidgets_does_not_import_it(module):
    tree = ast.parse((Path(look.__file__).parent / f"{module}.py").read_text("utf-8"))
    named = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert "ipywidgets" not in named
