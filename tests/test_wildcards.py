import json
import logging
import os
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import wildcards
from workbench.data.wildcards.lines import as_line, escape, file_names, unwritable, weighed
from workbench.values import ArtifactError, TemplateError

# dynamicprompts 0.31 calls pyparsing by names that pyparsing 3.3 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated - use:DeprecationWarning")

LISTS = {
    "color": ["red", "dark blue", "green"],
    "wood/hard": ["oak", "ash"],
    "wood/soft": ["pine"],
    "thing": ["a __color__ box", "{a|3::the} cup", "lamp"],
}


@pytest.fixture
def folder(tmp_path):
    """`LISTS` as files."""
    for name, lines in LISTS.items():
        path = tmp_path / "lists" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["# a comment", "", *lines]), "utf-8")
    return tmp_path / "lists"


def peer(folder=None):
    """A combining generator of dynamicprompts."""
    pytest.importorskip("dynamicprompts", reason="compares with dynamicprompts: pip install -e .[test]")
    from dynamicprompts.generators import CombinatorialPromptGenerator
    from dynamicprompts.wildcards import WildcardManager

    return CombinatorialPromptGenerator(WildcardManager(folder))


# ---- lines ------------------------------------------------------------------------------------------------------------


ALPHABET = [
    "_",
    "__",
    "/",
    "//",
    "/*",
    "*/",
    ":",
    "::",
    "3",
    ".5",
    "|",
    "}",
    "a",
    " ",
    "-",
    "!",
    "~",
    "@",
    "(",
    ")",
    ",",
    "\\",
    "塔",
    "👩‍🎨",
]
TEXTS = st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=8).map("".join)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_escaped_text_means_itself_to_dynamicprompts(text):
    assert peer().generate(escape(text)) == [text]


@settings(max_examples=100, deadline=None)
@given(TEXTS.filter(str.strip))
def test_a_line_of_a_list_means_itself(text):
    peer()
    line, weight = weighed(as_line(text))
    assert weight == 1 and wildcards.fillers({"x": {line: weight}}) == {"x": [text.strip()]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a{b", "variant"),
        ("a#b", "comment"),
        ("5 $", "variable"),
        ("5%", "wrap"),
        ("a\nb", "line break"),
        ("a\tb", "tab"),
        ("a\0b", "zero character"),
        ("\ud800", "half"),
    ],
)
def test_what_cannot_be_written_is_said(text, why):
    assert why in unwritable(text)
    with pytest.raises(TemplateError, match="no way to escape that"):
        escape(text)


def test_no_line_can_be_taken_for_one_with_a_weight():
    assert as_line("3::x") == "3{:}:x" and weighed("3::x") == ("x", 3.0)


# ---- folders -------------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_with_comments_weights_and_levels(tmp_path):
    (tmp_path / "wood").mkdir()
    (tmp_path / "wood" / "hard.txt").write_bytes("\ufeff# trees\r\n\r\n3::oak\r\nash \r\nash\r\n塔\r\n".encode())
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    (tmp_path / "paint.json").write_text(
        json.dumps({"oil": ["a", "2::b"], "water": {"soft": [{"text": "c", "weight": 0.5}], "x": "d"}})
    )
    (tmp_path / "flat.json").write_text('["e", ""]')
    (tmp_path / "more.yaml").write_text("sky:\n  - blue\n  - 2::grey\n")
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "notes.md").write_text("no")
    with pytest.warns(UserWarning, match=r"Left out while reading .*, 1 in all: the list 'empty' is empty"):
        found = wildcards.read(tmp_path)
    assert found == {
        "flat": {"e": 1.0},
        "oil": {"a": 1.0, "b": 2.0},
        "sky": {"blue": 1.0, "grey": 2.0},
        "water/soft": {"c": 0.5},
        "water/x": {"d": 1.0},
        "wood/hard": {"oak": 3.0, "ash": 1.0, "塔": 1.0},
    }


def test_lists_are_read_as_dynamicprompts_names_them(folder):
    assert set(wildcards.read(folder)) == peer(folder)._context.wildcard_manager.get_collection_names()


def test_fillers_are_plain_texts(folder):
    peer()
    assert wildcards.fillers(folder)["thing"] == ["a red box", "a dark blue box", "a green box", "a cup", "the cup", "lamp"]
    assert wildcards.fillers({"t": ["__wood/*__", "__hard__!"], "wood/hard": ["oak"]})["t"] == ["oak", "oak!"]
    weighted = {"a": {"oak": 3.0, "{ash|5::elm}": 1.0}, "b": ["__a__ tree"], "templates": ["__a__ {"]}
    assert wildcards.fillers(weighted) == {"a": ["oak", "ash", "elm"], "b": ["oak tree", "ash tree", "elm tree"]}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"a": ["x __color__"], "colour": ["{"]}, "In the list 'a', .*there is no list 'color'. Did you mean 'colour'"),
        ({"a": ["x __b__"], "b": ["__a__"]}, "In the list 'a', .*part of itself"),
        ({"a": ["{x"]}, "In the list 'a', '{x': dynamicprompts cannot read that"),
        ({"a": ["{%{|}"]}, "In the list 'a', '{%{|}': dynamicprompts cannot read that"),
        ({"t": ["{0|1|2|3|4|5|6|7|8|9}" * 4]}, "'t' stands for more than 1,000 texts, '{0|1.*. It is a template"),
    ],
)
def test_a_line_that_cannot_be_expanded_is_named(lists, message):
    peer()
    with pytest.raises(TemplateError, match=message):
        wildcards.fillers(lists)


def test_plain_lists_need_no_dynamicprompts(monkeypatch):
    monkeypatch.setitem(sys.modules, "dynamicprompts.generators", None)
    assert wildcards.fillers({"a": ["oak (soft:1.2)", "elm"], "segments": ["__a__"]}) == {"a": ["oak (soft:1.2)", "elm"]}
    with pytest.raises(ImportError, match="pip install dynamicprompts"):
        wildcards.fillers({"a": ["{oak|elm}"]})


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"\xff\xfe\x00binary", "a.txt is no text: byte 0"),
        ("a.txt", b"a\0b", "a.txt is no text: it holds zero bytes"),
        ("a.json", b"[1, ", "a.json is damaged"),
        ("a.json", b"[" * 100_000, "a.json is damaged"),
        ("a.json", b"[null]", "a.json: entry 1 of 'a' is null, expected a text or"),
        ("a.json", b'{"a": 3}', "a.json: 'a' is 3, expected a list of texts"),
        ("a.json", b'{"a": [{"text": "b", "weight": -1}]}', "expected a text or"),
        ("a.yaml", b"a: [b", "a.yaml is damaged"),
        ("a.txt", b"# nothing\n", "holds no wildcards"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=message):
        wildcards.read(tmp_path)


def test_a_folder_that_is_none_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="there is no such folder"):
        wildcards.read(tmp_path / "missing")
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(ArtifactError, match="Give the folder it lies in"):
        wildcards.read(tmp_path / "file.txt")


def test_file_names_are_different_on_every_disk_and_the_same_each_time():
    names = [
        "artist",
        "Artist",
        "oil on canvas",
        "oil/on:canvas",
        "CON",
        "templates",
        "",
        "__x__",
        "a__b",
        "?",
        "塔",
        "x" * 300,
        "../up",
        "artist-2",
    ]
    found = file_names(names)
    assert found == [
        "artist",
        "Artist-2",
        "oil-on-canvas",
        "oil-on-canvas-2",
        "CON-2",
        "templates-2",
        "code-6",
        "x",
        "a_b",
        "code-9",
        "塔",
        "x" * 60,
        "up",
        "artist-2-2",
    ]
    assert found == file_names(names) and len({name.casefold() for name in found}) == len(names)
    assert not any("__" in name for name in found)


def test_nothing_is_logged_for_the_lists_of_an_export(folder, caplog):
    with caplog.at_level(logging.WARNING):
        peer(folder).generate("__color__ __wood/hard__", 4)
    assert not caplog.records


# ---- what cannot be used is left out and named, and nothing else ---------------------------------------------------------


def read(folder, *said):
    """What `read` finds, with one warning that says all of `said`; without `said` there must be none."""
    if not said:
        return wildcards.read(folder)
    with pytest.warns(UserWarning, match="Left out while reading") as caught:
        found = wildcards.read(folder)
    assert len(caught) == 1
    missing = [one for one in said if one not in str(caught[0].message)]
    assert not missing and f", {len(said)} in all:" in str(caught[0].message), str(caught[0].message)
    return found


def test_links_to_lists_and_folders_are_followed_but_not_in_a_circle(folder, tmp_path):
    other = tmp_path / "other"
    (other / "deep").mkdir(parents=True)
    (other / "deep" / "sea.txt").write_text("whale\n")
    (other / "sky.txt").write_text("swift\n")
    (folder / "shared").symlink_to(other)
    (folder / "again").symlink_to("shared")
    (folder / "one.txt").symlink_to(other / "sky.txt")
    own = set(LISTS) | {"one", *(f"{name}/{one}" for name in ("shared", "again") for one in ("sky", "deep/sea"))}
    assert set(read(folder)) == own
    (tmp_path / "link").symlink_to(folder)
    assert read(tmp_path / "link") == read(folder)
    (other / "deep" / "round").symlink_to(folder)
    (folder / "self").symlink_to(".")
    (folder / "gone.txt").symlink_to("nowhere.txt")
    (folder / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(folder / "pipe.txt")
    circles = [f"{name}/deep/round is a link to a folder that it lies in" for name in ("shared", "again")]
    odd = ["gone.txt is a link to nothing", "loop.txt is a link to nothing", "pipe.txt is no regular file"]
    assert set(read(folder, *circles, "self is a link to a folder", *odd)) == own


def test_links_that_multiply_folders_end(tmp_path):
    for level in range(40):  # 2 ** 40 ways down
        (tmp_path / f"l{level}").mkdir()
        for name in "ab":
            (tmp_path / f"l{level}" / name).symlink_to(tmp_path / f"l{level + 1}")
    (tmp_path / "l40").mkdir()
    with pytest.raises(ArtifactError, match="more than 20,000 folders, links included"):
        wildcards.read(tmp_path / "l0")


def test_numbers_dates_and_truth_values_in_a_list_are_texts_as_written(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "era:\n  - 1920\n  - 1950s\n  - 1999-12-31\n  - 2001-01-01 10:00:00\n  - 0x1F\n  - 1_000\n  - 12:30:45\n  - 007\n"
        "  - 3.10\n  - 1e3\n  - .inf\n  - yes\n  - No\n  - on\n  - true\n  - '1930'\n  - 2::40s\n  - =\n  - <<\n"
        "1920:\n  - flapper\nyes:\n  - agreed\nflags: &f [1, 2]\nsame: *f\nbase: &b\n  wood: [oak]\n"
        "more:\n  <<: *b\n  tin: [can]\n"
    )
    eras = "1920 1950s 1999-12-31 2001-01-01_10:00:00 0x1F 1_000 12:30:45 007 3.10 1e3 .inf yes No on true 1930 = <<"
    assert read(tmp_path) == {
        "1920": {"flapper": 1.0},
        "base/wood": {"oak": 1.0},
        "era": {**{text.replace("01_10", "01 10"): 1.0 for text in eras.split()}, "40s": 2.0},
        "flags": {"1": 1.0, "2": 1.0},
        "more/tin": {"can": 1.0},
        "more/wood": {"oak": 1.0},
        "same": {"1": 1.0, "2": 1.0},
        "yes": {"agreed": 1.0},
    }
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "b.json").write_text(
        '{"n": [1920, 3.10, true, false, 1e999, NaN, "x", {"text": 7, "weight": "2"}], "n": [' + "9" * 5000 + "]}"
    )
    assert list(read(tmp_path)["n"]) == ["1920", "3.10", "true", "false", "1e999", "NaN", "x", "7", "9" * 5000]


def test_an_entry_that_cannot_be_used_is_left_out_and_named(tmp_path):
    (tmp_path / "good.txt").write_text("oak\n")
    (tmp_path / "a.yaml").write_text(
        "count: 3\nversion: 1.0\nwhen: 2020-01-01\non: true\nnone: null\nempty:\nalso: []\n"
        "list:\n  - red\n  -\n  - null\n  - ~\n  - [a, b]\n  - {dark|light}\n  - portrait: close up\n"
        "  - {text: x, weight: heavy}\n  - {text: x, weight: -1}\n  - {text: x, weight: .nan}\n  - {weight: 3}\n"
        "  - {text: ok, weight: 2}\n  - blue\n"
    )
    (tmp_path / "b.yaml").write_text("a: [b")
    (tmp_path / "c.json").write_text('{"d": ["e", null, ["f"], {"g": 1}], "h": null, "i": 5, "j": {"k": true}}')
    (tmp_path / "d.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "e.txt").write_bytes("utf-16".encode("utf-16"))
    (tmp_path / "f.json").write_text("[" * 100_000)
    (tmp_path / "g.yaml").write_text("[" * 900)
    (tmp_path / "h.yaml").write_text("a: *nobody\n")
    with pytest.warns(UserWarning, match="Left out while reading") as caught:
        found = wildcards.read(tmp_path)
    assert found == {"d": {"e": 1.0}, "good": {"oak": 1.0}, "list": {"red": 1.0, "ok": 2.0, "blue": 1.0}}
    said = str(caught[0].message)
    assert ", 28 in all: " in said and said.endswith("; and 18 more") and "a.yaml: 'count' is 3, expected a list of texts" in said
    assert "a.yaml: entry 5 of 'list' is ['a', 'b'], expected a text or" in said and "needs quotes" in said
    (tmp_path / "a.yaml").unlink(), (tmp_path / "c.json").unlink()
    named = [f"{name} is damaged" for name in ("b.yaml", "f.json", "g.yaml", "h.yaml")] + ["d.txt is no text", "e.txt is no text"]
    assert read(tmp_path, *named) == {"good": {"oak": 1.0}}


def test_lists_and_levels_written_twice_are_one(tmp_path):
    (tmp_path / "a.json").write_text('{"a": ["1x"], "l": {"m": ["o"]}, "a": ["2x"], "l": {"n": ["p"], "m": ["q"]}}')
    (tmp_path / "b.yaml").write_text("---\nb: [c]\n---\nb: [d]\ne: f\n")
    expected = {
        "a": {"1x": 1.0, "2x": 1.0},
        "b": {"c": 1.0, "d": 1.0},
        "e": {"f": 1.0},
        "l/m": {"o": 1.0, "q": 1.0},
        "l/n": {"p": 1.0},
    }
    assert read(tmp_path) == expected


@pytest.mark.parametrize("width", [2, 9, 90])
def test_aliases_that_multiply_are_refused_at_once(tmp_path, width):
    lines = ["a0: &a0 [x, y]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, 40)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    (tmp_path / "maps.yaml").write_text(
        "m0: &m0 {x: [y]}\n" + "\n".join(f"m{i}: &m{i} {{a: *m{i - 1}, b: *m{i - 1}}}" for i in range(1, 40))
    )
    (tmp_path / "merge.yaml").write_text(
        "m0: &m0 {x: [y]}\n" + "\n".join(f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}]}}" for i in range(1, 40))
    )
    (tmp_path / "self.yaml").write_text("a: &a [*a, *a]\nb: &b {c: *b}\n")
    (tmp_path / "good.txt").write_text("oak\n")
    began = time.process_time()
    odd = [f"{name}.yaml cannot be read: its aliases stand for" for name in ("bomb", "maps")]
    assert set(read(tmp_path, *odd, "merge.yaml cannot be read", "self.yaml cannot be read")) == {"good"}
    assert time.process_time() - began < 2


def test_what_a_folder_cannot_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "wl").mkdir()
    (tmp_path / "wl" / "a.txt").write_text("oak\n")
    assert wildcards.read("~/wl") == wildcards.read(str(tmp_path / "wl")) == {"a": {"oak": 1.0}}
    assert wildcards.fillers("~/wl") == {"a": ["oak"]}
    for value in ("", None, b"wl", 3):
        with pytest.raises(ValueError, match="folder must be a str or Path"):
            wildcards.read(value)
    for value in ({"a": "oak"}, {"a": [3]}, {3: ["oak"]}, {"a": [None]}):
        with pytest.raises(TypeError, match="a dict of name to lines, a list of str; got"):
            wildcards.fillers(value)


@pytest.mark.parametrize(
    "line",
    [
        "$tephanie style",
        "<lora:my__style:0.7>",
        "<lora:a__b:1> <lora:c__d:.5>",
        "50% grey",
        "A$AP",
        "C# sharp",
        "#1 hit",
        "a}b",
        "a|b",
    ]
    + [
        "https://example.org/a__b",
        "snake__case",
        "____",
        "100%|$1",
        "(soft:1.2)",
        "embedding:bad__hand",
        "1girl, long_hair",
        "a\\b",
    ]
    + ["<hypernet:x__y:1>", "$$", "~x", "@home", "!x", "3::4", "a::b", "塔__"],
)
def test_signs_of_other_programs_stay_as_they_are(line):
    assert wildcards.fillers({"a": [line, "oak"]}) == {"a": [line, "oak"]}
    peer()
    both = {"a": [line], "b": ["x __a__ y", "{p|q} __a__"]}
    assert wildcards.fillers(both) == {"a": [line], "b": [f"x {line} y", f"p {line}", f"q {line}"]}


def test_signs_of_other_programs_stay_in_a_line_that_is_expanded():
    peer()
    lists = {
        "s": ["ink", "oil"],
        "a": ["{x|y} <lora:my__style:0.7> 50% for $5 #1 a//b", "<lora:__s__:1>", "{2$$x|y}", "oak # a tree"],
    }
    assert wildcards.fillers(lists)["a"] == [
        "x <lora:my__style:0.7> 50% for $5 #1 a//b",
        "y <lora:my__style:0.7> 50% for $5 #1 a//b",
        "<lora:ink:1>",
        "<lora:oil:1>",
        "x,y",
        "y,x",
        "oak",
    ]


def test_a_line_that_cannot_be_expanded_is_left_out_and_the_others_stay():
    peer()
    lists = {"a": ["x __colr__", "oak", "{"], "color": ["red"], "b": ["{"], "n": [str(i) for i in range(1001)], "t": ["__n__"]}
    with pytest.warns(UserWarning, match="Left out while expanding wildcards, 6 in all: In the list 'a', 'x __colr__'") as caught:
        found = wildcards.fillers(lists)
    assert (found["a"], found["color"], set(found)) == (["oak"], ["red"], {"a", "color", "n"})
    said = str(caught[0].message)
    assert (
        "In the list 'a', '{'" in said and "Nothing is left of the list 'b'" in said and "'t' stands for more than 1,000" in said
    )


def test_a_list_called_templates_is_left_out_only_if_it_holds_templates():
    assert wildcards.fillers({"templates": ["__a__ {"], "a": ["oak"]}) == {"a": ["oak"]}
    assert wildcards.fillers({"templates": ["gothic", "baroque"]}) == {"templates": ["gothic", "baroque"]}


def test_every_filler_that_is_exported_is_read_again(tmp_path):
    signs = [chr(code) for code in (*range(32), 127, 133, 0xA0, 0x2028, 0x200B, 0xF0000)]
    texts = [f"{before}oak{sign}elm{after}" for sign in signs for before, after in ((sign, ""), ("", sign))]
    texts += ["\ud800 half", "\ufeffoak", "a\tb", "a\0b", "\0", " ", "plain"]
    writable = [text for text in texts if unwritable(text) is None and text.strip()]
    assert not any("\0" in text or "\ufeff" in text for text in writable) and len(writable) > 50
    for n, text in enumerate(writable):
        wildcards.write(tmp_path / f"{n % 7}", {"a.txt": as_line(text) + "\n"})
        assert wildcards.fillers(tmp_path / f"{n % 7}") == {"a": [text.strip()]}, ascii(text)
