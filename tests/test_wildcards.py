import itertools
import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import wildcards
from workbench.data.wildcards import Reference, Variant, combinations, count, sample
from workbench.data.wildcards.syntax import weighed
from workbench.values import ArtifactError, TemplateError

# dynamicprompts 0.31 calls pyparsing by names that pyparsing 3.3 would rather not hear
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated - use:DeprecationWarning")

LISTS = {
    "color": ["red", "dark blue", "green"],
    "wood/hard": ["oak", "ash"],
    "wood/soft": ["pine"],
    "thing": ["a __color__ box", "{a|3::the} cup", "lamp"],
}
TEMPLATES = [
    "plain text, 8k (soft:1.2)",
    "__color__",
    "a __color__, __color__",
    "__thing__ of __wood/hard__",
    "__wood/*__ and {oak|ash|{pine|fir} tree}",
    "{ red |0.5::blue|}",
    "x{_}_y__color____color__ {/}/",
    "",
    "# only a comment",
    "{__thing__|lamp} | }",
]


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


# ---- the language --------------------------------------------------------------------------------------------------------


def test_a_template_is_text_references_and_variants():
    assert wildcards.parse("a __wood/hard__, {oil|2.5::ink}!") == (
        "a ",
        Reference("wood/hard"),
        ", ",
        Variant(((("oil",), 1.0), (("ink",), 2.5))),
        "!",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {b", "this { is never closed"),
        ("a __b", "a reference is __name__"),
        ("{2$$a|b}", r"\$\$ chooses several"),
        ("${x=1} y", r"\$ begins a variable"),
        ("50% grey", "% begins a wrap"),
        ("__!x__", "chooses a sampler"),
        ("{~a|b}", "chooses a sampler"),
        ("{" * 5000, "40 deep"),
        ("{a|" + "9" * 400 + "::c}", "no usable number"),
        ("__a(b=c)__", "without brackets or parameters"),
    ],
)
def test_what_is_not_understood_is_an_error_that_says_where(text, message):
    with pytest.raises(TemplateError, match=message):
        wildcards.parse(text)


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
def test_escaped_text_means_itself_to_dynamicprompts_and_to_us(text):
    escaped = wildcards.escape(text)
    assert list(combinations(escaped)) == [text]
    assert peer().generate(escaped) == [text]


@settings(max_examples=100, deadline=None)
@given(TEXTS.filter(str.strip))
def test_a_line_of_a_list_means_itself(text):
    line, weight = weighed(wildcards.line(text))
    assert weight == 1 and list(combinations("__x__", {"x": [line]})) == [text.strip()]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a{b", "variant"),
        ("a#b", "comment"),
        ("5 $", "variable"),
        ("5%", "wrap"),
        ("a\nb", "line break"),
        ("a\tb", "tab"),
        ("\ud800", "half"),
    ],
)
def test_what_cannot_be_written_is_said(text, why):
    assert why in wildcards.unwritable(text)
    with pytest.raises(TemplateError, match="no way to write that"):
        wildcards.escape(text)


def test_no_line_can_be_taken_for_one_with_a_weight():
    assert wildcards.line("3::x") == "3{:}:x" and weighed("3::x") == ("x", 3.0)


# ---- combining and drawing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_combinations_are_those_of_dynamicprompts(template, folder):
    known = wildcards.read(folder)
    ours, theirs = list(combinations(template, known)), peer(folder).generate(template, 10_000)
    assert set(ours) == set(theirs or [""]) and len(set(ours)) == len(ours) or template == "a __color__, __color__"
    assert len(ours) == count(template, known)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["{", "}", "|", "a", "b c", "__x__", " ", "2::", ",", "{a|b}"]), max_size=9).map("".join))
def test_templates_as_typed_are_read_as_dynamicprompts_reads_them(template):
    pytest.importorskip("dynamicprompts", reason="compares with dynamicprompts: pip install -e .[test]")
    known = {"x": ["oak", "{ash|elm} tree"]}
    from dynamicprompts.generators import CombinatorialPromptGenerator
    from dynamicprompts.wildcards import WildcardManager

    generator = CombinatorialPromptGenerator(WildcardManager(root_map={"": [known]}))
    try:
        theirs = set(generator.generate(template, 10_000) or [""])
    except Exception:
        theirs = None  # it cannot parse that
    try:
        ours = set(combinations(template, known))
    except TemplateError:
        ours = None
    assert ours == theirs


def test_the_first_place_changes_slowest_and_nothing_is_written_out_before_it_is_asked_for():
    lists = {"n": [str(i) for i in range(1000)]}
    endless = combinations("__n__ __n__ __n__ __n__ __n__", lists)
    assert list(itertools.islice(endless, 2)) == ["0 0 0 0 0", "0 0 0 0 1"] and count("__n__" * 9, lists) == 10**27
    assert list(combinations("__t__!", {**lists, "t": ["__n____n____n__", "x"]}, n=2)) == ["000!", "001!"]  # too many to keep
    assert list(combinations("a", n=0)) == []


def test_likely_first_goes_down_by_the_product_of_the_weights():
    lists = {"a": {"x": 1, "y": 5, "z": 2}, "b": {"1": 3, "2": 4}}
    found = list(combinations("__a____b__", lists, likely_first=True))
    weights = [lists["a"][text[0]] * lists["b"][text[1]] for text in found]
    assert weights == sorted(weights, reverse=True) and len(set(found)) == 6


def test_draws_follow_the_weights_and_the_seed():
    lists = {"a": {"x": 1.0, "y": 3.0, "never": 0.0}, "deep": ["{9::__a__|z}"]}
    texts = sample("__a__ __deep__", lists, 4000, seed=1)
    assert texts == sample("__a__ __deep__", lists, 4000, seed=1) != sample("__a__ __deep__", lists, 4000, seed=2)
    first, second = zip(*map(str.split, texts), strict=True)
    assert first.count("y") / 4000 == pytest.approx(0.75, abs=0.03) and "never" not in first
    assert second.count("z") / 4000 == pytest.approx(0.1, abs=0.03)
    assert second.count("y") / 4000 == pytest.approx(0.675, abs=0.03)


@pytest.mark.parametrize(
    ("template", "lists", "message"),
    [
        ("__colr__", {"color": ["red"]}, "Did you mean 'color'"),
        ("__a__", {"a": ["x __b__"], "b": ["__a__"]}, "part of itself: a > b > a"),
        ("__a__", {"a": []}, "'a' is empty"),
        ("__a__", {"a": ["{x"]}, "In the list 'a', '{x'"),
    ],
)
def test_a_list_that_cannot_be_used_is_an_error_at_once(template, lists, message):
    with pytest.raises(TemplateError, match=message):
        combinations(template, lists)
    with pytest.raises(TemplateError, match=message):
        sample(template, lists)


@pytest.mark.parametrize("n", [-1, 1.5, True])
def test_n_is_checked(n):
    with pytest.raises(ValueError, match="n is how many texts"):
        combinations("a", n=n)
    with pytest.raises(ValueError, match="n is how many texts"):
        sample("a", n=n)
    with pytest.raises(TemplateError, match="never be drawn"):
        sample("__a__", {"a": {"x": 0}})


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
    assert wildcards.fillers(folder)["thing"] == ["a red box", "a dark blue box", "a green box", "a cup", "the cup", "lamp"]
    with pytest.raises(TemplateError, match="stands for 1,001 texts"):
        wildcards.fillers({"n": [str(i) for i in range(1001)], "t": ["__n__"]})


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"\xff\xfe\x00binary", "a.txt is no text: byte 0"),
        ("a.txt", b"a\0b", "a.txt is no text: it holds zero bytes"),
        ("a.json", b"[1, ", "a.json is damaged"),
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
    found = wildcards.file_names(names)
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
    assert found == wildcards.file_names(names) and len({name.casefold() for name in found}) == len(names)
    for name in found:
        assert wildcards.parse(f"__{name}__") == (Reference(name),)


def test_nothing_is_logged_for_the_lists_of_an_export(folder, caplog):
    with caplog.at_level(logging.WARNING):
        peer(folder).generate("__color__ __wood/hard__", 4)
    assert not caplog.records
