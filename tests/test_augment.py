"""Neighbours that help a prompt: sketches, and what is learned with the help of a library."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_lm import tiny_lm

from workbench import library, meta, soft
from workbench.models import load_lm
from workbench.models.lm import fingerprint
from workbench.search.soft import augmenting as module
from workbench.search.soft.augmenting import mixture, rates
from workbench.values import LibraryError
from workbench.world import questions, scenes

WORDS = ("red", "blue", "old", "fox", "ship", "castle", "moon", "good", "bad", "warm", "cold")
CONFIG = soft.SoftConfig(vectors=3, start="moon is", steps=12, batch=8, rate=0.1)
DATE = "2026-03-01T12:00:00Z"


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(words=WORDS)


def task(n, seed, names=("good", "bad"), turned=False):
    """Texts whose first word, red or blue, says the label."""
    draw = np.random.default_rng(seed)
    kinds = draw.integers(2, size=n)
    texts = [f"{('red', 'blue')[k]} {WORDS[draw.integers(2, 7)]} {WORDS[draw.integers(2, 7)]}" for k in kinds]
    return texts, [names[k ^ turned] for k in kinds]


def learned_many(lm, tasks):
    return soft.tune_many(lm, tasks, CONFIG.replace(steps=40), progress=False)


@pytest.fixture(scope="module")
def shelf(lm, tmp_path_factory):
    """A sibling of the task, a relative with other labels, the task turned round, and one without rows."""
    shelf, items = library.Library.open(tmp_path_factory.mktemp("help") / "shelf"), []
    given = {"sibling": task(40, 1), "relative": task(40, 2, ("warm", "cold")), "turned": task(40, 3, turned=True)}
    given["bare"] = task(40, 4)
    for (name, rows), prompt in zip(given.items(), learned_many(lm, list(given.values())), strict=True):
        card = library.Card(name=name, data=library.DataSet(name, library.rows_sha256(*rows)), date=DATE)
        items.append((prompt, card, soft.sketch(lm, *rows, CONFIG), None if name == "bare" else rows))
    shelf.add_many(items)
    return shelf


def loss_of(lm, prompt, texts, labels):
    return soft.gradient(lm, prompt.vectors, texts, labels, CONFIG, classes=prompt.labels)[0]


# ---- sketches -----------------------------------------------------------------------------------------------------------


def test_a_sketch_is_the_mean_of_minus_unit_gradients_and_of_mean_states(lm):
    texts, labels = task(21, 0)
    made = soft.sketch(lm, texts, labels, CONFIG)
    start = soft.tune(lm, texts, labels, CONFIG.replace(steps=0))
    assert np.array_equal(made.start, start.vectors) and (made.sha256, made.layout) == (start.sha256, "suffix")
    alone = [
        soft.gradient(lm, start.vectors, [t], [y], CONFIG, classes=start.labels)[1] for t, y in zip(texts, labels, strict=True)
    ]
    assert made.gradient == pytest.approx(-np.mean([one / np.linalg.norm(one) for one in alone], 0), abs=1e-5)
    states = [lm.model.base_model(lm.tokenizer(t, return_tensors="pt")["input_ids"]).last_hidden_state[0] for t in texts]
    assert made.features == pytest.approx(np.mean([s.detach().numpy().mean(0) for s in states], 0), abs=1e-5)
    assert soft.sketch(lm, config=CONFIG)[4:] == (None, None) and soft.sketch(lm, texts, config=CONFIG).gradient is None
    with pytest.raises(ValueError, match="21 texts and 1 labels"):
        soft.sketch(lm, texts, labels[:1], CONFIG)
    with pytest.raises(ValueError, match="labels but no texts"):
        soft.sketch(lm, labels=labels)


def test_by_prompt_the_task_with_the_same_answers_is_nearest(lm, shelf):
    texts, labels = task(60, 9, ("warm", "cold"))
    made, (prompt,) = soft.sketch(lm, texts, labels, CONFIG), learned_many(lm, [(texts, labels)])
    answer = shelf.search(prompt, start=made)
    assert answer.hits[0].entry.name == "relative" and answer.compared == 4


# ---- help ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", module.HOW)
def test_the_best_of_all_candidates_on_held_out_rows_is_returned(lm, shelf, how):
    texts, labels = task(12, 20)
    found = soft.augment(lm, texts, labels, shelf, CONFIG, how=how, k=4, rounds=2)
    losses = [loss for turn in found.log for loss in turn["candidates"].values()]
    assert len(found.log) == 2 and {"begin", "own", "neighbour", how} <= set(found.log[0]["candidates"])
    _, held = module._split(texts, labels, CONFIG)
    assert loss_of(lm, found.prompt, *held) == pytest.approx(min(losses), abs=1e-5)
    best = [min(loss for turn in found.log[:n] for loss in turn["candidates"].values()) for n in (1, 2)]
    assert best[1] <= best[0] and found.prompt.labels == ("bad", "good")
    assert set(found.parents) <= {entry.id for entry in shelf.entries()}
    if how == "mix":  # which draws
        again = soft.augment(lm, texts, labels, shelf, CONFIG, how=how, k=4, rounds=2)
        assert np.array_equal(again.prompt.vectors, found.prompt.vectors) and again.log == found.log
    scores = [one["score"] for one in found.log[0]["neighbours"]]
    assert scores == sorted(scores, reverse=True) and sum(one["rate"] for one in found.log[0]["neighbours"]) == pytest.approx(
        1, abs=1e-3
    )
    if how in ("mix", "curriculum"):
        assert found.log[0]["skipped"] == {"no rows in the library": 1}


def test_it_begins_at_the_neighbour_of_least_loss_or_at_the_mean_of_all(lm, shelf, monkeypatch):
    texts, labels = task(12, 21)
    begun, real = [], module.tune
    monkeypatch.setattr(module, "tune", lambda *args, **more: begun.append(more.get("start")) or real(*args, **more))
    own, held = module._split(texts, labels, CONFIG)
    found = soft.augment(lm, texts, labels, shelf, CONFIG.replace(steps=1), how="start", k=4)
    prompts = {one["id"]: soft.SoftPrompt.from_state(*shelf.get(one["id"]).to_state()) for one in found.log[0]["neighbours"]}
    losses = {name: loss_of(lm, replace(prompt, labels=("bad", "good")), *own) for name, prompt in prompts.items()}
    assert [one["loss"] for one in found.log[0]["neighbours"]] == pytest.approx(list(losses.values()), abs=1e-3)
    best = prompts[min(losses, key=losses.get)]
    assert np.array_equal(begun[-1].vectors, best.vectors)
    assert found.log[0]["candidates"]["neighbour"] == pytest.approx(
        loss_of(lm, replace(best, labels=("bad", "good")), *held), abs=1e-5
    )
    found = soft.augment(lm, texts, labels, shelf, CONFIG.replace(steps=1), how="average", k=4)
    rate = {one["id"]: one["rate"] for one in found.log[0]["neighbours"]}
    assert begun[-1].vectors == pytest.approx(sum(rate[name] * prompt.vectors for name, prompt in prompts.items()), abs=1e-3)


def test_a_curriculum_ends_with_the_nearest_and_then_the_own_task(lm, shelf, monkeypatch):
    texts, labels = task(12, 22)
    learned, real = [], module.tune
    monkeypatch.setattr(module, "tune", lambda lm, texts, *args, **more: learned.append(texts) or real(lm, texts, *args, **more))
    found = soft.augment(lm, texts, labels, shelf, CONFIG, how="curriculum")
    own, (held, _) = module._split(texts, labels, CONFIG)
    order = [[text for text in shelf.rows(one["id"])[0] if text not in held] for one in found.log[0]["neighbours"]]
    assert learned[2:] == [*reversed(order), own[0]]


def test_no_held_out_text_is_in_a_row_that_is_learned_from(lm, shelf, monkeypatch):
    texts, labels = task(12, 23)
    _, (held, _) = module._split(texts, labels, CONFIG)
    leaky = _Leaky(shelf, [f"  {text.upper()} " for text in held])
    monkeypatch.setattr(module, "read_rows", lambda *args: None)
    seen, real = [], module.tune
    monkeypatch.setattr(module, "tune", lambda lm, texts, *args, **more: seen.extend(texts) or real(lm, texts, *args, **more))
    for how in ("mix", "curriculum"):
        found = soft.augment(lm, texts, labels, leaky, CONFIG.replace(steps=1), how=how, k=1)
        assert found.log[0]["neighbours"][0]["left_out"] == len(held) + sum(text in held for text in shelf.rows("sibling")[0])
    assert seen and not {" ".join(text.casefold().split()) for text in seen} & set(held)


class _Leaky:
    """A library whose rows hold some texts that they should not."""

    def __init__(self, shelf, texts):
        self.shelf, self.texts, self.search, self.get = shelf, texts, shelf.search, shelf.get

    def rows(self, name):
        texts, labels = self.shelf.rows("sibling")
        return texts + self.texts, labels + labels[:1] * len(self.texts)


def test_without_a_neighbour_the_own_prompt_or_the_start_comes_back(lm, tmp_path):
    texts, labels = task(12, 24)
    found = soft.augment(lm, texts, labels, library.Library.open(tmp_path / "empty"), CONFIG, rounds=3)
    own, _ = module._split(texts, labels, CONFIG)
    alone = {"own": soft.tune(lm, *own, CONFIG, progress=False), "begin": soft.tune(lm, *own, CONFIG.replace(steps=0))}
    assert np.array_equal(found.prompt.vectors, alone[found.chosen].vectors) and found.parents == ()
    assert len(found.log) == 1 and found.log[0]["neighbours"] == []


def test_rates_and_draws_of_a_mix_are_as_stated():
    assert rates([0.3]) == [1] and rates([0.5] * 4) == [0.25] * 4  # one alone is that one, equal ones give the mean
    assert rates([0.6, 0.2, -1]) == pytest.approx([0.75, 0.25, 0]) and rates([-1, -2]) == [0.5, 0.5] and rates([]) == []
    own, others = (["a", "b"], ["x", "y"]), [(["c"], ["x"], 0.75), (["d"], ["y"], 0.25), (["e"], ["x"], 0.0)]
    counts = {}
    for seed in range(80):
        texts, _ = mixture(own, others, soft.SoftConfig(seed=seed, steps=1000))
        for text in texts:
            counts[text] = counts.get(text, 0) + 1
    assert counts["a"] == counts["b"] == 64 * 80 and "e" not in counts
    assert (counts["c"] - 7680) ** 2 / 7680 + (counts["d"] - 2560) ** 2 / 2560 < 6.63  # chi-square, p > .01


def test_a_first_prompt_is_searched_with_and_learned_further(lm, shelf, monkeypatch):
    texts, labels = task(12, 28)
    own, held = module._split(texts, labels, CONFIG)
    seen, began, real = [], [], module.tune
    monkeypatch.setattr(module, "tune", lambda *args, **more: began.append(more.get("start")) or real(*args, **more))
    asked = _Leaky(shelf, [])
    asked.search = lambda query, *args, **more: seen.append(query) or shelf.search(query, *args, **more)

    def step(lm, texts, labels):
        assert (texts, labels) == own  # and nothing that was set aside
        return meta.sign_step(lm, texts, labels, CONFIG)

    found = soft.augment(lm, texts, labels, asked, CONFIG, first=step)
    made = meta.sign_step(lm, *own, CONFIG)
    assert np.array_equal(seen[0].vectors, made.vectors) and np.array_equal(began[1].vectors, made.vectors)
    assert [(one.name, one.began) for one in found.candidates] == [
        ("begin", "words"),
        ("first", "first"),
        ("own", "first"),
        ("neighbour", "neighbour"),
        ("start", "neighbour"),
    ]
    assert found.log[0]["query"] == "first" and found.log[0]["candidates"]["first"] == pytest.approx(
        loss_of(lm, made, *held), abs=1e-5
    )
    assert np.array_equal(soft.augment(lm, texts, labels, shelf, CONFIG, first=made).prompt.vectors, found.prompt.vectors)
    assert soft.augment(lm, texts, labels, shelf, CONFIG.replace(steps=1)).log[0]["query"] == "own"
    with pytest.raises(ValueError, match="first must be one of tuned"):
        soft.augment(lm, texts, labels, shelf, CONFIG, first="meta")
    with pytest.raises(TypeError, match="start is a SoftPrompt, got list"):
        soft.augment(lm, texts, labels, shelf, CONFIG, first=lambda *rows: [])
    longer = soft.tune(lm, texts, labels, CONFIG.replace(vectors=4, steps=0))
    with pytest.raises(ValueError, match="first prompt has 4 vectors, this config 3"):
        soft.augment(lm, texts, labels, shelf, CONFIG, first=longer)


def test_one_call_makes_a_prompt_searches_and_learns_and_the_result_joins_the_library(lm, shelf):
    made = meta.learn(
        lm,
        [meta.Task("one", *task(24, 31)), meta.Task("two", *task(24, 32, turned=True))],
        meta.MetaConfig(prompt=CONFIG, map="last", examples=3, join="each", example="{text} is {label}", steps=2),
        progress=False,
    )
    texts, labels = task(16, 33)
    found = soft.augment(lm, texts, labels, shelf, CONFIG, first=made.from_rows, k=4, how="average", rounds=2)
    own, _ = module._split(texts, labels, CONFIG)
    steps = {one.name: one for one in found.candidates}
    assert np.array_equal(steps["first"].prompt.vectors, made.from_rows(lm, *own).vectors) and steps["first"].parents == ()
    assert len(steps["average"].parents) >= 1 and steps["average"].began == "step 0"
    assert any(one.prompt is found.prompt for one in found.candidates) and len(found.log) == 2
    parents = steps["average"].parents
    card = library.Card(name="helped", data=library.DataSet("own"), date=DATE, parents=parents, note=found.note)
    try:
        entry = shelf.add(steps["average"].prompt, card, soft.sketch(lm, *own, CONFIG), rows=own)
        assert entry.card.parents == parents and "rounds: 2; rates of the last one: " in entry.card.note
        with pytest.raises(LibraryError, match="no parent"):  # an entry is later than its parents: there can be no circle
            shelf.add(steps["own"].prompt, replace(card, parents=("0" * 16,)), soft.sketch(lm, *own, CONFIG), rows=own)
    finally:
        shelf.remove("helped")


def test_tasks_of_a_library_keep_rows_and_prompt_together(lm, shelf, tmp_path):
    found, left_out = meta.from_library(shelf)
    assert {one.name for one in found} == {"sibling", "relative", "turned"} and left_out == 1
    library.save(shelf, tmp_path / "saved")
    again, _ = meta.from_library(library.load(tmp_path / "saved", tmp_path / "again"), {"data": "turned"})
    again += meta.from_library(library.load(tmp_path / "saved", tmp_path / "more"))[0][::-1]
    assert [one.name for one in again][0] == "turned" and len(again) == 4
    for one in [*found, *again]:
        assert (one.texts, one.labels) == shelf.rows(one.name)
        assert np.array_equal(one.prompt.vectors, shelf.get(one.name).vectors)
    options = meta.MetaConfig(prompt=CONFIG, loss="l2", map="last", examples=3, example="{text} is {label}", join="each", steps=1)
    made = meta.learn(lm, found, options, progress=False)
    assert [name for name, _ in made.tasks] == [one.name for one in found]


@pytest.mark.parametrize("seed", range(2))
def test_tasks_with_more_wrong_labels_are_ranked_as_harder(lm, tmp_path, seed):
    shares, given, unseen = (0.0, 0.1, 0.2, 0.4), [], []
    for share in shares:
        for rows, n in ((given, 64), (unseen, 200)):
            texts, labels = task(n, 100 * seed + n)
            turned = np.random.default_rng(seed).permutation(n)[: round(share * n)]
            rows.append((texts, [{"good": "bad", "bad": "good"}[y] if i in turned else y for i, y in enumerate(labels)]))
    shelf, items = library.Library.open(tmp_path / "shelf"), []
    for share, prompt, rows, more in zip(shares, learned_many(lm, given), given, unseen, strict=True):
        data = library.DataSet("flipped", library.rows_sha256(*rows))
        one = library.Card(name=f"{share:.0%}", data=data, date=DATE, loss=loss_of(lm, prompt, *more))
        items.append((prompt, one, soft.sketch(lm, *rows, CONFIG), None))
    shelf.add_many(items)
    assert [entry.name for entry in library.difficulty(shelf)[0]] == ["40%", "20%", "10%", "0%"]


def test_given_rates_take_the_place_of_similarity(lm, shelf, monkeypatch):
    texts, labels = task(12, 34)
    found = soft.augment(lm, texts, labels, shelf, CONFIG.replace(steps=1), how="average", k=4, shares={"turned": 3, "bare": 1})
    assert {one["name"]: one["rate"] for one in found.log[0]["neighbours"]} == {
        "turned": 0.75,
        "bare": 0.25,
        "sibling": 0,
        "relative": 0,
    }
    assert {shelf.get(one).name for one in found.candidates[-1].parents} == {"turned", "bare"}
    with pytest.raises(ValueError, match="shares of 'turned' must be a number of 0 or more"):
        soft.augment(lm, texts, labels, shelf, CONFIG, shares={"turned": -1})


@pytest.mark.parametrize("how", ["mix", "curriculum"])
def test_rows_of_a_neighbour_are_read_in_its_own_template(lm, tmp_path, monkeypatch, how):
    rows, config = task(20, 40), CONFIG.replace(template="old {text}", steps=1)
    shelf = library.Library.open(tmp_path / "shelf")
    card = library.Card(name="old", data=library.DataSet("old"), date=DATE)
    shelf.add(soft.tune(lm, *rows, config, progress=False), card, soft.sketch(lm, *rows, config), rows=rows)
    read, real = [], module.tune
    monkeypatch.setattr(
        module,
        "tune",
        lambda lm, texts, labels, config, **more: (
            read.append([config.template.replace("{text}", text) for text in texts]) or real(lm, texts, labels, config, **more)
        ),
    )
    texts, labels = task(12, 41)
    own = CONFIG.replace(template="{text} is", steps=1)
    found = soft.augment(lm, texts, labels, shelf, own, how=how)
    theirs = [text for some in read for text in some if not text.endswith(" is")]
    assert theirs and all(text.startswith("old ") for text in theirs)
    assert {text.split(" ", 1)[1] for text in theirs} <= set(rows[0])
    assert all(one.prompt.config.template == "{text} is" for one in found.candidates)


def test_labels_that_cannot_be_told_apart_are_skipped_and_counted(lm, shelf):
    texts, labels = task(12, 25, ("good", "moon ship"))
    strange = _Leaky(shelf, [])
    strange.rows = lambda name: (["red fox", "blue fox"], ["good moon", "bad"])
    found = soft.augment(lm, texts, labels, strange, CONFIG.replace(steps=1), how="mix", k=2)
    assert found.log[0]["skipped"] == {"labels like the own ones": 2}


def test_entries_that_may_not_be_read_are_skipped(lm, shelf):
    closed = _Leaky(shelf, [])

    def refuse(name):
        raise LibraryError("It is given in exchange.")

    closed.get = refuse
    found = soft.augment(lm, *task(12, 26), closed, CONFIG.replace(steps=1), k=2)
    assert found.log[0]["skipped"] == {"may not be read": 2}


def test_options_and_rows_that_cannot_work_are_refused(lm, shelf):
    texts, labels = task(12, 27)
    for wrong, message in [({"how": "luck"}, "how must be one of"), ({"k": 0}, "k must be"), ({"rounds": 0}, "rounds must be")]:
        with pytest.raises(ValueError, match=message):
            soft.augment(lm, texts, labels, shelf, CONFIG, **wrong)
    with pytest.raises(ValueError, match="four rows or more"):
        soft.augment(lm, texts[:3], labels[:3], shelf, CONFIG)
    with pytest.raises(ValueError, match="a label of its own"):
        soft.augment(lm, texts[:4], ["good", "bad", "warm", "cold"], shelf, CONFIG)
    with pytest.raises(ValueError, match="occur twice"):
        soft.augment(lm, ["red fox"] * 6, ["good", "bad"] * 3, shelf, CONFIG)


# ---- the library of the world ---------------------------------------------------------------------------------------------


def test_the_shipped_library_has_the_twelve_tasks_and_their_rows_and_is_small():
    shelf = library.world(user="anna")
    entries = {entry.card.tags: entry for entry in shelf.entries()}
    assert set(entries) == set(questions.TASKS) and not any(entry.mine for entry in entries.values())
    assert sum(path.stat().st_size for path in library.WORLD.iterdir()) < 1e6
    for number, tags in enumerate(questions.TASKS):
        assert shelf.rows(entries[tags]) == questions.rows(*tags, 256, number)
    world = load_lm("world")
    prompt = soft.SoftPrompt.from_state(*shelf.get("artist in a sentence").to_state())
    texts, labels = questions.rows("artist", "sentence", 100, 77)
    assert np.mean([a == b for a, b in zip(prompt.classify(world, texts), labels, strict=True)]) > 0.9
    made = soft.sketch(world, config=prompt.config)
    assert np.array_equal(made.start, shelf.sketch("artist in a sentence").start)
    assert shelf.search(prompt, 12, start=made).compared == 12


def test_a_model_keeps_its_fingerprint_whatever_its_tokenizer_did_before():
    fresh = load_lm("world")
    before = fingerprint(fresh)
    fresh.tokenizer(["a red circle", "a star"], padding=True, truncation=True, max_length=4)
    assert fingerprint(fresh) == before


def test_the_questions_of_the_world_have_known_answers():
    for form in scenes.FORMS:
        texts = {asked: questions.rows(asked, form, 30, 5) for asked in questions.ASKED}
        assert len({tuple(rows) for rows, _ in texts.values()}) == 1
        for asked, (rows, labels) in texts.items():
            assert labels == ["full" if scenes.read(text)[asked] else "half" for text in rows] and set(labels) == {"full", "half"}
    with pytest.raises(ValueError, match="asked must be one of"):
        questions.rows("object", "sentence", 3)


def test_one_command_builds_such_a_library(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "tools"))
    import world_library

    monkeypatch.setattr(world_library, "UNSEEN", 10)
    for name in ("one", "two"):
        made = world_library.build(tmp_path / name, 8, 1, tasks=questions.TASKS[:2], progress=False)
        library.save(made, tmp_path / f"saved {name}")
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / f"saved {name}").iterdir()} for name in ("one", "two"))
    assert first == second and [entry.name for entry in made.entries()] == ["artist in a sentence", "artist in keywords"]
