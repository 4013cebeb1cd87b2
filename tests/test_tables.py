"""Tables: what is read as delimiter, quotes and column, and how each row is accounted for. All prompts here are invented."""

import gzip

import numpy as np
import pytest
from piles import B, F, S, check, error

from workbench.data.corpus import load


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


CASES = [
    ("a.csv", "id\tprompt\tseed\n1\ta red fox in snow\t7\n", [F]),
    ("a.csv", "id|prompt|seed\n1|a red fox in snow|7\n", [F]),
    (
        "a.tsv",
        'prompt\tseed\na cat nap\t0\n"neon sign in rain\t1\na red fox in snow\t2\na "blue" door\t3\nan old ship\t4\n',
        ["a cat nap", '"neon sign in rain', F, 'a "blue" door', "an old ship"],
    ),
    ("a.tsv", 'prompt\tseed\n"open" sign in neon\t1\n', ['"open" sign in neon']),
    ("a.csv", "id,prompt\n1,a red fox, snow\n2,an old ship, sea\n", ["a red fox, snow", "an old ship, sea"]),
    ("a.csv", 'id,prompt\n1,"a door that says \\"exit\\", photo"\n', ['a door that says "exit", photo']),
    ("a.csv", 'id, prompt\n1, "a red fox, snow"\n', ["a red fox, snow"]),
    ("a.csv", "\nprompt,seed\na red fox in snow,1\n", [F]),
    ("a.csv", "\n\r\n  \nprompt,seed\na red fox in snow,1\n", [F]),
    ("a.csv", "prompt;weight\na red fox in snow;0,5\nan old ship at sea;1,25\n", [F, S]),
    ("a.csv", "prompt;weight\na blue barn, dawn;0,5\nan old ship at sea;1,25\n", [B, S]),
    ("a.csv", "sep=;\nprompt;weight\na red fox in snow;0,5\n", [F]),
    ("a.csv", "\ufeffsep=;\r\nid;prompt\r\n1;a red fox in snow\r\n", [F]),
    ("a.csv", "prompt,seed\r\na red fox in snow,1\r\nan old ship at sea,2\r\n", [F, S]),
    ("a.csv", "prompt,seed\ra red fox in snow,1\ran old ship at sea,2\r", [F, S]),
    ("a.csv", 'prompt,seed\n"a red fox,\nin snow",7\nan old ship at sea,2\n', ["a red fox,\nin snow", S]),
    ("a.csv", 'prompt,seed\n"a red fox, deep\nin snow",7\nan old ship at sea,2\n', ["a red fox, deep\nin snow", S]),
    ("a.csv", 'id,prompt\n1,"a red fox\n\nin snow"\n2,an old ship at sea\n', ["a red fox\n\nin snow", S]),
    ("a.csv", "prompt,seed\na red\0fox in snow,1\n", error("NUL at byte 17")),
    ("a.csv", "prompt,seed\n" + "an old ship at sea,2\n" * 300 + "a red\0 fox in snow,1\n", [S, F]),
    ("a.csv", "prompt,seed\n", error("no rows below its header")),
    ("a.csv", "prompt\n", error("no rows below its header")),
    ("a.csv", "1,a red fox in snow,7\n2,an old ship at sea,8\n", error("should name the column")),
    ("a.csv", "a red fox, in deep snow, 8k\nan old ship at sea, oil on canvas\n", error("should name the column")),
    ("a.csv", "a red fox in deep snow\nan old ship at sea\n", error("should name the column")),
    ("a.csv", "prompt,prompt\na red fox in snow,an old ship at sea\n", lambda c: list(c) == [F] and "prompt" in c.report.shape),
    ("a.csv", "prompt,prompt\n,a red fox in snow\n", [F]),
    ("a.csv", '"id","prompt"\n"1","a red fox in snow"\n', [F]),
    ("a.csv", '\ufeff"prompt","seed"\n"a blue barn, dawn",1\n', [B]),
    ("a.csv", " prompt , seed \na red fox in snow,1\n", [F]),
    ("a.csv", "id,prompt\n1,a red fox in snow\n2\n", lambda c: list(c) == [F] and sum(c.report.dropped.values()) == 1),
    ("a.csv", "id,prompt\n1,a red fox in snow\n2,an old ship at sea", [F, S]),
    ("a.csv", "prompt\na blue barn, dawn\na red fox in snow, oil, deep\n", [B, "a red fox in snow, oil, deep"]),
    ("a.csv", 'prompt\na blue barn, dawn\n"a red fox, snow"\n', [B, "a red fox, snow"]),
    ("a.csv", "prompt,seed\na blue barn, dawn,2\nan old ship at sea,3\n", [B, S]),
    ("a.csv", "prompt,seed\nan old ship at sea\n", error("has 1, the header 2")),
    (
        "a.csv",
        "prompt,negative_prompt\na red fox, snow,blurry, bad\nan old ship at sea,ugly hands\n",
        lambda c: list(c) == [S] and c.report.dropped == {"broken row": 1},
    ),
    ("a.csv", "id,prompt,seed,,,\n1,a red fox in snow,7,,,\n", [F]),
    ("a.csv", "id,prompt,seed\n1,a red fox in snow,7,,,\n", [F]),
    ("a.csv", "id,prompt,\n1,a red fox in snow\n", [F]),
    ("a.tsv", "prompt\tseed\n1\ta red fox in snow\t7\n2\tan old ship at sea\t8\n", [F, S]),
    ("a.csv", ",prompt,seed\n0,a red fox in snow,7\n", [F]),
    ("a.tsv", "id,prompt\n1,a red fox in snow\n", [F]),
    ("a.tsv", 'prompt\tseed\n"a ""blue"" door\tin rain"\t1\nan old ship at sea\t2\n', ['a "blue" door in rain', S]),
    (
        "a.tsv",
        'prompt\tseed\n"neon sign in rain\t1\na red fox in snow\t2\nan old "ship"\t3\n',
        ['"neon sign in rain', F, 'an old "ship"'],
    ),
    (
        "a.tsv",
        'prompt\tseed\n"neon sign in rain\t1\na red fox in snow\t2\nan old ship"\t3\n',
        ['"neon sign in rain', F, 'an old ship"'],
    ),
    ("a.csv", 'prompt,seed\n"neon sign in rain,1\na red fox in snow,2\nan old ship at sea,3\n', ['"neon sign in rain', F, S]),
    (
        "a.csv",
        'prompt,seed\n"neon sign in rain,1\na red fox in snow,2\nan old ship",3\n',
        ['"neon sign in rain', F, 'an old ship"'],
    ),
    ("a.csv", 'id,prompt\n1,"neon sign in rain\n2,a red fox in snow\n3,an old ship at sea\n', ['"neon sign in rain', F, S]),
    ("a.csv", 'id,prompt\n1,a sign "open" in neon\n2,"open" sign in neon\n', ['a sign "open" in neon', '"open" sign in neon']),
    ("a.csv", 'id,prompt\n1,"open, closed" sign in neon\n', ['"open, closed" sign in neon']),
    ("a.csv", 'id,prompt\n1,"a red fox, snow" \n', ["a red fox, snow"]),
    ("a.csv", 'id,prompt\n1,"a path C:\\"\n2,an old ship at sea\n', ["a path C:\\", S]),
    ("a.csv", 'id,prompt\n1,"a sign \\", photo"\n2,an old ship at sea\n', ['a sign ", photo', S]),
    ("a.csv", 'prompt,seed\n"ganyu \\(genshin impact\\), oil",3\n', ["ganyu \\(genshin impact\\), oil"]),
    ("a.csv", "prompt,seed\nganyu \\(genshin impact\\) in oil,3\n", ["ganyu \\(genshin impact\\) in oil"]),
    ("a.csv", "id|prompt\n1|a fox, {red|blue}\n2|an old ship at sea\n", ["a fox, {red|blue}", S]),
    ("a.csv", "id,prompt\n1,a [fox|cat] in snow\n2,an old ship at sea\n", ["a [fox|cat] in snow", S]),
    ("a.csv", 'prompt,tags\n"a red fox in snow","fox;snow;red"\n"an old ship at sea","ship;sea"\n', [F, S]),
    ("a.csv", "id,prompt\n1,'a red fox in snow'\n", ["'a red fox in snow'"]),
    ("a.csv.gz", gzip.compress(b"id\tprompt\n1\ta red fox in snow\n"), [F]),
    (
        "a.csv.gz",
        gzip.compress(
            ("id,prompt\n" + "\n".join(f"{i},{np.random.default_rng(i).bytes(20).hex()} red fox" for i in range(3000))).encode()
        )[:30000],
        error("damaged after line"),
    ),
    ("a.csv.zst", b"\x28\xb5\x2f\xfd\0\0", error("nknown kind|npack")),
    ("a.csv", b"\x28\xb5\x2f\xfd\0\0", error("not text: it is .*zst|compressed with z")),
    ("a.csv", "id,prompt,note\n1,a red fox in snow,\n2,an old ship at sea,\n", [F, S]),
    ("a.csv", "id,prompt,date\n1,a red fox, snow,2024-01-02\n", ["a red fox, snow"]),
    ("a.csv", "file,prompt\n0001.png,a red fox, snow\n0002.png,a blue barn, dawn\n", ["a red fox, snow", B]),
    (
        "a.csv",
        'prompt,seed\n"a red fox in snow",1\n"a red fox, ' + "very " * 3000 + 'long",2\n',
        lambda c: list(c) == [F] and c.report.dropped == {"too long": 1},
    ),
    ("a.csv", "id;prompt;weight (0,1)\n1;a red fox, snow;0,5\n", ["a red fox, snow"]),
    ("a.csv", '"prompt\tseed\na red fox in snow\t1\n', [F]),
    (
        "a.csv",
        "id,prompt\n\n1,a red fox in snow\n\n2,an old ship at sea\n",
        lambda c: list(c) == [F, S] and c.report.dropped == {"empty": 2},
    ),
    ("a.csv", "prompt:seed\na red fox in snow:1\n", lambda c: "prompt:seed" in c.report.shape),
    ("a.csv", "name,prompt,neg\nfox1,a red fox in snow,blurry bad hands\n", [F]),
    (
        "a.csv",
        "id,prompt\n"
        + "".join(f"{i},a red fox number {i}\n" for i in range(300))
        + '300,"neon sign\n'
        + "".join(f"{i},an old ship number {i} at sea\n" for i in range(301, 400)),
        lambda c: (
            c.report.read == 400 and len(c) + sum(c.report.dropped.values()) == 400 and c.report.dropped.get("broken row", 0) == 0
        ),
    ),
]


@pytest.mark.filterwarnings("ignore:.* rows were dropped")
@pytest.mark.parametrize(("name", "data", "expected"), CASES, ids=range(len(CASES)))
def test_a_table_is_read_as_it_was_meant_or_refused_in_words(tmp_path, name, data, expected):
    check(tmp_path, name, data, expected)


def test_the_report_says_what_a_table_was_taken_for(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id\tprompt\tseed\n1\ta red fox in snow\t7\n")
    report = load(path, progress=False).report
    assert report.shape == "column 'prompt', by its name; separated by tabs" and f"read as: {report.shape}" in str(report)
    path.write_text('prompt\n"neon sign\na red fox, snow\n')
    report = load(path, progress=False).report
    assert report.shape == "one column, 'prompt'"
    assert report.mended == {"a quote is not closed and is text": 1}


def test_a_quote_that_is_not_closed_costs_no_time(tmp_path):
    path = tmp_path / "p.csv"
    rows = "".join(f'{i},"""neon sign number {i}\n' for i in range(20_000))
    path.write_text("id,prompt\n" + rows)
    assert load(path, progress=False, n=10).report.read == 20_000
