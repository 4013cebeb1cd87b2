import csv
import json
import os

import numpy as np
import pytest
from tiny_encoder import write_bert

from workbench import corpus as corpora
from workbench import wildcards
from workbench.language.codebook import Codebook, CodebookConfig
from workbench.language.dsl import Code, DeepDSL, DSLConfig, Fillers, Learned, TemplateCount
from workbench.models import load_encoder
from workbench.show import export
from workbench.template import Slot, Template, parse
from workbench.values import ArtifactError, NotFittedError
from workbench.world.lexicon import SLOTS

# dynamicprompts 0.31 calls pyparsing by names that pyparsing 3.3 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated - use:DeprecationWarning")

FILLERS = {
    "artist": {"rembrandt": 9, "h. r. giger": 5, "ana {lopez}": 4, "3::x": 2},
    "Artist": {"claude monet": 3},
    "oil/on canvas": {"ac//dc | live": 8, "snake__case_": 7, "100% wool": 6, "a } b": 1},
    "templates": {"8k": 2},
    "dead": {},
}
TEMPLATES = [
    (["portrait by ", "artist", ", ", "oil/on canvas"], 7),
    (["_", "artist", "_", "Artist", " // [soft:1.2] | "], 3),
    (["costs 5$, by ", "artist"], 2),
    (["a ", "dead"], 1),
    (["2::", "templates"], 1),
]


def small(fillers=FILLERS, templates=TEMPLATES):
    """A DSL of five codes whose names and texts are what could go wrong."""
    used = [sum(counts.values()) for counts in fillers.values()]
    known = tuple(
        Code(i, name, used[i], used[i] / sum(used), tuple(counts.items()), False)
        for i, (name, counts) in enumerate(fillers.items())
    )
    rows = [(text, i, n) for i, counts in enumerate(fillers.values()) for text, n in counts.items()]
    texts, codes, counts = zip(*rows, strict=True)
    listed = Fillers(texts, np.array(codes), np.array(counts), np.zeros((len(rows), 2), np.float32))
    found = []
    for parts, n in templates:
        one = Template.build(Slot(part, "y") if part in fillers else part for part in parts)
        found.append(TemplateCount(one.skeleton, n, (str(one),)))
    transitions = np.zeros((6, 6), np.float32)
    transitions[0, 1], transitions[0, 5], transitions[5, 0] = 0.75, 0.25, 1.0
    shown = (known, listed, transitions, tuple(found), tuple(found[:1]), {"prompts": 40})
    return DeepDSL(Learned(DSLConfig(writer=None), None, None, None, *shown))


@pytest.fixture
def exported(tmp_path):
    return export.write_wildcards(small(), tmp_path / "out")


def texts_of(folder, name):
    return (folder / name).read_text("utf-8").splitlines()


def generators(folder):
    pytest.importorskip("dynamicprompts", reason="generates with dynamicprompts: pip install -e .[test]")
    from dynamicprompts.generators import CombinatorialPromptGenerator, RandomPromptGenerator
    from dynamicprompts.wildcards import WildcardManager

    manager = WildcardManager(folder)
    return CombinatorialPromptGenerator(manager), RandomPromptGenerator(manager, seed=0)


# ---- wildcards -----------------------------------------------------------------------------------------------------------


def test_an_export_says_what_it_wrote_and_what_it_left_out(exported):
    assert exported.lists == {
        "artist": "artist",
        "Artist": "Artist-2",
        "oil/on canvas": "oil-on-canvas",
        "templates": "templates-2",
    }
    assert exported.renamed == {name: stem for name, stem in exported.lists.items() if name != stem}
    assert exported.left_out == {
        "fillers: text holds {, which begins a variant": 1,
        "fillers: text holds %, which begins a wrap": 1,
        "codes: no filler is known or can be written": 1,
        "templates: text holds $, which begins a variable": 1,
        "templates: a slot has no list": 1,
    }
    assert (exported.fillers, exported.templates) == (8, 4)
    assert sorted(exported.files) == sorted(path.name for path in exported.folder.iterdir() if path.name[0] != ".")
    assert texts_of(exported.folder, "artist.txt") == ["rembrandt", "h. r. giger", "3{:}:x"]
    assert "'oil/on canvas' is __oil-on-canvas__" in str(exported) and "left out: 1 templates: a slot has no list" in str(
        exported
    )


def test_dynamicprompts_parses_all_templates_and_generates_only_literals_and_fillers(exported):
    combine, draw = generators(exported.folder)
    for name, counted in (("templates.txt", [0, 1, 4]), ("segments.txt", [0])):
        for line, row in zip(texts_of(exported.folder, name), counted, strict=True):
            pools = [
                [p] if p not in FILLERS else [f for f in FILLERS[p] if "{" not in f and "%" not in f] for p in TEMPLATES[row][0]
            ]
            expected = {""}
            for pool in pools:
                expected = {head + text for head in expected for text in pool}
            expected = {text.strip() for text in expected}
            assert set(combine.generate(line, 1000)) == expected
            assert set(draw.generate(line, 20)) <= expected
    assert len(set(draw.generate("__templates__", 10))) > 3  # the templates are a list, too


def test_a_filler_with_a_zero_character_is_left_out_counted_and_the_export_is_read_again(tmp_path):
    done = export.write_wildcards(small({**FILLERS, "artist": {"a\0b": 9, "ok": 1, "\ufeffc": 1}}), tmp_path / "out")
    assert done.left_out["fillers: text holds a zero character"] == 1
    assert set(wildcards.read(done.folder)["artist"]) == {"ok"}


def test_weights_are_the_usage_and_dynamicprompts_draws_by_them(tmp_path):
    done = export.write_wildcards(small(), tmp_path, weights=True)
    known = wildcards.read(done.folder)
    assert known["artist"] == {"rembrandt": 9.0, "h. r. giger": 5.0, "3{:}:x": 2.0} and "artist.json" in done.files
    drawn = generators(done.folder)[1].generate("__artist__", 400)
    assert drawn.count("rembrandt") / 400 == pytest.approx(9 / 16, abs=0.1) and set(drawn) == {"rembrandt", "h. r. giger", "3::x"}


def test_n_keeps_the_most_used_fillers(tmp_path):
    assert texts_of(export.write_wildcards(small(), tmp_path, n=1).folder, "artist.txt") == ["rembrandt"]
    for n in (0, True, 1.5):
        with pytest.raises(ValueError, match="n, how many fillers a code has at most, must be an int of 1 or more"):
            export.write_wildcards(small(), tmp_path / "x", n=n)


def test_an_earlier_export_is_replaced_as_a_whole(exported):
    again = export.write_wildcards(small({"b": {"x": 1}}, []), exported.folder)
    assert again.files == ("b.txt",) and sorted(os.listdir(exported.folder)) == [".workbench-export", "b.txt"]
    assert os.listdir(exported.folder.parent) == ["out"]


def test_other_files_in_the_folder_are_never_lost(exported):
    (exported.folder / "mine.txt").write_text("precious")
    with pytest.raises(ArtifactError, match="it holds mine.txt, which no earlier export put there. Nothing was changed"):
        export.write_wildcards(small(), exported.folder)
    assert (exported.folder / "mine.txt").read_text() == "precious"


def test_an_empty_folder_and_one_that_a_link_points_to_are_written(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    export.write_wildcards(small(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "empty" / "artist.txt").exists()


def test_a_place_that_cannot_be_written_is_said_before_anything_is_there(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="it is a file"):
        export.write_wildcards(small(), tmp_path / "file")
    with pytest.raises(ArtifactError, match="Cannot write .*Not a directory"):
        export.write_wildcards(small(), tmp_path / "file" / "below")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ArtifactError, match="Permission denied"):
        export.write_wildcards(small(), tmp_path / "new")
    assert os.listdir(tmp_path) == ["file"]


def test_a_dsl_that_has_learned_nothing_exports_nothing(tmp_path):
    empty = DeepDSL()
    for write in (export.write_wildcards, export.write_json, export.write_csv):
        with pytest.raises(NotFittedError, match="learned nothing yet"):
            write(empty, tmp_path / "x")
    assert not os.listdir(tmp_path)


def test_the_built_in_dsl_survives_the_round_trip(tmp_path, minilm):
    dsl = DeepDSL.load("world", encoder=minilm)
    done = export.write_wildcards(dsl, tmp_path / "out")
    assert not done.left_out and done.templates == len(dsl.templates) + len(dsl.segments)
    known, (combine, draw) = wildcards.fillers(done.folder), generators(done.folder)
    texts = zip(dsl.fillers.texts, dsl.fillers.codes.tolist(), strict=True)
    assert {(stem, text) for stem in known for text in known[stem]} == {
        (done.lists[dsl.codes[c].name], text) for text, c in texts
    }
    for line, counted in zip(texts_of(done.folder, "templates.txt"), dsl.templates, strict=True):
        skeleton = parse(counted.examples[0]).open()
        for text in (*draw.generate(line, 1), *combine.generate(line, 1)):
            fillers = skeleton.match(text)
            assert fillers is not None, (line, text)


# ---- JSON and CSV --------------------------------------------------------------------------------------------------------


def test_json_holds_the_whole_grammar(tmp_path):
    export.write_json(small(), tmp_path / "grammar.json")
    data = json.loads((tmp_path / "grammar.json").read_text("utf-8"))
    artist = data["codes"][0]
    assert artist["fillers"][0] == {"text": "rembrandt", "count": 9} and len(artist["fillers"]) == 4
    assert artist["followed_by"] == {"Artist": 0.75} and artist["ends"] == 0.25 and data["begins"] == {"artist": 1.0}
    assert data["templates"][0]["skeleton"] == "portrait by <artist>, <oil/on canvas>" and data["templates"][0]["count"] == 7


def test_csv_is_one_table(tmp_path):
    export.write_csv(small(), tmp_path / "grammar.csv")
    with open(tmp_path / "grammar.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"kind": "code", "code": "artist", "text": "", "count": "20"}
    assert {"kind": "filler", "code": "oil/on canvas", "text": "ac//dc | live", "count": "8"} in rows
    assert [row["text"] for row in rows if row["kind"] == "template"] == [one.skeleton for one in small().templates]
    with pytest.raises(ArtifactError, match="it is a folder"):
        export.write_csv(small(), tmp_path)


def test_csv_cells_are_no_formulas(tmp_path):
    dsl = small({"artist": {"=1+1": 3, "--ar 16:9": 2, "rembrandt": 1}, "+x": {"y": 1}}, [(("artist",), 1)])
    export.write_csv(dsl, tmp_path / "g.csv")
    with open(tmp_path / "g.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows if row["kind"] == "filler"] == ["'=1+1", "'--ar 16:9", "rembrandt", "y"]
    assert [row["code"] for row in rows if row["kind"] == "code"] == ["artist", "'+x"]


# ---- known codes ---------------------------------------------------------------------------------------------------------


def halves(given):
    """Six types of one and the same kind, on the axes of R^8 plus noise, and two other kinds; half of the first are given."""
    rng = np.random.default_rng(0)
    static = np.eye(8, dtype=np.float32)[[0] * 6 + [1] * 3 + [2] * 3] + rng.normal(0, 0.05, (12, 8)).astype(np.float32)
    types = rng.integers(0, 12, 600)
    layer = (static[types] + rng.normal(0, 0.05, (600, 8))).astype(np.float32)
    before = np.where(np.arange(600) % 4, 1, 2).astype(np.int8)
    config = CodebookConfig(n_codes=4, epochs=8)
    book = Codebook(config).fit(layer, static, types, before, progress=False, given=given)
    return types, book.encode(layer, static, types, before), book


def test_given_types_keep_their_code_where_seeds_alone_are_lost(monkeypatch):
    given = np.full(12, -1)
    given[:3], given[3:6] = 0, 1  # one kind by all its features, two by hand
    types, codes, _ = halves(given)
    assert np.mean(codes[types < 3] == 0) > 0.95 and np.mean(codes[(types >= 3) & (types < 6)] == 1) > 0.95
    assert not np.isin(codes[types >= 6], [0, 1]).any()
    monkeypatch.setattr("workbench.language.codebook.memory._ANCHOR", 0)  # what is left are the seeds
    types, codes, _ = halves(given)
    assert min(np.mean(codes[types < 3] == 0), np.mean(codes[(types >= 3) & (types < 6)] == 1)) < 0.8
    with pytest.raises(ValueError, match="given holds a code 0..3"):
        halves(np.full(12, 4))


def test_a_code_is_saved_with_what_it_was_given():
    given = np.full(12, -1)
    given[:3], given[3:6] = 0, 1
    types, codes, book = halves(given)
    again = Codebook.from_state(*book.to_state())
    np.testing.assert_array_equal(again._memory, book._memory)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A DSL with artists and media given, learned with a random encoder, whose vectors say little."""
    encoder = load_encoder(write_bert(tmp_path_factory.mktemp("bert")), layer=3, device="cpu")
    prompts = corpora.load("world", n=400, seed=0, progress=False)
    config = DSLConfig(codebook=CodebookConfig(n_codes=8, epochs=6), writer=None)
    known = {slot: [f for group in SLOTS[slot].values() for f in group] for slot in ("artist", "medium")}
    with pytest.MonkeyPatch.context() as patch:  # fewer numbers of that encoder, so that its noise does not drown the memory
        patch.setattr("workbench.language.codebook._N_DIMS", 8)
        patch.setattr("workbench.language.codebook._N_CONTEXT", 6)
        dsl = DeepDSL.fit(prompts, config, encoder, folder=tmp_path_factory.mktemp("fits"), progress=False, codes=known)
    return dsl, known, prompts


def test_given_codes_keep_their_names_and_their_fillers(learned):
    dsl, known, prompts = learned
    assert [code.name for code in dsl.codes[:2]] == list(known) and len({code.name for code in dsl.codes}) == 8
    kind = {filler.lower(): name for name, fillers in known.items() for filler in fillers}
    read = [(kind[u.text.lower()], u.name) for units in dsl.tag(prompts[:200]) for u in units if u.text.lower() in kind]
    assert len(read) > 50 and np.mean([true == found for true, found in read]) >= 0.9
    assert dsl.stats["given"]["artist"]["fillers"] == len(known["artist"]) >= dsl.stats["given"]["artist"]["used"] > 20


def test_a_code_that_never_occurs_is_an_error_before_the_long_work(tmp_path):
    encoder = load_encoder(write_bert(tmp_path / "bert"), layer=3, device="cpu")
    config = DSLConfig(codebook=CodebookConfig(n_codes=4), writer=None)
    prompts = [f"a castle, oil, number {i}" for i in range(40)]
    known = {"place": ["castle"], "weapon": ["sword", "blunt axe"], "and": ["of the"]}
    with pytest.raises(ValueError, match="No filler of 'weapon', 'and' is a phrase of these prompts"):
        DeepDSL.fit(prompts, config, encoder, folder=tmp_path / "fits", progress=False, codes=known)


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [
        (["a"], TypeError, "codes is a dict of name"),
        ({"a": "b"}, TypeError, r"codes\['a'\] must be a list of str"),
        ({"a": [3]}, TypeError, r"codes\['a'\] must hold str, got 3"),
        ({"a": [" "]}, ValueError, "needs a name and a filler"),
        ({"": ["a"]}, ValueError, "needs a name and a filler"),
        ({str(i): ["a"] for i in range(32)}, ValueError, "32 codes are given and the language has 32"),
        ("lexicons", ValueError, "codes is \"lexicon\", a dict of name to a list of fillers, or None, got 'lexicons'"),
        ({"a": ["fox", "owl"], "b": ["Owl "]}, ValueError, "each filler of 'b' stands under 'a' too"),
    ],
)
def test_codes_that_cannot_be_used_are_an_error_before_the_work(codes, error, message):
    with pytest.raises(error, match=message):
        DeepDSL.fit(["a cat"], codes=codes)
