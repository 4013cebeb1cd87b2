"""Columns: which column or place holds the prompts, and what is none. All prompts here are invented."""

import gzip
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from piles import B, F, S, check, error

from workbench.data.corpus.identifiers import kind_of


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


COLUMNS = [
    ("b.jsonl", '{"file_name": "0001.png", "captions": ["a red fox in snow", "an old ship at sea"]}', [F, S]),
    ("b.jsonl", '{"image": "out/a.png", "meta": {"prompt": "a red fox in snow"}}', [F]),
    (None, ["p1.txt", "p2.txt"], error("file|identifier")),
    ("b.parquet", parquet(prompt=[b"a red fox in snow"]), [F]),
    ("b.json", '{"version": 1, "data": [{"prompt": "a red fox in snow"}]}', [F]),
    ("b.json", '{"a.png": {"p": "a red fox in snow", "neg": "blurry bad hands"}}', [F]),
    ("b.jsonl", '{"file_name": "0001.png", "seed": 7}\n{"file_name": "0002.png", "seed": 8}', error("(?s)column=.*0001.png")),
    ("b.csv", "file,seed\n0001.png,7\n0002.png,9\n", error("(?s)column=.*0001.png")),
    ("b.csv", "url,seed\nhttps://example.org/a fox.png,7\n", error("(?s)column=.*example")),
    ("b.csv", "hash,seed\n9f86d081884c7d659a2feaa0c55ad015,7\n", error("column=")),
    ("b.csv", "uuid,seed\n123e4567-e89b-12d3-a456-426614174000,7\n", error("column=")),
    ("b.csv", "date,seed\n2024-01-02 10:11:12,7\n", error("column=")),
    ("b.csv", "date,seed\nJan 2 2024,7\n", error("column=")),
    ("b.csv", "date,seed\n02/01/2024 10:00 PM,7\n", error("column=")),
    ("b.csv", "path,seed\n/home/me/my pictures/a red fox,7\n", error("column=")),
    ("b.csv", "path,seed\nC:\\Users\\me\\a red fox,7\n", error("column=")),
    ("b.csv", "name,seed\nmy red fox picture.png,7\n", error("column=")),
    ("b.csv", "size,seed\n512 x 768,7\n", error("column=")),
    ("b.csv", "file,style\n0001.png,a red fox in snow\n", [F]),
    ("b.csv", "file,negative_prompt\n0001.png,blurry bad hands\n", error("column=")),
    ("b.csv", "file,Negative prompt\n0001.png,blurry bad hands\n", error("column=")),
    ("b.csv", "id,positivePrompt,negativePrompt\n1,a red fox in snow,blurry bad hands\n", [F]),
    ("b.csv", "id,prompt_en,comment\n1,a red fox in snow,this is a good one\n", [F]),
    ("b.csv", "id,Positive Prompt,comment\n1,a red fox in snow,this is a good one\n", [F]),
    ("b.json", '{"prompts": [{"text": "a red fox in snow"}, {"text": "an old ship at sea"}]}', [F, S]),
    ("b.json", '{"prompts": ["a red fox in snow", "an old ship at sea"]}', [F, S]),
    ("b.json", '{"a.png": "a red fox in snow", "b.png": "an old ship at sea"}', [F, S]),
    ("b.json", '{"0": {"prompt": "a red fox in snow"}, "1": {"prompt": "an old ship at sea"}}', [F, S]),
    ("b.json", '{"prompt": {"0": "a red fox in snow", "1": "an old ship at sea"}, "id": {"0": 1, "1": 2}}', [F, S]),
    (
        "b.json",
        '{"train": [{"prompt": "a red fox in snow"}], "test": [{"prompt": "an old ship at sea"}]}',
        error("train.prompt.*test.prompt"),
    ),
    ("b.json", '["a red fox in snow", "an old ship at sea"]', [F, S]),
    ("b.json", '[{"prompt": "a red fox in snow", "seed": NaN}]', [F]),
    ("b.json", '[["a red fox in snow"], ["an old ship at sea"]]', error("list")),
    ("b.json", '{"prompt": "a red fox in snow"}', [F]),
    ("b.jsonl", '{"messages": [{"role": "user", "content": "a red fox in snow"}]}\n', [F]),
    ("b.jsonl", '\n{"prompt": "a red fox in snow"}\n\n{"prompt": "an old ship at sea"}\n', [F, S]),
    ("b.jsonl", '"a red fox in snow"\n"an old ship at sea"\n', [F, S]),
    ("b.jsonl", '{"prompt": null, "caption": "a red fox in snow"}\n', [F]),
    ("b.jsonl", '{"prompt": "0001.png", "caption": "a red fox in snow"}\n', [F]),
    (
        "b.jsonl",
        '{"prompt": "a red fox in snow"}\n{"caption": "an old ship at sea"}\n',
        lambda c: list(c) == [F] and sum(c.report.dropped.values()) == 1,
    ),
    (
        "b.jsonl",
        '{"captions": ["a red fox in snow"]}\n{"captions": []}\n{"captions": "an old ship at sea"}\n',
        lambda c: list(c) == [F, S] and sum(c.report.dropped.values()) == 1,
    ),
    ("b.jsonl", '{"prompt": {"positive": "a red fox in snow", "negative": "blurry bad hands"}}\n', [F]),
    ("b.jsonl", '{"negative": {"text": "blurry bad hands"}, "id": 1}\n', error("column=")),
    ("b.jsonl", '{"meta.prompt": "a red fox in snow", "id": 2}\n', [F]),
    ("b.parquet", parquet(prompt=pa.array([F, S]).dictionary_encode()), [F, S]),
    ("b.parquet", parquet(prompt=pa.array([F, S], pa.large_string())), [F, S]),
    ("b.parquet", parquet(prompt=pa.array([F.encode(), S.encode()], pa.large_binary())), [F, S]),
    ("b.parquet", parquet(id=["a1", "b2"], captions=pa.array([[F], [S, B]])), [F, S, B]),
    ("b.parquet", parquet(meta=pa.array([{"prompt": F, "seed": 1}])), [F]),
    ("b.parquet", parquet(image=pa.array([{"bytes": b"\x89PNG\xff\xfe", "path": "a.png"}]), text=[F]), [F]),
    (
        "b.parquet",
        parquet(prompt=[b"\xff\xfe\xfd", F.encode()]),
        lambda c: list(c) == [F] and sum(c.report.dropped.values()) == 1,
    ),
    ("b.parquet", parquet(file=["a.png", "b.png"], n=[1, 2]), error("(?s)column=.*a.png")),
    ("b.parquet", parquet(prompt=pa.array([F, None])), lambda c: list(c) == [F] and sum(c.report.dropped.values()) == 1),
    ("b.parquet", parquet(__index_level_0__=[0], caption=[F]), [F]),
    (None, [b"a red fox in snow"], [F]),
    (None, ["p1.txt", F], lambda c: list(c) == [F] and sum(c.report.dropped.values()) == 1),
    (None, ["https://example.org/a.png", "https://example.org/b.png"], error("address|identifier")),
    (None, ["123 456", "789 12"], error("number|identifier")),
    ("b.txt", "0001.png\n0002.png\n", error("identifier|file")),
    ("b.txt", "https://s.mj.run/abc a red fox in snow\n", ["https://s.mj.run/abc a red fox in snow"]),
    ("b.txt", "/imagine prompt: a red fox in snow\n", ["/imagine prompt: a red fox in snow"]),
    ("b.txt", "1girl, solo\n2 girls, 1 boy\n", ["1girl, solo", "2 girls, 1 boy"]),
    ("b.txt", "cat/dog hybrid\n16:9 photo of a fox\nd&d map, 4k\n", ["cat/dog hybrid", "16:9 photo of a fox", "d&d map, 4k"]),
    ("b.csv", 'file,meta\na.png,"{""prompt"": ""a red fox in snow""}"\n', error("column=|JSON")),
    ("b.csv", "sampler,seed\nEuler a,7\nEuler a,8\n", lambda c: "sampler" in c.report.shape),
]
deep = "[" * 5_000
EDGES = [
    (
        None,
        ["\u200b \u200b", "\u2800 \u2800", "a red fox"],
        lambda c: list(c) == ["a red fox"] and c.report.dropped == {"empty": 2},
    ),
    (
        None,
        [
            "\u3164 \u3164",
            "\u2060 \u2060",
            "\ufe0f \ufe0f",
            "\u00ad \u00ad",
            "\u180e \u180e",
            "\u115f \u1160",
            "\U000e0020 \U000e0021",
            "\u034f \u034f",
            "\u200e \u200f",
            "\ufeff \ufeff",
            "\x00 \x01",
            "\ue000",
            "a red fox",
        ],
        lambda c: list(c) == ["a red fox"] and c.report.dropped.get("empty", 0) == 11,
    ),
    (None, ["fox \u2800", "a red fox"], lambda c: list(c) == ["a red fox"]),
    ("c.txt", "a red fox in snow\n".encode("utf-32"), error("UTF-32.*converted.txt")),
    ("c.txt", "a red fox in snow\n".encode("utf-32-le"), error("UTF-32")),
    ("c.txt", "a red fox in snow\n".encode("utf-32-be"), error("UTF-32")),
    ("c.txt", "\ufeffa red fox in snow\n".encode("utf-32-be"), error("UTF-32")),
    ("c.csv", "prompt\na red fox in snow\n".encode("utf-16"), error("UTF-16.*converted.csv")),
    ("c.csv", "prompt\na red fox in snow\n".encode("utf-16-le"), error("UTF-16LE")),
    ("c.csv", "prompt\na red fox in snow\n".encode("utf-16-be"), error("UTF-16BE")),
    ("c.txt", "замок на холме, акварель\n".encode("utf-16-le"), error("UTF-16LE")),
    ("c.txt", "замок на холме, акварель\n".encode("utf-16"), error("UTF-16")),
    ("c.txt.gz", gzip.compress("a red fox in snow\n".encode("utf-16")), error("UTF-16.*gunzip|UTF-16.*gzip")),
    ("c.jsonl", '{"prompt": "a red fox"}\n'.encode("utf-16"), error("UTF-16.*converted.jsonl")),
    ("c.txt", "a red fox in snow\n".encode("utf-8-sig"), [F]),
    ("c.json", '["a red fox in snow"]'.encode("utf-8-sig"), [F]),
    ("c.jsonl", '{"prompt":"a red fox in snow"}'.encode("utf-8-sig"), [F]),
    (None, {"prompt": pd.Series([F])}, [F]),
    (None, {"prompt": np.array([F])}, [F]),
    (None, {"prompt": (F, S)}, [F, S]),
    (None, {"prompt": pd.Series([F, S], index=[5, 9]), "id": np.arange(2)}, [F, S]),
    (None, {"prompt": pd.Categorical([F, S])}, [F, S]),
    (None, {"prompt": (x for x in [F, S])}, [F, S]),
    (None, {"prompt": {"a": F, "b": S}}, [F, S]),
    (None, {"prompt": pd.array([F, S], dtype="string")}, [F, S]),
    (None, {"prompt": pa.array([F, S])}, lambda c: True),
    (None, pd.Series([F, S]), [F, S]),
    (None, pd.DataFrame({"prompt": [F]}), error("data frame")),
    (None, np.array([F, S]), [F, S]),
    (None, np.array([[F], [S]]), error("not a string|ndarray")),
    (None, np.array([F, None], dtype=object), lambda c: list(c) == [F]),
    (None, (x for x in [F, None, float("nan"), S]), lambda c: list(c) == [F, S] and c.report.dropped == {"not a string": 2}),
    (None, [], error("is empty")),
    (None, iter([]), error("is empty")),
    (None, {}, error("is empty|no column")),
    (None, [10**5000, F], lambda c: list(c) == [F]),
    ("c.json", '{"prompt": "a red fox", "seed": 1' + "0" * 4400 + "}", ["a red fox"]),
    ("c.jsonl", '{"prompt": "a red fox", "seed": 1' + "0" * 4400 + "}", ["a red fox"]),
    ("c.jsonl", '{"prompt": "a red fox", "seed": 1' + "0" * 4400 + '}\n{"prompt": "an old ship"}', ["a red fox", "an old ship"]),
    ("c.jsonl", '{"prompt": "a red fox", "seed": 12345678901234567890123}', ["a red fox"]),
    ("c.jsonl", '"a red fox"\n' + deep, error("line 2")),
    ("c.jsonl", '"a red fox"\n' + "[" * 900 + "]" * 900, ["a red fox"]),
    ("c.jsonl", '"a red fox"\n' + '{"a":' * 900 + "1" + "}" * 900, error("column")),
    ("c.json", deep, error("deep|nested|JSON")),
    ("c.json", '{"a":' * 900 + '"a red fox"' + "}" * 900, error("column")),
    ("c.jsonl", '"a red fox"\n{"a": 1', error("line 2")),
    (None, "https://example.org/prompts.csv", error("[Dd]ownload")),
    (None, "http://example.org/prompts.csv", error("[Dd]ownload")),
    (None, "https://huggingface.co/datasets/owner/name", error("owner/name")),
    (None, "HTTPS://example.org/p", error("[Dd]ownload")),
    (None, "s3://bucket/prompts.csv", error("[Dd]ownload")),
    (None, "hf://datasets/owner/name", error("owner/name|[Dd]ownload")),
    (None, "file:///home/me/p.csv", error("path")),
    (None, "www.example.org/prompts.csv", error("no file")),
    (None, "", error("no file|expected")),
    (None, None, error("Cannot load")),
    (None, 7, error("Cannot load")),
    (None, b"a.csv", error("Cannot load")),
    ("c.txt", b"", error("empty")),
    ("c.txt", b"\n\n", error("No row")),
]


@pytest.mark.filterwarnings("ignore:.* rows were dropped")
@pytest.mark.parametrize(("name", "data", "expected"), [*COLUMNS, *EDGES], ids=range(len(COLUMNS) + len(EDGES)))
def test_prompts_are_found_where_they_are_or_the_error_says_what_came(tmp_path, name, data, expected):
    check(tmp_path, name, data, expected)


@pytest.mark.parametrize(
    "text",
    ["a fox, 8k", "1girl,solo", "red_fox", "cat/dog", "/imagine a fox", "16:9 photo", "2 girls", "a fox.", "sci-fi", "{a|b} fox"],
)
def test_a_prompt_is_no_identifier(text):
    assert kind_of(text) is None


def test_an_identifier_is_named_for_what_it_is():
    kinds = {"p1.txt": "a file name", "~/a b/c": "a file name", "https://a.org/x": "an address", "Jan 2 2024": "a number"}
    kinds |= {"img-0001": "an identifier", "[1, 2]": "a number", '{"a": 1}': "JSON", "a/b/c": "an identifier"}
    assert {text: kind_of(text) for text in kinds} == kinds
