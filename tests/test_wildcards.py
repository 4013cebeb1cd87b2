import json
import logging
import sys

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
    assert wildcards.read(tmp_path) == {
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
        ({"a": ["x __colr__"], "color": ["red"]}, "In the list 'a', .*there is no list 'colr'. Did you mean 'color'"),
        ({"a": ["x __b__"], "b": ["__a__"]}, "In the list 'a', .*part of itself"),
        ({"a": ["{x"]}, "In the list 'a', '{x': dynamicprompts cannot read that"),
        ({"a": ["50% grey"]}, "In the list 'a', '50% grey': dynamicprompts cannot read that"),
        ({"n": [str(i) for i in range(1001)], "t": ["__n__"]}, "'t' stands for more than 1,000 texts, '__n__'. It is a template"),
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
        ("a.json", b"[" + b"9" * 5_000 + b"]", "a.json is damaged"),
        ("a.json", b"[1]", "holds '1', expected a text"),
        ("a.json", b'{"a": 3}', "expected a list of texts"),
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
