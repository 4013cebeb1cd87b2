"""The training service: its numbers are those of the model at hand, and what it must not do."""

import asyncio
import gc
import json
import logging
import re
import socket
import threading
import time
import types
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from tiny_lm import tiny_lm

from benchmarks.service_parts import fuzz
from workbench import client, library, meta, service, soft
from workbench.__main__ import main
from workbench.show.service import engine as engines
from workbench.show.service import patience
from workbench.show.service.bodies import encode

TEXTS = ["old fox", "red ship moon castle", "moon", "blue blue fox"]
LABELS = ["good red", "bad", "good blue moon", "bad"]
CLASSES = sorted(set(LABELS))
START = "is old is"
WIDTH = 32


def numbers(seed=0, k=3):
    return np.random.default_rng(seed).normal(scale=0.3, size=(k, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(words=fuzz.WORDS)


@pytest.fixture(scope="module")
def app(lm, tmp_path_factory):
    made = service.create(lm, start=START, keep=tmp_path_factory.mktemp("kept"))
    yield made
    made.state.engine.close()


@pytest.fixture(scope="module")
def inside(app):
    with client.Client(app) as found:
        yield found


@pytest.fixture(scope="module")
def over_http(lm, tmp_path_factory):
    made = service.create(lm, start=START, keep=tmp_path_factory.mktemp("kept"))
    with service.running(made) as address, client.Client(address) as found:
        yield found


@pytest.fixture(params=["inside", "over_http"])
def there(request):
    return request.getfixturevalue(request.param)


# ---- the numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", soft.LAYOUTS)
@pytest.mark.parametrize("loss", soft.LOSSES)
def test_loss_gradient_and_predictions_are_the_local_ones(lm, there, layout, loss):
    config = soft.SoftConfig(layout=layout, loss=loss, template="{text} is")
    here = soft.gradient(lm, numbers(), TEXTS, LABELS, config)
    found = there.gradient(numbers(), TEXTS, LABELS, config)
    assert found[0] == pytest.approx(here[0], rel=1e-6) and found[2] == here[2]
    assert np.abs(found[1] - here[1]).max() <= 1e-6 * np.abs(here[1]).max() and found[1].dtype == np.float32


def test_texts_without_labels_have_a_loss_too(lm, there):
    config = soft.SoftConfig(layout="prefix")
    here, found = soft.gradient(lm, numbers(), TEXTS, None, config), there.gradient(numbers(), TEXTS, None, config)
    assert found[0] == here[0] and (found[1] == here[1]).all() and found[2] is None


def test_a_prediction_needs_no_label_and_is_the_local_one(lm, there):
    prompt = soft.tune(lm, TEXTS, LABELS, soft.SoftConfig(start=START, vectors=3, steps=0))
    found = there.probabilities(prompt.vectors, TEXTS, CLASSES)
    assert np.abs(found - prompt.probabilities(lm, TEXTS)).max() < 1e-6 and found.sum(1) == pytest.approx(1, abs=1e-9)
    assert there.predict(prompt.vectors, TEXTS, CLASSES) == prompt.classify(lm, TEXTS)
    assert (there.probabilities(prompt.vectors, TEXTS, CLASSES) == found).all()
    assert len(there.predict(prompt.vectors, TEXTS * 80, CLASSES)) == 320  # more than fit into a request


def test_a_hundred_steps_of_the_client_end_where_local_ones_do(lm, inside):
    config = soft.SoftConfig(start=START, vectors=3, steps=100, batch=2, seed=5)
    local = soft.tune(lm, TEXTS, LABELS, config, progress=False)
    far = inside.tune(TEXTS, LABELS, client.TuneConfig(vectors=3, steps=100, batch=2, seed=5))
    assert np.abs(far.vectors - local.vectors).max() < 1e-4 < np.abs(local.vectors - inside.start(3)).max()
    assert far.labels == local.labels and [row["accuracy"] for row in far.history] == [row["accuracy"] for row in local.history]


@pytest.mark.parametrize(
    "rule", [client.SGD(), client.SGD(0.9, 0.01), client.AdamW(), client.AdamW((0.9, 0.999), 1e-6, 0.1)], ids=repr
)
def test_a_step_of_the_server_is_that_of_the_client(inside, rule):
    near, far, held, state = numbers(), numbers(), {}, None
    for _ in range(4):
        loss, slope, predicted = inside.gradient(near, TEXTS, LABELS)
        near, held = rule(near, slope, held, 0.02)
        far, state, said, answers = inside.update(far, TEXTS, LABELS, rule, 0.02, state)
        assert np.abs(near - far).max() < 1e-6 and said == pytest.approx(loss, rel=1e-5) and answers == predicted
    assert set(state or {}) == set(held)


# ---- many users ---------------------------------------------------------------------------------------------------------


def together(engine, calls):
    """Answers of calls that all wait while the model is busy, and so come into one batch."""
    begun, busy = threading.Event(), threading.Event()

    async def ask():
        first = asyncio.ensure_future(engine.alone(lambda lm: (begun.set(), busy.wait(10))))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        rest = [asyncio.ensure_future(call()) for call in calls]
        until = time.monotonic() + 5
        while engine._jobs.qsize() < len(calls) and time.monotonic() < until:
            await asyncio.sleep(0.001)
        busy.set()
        return (await asyncio.gather(first, *rest))[1:]

    return asyncio.run(ask())


@pytest.mark.parametrize("layout", soft.LAYOUTS)
def test_eight_users_in_a_batch_get_what_each_gets_alone(lm, app, layout, monkeypatch):
    engine, config, sizes = app.state.engine, soft.SoftConfig(layout=layout), []
    users = [(numbers(j, 1 + j % 4), TEXTS[: 2 + j % 3], LABELS[: 2 + j % 3]) for j in range(8)]

    def counted(lm, vectors, *rest, **more):
        sizes.append(len(vectors))
        return soft.gradient_many(lm, vectors, *rest, **more)

    monkeypatch.setattr(engines, "gradient_many", counted)
    found = together(engine, [lambda one=one: engine.gradient(*one, config) for one in users])
    assert sizes == [8]
    for one, (loss, slope, predicted) in zip(users, found, strict=True):
        alone = soft.gradient(lm, *one, config)
        assert loss == pytest.approx(alone[0], abs=1e-5) and predicted == alone[2]
        assert np.abs(slope - alone[1]).max() < 1e-5
    noise = [(numbers(99, 4) * 30, ["castle fox ship blue"] * 3, ["bad", "good red", "bad"]), *users[1:]]
    again = together(engine, [lambda one=one: engine.gradient(*one, config) for one in noise])
    assert sizes == [8, 8]
    for before, after in zip(found[1:], again[1:], strict=True):
        assert after[0] == pytest.approx(before[0], abs=1e-5) and np.abs(after[1] - before[1]).max() < 1e-5


def test_predictions_of_several_users_are_batched_too_and_failures_stay_with_their_user(lm, app, monkeypatch):
    engine, config = app.state.engine, soft.SoftConfig()
    calls = [lambda j=j: engine.probabilities(numbers(j), TEXTS, CLASSES, config) for j in range(4)]
    found, real = together(engine, calls), engines.predict
    for j, one in enumerate(found):
        prompt = soft.SoftPrompt(numbers(j), tuple(CLASSES), config, "tiny", soft.sketch(lm, config=config).sha256)
        assert np.abs(one - prompt.probabilities(lm, TEXTS)).max() < 1e-5

    def broken(lm, vectors, tasks, config):
        if any((one == numbers(2)).all() for one in vectors):
            raise RuntimeError("this user's vectors break the model")
        return real(lm, vectors, tasks, config)

    monkeypatch.setattr(engines, "predict", broken)

    async def caught(call):
        try:
            return await call()
        except RuntimeError:
            return None

    again = together(engine, [lambda call=call: caught(call) for call in calls])
    assert again[2] is None and all((again[j] == found[j]).all() or np.abs(again[j] - found[j]).max() < 1e-5 for j in (0, 1, 3))


def test_clients_in_turn_and_at_once_get_equal_answers(over_http):
    alone = [over_http.gradient(numbers(j), TEXTS, LABELS) for j in range(6)]
    found = [None] * 6

    def ask(j):
        found[j] = over_http.gradient(numbers(j), TEXTS, LABELS)

    threads = [threading.Thread(target=ask, args=(j,)) for j in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, found, strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-5) and np.abs(one[1] - other[1]).max() < 1e-5


# ---- what is refused ----------------------------------------------------------------------------------------------------

BAD = {
    "another width": (
        {"vectors": encode({"vectors": np.zeros((2, 31), np.float32)})},
        "1 to 256 vectors of width 32; got 2 x 31",
    ),
    "three axes": ({"vectors": encode({"vectors": np.zeros((1, 2, 32), np.float32)})}, "got 1 x 2 x 32"),
    "no vectors": ({"vectors": encode({"vectors": np.zeros((0, 32), np.float32)})}, "got 0 x 32"),
    "too many vectors": ({"vectors": encode({"vectors": np.zeros((257, 32), np.float32)})}, "1 to 256"),
    "doubles": ({"vectors": encode({"vectors": np.zeros((2, 32))})}, "float32"),
    "NaN": ({"vectors": encode({"vectors": np.full((2, 32), np.nan, np.float32)})}, "finite numbers"),
    "far out": ({"vectors": encode({"vectors": np.full((2, 32), 1e9, np.float32)})}, "at most 10000"),
    "another name": ({"vectors": encode({"prompt": numbers()})}, "one array, named vectors"),
    "a pickle": ({"vectors": "gASVBQAAAAAAAACMAWGULg=="}, "base64 of a safetensors file"),
    "no base64": ({"vectors": "%%%"}, "base64 of a safetensors file"),
    "no texts": ({"texts": []}, "texts must be longer"),
    "an empty text": ({"texts": ["old", " ", "fox", "fox"]}, "Text 1 is empty"),
    "a number as text": ({"texts": [3, "old", "fox", "fox"]}, "must be a text"),
    "one text": ({"texts": "old fox"}, "texts must be a list"),
    "fewer labels": ({"labels": ["bad"]}, "4 texts and 1 labels"),
    "one label only": ({"labels": ["bad"] * 4}, "two or more different labels"),
    "an unknown label": ({"classes": ["bad", "moon"]}, "not among the classes"),
    "labels that begin alike": ({"labels": ["good", "good red", "good", "good"]}, "is the beginning of"),
    "no labels behind a text": ({"labels": None}, "layout must be prefix"),
    "an unknown layout": ({"layout": "middle"}, "layout must be one of 'suffix' or 'prefix'"),
    "an unknown loss": ({"loss": "guess"}, "loss must be one of"),
    "a template without its place": ({"template": "It was good"}, "must hold {text} once"),
    "too long a text": ({"texts": ["old " * 40] * 4}, "Text 0 is too long"),
    "a rate": ({"rate": 0.1}, "rate is no field of this request"),
    "an optimiser": ({"rule": {"name": "sgd"}}, "rule is no field of this request"),
    "too many rows": ({"texts": ["old"] * 257, "labels": ["bad", "moon"] * 128 + ["bad"]}, "257 texts, and 256 are allowed"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_request_gets_one_sentence_before_the_model_is_asked(inside, bad, monkeypatch):
    monkeypatch.setattr(engines.Engine, "_answers", lambda *_: pytest.fail("the model was asked"))
    change, said = BAD[bad]
    body = {"vectors": encode({"vectors": numbers()}), "texts": TEXTS, "labels": LABELS, **change}
    with pytest.raises(client.ClientError) as err:
        inside.ask("POST", "/gradient", body)
    assert 400 <= err.value.status < 500 and said in str(err.value) and not fuzz.NEVER.search(str(err.value))


def test_limits_of_tokens_of_rate_and_of_the_queue(lm):
    limits = service.Limits(tokens=20, burst=4, rate=1)
    app = service.create(lm, start=START, limits=limits)
    with client.Client(app) as there:
        with pytest.raises(client.ClientError, match="makes the model read .* tokens, and 20 are allowed") as err:
            there.gradient(numbers(), TEXTS, LABELS)
        assert err.value.status == 413
        assert there.gradient(numbers(), ["old"], ["bad"], classes=["bad", "moon"])[0] > 0
        with pytest.raises(client.ClientError, match="More than 1 requests a second") as err:
            for _ in range(9):
                there.ask("GET", "/about")
        assert err.value.status == 429
    app.state.engine.close()
    for bad in ({"rows": 0}, {"seconds": -1}, {"rate": "fast"}):
        with pytest.raises(ValueError, match="Limits: "):
            service.Limits(**bad)


def test_a_body_of_100_mb_and_one_that_never_comes(lm, monkeypatch):
    monkeypatch.setattr(patience, "SECONDS", 0.3)
    app = service.create(lm, start=START, limits=service.Limits(seconds=30.0))
    with service.running(app) as address, client.Client(address) as there:
        answer = there._http.post("/gradient", content=b"x" * 100_000_000)
        assert answer.status_code == 413 and "more than 8388608 bytes" in answer.json()["error"]
        answer = there._http.post("/gradient", content=(b"x" * 1_000_000 for _ in range(9)))  # its length is not told
        assert answer.status_code == 413
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        with socket.create_connection(place) as slow:  # a head that never ends
            slow.sendall(b"POST /gradient HTTP/1.1\r\nhost: loc")
            slow.settimeout(5)
            assert slow.recv(100) == b""
        with socket.create_connection(place) as slow:  # a body that never ends
            slow.sendall(b"POST /gradient HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n{")
            slow.settimeout(5)
            assert b"408" in slow.recv(100)
        assert there.gradient(numbers(), TEXTS, LABELS)[0] > 0


def test_a_request_that_takes_too_long_is_given_up(lm, monkeypatch):
    app = service.create(lm, start=START, limits=service.Limits(seconds=0.2))
    real = engines.gradient_many
    monkeypatch.setattr(engines, "gradient_many", lambda *a, **k: (time.sleep(0.5), real(*a, **k))[1])
    with client.Client(app) as there, pytest.raises(client.ClientError, match=r"not done after 0\.2 seconds") as err:
        there.gradient(numbers(), TEXTS, LABELS)
    assert err.value.status == 408
    app.state.engine.close()


def test_a_request_that_was_given_up_is_not_computed_and_one_that_is_computed_cannot_break_the_thread(lm):
    engine, begun, busy, asked = engines.Engine(lm), threading.Event(), threading.Event(), []

    async def ask():
        first = asyncio.ensure_future(engine.alone(lambda _: (begun.set(), busy.wait(10), asked.append("first"))))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        second = asyncio.ensure_future(engine.alone(lambda _: asked.append("second")))
        await asyncio.sleep(0.01)
        first.cancel(), second.cancel()
        await asyncio.sleep(0.01)
        busy.set()
        return await asyncio.wait_for(engine.alone(lambda _: "third"), 5)

    assert asyncio.run(ask()) == "third" and asked == ["first"]
    job = engines._Job(None, lambda _: job.done.cancel(), 0, Future())
    assert engine._serve([job]) and job.done.result(1) is False  # between its answer and its end nobody can take it back
    engine.close()


def test_tokens_say_who_asks_and_beyond_the_loopback_they_are_needed(lm, tmp_path):
    app = service.create(lm, start=START, tokens={"k1": "anna", "k2": "ben"}, keep=tmp_path)
    for token in (None, "k3", "anna"):
        with client.Client(app, token) as there, pytest.raises(client.ClientError, match="Give your token") as err:
            there.about()
        assert err.value.status == 401
    with client.Client(app, "k1") as anna, client.Client(app, "k2") as ben:
        anna.gradient(numbers(), TEXTS, LABELS, keep=True)
        (name,) = anna.kept()
        assert ben.kept() == []
        with pytest.raises(client.ClientError, match="Nothing of this name") as err:
            ben.delete(name)
        assert err.value.status == 404 and anna.kept() == [name]
    app.state.engine.close()
    open_to_all = service.create(lm, start=START)
    with (
        pytest.raises(ValueError, match=r"0\.0\.0\.0 can be reached by others: give tokens"),
        service.running(open_to_all, host="0.0.0.0"),
    ):
        pass
    with client.Client(open_to_all) as there:  # a page in a browser that knows the port
        answer = there._http.get("/about", headers={"host": "evil.example"})
    assert answer.status_code == 403 and "loopback" in answer.json()["error"]
    with pytest.raises(ValueError, match="tokens is a dict"):
        service.create(lm, tokens={"": "anna"})


# ---- what stays secret --------------------------------------------------------------------------------------------------


def test_answers_hold_loss_gradient_and_predictions_and_nothing_of_the_model(over_http):
    rows = {"vectors": encode({"vectors": numbers()}), "texts": TEXTS, "labels": LABELS}
    bodies = {
        "/gradient": (rows, {"loss", "gradient", "predictions"}),
        "/predict": ({"vectors": rows["vectors"], "texts": TEXTS, "classes": CLASSES}, {"predictions", "probabilities"}),
        "/update": (rows | {"rule": {"name": "sgd", "rate": 0.1}}, {"vectors", "state", "loss", "predictions"}),
        "/choose": (rows | {"n": 2}, {"rows"}),
    }
    for path, (body, keys) in bodies.items():
        answer = over_http._http.post(path, json=body)
        assert answer.status_code == 200 and set(answer.json()) == keys
        assert set(answer.headers) == {"date", "content-length", "content-type"}
        assert not fuzz.NEVER.search(answer.text)
    assert set(over_http.ask("GET", "/about")) == {"width", "start", "limits", "library", "vision", "keeps", "version"}


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A service with a library and meta-prompts, for three users."""
    pytest.importorskip("lancedb")
    lm = tiny_lm(words=fuzz.WORDS)
    config = meta.MetaConfig(
        prompt=soft.SoftConfig(start=START, vectors=3), examples=2, steps=0, map="last", example="{text} {label}"
    )
    tasks = [meta.Task("moods", TEXTS, ["good", "bad", "good", "bad"])]
    general = meta.learn(lm, tasks, config)
    own = meta.learn(lm, [tasks[0]._replace(user="anna", name="colors")], config, user="anna")
    shelf = library.Library.open(tmp_path_factory.mktemp("library") / "shelf", "keeper")
    tokens = {"k1": "anna", "k2": "ben", "k3": "eva"}
    made = service.create(lm, start=START, tokens=tokens, library=shelf, meta_prompts={"general": general, "of anna": own})
    yield made
    made.state.engine.close()


@pytest.fixture(scope="module")
def anna(rich):
    with client.Client(rich, "k1") as found:
        yield found


@pytest.fixture(scope="module")
def ben(rich):
    with client.Client(rich, "k2") as found:
        yield found


@given(request=fuzz.requests(WIDTH))
@settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_service_or_makes_it_talk(anna, request):
    method, path, data = request
    answer = anna._http.request(method, path, content=data, headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text
    found = json.loads(answer.content)
    if answer.status_code >= 400:
        assert set(found) == {"error"} and 5 < len(found["error"]) < 20_000
        assert not fuzz.NEVER.search(found["error"]), found


def test_a_failure_of_the_server_tells_nobody_what_was_sent(inside, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("lm_head of GPT2LMHeadModel failed on: old fox")

    monkeypatch.setattr(engines, "gradient_many", broken)
    with caplog.at_level(logging.DEBUG), pytest.raises(client.ClientError, match="Something is wrong with the server") as err:
        inside.gradient(numbers(), TEXTS, LABELS)
    assert err.value.status == 500 and "RuntimeError in" in caplog.text and "old fox" not in caplog.text


def holders(canary):
    """Objects that hold a text, or a piece of it as bytes, without the frames of this test."""
    gc.collect()
    found = []
    for thing in gc.get_objects():
        if type(thing) is types.FrameType:
            continue
        parts = gc.get_referents(thing) if issubclass(type(thing), (dict, list, tuple, set)) else [thing]
        for part in parts:
            kind = type(part)  # not isinstance: some lazy objects warn when they are looked at
            if (issubclass(kind, str) and canary in part) or (issubclass(kind, bytes) and canary.encode() in part):
                found.append((type(thing), part[:80]))
    return found


def test_nothing_of_what_was_sent_is_left_in_objects_logs_or_files(app, lm, tmp_path, monkeypatch, caplog):
    canary = "".join(["cana", "ry", "7391"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with caplog.at_level(logging.DEBUG), client.Client(app) as there:
        for labels, status in ((LABELS, 200), (["bad"] * 4, 422)):  # answered, and refused
            body = {"vectors": encode({"vectors": numbers()}), "texts": [f"old {canary} fox", *TEXTS[1:]], "labels": labels}
            answer = there._http.post("/gradient", json=body)
            assert answer.status_code == status
            del answer, body
    caplog.clear() if canary not in caplog.text else pytest.fail("a log holds it")
    assert not list(tmp_path.rglob("*"))
    left = holders(canary)
    assert not left, left


# ---- consent, and one model -------------------------------------------------------------------------------------------------


def test_rows_are_kept_by_consent_only_and_deleted_again(there, tmp_path):
    assert there.kept() == []
    body = {"vectors": encode({"vectors": numbers()}), "texts": TEXTS, "labels": LABELS}
    assert "kept" not in there.ask("POST", "/gradient", body)
    said = there.ask("POST", "/gradient", body | {"keep": True})["kept"]
    assert said == {"id": said["id"], "texts": 4, "labels": 4, "delete": f"DELETE /kept/{said['id']}"}
    assert there.kept() == [said["id"]]
    there.delete(said["id"])
    assert there.kept() == []


def test_a_server_without_a_place_for_rows_refuses_to_keep_them(lm, tmp_path):
    app = service.create(lm, start=START)
    with client.Client(app) as there, pytest.raises(client.ClientError, match="keeps nothing"):
        there.gradient(numbers(), TEXTS, LABELS, keep=True)
    assert app.state.engine._thread is None  # refused before the model was asked


def test_the_model_stays_as_it_was_and_gets_its_modes_back():
    lm = tiny_lm(words=fuzz.WORDS)
    before = soft.sketch(lm, config=soft.SoftConfig(start=START)).sha256
    app = service.create(lm, start=None)
    with client.Client(app) as there:
        with pytest.raises(client.ClientError, match="gives no vectors to begin with"):
            there.start()
        there.gradient(numbers(), TEXTS, LABELS)
        assert not any(weight.requires_grad for weight in lm.model.parameters())
    app.state.engine.close()
    assert all(weight.requires_grad for weight in lm.model.parameters())
    assert all(weight.grad is None for weight in lm.model.parameters())
    assert soft.sketch(lm, config=soft.SoftConfig(start=START)).sha256 == before


def test_answers_do_not_depend_on_the_number_of_threads(inside):
    before, n = inside.gradient(numbers(), TEXTS, LABELS), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        after = inside.gradient(numbers(), TEXTS, LABELS)
    finally:
        torch.set_num_threads(n)
    assert after[0] == pytest.approx(before[0], abs=1e-4) and np.abs(after[1] - before[1]).max() < 1e-4


def test_the_page_of_the_interface_says_what_requests_hold(inside):
    found = inside._http.get("/openapi.json").json()
    assert {"/gradient", "/predict", "/update", "/choose", "/about", "/kept"} <= set(found["paths"])
    assert not {"rate", "rule", "optimizer"} & set(found["components"]["schemas"]["ForGradient"]["properties"])
    page = inside._http.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"<script|<link|<img|https?:|//", page.text)  # nothing comes from the web, and no script
    for path in found["paths"]:
        assert f"{path.replace('&', '&amp;')}</h2>" in page.text
    for name in found["components"]["schemas"]["ForGradient"]["properties"]:
        assert f"<code>{name}</code>" in page.text
    assert inside._http.get("/redoc").status_code == 404


# ---- library ------------------------------------------------------------------------------------------------------------

CARD = {"name": "tone", "date": "2026-03-01T12:00:00Z", "data": [{"name": "own"}]}


def upload(there, seed, name, **card):
    body = {"vectors": encode({"vectors": numbers(seed)}), "classes": ["bad", "good"], "card": CARD | {"name": name, **card}}
    return there.ask(
        "POST", "/library/upload", body | {"rows": [[f"fox {word}" for word in fuzz.WORDS[:4]], ["bad", "good"] * 2]}
    )["id"]


def search(there, seed, **more):
    found = there.ask("POST", "/library/search", {"vectors": encode({"vectors": numbers(seed)}), "metric": "cosine", **more})
    return found["hits"], found


def test_an_upload_is_found_read_and_removed(anna, ben):
    name = upload(anna, 20, "seen", share=True, submitter="Anna")
    hits, said = search(ben, 20)
    assert hits[0]["id"] == name and hits[0]["score"] == pytest.approx(1, abs=1e-6) and said["compared"] >= 1
    assert hits[0]["card"]["submitter"] == "Anna" and not hits[0]["mine"] and "higher" not in hits[0]
    found = ben.ask("POST", "/library/read", {"name": name, "rows": True})
    assert (client.remote.decode(found["vectors"])["vectors"] == numbers(20)).all() and len(found["texts"]) == 4
    assert found["classes"] == ["bad", "good"] and found["layout"] == "suffix"
    hits, _ = search(ben, 20, by="gradient", texts=["fox red", "fox blue"], labels=["bad", "good"], size=3)
    assert name in [hit["id"] for hit in hits]
    with pytest.raises(client.ClientError, match="There is no entry"):
        ben.ask("POST", "/library/remove", {"name": name})
    assert anna.ask("POST", "/library/remove", {"name": name}) == {"removed": 1}
    assert name not in [hit["id"] for hit in search(ben, 20)[0]]


def test_what_one_may_not_see_changes_nothing_that_one_sees(anna, ben, rich):
    upload(anna, 30, "open")
    with client.Client(rich, "k3") as eva:
        before = [
            one._http.post("/library/search", json={"vectors": encode({"vectors": numbers(31)})}).content for one in (ben, eva)
        ]
        hidden = upload(anna, 31, "hidden", access="restricted", readers=["eva"])
        after = [
            one._http.post("/library/search", json={"vectors": encode({"vectors": numbers(31)})}).content for one in (ben, eva)
        ]
        assert before[0] == after[0] and before[1] != after[1] and hidden in after[1].decode()
        errors = []
        for name in (hidden, "0" * 16):
            with pytest.raises(client.ClientError) as err:
                ben.ask("POST", "/library/read", {"name": name})
            errors.append(str(err.value).replace(name, "..."))
        assert errors[0] == errors[1] and eva.ask("POST", "/library/read", {"name": hidden})["id"] == hidden


def test_one_upload_buys_one_reading(anna, rich):
    swapped = upload(anna, 40, "swapped", access="exchange")
    with client.Client(rich, "k3") as eva:
        with pytest.raises(client.ClientError, match="There is no entry"):
            eva.ask("POST", "/library/read", {"name": swapped, "buy": True})
        upload(eva, 41, "of eva")
        with pytest.raises(client.ClientError, match="given in exchange") as err:
            eva.ask("POST", "/library/read", {"name": swapped})
        assert not fuzz.NEVER.search(str(err.value)) and "library." not in str(err.value)
        assert eva.ask("POST", "/library/read", {"name": swapped, "buy": True})["id"] == swapped


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"card": {"name": "x", "date": "2026-03-01T12:00:00Z"}}, "card.data is missing"),
        ({"card": CARD | {"date": "yesterday"}}, "date must be UTC"),
        ({"card": CARD | {"data": [{"name": "own"}]}, "rows": None}, "has no sha256"),
        ({"card": CARD | {"readers": ["ben"]}}, "readers need access='restricted'"),
        ({"vectors": encode({"vectors": np.full((2, 32), np.inf, np.float32)})}, "finite"),
    ],
)
def test_an_upload_that_is_refused_says_why(anna, change, said):
    body = {"vectors": encode({"vectors": numbers(50)}), "classes": ["bad", "good"], "card": CARD, **change}
    with pytest.raises(client.ClientError, match=said) as err:
        anna.ask("POST", "/library/upload", body)
    assert err.value.status == 422 and not fuzz.NEVER.search(str(err.value))


def test_a_server_without_a_library_says_so(inside):
    with pytest.raises(client.ClientError, match="no library") as err:
        search(inside, 0)
    assert err.value.status == 404 and not inside.about()["library"]


# ---- meta-prompts -------------------------------------------------------------------------------------------------------

SHOWN = [["old fox", "good"], ["moon", "bad"]]


def test_a_prompt_is_made_from_examples_or_a_description_and_the_answer_says_by_which(anna, ben, rich):
    first = ben._http.post("/meta-prompt", json={"examples": SHOWN})
    assert first.content == ben._http.post("/meta-prompt", json={"examples": SHOWN}).content
    found = first.json()
    assert found["meta_prompt"] == "general" and found["classes"] == ["bad", "good"]
    made = rich.state.meta_prompts["general"].make(rich.state.engine.lm, [tuple(one) for one in SHOWN])
    assert (client.remote.decode(found["vectors"])["vectors"] == made.vectors).all()
    assert (
        ben.ask("POST", "/meta-prompt", {"examples": "is it good or bad", "classes": ["bad", "good"]})["meta_prompt"] == "general"
    )
    assert anna.ask("GET", "/meta-prompts")["meta_prompts"] == ["general", "of anna"]
    assert ben.ask("GET", "/meta-prompts")["meta_prompts"] == ["general"]
    assert anna.ask("POST", "/meta-prompt", {"examples": SHOWN, "name": "of anna"})["meta_prompt"] == "of anna"
    errors = []
    for name in ("of anna", "of nobody"):
        with pytest.raises(client.ClientError) as err:
            ben.ask("POST", "/meta-prompt", {"examples": SHOWN, "name": name})
        errors.append(str(err.value))
    assert errors[0] == errors[1]


def test_the_fitting_meta_prompt_is_found_by_the_library(anna):
    name = upload(anna, 60, "colors")
    found = anna.ask("POST", "/meta-prompt", {"examples": SHOWN, "search": True})
    assert found["meta_prompt"] == "of anna"
    anna.ask("POST", "/library/remove", {"name": name})
    assert anna.ask("POST", "/meta-prompt", {"examples": SHOWN, "search": True})["meta_prompt"] == "general"


def test_a_meta_prompt_is_learned_with_relatives_and_goes_back_to_its_user(anna, ben):
    name = upload(anna, 70, "a relative")
    rows = {"name": "mine", "texts": [f"{word} fox" for word in fuzz.WORDS[:6]], "labels": ["good", "bad"] * 3}
    more = {"examples": 2, "example": "{text} {label}", "vectors": 3, "steps": 2, "widen": 3}
    found = ben.ask("POST", "/meta-prompt/learn", {"tasks": [rows], **more})
    assert name in [one["id"] for one in found["added"]] and all(one["for"] == "mine" for one in found["added"])
    made = ben.ask("POST", "/meta-prompt", {"examples": SHOWN, "own": found["meta_prompt"]})
    assert made["meta_prompt"] == "own" and client.remote.decode(made["vectors"])["vectors"].shape == (3, WIDTH)
    assert ben.ask("GET", "/meta-prompts")["meta_prompts"] == ["general"]  # it was not kept
    broken = found["meta_prompt"] | {"options": found["meta_prompt"]["options"] | {"map": "layers"}}
    with pytest.raises(client.ClientError, match="own must be a meta-prompt as this server gave it"):
        ben.ask("POST", "/meta-prompt", {"examples": SHOWN, "own": broken})


def test_a_meta_prompt_of_another_model_is_refused_at_the_start(rich):
    other = tiny_lm(seed=9, words=fuzz.WORDS)
    with pytest.raises(ValueError, match="belongs to another model"):
        service.create(other, start=START, meta_prompts=rich.state.meta_prompts)


def test_examples_that_stand_for_a_data_set_are_those_chosen_here(anna, rich):
    texts, labels = [f"{word} fox" for word in fuzz.WORDS[:6]], ["good", "bad"] * 3
    lm = rich.state.engine.lm
    prompt = soft.SoftPrompt(
        numbers(), ("bad", "good"), soft.SoftConfig(), lm.name, soft.sketch(lm, config=soft.SoftConfig(start=START)).sha256
    )
    for how in ("boundary", "opposite", "random"):
        assert anna.choose(numbers(), texts, labels, 4, how, seed=3) == meta.choose(lm, prompt, texts, labels, 4, how, 3)


# ---- the command --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached by others: give tokens too"),
        (["--port", "99999"], "port must be an int from 0 to 65535"),
        (["--tokens", "nowhere.json"], "nowhere.json"),
    ],
)
def test_the_command_refuses_before_it_loads_a_model(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr("workbench.models.load_lm", lambda *_: pytest.fail("a model was loaded"))
    assert main(["serve", "--model", "world", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_command_loads_one_model_for_a_hundred_calls(lm, monkeypatch, capsys, tmp_path):
    loads, answers = [], []
    monkeypatch.setattr("workbench.models.load_lm", lambda *names: loads.append(names) or lm)
    (tmp_path / "tokens.json").write_text('{"k1": "anna"}')

    def run(self, sockets):
        with client.Client(self.config.app, "k1") as there:
            answers.extend(there.ask("GET", "/about")["width"] for _ in range(100))

    monkeypatch.setattr("uvicorn.Server.run", run)
    assert main(["serve", "--model", "tiny", "--port", "0", "--start", START, "--tokens", str(tmp_path / "tokens.json")]) == 0
    said = capsys.readouterr().out
    assert loads == [("tiny", "float32")] and answers == [WIDTH] * 100 and said.count("Loaded, once") == 1


def test_without_fastapi_the_error_says_what_to_install(lm, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs fastapi: pip install 'fastapi>=0.115'"):
        service.create(lm)
