"""Corpus: sources, cleaning, duplicates, storage. All prompts here are invented."""

import csv
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
import types
import unicodedata
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import corpus as corpus_module
from workbench import words
from workbench.data.corpus import Corpus, cleaning, formats, load, store
from workbench.data.corpus.duplicates import NearDuplicates, sketches
from workbench.values import ArtifactError, CorpusError
from workbench.world import grammar

PROMPTS = [
    "a lighthouse in fog, oil on canvas",
    "portrait of a tired baker, soft window light, 8 k",
    "sci - fi harbour :: wide angle --ar 16:9",
    "((a paper boat)), (blue ink:1.2) | studio light",
    "замок на холме, акварель",
    "a fox 🦊 reading 👩‍🚀 under an oak",
]
UNUSUAL = [
    *PROMPTS,
    "قلعة على تل، ألوان مائية",
    "一座山上的城堡，水彩画",
    "moth::2 lamp::-0.5, f/1.8",
    'a "quoted" word; {set|of} [marks]',
    "नीला फूल, काँच",
]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("WORKBENCH_CACHE", str(folder))
    return folder / "corpus"


def quiet(source, **options):
    return load(source, progress=False, **options)


def adds_up(corpus):
    report = corpus.report
    assert report.kept == len(corpus) == len(corpus.rows)
    assert report.kept + sum(report.dropped.values()) == report.read
    return True


# Sources --------------------------------------------------------------------------------------------------------------


def write(folder, suffix):
    """PROMPTS as a file of this kind, with another column where the kind has columns."""
    path = folder / f"prompts{suffix}"
    scores = list(range(len(PROMPTS)))
    plain = suffix.removesuffix(".gz")
    if plain == ".parquet":
        pq.write_table(pa.table({"score": scores, "Prompt": PROMPTS}), folder / "plain.parquet")
        data = (folder / "plain.parquet").read_bytes()
    else:
        quoted = [p.replace('"', '""') for p in PROMPTS]
        data = {
            ".txt": "\n".join(PROMPTS) + "\n",
            ".csv": "score,Prompt\n" + "".join(f'{s},"{p}"\n' for s, p in zip(scores, quoted, strict=True)),
            ".tsv": "score\tPrompt\n" + "".join(f"{s}\t{p}\n" for s, p in zip(scores, PROMPTS, strict=True)),
            ".json": json.dumps([{"score": s, "Prompt": p} for s, p in zip(scores, PROMPTS, strict=True)]),
            ".jsonl": "".join(json.dumps({"score": s, "Prompt": p}) + "\n" for s, p in zip(scores, PROMPTS, strict=True)),
        }[plain].encode()
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_every_kind_of_file_gives_the_same_prompts(tmp_path, suffix, packed):
    corpus = quiet(write(tmp_path, suffix + packed))
    assert list(corpus) == PROMPTS
    assert corpus.rows.tolist() == list(range(len(PROMPTS)))
    assert corpus.source.endswith(suffix + packed)
    assert adds_up(corpus)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(PROMPTS),
        json.dumps({"id": list(range(len(PROMPTS))), "caption": PROMPTS}),
        json.dumps({"caption": {str(i): p for i, p in enumerate(PROMPTS)}}),
    ],
)
def test_json_may_be_an_array_of_strings_or_an_object_of_columns(tmp_path, text):
    path = tmp_path / "p.json"
    path.write_text(text)
    assert list(quiet(path)) == PROMPTS


def test_a_path_may_be_a_string_and_start_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("prompt;score\na red barn;1\na grey barn, snow;2\n", encoding="utf-8-sig")
    assert list(quiet(str(path))) == ["a red barn", "a grey barn, snow"]


def test_lines_may_end_as_on_any_system(tmp_path):
    path = tmp_path / "p.txt"
    path.write_bytes(b"a red barn\r\na blue door\ra grey sea\n\nan old map")
    corpus = quiet(path)
    assert list(corpus) == ["a red barn", "a blue door", "a grey sea", "an old map"]
    assert corpus.rows.tolist() == [0, 1, 2, 4]
    assert corpus.report.dropped == {"empty": 1}


def test_a_line_end_inside_a_csv_prompt_is_kept(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text('prompt\n"a red barn,\n  at dawn"\n')
    before = csv.field_size_limit(70_000)
    assert list(quiet(path)) == ["a red barn,\nat dawn"]
    assert csv.field_size_limit(before) == 70_000  # the limit is the whole process's


def test_lists_iterators_records_and_columns_are_read():
    assert list(quiet(PROMPTS)) == list(quiet(iter(PROMPTS))) == PROMPTS
    assert list(quiet([{"id": 1, "text": p} for p in PROMPTS])) == PROMPTS
    assert list(quiet({"text": PROMPTS, "id": [1] * 6})) == PROMPTS
    assert list(quiet(np.array(PROMPTS))) == PROMPTS
    corpus = Corpus.from_texts(PROMPTS)
    assert list(corpus) == PROMPTS and corpus.source == "list"
    with pytest.raises(TypeError, match="takes a list of prompts, got one str"):
        Corpus.from_texts("a red barn")


def test_the_column_is_the_one_asked_for_or_of_a_usual_name_or_the_only_text(tmp_path):
    rows = [{"negative": "blurry hands", "prompt": "a red barn", "n": "1"}]
    assert list(quiet(rows)) == ["a red barn"]
    assert list(quiet(rows, column="negative")) == ["blurry hands"]
    assert list(quiet([{"n": "1", "words of mine": "a red barn", "k": 2}])) == ["a red barn"]
    with pytest.raises(
        CorpusError,
        match=r"no column 'promt'. It has: 'negative' \('blurry hands'\), 'prompt' \('a red barn'\), 'n' \('1', a number\)",
    ):
        quiet(rows, column="promt")
    with pytest.raises(CorpusError, match="several columns with text; say which .* It has: 'mine' .'a red barn'., 'yours'"):
        quiet([{"mine": "a red barn", "yours": "a blue barn"}])
    with pytest.raises(CorpusError, match="no column with text"):
        quiet([{"a": 1, "b": "2"}])
    path = write(tmp_path, ".parquet")
    with pytest.raises(CorpusError, match="no column 'text'. It has: 'score', 'Prompt'"):
        quiet(path, column="text")


def test_a_column_asked_for_where_there_are_none_is_an_error(tmp_path):
    for source in (write(tmp_path, ".txt"), PROMPTS, "world"):
        with pytest.raises(CorpusError, match="no columns, but column='prompt' was given"):
            quiet(source, column="prompt")


def test_the_world_is_the_grammar_and_knows_its_truth():
    corpus = quiet("world", n=300, seed=3, split="test")
    assert len(corpus) > 280 and adds_up(corpus) and corpus.report.read == 300
    train, held_out = corpus.split(0.3)
    for part in (corpus, train, held_out):
        for i in (0, len(part) // 2, len(part) - 1):
            truth = part.truth(i)
            assert truth == grammar.prompt(int(part.rows[i]), seed=3, split="test")
            assert truth.text == part[i] and len(truth.labels) == len(words.split(part[i]))
    with pytest.raises(IndexError):
        corpus.truth(300)
    with pytest.raises(CorpusError, match="truth is known for .* only; this corpus comes from list"):
        quiet(PROMPTS).truth(0)


def test_a_truth_that_cleaning_made_untrue_is_refused(monkeypatch):
    corpus = quiet("world", n=5)
    monkeypatch.setattr(grammar, "prompt", lambda i, seed, split: grammar.LabelledPrompt("something  else", (), ()))
    with pytest.raises(CorpusError, match="Cleaning changed prompt 2, so its labels no longer fit"):
        corpus.truth(2)


def test_a_hub_data_set_is_streamed_and_read_no_further_than_needed(monkeypatch):
    served = []

    def stream():
        for i in itertools.count():
            served.append(i)
            yield {"id": i, "caption": f"painting {i} of a harbour, with {i * i} boats"}

    asked = {}

    def load_dataset(name, **options):
        asked.update(name=name, **options)
        return stream()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = quiet("someone/harbours", n=50, split="validation")
    hub = str(store.cache_folder() / "hub")
    assert asked == {"name": "someone/harbours", "split": "validation", "streaming": True, "cache_dir": hub}
    assert len(corpus) == 50 and len(served) == 200 and corpus.source == "someone/harbours"
    assert adds_up(corpus) and corpus.report.dropped == {"not in the sample": 150}


def test_a_hub_that_cannot_be_reached_is_a_clear_error(monkeypatch):
    def offline(name, **options):
        raise ConnectionError("no route to host\nwith a long tail")

    def breaks_off(name, **options):
        yield from ({"text": f"drawing {i} of a cat"} for i in range(500))
        raise OSError("connection reset")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(CorpusError, match=r"'a/b' cannot be read \(ConnectionError: no route to host\). .*offline, or the id"):
        quiet("a/b")
    monkeypatch.setattr(datasets, "load_dataset", breaks_off)
    with pytest.raises(CorpusError, match="OSError: connection reset"):
        quiet("a/b")


def test_a_split_is_refused_where_there_is_none(tmp_path):
    with pytest.raises(CorpusError, match="split='test' is for .*; a list has no splits"):
        quiet(PROMPTS, split="test")
    with pytest.raises(ValueError, match="split must be one of train, test; got 'dev'"):
        quiet("world", n=3, split="dev")


# Bad input ------------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_named_with_its_near_names(tmp_path):
    (tmp_path / "my_prompts.csv").write_text("prompt\na red barn\n")
    with pytest.raises(CorpusError, match=r"no file .*my_promts.csv. Did you mean 'my_prompts.csv'\?"):
        quiet(tmp_path / "my_promts.csv")
    with pytest.raises(CorpusError, match="no file .*zzz.txt. Expected"):
        quiet(str(tmp_path / "zzz.txt"))
    with pytest.raises(CorpusError, match="the folder .*nowhere does not exist"):
        quiet(tmp_path / "nowhere" / "p.txt")
    with pytest.raises(CorpusError, match="is a folder. Name a file in it: my_prompts.csv"):
        quiet(tmp_path)
    (tmp_path / "void").mkdir()
    with pytest.raises(CorpusError, match="none of a known kind is there"):
        quiet(tmp_path / "void")


@pytest.mark.parametrize("source", ["a red barn at dawn", "a red barn\na blue barn", "x" * 5_000, "a\0b"])
def test_a_prompt_is_not_a_source(source):
    with pytest.raises(CorpusError, match="is no file. Expected .* pass its lines"):
        quiet(source)


@pytest.mark.parametrize("source", [7, b"a red barn", None, types.SimpleNamespace(columns=["prompt"])])
def test_a_source_of_another_type_is_an_error(source):
    with pytest.raises(CorpusError, match=f"Cannot load prompts from a {type(source).__name__}. Expected"):
        quiet(source)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.txt", b"", "is empty"),
        ("p.txt.gz", gzip.compress(b""), "is empty"),
        ("p.csv", b"prompt,score\n", r"no rows below its header \['prompt', 'score'\]"),
        ("p.json", b"[]", "is empty: it holds no prompts"),
        ("p.json", b'{"prompt": []}', "no column with text"),
        ("p.json", b"7", "expected an array of strings or objects, or an object of columns"),
        ("p.json", b'["a red barn",\n"a blue', "it is not JSON: .* line 2"),
        ("p.json", b'"a red barn"\n"a blue barn"\n', "One JSON value a line is .jsonl: rename it"),
        ("p.json", b"[" * 100_000, "is damaged"),
        ("p.jsonl", b'"a red barn"\n\n{"a": \n', "line 3 is not JSON"),
        ("p.jsonl", b'"a red barn"\n' + b"[" * 5_000, "line 2 is not JSON"),
        ("p.txt", b"a red barn\ncaf\xe9 at night\n", r"not UTF-8: line 2, byte 14 of the file \(0xe9\).*iconv -f WINDOWS-1252"),
        ("p.txt", "a red barn\n".encode("utf-16"), "is UTF-16, expected UTF-8. Convert it: iconv"),
        ("p.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not text: it is a PNG picture"),
        ("p.csv", b"prompt\na red\0barn\n", "binary .NUL at byte 12"),
        ("p.txt", gzip.compress(b"a red barn"), "compressed with gzip; end its name in .gz"),
        ("p.txt.gz", b"a red barn\n", "cannot be opened .Not a gzipped file"),
        (
            "p.txt.gz",
            gzip.compress(np.random.default_rng(0).bytes(90_000).hex("\n", 20).encode())[:60_000],
            "damaged after line [0-9]+",
        ),
        ("p.docx", b"a red barn", r"of no known kind \(.docx\). Known: .txt, .csv"),
        ("p", b"a red barn", r"of no known kind \(no suffix\)"),
        ("p.parquet", b"", "is empty"),
        ("p.parquet", b"PAR1 and then something else PAR1", "is damaged, or not parquet"),
        ("p.csv", b'a red barn on a hill\n"a blue barn"\n', "should name the columns, but looks like a row: 'a red barn"),
        ("p.txt", b"a\n\n7\n", "No row of .*p.txt is a usable prompt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "holding",
)
def test_bad_files_are_clear_errors(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(CorpusError, match="(?s)" + message):
        quiet(path)


def test_a_parquet_file_that_is_damaged_in_the_middle_or_without_rows_is_an_error(tmp_path):
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"prompt": [f"barn number {i} at dawn" for i in range(5_000)]}), path, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[200:20_000] = b"\xff" * 19_800
    path.write_bytes(data)
    with pytest.raises(CorpusError, match="is damaged, or not parquet"):
        quiet(path)
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), path)
    with pytest.raises(CorpusError, match="is empty: it has the columns prompt, but no rows"):
        quiet(path)


def test_rows_of_another_width_are_counted(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("prompt,score\na red barn,1\na blue barn, dawn,2\nan old map,3\n\na grey sea\n")
    corpus = quiet(path)
    assert list(corpus) == ["a red barn", "a blue barn, dawn", "an old map"] and adds_up(corpus)
    assert corpus.report.dropped == {"broken row": 1, "empty": 1}
    assert corpus.report.examples["broken row"] == [(4, "line 6: 1 fields, the header has 2")]
    assert corpus.report.mended == {"fields without quotes hold the delimiter": 1}
    assert "mended: fields without quotes hold the delimiter, 1 rows   row 1: a blue barn, dawn" in str(corpus.report)


@pytest.mark.parametrize("n", [0, -3])
def test_n_must_be_positive(n):
    with pytest.raises(CorpusError, match=f"n={n}: expected a number of prompts, 1 or more"):
        quiet(PROMPTS, n=n)


def test_rows_that_are_no_prompts_are_counted_by_rule(tmp_path):
    rows = ["a red barn", None, 7, ["a", "list"], "  \t", "barn", "!!! ???", "word " * 151, "ab " * 700, "half \ud83d of it"]
    with pytest.warns(UserWarning, match="list: 9 of 10 rows were dropped .90%., 3 of them by the rule 'not a string' .row 1"):
        corpus = quiet(rows)
    assert list(corpus) == ["a red barn"] and adds_up(corpus)
    assert corpus.report.dropped == {"not a string": 3, "empty": 1, "too short": 2, "too long": 2, "not valid Unicode": 1}
    assert corpus.report.examples["not a string"] == [(1, "NoneType None"), (2, "int 7"), (3, "list ['a', 'list']")]
    assert corpus.report.examples["not valid Unicode"] == [(9, "half ? of it")]
    assert len(quiet(["word" + " word" * 149])) == 1
    with pytest.raises(CorpusError, match="(?s)No row of list is a usable prompt.\n2 rows read, 0 kept.*not a string"):
        quiet([None, 3])


@pytest.mark.parametrize("huge", ["x" * 2**20, "a " * 2**19, " " * 2**20, "a, b\n" * 2**18])
def test_a_row_of_a_megabyte_is_dropped_without_a_look_inside(tmp_path, huge, monkeypatch):
    monkeypatch.setattr(cleaning, "normalise", lambda text: text if len(text) < 20_001 else pytest.fail("looked inside"))
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(json.dumps(text) for text in ["a red barn", huge, "a blue sea"]))
    corpus = quiet(path)
    assert list(corpus) == ["a red barn", "a blue sea"] and corpus.report.dropped == {"too long": 1}
    assert len(corpus.report.examples["too long"][0][1]) < 80


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl", ".json", ".txt.gz"])
def test_a_line_without_an_end_is_counted_or_named(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(formats, "_LINE", 50_000)
    monkeypatch.setattr(formats, "_BLOCK", 7_000)
    monkeypatch.setattr(formats, "_JSON", 100_000)
    huge, path = "x, é " * 60_000, tmp_path / f"p{suffix}"
    lines = ["a red barn", huge, "a blue sea"]
    if "json" in suffix:
        lines = [json.dumps(line) for line in lines]
    text = "[" + ",\n".join(lines) + "]" if suffix == ".json" else "\n".join(["prompt"] * (suffix == ".csv") + lines)
    path.write_bytes(gzip.compress(text.encode()) if suffix == ".txt.gz" else text.encode())
    if suffix == ".json":
        with pytest.raises(CorpusError, match="too much for one JSON value. Write it as .jsonl"):
            quiet(path)
    else:
        corpus = quiet(path)
        assert list(corpus) == ["a red barn", "a blue sea"] and corpus.report.dropped == {"too long": 1} and adds_up(corpus)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 100])
def test_line_ends_are_the_same_wherever_a_block_ends(tmp_path, block, monkeypatch):
    monkeypatch.setattr(formats, "_BLOCK", block)
    path = tmp_path / "p.txt"
    path.write_bytes("a red barn\r\na blue door\r\r\nan old séa\n\rthe end now".encode())
    assert [(row, text) for row, text in zip(quiet(path).rows.tolist(), quiet(path), strict=True)] == [
        (0, "a red barn"),
        (1, "a blue door"),
        (3, "an old séa"),
        (5, "the end now"),
    ]


def test_prompts_that_are_all_equal_leave_one():
    with pytest.warns(UserWarning, match="499 of 500 rows were dropped"):
        corpus = quiet(["a red barn"] * 500)
    assert list(corpus) == ["a red barn"] and corpus.report.dropped == {"exact duplicate": 499}
    assert corpus.report.examples["exact duplicate"][0] == (1, "a red barn [like row 0]") and adds_up(corpus)


# Cleaning -------------------------------------------------------------------------------------------------------------


def test_what_people_type_survives_untouched():
    corpus = quiet(UNUSUAL)
    assert list(corpus) == UNUSUAL and corpus.report.changed == 0


def test_cleaning_tidies_white_space_control_characters_and_unicode_form():
    typed = ["  a\tred \u00a0 barn\x07\x00 ", "cafe\u0301 at night", "\ufeffan old\r\n  map\x85 of rome", "a blue door"]
    corpus = quiet(typed)
    assert list(corpus) == ["a red barn", "caf\u00e9 at night", "an old\nmap\nof rome", "a blue door"]
    assert corpus.report.changed == 3


@given(st.text(max_size=60))
def test_cleaning_twice_is_cleaning_once(text):
    once = cleaning.normalise(text)
    assert cleaning.normalise(once) == once and unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(c) == "Cc" and c != "\n" for c in once) and once == once.strip() and "  " not in once


def test_equal_but_for_case_space_and_punctuation_is_an_exact_duplicate():
    corpus = quiet(
        [
            "A Red Barn, 8k!",
            "a red barn 8 K",
            "a red; barn (8k)",
            "a red barn 🐴 8k",
            "a red barn 🦊 8k",
            "СТАРЫЙ дом",
            "старый, дом",
        ]
    )
    assert corpus.rows.tolist() == [0, 3, 4, 5]
    assert corpus.report.dropped == {"exact duplicate": 3}
    assert cleaning.key("Sci - Fi, 8 K") == cleaning.key("sci-fi 8k") == "scifi8k"
    assert cleaning.content_hash("a red barn") == cleaning.content_hash("A red, barn") != cleaning.content_hash("a red born")


def test_scripts_without_blanks_are_not_too_short():
    assert list(quiet(["一座山上的城堡", "お城の絵です", "ปราสาทบนเนินเขา"])) == [
        "一座山上的城堡",
        "お城の絵です",
        "ปราสาทบนเนินเขา",
    ]
    assert cleaning.clean("城堡").rule == "too short"


def test_the_report_reads_as_a_table():
    report = quiet(["a red barn", "a\tblue barn", "barn", "A RED\tBARN", "door"]).report
    first, *rest = str(report).split("\n")
    assert first == "5 rows read, 2 kept (40.0%), 1 of them tidied"
    assert rest[0].split() == "too short 2 40.0% row 2: barn".split()
    assert rest[1].split() == "exact duplicate 1 20.0% row 3: A RED BARN [like row 0]".split()
    assert report.read == 5 and report.kept == 2 and report.changed == 1
    assert report.dropped == {"too short": 2, "exact duplicate": 1}
    assert report.examples["too short"] == [(2, "barn"), (4, "door")]


@pytest.mark.filterwarnings("ignore:.* rows were dropped")
@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(alphabet="ab ,\t\n", max_size=12)), max_size=30), st.integers(1, 5))
def test_every_row_is_kept_or_counted(rows, n):
    try:
        corpus = quiet(["one good prompt", *rows], n=n)
    except CorpusError as err:
        pytest.fail(str(err))
    assert adds_up(corpus) and corpus.report.read == len(rows) + 1 and len(corpus) <= n


# Duplicates -----------------------------------------------------------------------------------------------------------


def invented(n, seed, edits):
    """Prompts of 8 to 40 words, some of them an earlier one with a few words changed."""
    random = np.random.default_rng(seed)
    prompts = []
    for _ in range(n):
        if prompts and random.random() < 0.5:
            prompt = list(prompts[random.integers(len(prompts))])
            for _ in range(random.integers(1, edits + 1)):
                prompt[random.integers(len(prompt))] = f"w{random.integers(500)}"
        else:
            prompt = [f"w{k}" for k in random.integers(500, size=random.integers(8, 40))]
        prompts.append(prompt)
    return prompts


def jaccard(a, b):
    a, b = ({tuple(p[i : i + 3]) for i in range(max(len(p) - 2, 1))} for p in (a, b))
    return len(a & b) / len(a | b)


def find(prompts, **options):
    """For each prompt the earlier one it nearly repeats, or None."""
    index = NearDuplicates(**options)
    return [index.add(i, sketch) for i, sketch in enumerate(sketches(prompts))]


def test_near_duplicates_are_those_of_comparing_all_pairs():
    prompts = invented(500, seed=0, edits=2)
    expected = np.full(500, False)
    for i in range(500):
        expected[i] = any(not expected[j] and jaccard(prompts[i], prompts[j]) >= 0.8 for j in range(i))
    origin = find(prompts)
    found = np.array([like is not None for like in origin])
    assert expected.sum() > 50
    assert (found != expected).sum() <= 0.02 * expected.sum()
    for i in np.flatnonzero(found):
        assert origin[i] < i and origin[origin[i]] is None and jaccard(prompts[i], prompts[origin[i]]) >= 0.8
    assert origin == find(prompts)


def test_the_jaccard_index_is_exact_at_the_threshold():
    base = [f"w{k}" for k in range(12)]  # 10 three-grams; with a last word changed 9 are shared: 9 / 11
    changed = [*base[:-1], "x"]
    assert find([base, changed], threshold=9 / 11) == [None, 0]
    assert find([base, changed], threshold=9 / 11 + 1e-9) == [None, None]


def test_prompts_of_one_and_two_words_are_compared_as_they_are():
    prompts = [["red"], ["red", "barn"], ["red"], ["red", "barn"], ["barn"], ["red", "barn", "door"]]
    assert find(prompts) == [None, None, 0, 1, None, None]


def test_only_the_latest_prompts_are_remembered():
    prompts = [[f"barn{i}", "by", f"lake{i}", "at", "dawn"] for i in range(10)]
    assert find([*prompts, prompts[9], prompts[5], prompts[4]], indexed=5)[10:] == [9, 5, None]


def test_a_big_family_of_near_duplicates_leaves_few():
    tail = " ".join(f"word{k}" for k in range(40))
    prompts = [f"barn{i} {tail}" for i in range(3_000)]
    with pytest.warns(UserWarning, match="near duplicate.*keep_near_duplicates=True keeps them"):
        corpus = quiet(prompts)
    assert list(quiet([*prompts, prompts[0]], keep_near_duplicates=True)) == prompts
    assert len(corpus) <= 30 and corpus[0].startswith("barn0 ") and adds_up(corpus)


def test_what_resembles_only_a_dropped_row_is_kept():
    together, apart = "ab cd ef gh ij kl mn op qr st", "a b c d e f g h i j k l m n o p q r s t"
    assert quiet([together, apart, f"{apart} framed"]).rows.tolist() == [0, 2]


def test_near_duplicates_are_reported_with_the_row_they_repeat():
    tail = "on a hill at dawn, soft light, long shadows, oil on canvas, muted colours, wide view"
    corpus = quiet([f"a red barn {tail}", "an old map of rome", f"a red barn {tail}, framed"])
    assert corpus.rows.tolist() == [0, 1] and corpus.report.dropped == {"near duplicate": 1}
    row, excerpt = corpus.report.examples["near duplicate"][0]
    assert row == 2 and excerpt.startswith("a red barn on a hill") and excerpt.endswith("… [like row 0]")


# Samples, the sequence, storage ---------------------------------------------------------------------------------------


def numbered(n):
    return [f"barn {i} beside lake {i * 7}, drawing {i * 3}" for i in range(n)]


def test_n_takes_a_seeded_sample_in_the_order_of_the_source():
    texts = numbered(400)
    first, again, other = quiet(texts, n=100, seed=1), quiet(texts, n=100, seed=1), quiet(texts, n=100, seed=2)
    assert list(first) == list(again) != list(other) and first.fingerprint == again.fingerprint
    assert len(first) == 100 and list(first) == [texts[i] for i in first.rows] and (np.diff(first.rows) > 0).all()
    assert first.report.dropped == {"not in the sample": 300} and adds_up(first)
    assert list(quiet(texts, n=400)) == list(quiet(texts, n=9_999)) == texts


def test_a_sample_looks_at_no_more_rows_than_it_needs(monkeypatch):
    looked = []
    monkeypatch.setattr(corpus_module, "clean", lambda text: looked.append(text) or cleaning.clean(text))
    corpus = quiet([*numbered(3_000), *["a red barn"] * 3_000, *[None] * 10], n=100)
    assert len(corpus) == 100 and len(looked) < 500 and adds_up(corpus) and corpus.report.read == 6_010


def test_a_sample_is_uniform():
    texts = numbered(40)
    counts = np.zeros(40)
    for seed in range(150):
        counts[quiet(texts, n=10, seed=seed).rows] += 1
    assert abs(counts - 37.5).max() < 22  # four standard deviations of a binomial count


def test_a_corpus_is_a_sequence():
    texts = numbered(5_000)  # more than one Arrow batch
    corpus = quiet(texts)
    assert len(corpus) == 5_000 and list(corpus) == texts
    assert corpus[0] == texts[0] and corpus[-1] == corpus[np.int64(4_999)] == texts[-1] and corpus[4_096] == texts[4_096]
    assert corpus[4_090:4_100] == texts[4_090:4_100] and corpus[::-700] == texts[::-700] and corpus[9:3] == []
    assert texts[4_500] in corpus and "a red barn" not in corpus and corpus.index(texts[7]) == 7
    assert repr(corpus) == "Corpus('list', 5,000 prompts)"
    with pytest.raises(IndexError, match="corpus.5000. is beyond its 5,000 prompts"):
        corpus[5_000]
    with pytest.raises(TypeError):
        corpus["a"]


def test_the_split_depends_on_the_content_alone():
    texts = numbered(2_000)
    train, held_out = quiet(texts).split(0.1)
    assert 140 < len(held_out) < 260 and sorted([*train.rows, *held_out.rows]) == list(range(2_000))
    assert list(held_out) == [texts[i] for i in held_out.rows]
    elsewhere = quiet([t.upper() + "!" for t in reversed(texts[500:])])
    again = {t[:-1].lower() for t in elsewhere.split(0.1)[1]}
    assert again == set(held_out) & set(texts[500:])
    assert set(held_out) < set(quiet(texts).split(0.2)[1])
    assert held_out.report is train.report and held_out.source == "list"


def test_a_split_may_leave_a_side_empty_but_must_be_a_share():
    train, held_out = quiet(["a red barn"]).split(1e-9)
    assert list(train) == ["a red barn"] and list(held_out) == [] == held_out[:] and len(held_out) == 0
    for share in (0, 1, -0.1):
        with pytest.raises(ValueError, match=f"held_out={share}: expected a share between 0 and 1"):
            train.split(share)


def test_the_fingerprint_is_that_of_texts_and_order():
    texts = numbered(20)
    assert quiet(texts).fingerprint == quiet([" " + t for t in texts]).fingerprint
    assert quiet(texts).fingerprint != quiet(texts[::-1]).fingerprint != quiet(texts[:-1]).fingerprint
    assert store.fingerprint(["ab", "c"]) != store.fingerprint(["a", "bc"])
    assert store.fingerprint([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def run_python(script, *arguments):
    """Run a script in a process of its own, with another seed for the hashes of str -> what it prints."""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_equal_seeds_give_equal_bytes_in_another_process(cache):
    script = "from workbench import corpus; print(corpus.load('world', n=200, seed=5, progress=False).fingerprint)"
    assert run_python(script).strip() == quiet("world", n=200, seed=5).fingerprint


def test_a_corpus_leaves_no_file_in_the_cache_folder(cache):
    train, _ = quiet(numbered(100)).split(0.3)
    assert list(cache.iterdir()) == [] and store.cache_folder() == cache and len(list(train)) == len(train)


def test_without_the_variable_the_cache_is_in_the_home_folder(monkeypatch):
    monkeypatch.delenv("WORKBENCH_CACHE")
    monkeypatch.setenv("HOME", "/somewhere")
    assert store.cache_folder() == Path("/somewhere/.cache/deep-dsl-workbench/corpus")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", lambda dir: open("/dev/full", "r+b", buffering=0))
        with pytest.raises(ArtifactError, match="disk is full: the corpus cannot be written to .* WORKBENCH_CACHE"):
            quiet(PROMPTS)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ArtifactError, match="cannot be written to .* WORKBENCH_CACHE to a folder"):
        quiet(PROMPTS)


def test_a_damaged_file_in_the_cache_folder_is_of_no_matter(cache):
    cache.mkdir(parents=True, exist_ok=True)
    before = quiet(numbered(50))
    (cache / "left.arrow").write_bytes(b"\xff" * 500)
    assert quiet(numbered(50)).fingerprint == before.fingerprint


def test_an_interrupted_load_leaves_no_file(cache):
    def rows():
        yield from numbered(5_000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet(rows())
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_memory_grows_by_a_few_kilobytes_a_prompt():
    # VmHWM, not ru_maxrss: that one starts from the memory of the process that started it
    script = """
import re, sys
from workbench import corpus
rows = range(int(sys.argv[1]))
texts = (f"barn {i} beside lake {i * 7 % 1013}, drawing {i * 31} of {i % 97} doors, oil on canvas" for i in rows)
assert len(corpus.load(texts, progress=False)) == len(rows)
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
    few, many = (int(run_python(script, str(n))) for n in (2_000, 12_000))
    assert (many - few) * 1024 / 10_000 < 5_000  # bytes per prompt: nearly all for the index of near duplicates


def test_progress_is_shown_when_asked_for(capsys, monkeypatch):
    monkeypatch.setattr("workbench.progress._place", lambda: "terminal")
    load(PROMPTS)
    assert "reading prompts" in capsys.readouterr().err
    quiet(PROMPTS)
    assert capsys.readouterr().err == ""


def test_real_prompts_keep_nearly_all():
    path = (
        Path(os.environ.get("WORKBENCH_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
        / "prompts"
        / "diffusiondb.txt"
    )
    if not path.exists():
        pytest.skip(f"no real prompts at {path}; set WORKBENCH_DATA")
    corpus = quiet(path)
    assert adds_up(corpus) and len(corpus) > 0.95 * corpus.report.read
    assert corpus.report.changed < 0.01 * len(corpus)


def test_the_report_of_a_sample_can_be_printed():
    texts = [f"a {animal} in a {place}" for animal in ("fox", "bear", "heron", "newt") for place in ("forest", "castle")]
    report = load(texts, n=3, progress=False).report
    assert "not in the sample" in str(report) and report.kept == 3
