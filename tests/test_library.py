"""The library of prompts: known neighbours, rights, ledgers, and what is refused."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from workbench import artifacts, library
from workbench.data.library import searching
from workbench.values import ArtifactError, LibraryError, NotFittedError

K, W = 2, 4
START = np.linspace(-1, 1, K * W).astype(np.float32).reshape(K, W)
DATE = "2026-03-01T12:00:00Z"


def prompt(vectors, model="a" * 64, layout="suffix", labels=("no", "yes")):
    """What a library needs of a soft prompt."""
    vectors = np.asarray(vectors, np.float32)
    state = {"options": {"layout": layout}, "labels": list(labels), "model": "tiny", "sha256": model}
    return SimpleNamespace(
        vectors=vectors,
        labels=labels,
        model="tiny",
        sha256=model,
        config=SimpleNamespace(layout=layout),
        to_state=lambda: (state, {"vectors": vectors}),
    )


def some(seed):
    return prompt(START + np.random.default_rng(seed).normal(size=(K, W)).astype(np.float32))


def card(name, **more):
    return library.Card(**{"name": name, "data": library.DataSet("own", "0" * 64), "date": DATE, **more})


def sketch(seed=None, model="a" * 64, start=START, **more):
    draw = np.random.default_rng(seed)
    arrays = {"gradient": draw.normal(size=(K, W)), "features": draw.normal(size=W)} if seed is not None else {}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()} | more
    return SimpleNamespace(**{"sha256": model, "layout": "suffix", "start": start, "gradient": None, "features": None, **arrays})


@pytest.fixture
def shelf(tmp_path):
    return library.Library.open(tmp_path / "shelf", "anna")


def names(hits):
    return [hit.entry.name for hit in hits]


# ---- search -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Sixty entries with sketches, for search alone."""
    shelf = library.Library.open(tmp_path_factory.mktemp("many") / "shelf", "anna")
    cards = [card(f"task {i}", tags=("odd",) if i % 2 else ("even",), accuracy=i / 100) for i in range(60)]
    shelf.add_many([(some(i), one, sketch(i), None) for i, one in enumerate(cards)])
    return shelf


def brute(query, zero, entries, metric):
    """Scores in plain float64."""
    theirs = np.stack([one.ravel().astype(float) for one in entries]) - zero
    ours = query.ravel().astype(float) - zero
    if metric == "centred":
        ours, theirs = ours - theirs.mean(0), theirs - theirs.mean(0)
    if metric == "l2":
        return -np.linalg.norm(theirs - ours, axis=1)
    if metric == "pair":
        pairs = [[one.reshape(K, W)[i] @ ours.reshape(K, W)[j] for i in range(K) for j in range(K)] for one in theirs]
        return np.max(pairs, 1)
    products = theirs @ ours
    return products if metric == "inner" else products / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours)


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("metric", searching.METRICS)
def test_scores_are_those_of_brute_force_and_never_rise(many, metric, few, monkeypatch):
    if few:  # as among more entries than are compared one by one: the tables are looked up
        monkeypatch.setattr(searching, "_MANY", 59)
        monkeypatch.setattr(searching, "_MARGIN", 20)
    asked = some(99)
    answer = many.search(asked, 7, metric=metric, start=START)
    group = many.group()
    entries = group.entries
    right = brute(asked.vectors, START.ravel(), group.vectors.astype(float) + START.ravel(), metric)
    order = sorted(range(60), key=lambda i: (-right[i], entries[i].id))[:7]
    found = [hit.score for hit in answer]
    if metric in ("centred", "pair") and few:
        assert not answer.exact and found[0] == pytest.approx(right[order[0]], abs=0.05)
    else:
        assert answer.exact and names(answer) == [entries[i].name for i in order]
        assert found == pytest.approx(right[order], abs=1e-6)
    assert found == sorted(found, reverse=True) and answer.compared == 60 and not answer.left_out
    assert answer.meaning == searching.METRICS[metric] and "higher is nearer" in str(answer)


def test_an_entry_comes_first_with_cosine_one_and_scaling_changes_only_length(many):
    entry = many.get("task 7")
    for metric in ("centred", "cosine"):
        hit = many.search(entry, 1, metric=metric).hits[0]
        assert (hit.entry.name, hit.score) == ("task 7", pytest.approx(1, abs=1e-6))
    longer = prompt(START + 3 * (entry.vectors - START))
    scores = {m: many.search(longer, 1, metric=m, start=START).hits[0].score for m in searching.METRICS}
    before = {m: many.search(entry, 1, metric=m).hits[0].score for m in searching.METRICS}
    assert scores["cosine"] == pytest.approx(before["cosine"], abs=1e-6)
    assert scores["inner"] == pytest.approx(3 * before["inner"], rel=1e-5) and scores["l2"] < before["l2"] == 0
    assert scores["pair"] == pytest.approx(3 * before["pair"], rel=1e-5)


def test_on_unit_vectors_the_three_plain_metrics_give_one_order(shelf):
    zero = np.zeros((K, W), np.float32)
    drawn = np.random.default_rng(0).normal(size=(9, K, W))
    items = [(prompt(one / np.linalg.norm(one)), card(f"t{i}"), zero, None) for i, one in enumerate(drawn)]
    shelf.add_many(items)
    orders = {tuple(names(shelf.search(shelf.get("t0"), 9, metric=m))) for m in ("cosine", "inner", "l2")}
    assert len(orders) == 1


def test_filters_come_before_k(many):
    answer = many.search(some(99), 50, where={"tag": "odd"}, start=START)
    assert len(answer) == answer.compared == 30 and all(entry.card.tags == ("odd",) for entry, _ in answer)
    assert names(many.search(some(99), 3, where={"name": "task 3"}, start=START)) == ["task 3"]
    assert len(many.search(some(99), 99, where={"accuracy": 0.5, "tag": "even"}, start=START)) == 5
    assert len(many.entries({"since": DATE})) == 60 and not many.entries({"until": "2025-01-01"})
    assert many.entries({"data_sha256": "0" * 64, "name": "o'neill' OR true OR name = '"}) == []
    for where, message in [
        ({"colour": "red"}, "no filter 'colour'"),
        ({"tag": 1}, "takes a str"),
        ({"accuracy": "x"}, "takes a number"),
    ]:
        with pytest.raises(ValueError, match=message):
            many.search(some(99), where=where, start=START)


def test_equal_scores_come_by_id_and_more_than_there_are_gives_all(shelf):
    assert list(shelf.search(some(0), start=START)) == [] and shelf.entries() == [] and len(shelf) == 0
    for i, sign in enumerate((1, -1)):
        vectors = START.copy()
        vectors[0, 0] += sign
        shelf.add(prompt(vectors), card(f"t{i}"), START)
    level = START.copy()
    level[1, 1] += 1
    answer = shelf.search(prompt(level), 9, metric="l2", start=START)
    assert len(answer) == 2 and answer.hits[0].score == answer.hits[1].score
    assert answer.hits[0].entry.id < answer.hits[1].entry.id


def test_only_like_is_compared_with_like_and_the_rest_is_counted(shelf):
    shelf.add(some(0), card("like"), sketch(0))
    shelf.add(some(1), card("no gradient"), START)
    shelf.add(prompt(START + 1, model="b" * 64), card("other model"), sketch(2, model="b" * 64))
    shelf.add(prompt(START + 2), card("other start"), sketch(3, start=START + 1))
    shelf.add(prompt(START + 3, layout="prefix"), card("other layout"), START)
    shelf.add(prompt(np.ones((3, W))), card("other shape"), np.zeros((3, W), np.float32))
    answer = shelf.search(some(9), start=START)
    assert answer.compared == 2 and answer.left_out == {"another model": 1, "another shape": 1, "another start or layout": 2}
    answer = shelf.search(sketch(0), by="gradient")
    assert names(answer) == ["like"] and answer.left_out["no gradient"] == 1
    answer = shelf.search(shelf.sketch("like"), by="texts")
    assert sorted(names(answer)) == ["like", "other start"] and answer.left_out == {"another model": 1, "no features": 3}
    group = shelf.group()
    assert sorted(entry.name for entry in group.entries) == ["like", "no gradient"] and group.left_out == 4


def test_a_search_loads_no_model(many, monkeypatch):
    for name in ("torch", "transformers", "workbench.models", "workbench.search"):
        monkeypatch.setitem(sys.modules, name, None)
    assert len(many.search(many.get("task 1"))) == 5
    assert len(many.search(sketch(1), by="texts")) == 5


# ---- adding -------------------------------------------------------------------------------------------------------------


def test_what_goes_in_comes_out(shelf):
    rows = (["a red fox", "an old ship"], ["yes", "no"])
    data = library.DataSet("own", link="https://example.org", licence="CC0")
    more = {"tags": ("x",), "submitter": "Anna", "contact": "anna@example.org", "note": "n", "accuracy": 0.5, "loss": 0.7}
    traces = sketch(1)
    entry = shelf.add(some(0), card("first", data=data, **more), traces, rows=rows)
    again = library.Library.open(shelf._shelves.folder, "anna").get(entry.id)
    assert np.array_equal(again.vectors, some(0).vectors) and again.card == entry.card and again.card.date == DATE
    assert again.card.data[0].sha256 == library.rows_sha256(*rows) and again.to_state()[0] == some(0).to_state()[0]
    assert shelf.rows(again) == rows
    known = shelf.sketch("first")
    assert np.array_equal(known.gradient, traces.gradient) and np.array_equal(known.features, traces.features)
    assert np.array_equal(known.start, START)
    with pytest.raises(LibraryError, match="without its vectors. Read it"):
        shelf.entries()[0].to_state()
    weights = shelf.add(some(1), card("both", data=[data_of("1", 3), data_of("2", 1)]), START).card.data
    assert [one.weight for one in weights] == [0.75, 0.25]
    assert [entry.name for entry in shelf.entries({"data_sha256": "2" * 64})] == ["both"]


def data_of(digit, weight):
    return library.DataSet(f"data {digit}", digit * 64, weight)


def test_a_second_prompt_of_a_name_is_its_next_version(shelf):
    first, second = shelf.add(some(0), card("tone"), START), shelf.add(some(1), card("tone"), START)
    assert (first.version, second.version) == (1, 2)
    assert shelf.get("tone").id == second.id and shelf.get("tone", 1).id == first.id == shelf.get(first.id).id
    assert len(shelf) == 1 and [e.version for e in shelf.entries(versions=True)] == [1, 2]
    assert names(shelf.search(some(0), 9, start=START)) == ["tone"]
    with pytest.raises(LibraryError, match="versions of another model, shape or start"):
        shelf.add_many([(some(3), card("fine"), START, None), (some(2), card("tone"), START + 1, None)])
    assert len(shelf) == 1  # all or none
    assert shelf.remove("tone", 2) == 1 and shelf.get("tone").id == first.id and len(shelf) == 1
    assert shelf.remove(first.id) == 1 and len(shelf) == 0
    with pytest.raises(LibraryError, match="no entry 'tone'"):
        shelf.remove("tone")


def test_an_exact_copy_is_refused_and_a_near_one_is_listed(shelf):
    first = shelf.add(some(0), card("first"), START)
    with pytest.raises(LibraryError, match=f"there already: 'first', {first.id}"):
        shelf.add(some(0), card("second"), START)
    near = shelf.add(prompt(first.vectors + np.float32(1e-4)), card("near"), START)
    shelf.add(some(1), card("far"), START)
    assert names(shelf.near_copies(near)) == ["first"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "Card: name is missing"),
        ({"data": ()}, "Card: data is missing"),
        ({"date": ""}, "Card: date is missing"),
        ({"date": "yesterday"}, "date must be UTC in ISO 8601"),
        ({"date": "2026-03-01T12:00:00+02:00"}, "date must be UTC"),
        ({"access": "secret"}, "access must be one of free, restricted, exchange"),
        ({"readers": ("bob",)}, "readers need access='restricted'"),
        ({"accuracy": 2}, "accuracy must be a number from 0 to 1"),
    ],
)
def test_a_card_that_lacks_something_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        card(**{"name": "t", **changes})


def test_prompts_that_cannot_work_are_refused_and_nothing_is_written(shelf, monkeypatch):
    nan = some(0).vectors.copy()
    nan[0, 0] = np.nan
    for bad, start, message in [
        (prompt(nan), START, "vectors holds NaN"),
        (prompt(START * 1e6), START, "at most 10000"),
        (some(0), START[:1], r"start must be a float32 array \(2, 4\)"),
        (some(0), None, "Say what the prompt began as"),
        (some(0), sketch(1, gradient=nan), "gradient holds NaN"),
        (some(0), sketch(1, model="b" * 64), "made with another model"),
        (some(0), sketch(1, features=np.zeros(3, np.float32)), "features must be a float32"),
    ]:
        with pytest.raises(ValueError, match=message):
            shelf.add(bad, card("bad"), start)
    with pytest.raises(TypeError, match="str has no vectors"):
        shelf.add("prompt", card("bad"), START)
    with pytest.raises(ValueError, match="has no sha256"):
        shelf.add(some(0), card("bad", data=library.DataSet("own")), START)
    with pytest.raises(LibraryError, match="the card says 000000"):
        shelf.add(some(0), card("bad"), START, rows=(["a"], ["b"]))
    with pytest.raises(LibraryError, match="no parent 'ffff'"):
        shelf.add(some(0), card("bad", parents=("ffff",)), START)
    for call in (lambda: shelf.search(prompt(nan), start=START), lambda: shelf.search(sketch(1, gradient=nan), by="gradient")):
        with pytest.raises(ValueError, match="holds NaN"):
            call()
    with pytest.raises(TypeError, match="got str"):
        shelf.search("colors")
    with pytest.raises(TypeError, match="takes a sketch with gradient"):
        shelf.search(sketch(), by="gradient")
    with pytest.raises(ValueError, match="k must be"):
        shelf.search(some(0), 0, start=START)
    monkeypatch.setattr("workbench.data.library.entries._LARGEST", 4)
    with pytest.raises(ValueError, match="has 8 numbers; a prompt has at most 4"):
        shelf.add(some(0), card("bad"), START)
    assert shelf.entries() == [] and shelf.ledger() == []


# ---- who may see what ---------------------------------------------------------------------------------------------------


def seen(shelf):
    """All that a user can see, as text."""
    out = [str(len(shelf)), repr(shelf.entries(versions=True)), repr(shelf.ledger()), repr(shelf.uses())]
    for ask in (lambda: shelf.search(some(9), 9, start=START), lambda: shelf.search(sketch(9), 9, by="texts")):
        out.append(repr(ask()))
    for verb in (shelf.get, shelf.rows, shelf.buy, shelf.remove, shelf.sketch, lambda name: shelf.note_use(name, 0.1)):
        for name in ("secret", SECRET_ID):
            with pytest.raises(LibraryError) as err:
                verb(name)
            out.append(str(err.value))
    out += [repr(library.atlas(shelf)), repr(library.useful(shelf)), repr(library.difficulty(shelf)), repr(shelf.group())]
    out.append(repr(library.suggest(shelf, some(9), start=START)))
    return "\n".join(out)


SECRET_ID = "0123456789abcdef"


def test_who_has_no_right_sees_the_same_with_and_without_the_hidden_entries(tmp_path):
    texts = {}
    for hidden in (False, True):
        anna = library.Library.open(tmp_path / f"shelf {hidden}", "anna")
        anna.add_many([(some(i), card(f"open {i}", loss=float(i)), sketch(i), None) for i in range(3)])
        if hidden:
            secret = anna.add(some(7), card("secret", access="restricted", readers=("bob",)), sketch(7), rows=None)
            anna.add(some(8), card("dear", access="exchange", loss=9.0), sketch(8))
            anna.as_user("bob").note_use("secret", 0.5)
            anna.add(prompt(np.ones((3, W))), card("shape", access="restricted"), np.zeros((3, W), np.float32))
        anna.add(some(3), card("open 3"), sketch(3))
        texts[hidden] = seen(anna.as_user("eve"))
    assert texts[True] == texts[False] and "secret" in texts[True]  # the errors name what was asked for
    bob = anna.as_user("bob")
    assert np.array_equal(bob.get("secret").vectors, secret.vectors) and "secret" in names(bob.search(some(9), 9, start=START))
    assert anna.as_user("eve").add(some(7), card("mine"), START).version == 1  # a copy of what one may not see is no copy


def test_names_and_contacts_are_shown_only_with_consent(shelf):
    shelf.add(some(0), card("shy", submitter="Anna", contact="a@example.org"), START)
    shelf.add(some(1), card("open", submitter="Anna", contact="a@example.org", share=True), START)
    shown = {entry.name: (entry.card.submitter, entry.card.contact) for entry in shelf.as_user("eve").entries()}
    assert shown == {"shy": ("not shared", "not shared"), "open": ("Anna", "a@example.org")}
    assert all(entry.card.submitter == "Anna" for entry in shelf.entries())


def test_in_exchange_one_upload_buys_one_reading_and_the_ledger_adds_up(shelf):
    for i in range(2):
        shelf.add(some(i), card(f"dear {i}", access="exchange"), START)
    bob = shelf.as_user("bob")
    assert len(bob) == 0 and bob.credit() == 0
    bob.add(some(5), card("hidden gift", access="restricted"), START)
    assert bob.credit() == 0  # nobody can read it
    bob.add(some(6), card("gift"), START)
    assert bob.credit() == 1 and len(bob) == 4
    with pytest.raises(LibraryError, match="'dear 0' is given in exchange: library.buy"):
        bob.get("dear 0")
    assert np.array_equal(bob.buy("dear 0").vectors, some(0).vectors)
    assert bob.credit() == 0 and bob.get("dear 0") and bob.buy("dear 0")
    assert [e.name for e in bob.entries()] == ["dear 0", "gift", "hidden gift"]
    with pytest.raises(LibraryError, match="no entry 'dear 1'"):
        bob.buy("dear 1")
    assert shelf.credit() == 2 and sorted(row["change"] for row in bob.ledger()) == [-1, 1]


def test_users_names_stay_apart(shelf):
    anna, bob = shelf, shelf.as_user("bob")
    a, b = anna.add(some(0), card("tone"), START), bob.add(some(1), card("tone"), START)
    assert (a.version, b.version) == (1, 1) and anna.get("tone").id == a.id and bob.get("tone").id == b.id
    with pytest.raises(LibraryError, match="There are 2 entries 'tone'"):
        shelf.as_user("eve").get("tone")
    with pytest.raises(LibraryError, match="no entry"):
        bob.remove(a.id)
    for user in ("", None, 3):
        with pytest.raises(ValueError, match="user must be"):
            shelf.as_user(user)


# ---- the whole ----------------------------------------------------------------------------------------------------------


def test_entries_and_people_are_ranked_by_what_others_gained(shelf):
    bob, eve = shelf.as_user("bob"), shelf.as_user("eve")
    shelf.add(some(0), card("good", submitter="Anna", share=True), START)
    shelf.add(some(1), card("bad", submitter="Anna", share=True), START)
    bob.add(some(2), card("shy", submitter="Bob"), START)
    for user, name, gain in [(bob, "good", 0.1), (eve, "good", 0.3), (bob, "bad", -0.1), (eve, "shy", 0.05), (shelf, "good", 1)]:
        user.note_use(name, gain)
    entries, people = library.useful(eve)
    assert [(one.who.name, round(one.gain, 6), one.uses) for one in entries] == [
        ("good", 0.2, 2),
        ("shy", 0.05, 1),
        ("bad", -0.1, 1),
    ]
    assert entries[0].error == pytest.approx(0.1)
    assert [(one.who, round(one.gain, 6), one.uses) for one in people] == [("Anna", 0.1, 3)]
    assert [one.who.name for one in library.suggest(eve, some(9), 2, start=START)] == ["good", "shy"]
    with pytest.raises(ValueError, match="gain must be a number from -1 to 1"):
        eve.note_use("good", 3)


def test_tasks_are_ordered_by_their_loss(shelf):
    shelf.add_many([(some(i), card(f"t{i}", loss=loss), START, None) for i, loss in enumerate((0.2, None, 0.9, 0.5))])
    ranked, unknown = library.difficulty(shelf)
    assert [entry.name for entry in ranked] == ["t2", "t3", "t0"] and unknown == 1


def test_a_map_puts_near_tasks_side_by_side(shelf):
    draw, items = np.random.default_rng(0), []
    for pair in range(5):
        centre = draw.normal(size=(K, W))
        for side in "ab":
            items.append((prompt(START + centre + 0.05 * draw.normal(size=(K, W))), card(f"{pair}{side}"), START, None))
    shelf.add_many(items)
    found = library.atlas(shelf)
    assert found.xy.shape == (10, 2) and found.left_out == 0
    assert sum(one[0] == other[0] for one, other in found.neighbours()) >= 9
    assert np.array_equal(library.atlas(shelf).xy, found.xy)
    with pytest.raises(ValueError, match="four entries or more"):
        library.atlas(shelf, where={"name": "0a"})


# ---- on disk ------------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_library_or_one_of_another_version_is_refused(tmp_path, shelf):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    with pytest.raises(ArtifactError, match="no library of prompts"):
        library.Library.open(tmp_path / "other")
    head = shelf._shelves.folder / "library.json"
    for change, message in [
        ({"format": 2}, "format 2; .* Upgrade"),
        ({"format": 0}, "Make the library anew"),
        ({"kind": 1}, "not that of"),
    ]:
        head.write_text(json.dumps({"kind": "prompt library", "format": 1} | change))
        with pytest.raises(ArtifactError, match=message):
            shelf.open(shelf._shelves.folder)
    with pytest.raises(ArtifactError, match="it is a file"):
        library.Library.open(head)


def test_without_lancedb_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ImportError, match=r"pip install 'lancedb>=0.30'"):
        library.Library.open(tmp_path / "shelf")


def test_two_who_write_at_once_lose_nothing(tmp_path):
    users = [library.Library.open(tmp_path / "shelf", user) for user in ("anna", "bob")]

    def write(number):
        for i in range(4):
            users[number].add(some(10 * number + i), card("tone"), START)

    threads = [threading.Thread(target=write, args=[number]) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for user in users:
        own = [entry.version for entry in user.entries(versions=True) if entry.mine]
        assert own == [1, 2, 3, 4] and len(user) == 2 and user.credit() == 4


WRITER = """
import itertools, sys
import test_library as made
shelf = made.library.Library.open(sys.argv[1], "anna")
for i in itertools.count():
    rows = ([f"text {i}"], ["yes"])
    shelf.add(made.some(i), made.card("tone", data=made.library.DataSet("own")), made.sketch(i), rows=rows)
    print(i, flush=True)
"""


def test_a_writer_that_was_killed_leaves_a_whole_library(tmp_path):
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(library.__file__).parents[3])])
    child = [sys.executable, "-c", WRITER, str(tmp_path / "shelf")]
    with subprocess.Popen(child, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}) as writer:
        told = [int(next(writer.stdout)) for _ in range(3)]
        writer.kill()  # somewhere in a write
        told += [int(line) for line in writer.stdout]
    shelf = library.Library.open(tmp_path / "shelf", "anna")
    versions = [entry.version for entry in shelf.entries(versions=True)]
    assert versions == list(range(1, len(versions) + 1)) and len(told) <= len(versions) <= len(told) + 1 and len(shelf) == 1
    for version in versions:
        entry = shelf.get("tone", version)
        assert np.array_equal(entry.vectors, some(version - 1).vectors) and shelf.rows(entry)[0] == [f"text {version - 1}"]
    assert shelf.add(some(99), card("tone"), START).version == len(versions) + 1


def test_a_saved_library_reads_equal_and_equal_ones_give_equal_bytes(shelf, tmp_path):
    rows = (["a red fox", "an old ship"], ["yes", "no"])
    parent = shelf.add(some(0), card("a", data=library.DataSet("own")), sketch(0), rows=rows)
    shelf.add(some(1), card("b", parents=(parent.id,)), START)
    bob = shelf.as_user("bob")
    bob.add(some(2), card("c", access="exchange"), START)
    assert library.save(shelf, tmp_path / "one") == 1  # not paid for
    again = library.load(tmp_path / "one", tmp_path / "again", "anna")
    assert [entry.name for entry in again.entries()] == ["a", "b"] and again.rows("a") == rows
    assert again.get("b").card.parents == (again.get("a").id,)
    assert np.array_equal(again.sketch("a").gradient, sketch(0).gradient)
    library.save(again, tmp_path / "two")
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert first == second
    with pytest.raises(ArtifactError, match="holds a library of 2 entries already"):
        library.load(tmp_path / "one", tmp_path / "again")


def test_prompts_without_a_sketch_get_versions_whatever_their_width(shelf):
    zero, draw = np.zeros((2, 128), np.float32), np.random.default_rng(0)
    for version in range(1, 5):
        for name in ("one", "two"):
            assert shelf.add(prompt(draw.normal(size=(2, 128))), card(name), zero).version == version
    assert len(shelf.entries(versions=True)) == 8 and shelf.sketch("one").gradient is None


# ---- to choose by a classifier -----------------------------------------------------------------------------------------


def counted(texts):
    """How often each letter occurs: float (n, 26)."""
    return np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], float)


def drawn(letters, n, seed):
    """Texts of four of some letters, and labels that do not tell."""
    draw = np.random.default_rng(seed)
    return ["".join(draw.choice(list(letters), 4)) for _ in range(n)], [str(one) for one in draw.integers(2, size=n)]


def test_a_classifier_names_the_entry_whose_rows_examples_are_like_and_refuses_others(shelf):
    kinds = {"early": "abcd", "middle": "klmn", "late": "wxyz"}
    given = {name: drawn(letters, 60, i) for i, (name, letters) in enumerate(kinds.items())}
    own = library.DataSet("own")
    shelf.add_many([(some(i), card(name, data=own), START, rows) for i, (name, rows) in enumerate(given.items())])
    shelf.add(some(7), card("bare"), START)
    hidden = card("hidden", data=own, access="restricted")
    shelf.as_user("eve").add(some(8), hidden, START, rows=drawn("efgh", 60, 9))
    chooser = library.Chooser(counted, least=0.8).fit(shelf)
    assert [entry.name for entry in sorted(chooser.entries_, key=lambda one: one.name)] == ["early", "late", "middle"]
    assert chooser.left_out_ == 1
    for name, letters in kinds.items():
        found = chooser.choose(*drawn(letters, 8, 77))
        assert found.entry.name == name and found.probability == max(found.probabilities.values()) > 0.8
        assert sum(found.probabilities.values()) == pytest.approx(1)
    refused = chooser.choose(*drawn("efgh", 8, 78))
    assert refused.entry is None and refused.probability < 0.8
    again = library.Chooser(counted, least=0.8).fit(shelf)
    assert chooser.choose(["abcd"]).probabilities == again.choose(["abcd"]).probabilities


def test_what_a_classifier_cannot_choose_from_is_refused(shelf):
    chooser = library.Chooser(counted)
    with pytest.raises(NotFittedError, match="call fit"):
        chooser.choose(["a"])
    shelf.add(some(0), card("alone", data=library.DataSet("own")), START, rows=drawn("ab", 9, 0))
    shelf.add(some(1), card("bare"), START)
    with pytest.raises(LibraryError, match="two or more must have rows: 1 do, 1 do not"):
        chooser.fit(shelf)
    shelf.add(some(2), card("other", data=library.DataSet("own")), START, rows=drawn("yz", 9, 0))
    with pytest.raises(ValueError, match="1 texts and 2 labels"):
        chooser.fit(shelf).choose(["a"], ["x", "y"])
    with pytest.raises(ValueError, match="least must be a number from 0 to 1"):
        library.Chooser(counted, least=2)


# ---- what is taken back -------------------------------------------------------------------------------------------------


def test_rows_are_stored_once_and_go_from_the_disk_with_the_last_entry_that_names_them(shelf, tmp_path):
    canary = "".join(["cana", "ry", "7391"])
    rows = ([f"old {canary} fox", "moon"], ["no", "yes"])

    def held():
        return [path for path in tmp_path.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]

    for seed, name in enumerate(("one", "one", "two")):
        shelf.add(some(seed), card(name, data=library.DataSet("own")), START, rows=rows)
    shelf.as_user("ben").add(some(9), card("of ben", data=library.DataSet("own")), START, rows=(["red"], ["no"]))
    assert len(held()) == 1
    shelf.remove("one", version=1)
    shelf.remove("two")
    assert shelf.rows("one") == rows
    shelf.remove("one")
    assert not held() and shelf.rows("of ben") == (["red"], ["no"])


def test_entries_that_are_each_others_parents_are_refused_and_not_read_for_ever(shelf, tmp_path):
    for i in range(2):
        shelf.add(some(i), card(f"task {i}"), START)
    library.save(shelf, tmp_path / "saved")
    config, tensors = artifacts.load(tmp_path / "saved", "prompts of a library")
    for one, other in zip(config["entries"], config["entries"][::-1], strict=True):
        one["card"]["parents"] = [other["id"]]
    artifacts.save(tmp_path / "saved", "prompts of a library", config, tensors)
    with pytest.raises(ArtifactError, match="made from one another"):
        library.load(tmp_path / "saved", tmp_path / "new")


def test_an_address_that_was_made_a_path_is_refused_and_no_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="address as a str"):
        library.Library.open(Path("s3://shelves/mine"))
    assert not list(tmp_path.iterdir())
