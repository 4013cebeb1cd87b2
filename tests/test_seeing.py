"""Visual prompts over the service and in the library: equal numbers, and like is compared with like only."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.service_parts import fuzz
from workbench import client, library, service, visual
from workbench.models import load_clip, load_lm
from workbench.models.checker import load_checker
from workbench.search.visual import shelving
from workbench.world import scenes

LABELS = ["blue", "red"]
CARD = {"name": "border", "date": "2026-03-01T12:00:00Z", "data": [{"name": "own", "sha256": "0" * 64}]}


@pytest.fixture(scope="module")
def clip():
    return load_clip("world", device="cpu")


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def there(clip, tmp_path_factory):
    shelf = library.Library.open(tmp_path_factory.mktemp("shelf"))
    app = service.create(load_lm("world"), library=shelf, vision=clip)
    with client.Client(app) as found:
        yield found
    app.state.engine.close()


def right(n):
    return [LABELS[i % 2] for i in range(n)]


@pytest.mark.parametrize(
    "options", [{"kind": kind} for kind in visual.KINDS] + [{"kind": "pad", "width": 2, "maker": 4}], ids=str
)
def test_the_gradient_over_the_service_is_the_local_one(there, clip, pictures, options):
    config = visual.VisualConfig(**options)
    tensors = {name: one + np.float32(0.01) for name, one in there.visual_start(LABELS, options).items()}
    prompt = shelving.read(clip, tensors, LABELS, config)
    here = visual.gradient(clip, prompt, pictures, right(6))
    found = there.visual_gradient(tensors, pictures, right(6), LABELS, options)
    assert found[0] == pytest.approx(here[0], rel=1e-6) and found[2] == here[2] and set(found[1]) == set(here[1])
    for name, one in here[1].items():
        assert np.abs(found[1][name] - one).max() <= 1e-6 * max(np.abs(one).max(), 1e-12)
    assert there.visual_predict(tensors, pictures, LABELS, options) == prompt.classify(clip, pictures)


def test_steps_of_a_client_learn_a_visual_prompt(there, pictures):
    tensors, losses = there.visual_start(LABELS), []
    for _ in range(8):
        loss, slope, _ = there.visual_gradient(tensors, pictures, right(6), LABELS)
        tensors = {name: one - np.float32(0.3) * np.sign(slope[name]) * np.float32(0.1) for name, one in tensors.items()}
        losses.append(loss)
    assert losses[-1] < losses[0]


def ask(there, path, tensors, options=None, **more):
    body = {"tensors": client.remote.encode(tensors), "options": options or {}, "classes": LABELS}
    return there.ask("POST", f"/visual/{path}", body | more)


def test_a_visual_prompt_is_stored_found_among_its_like_only_and_read_again(there, clip):
    draw, made = np.random.default_rng(1), {}
    for name, options in {"border": {}, "thin": {"width": 2}, "mask": {"kind": "mask"}, "other": {}}.items():
        start = there.visual_start(LABELS, options)
        made[name] = {key: one + draw.normal(size=one.shape).astype(np.float32) for key, one in start.items()}
        ask(there, "upload", made[name], options, card=CARD | {"name": name})
    found = ask(there, "search", made["border"])
    assert [hit["card"]["name"] for hit in found["hits"]] == ["border", "other"] and found["compared"] == 2
    assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-6) and sum(found["left_out"].values()) == 2
    read = there.ask("POST", "/visual/read", {"name": "mask"})
    assert read["options"]["kind"] == "mask" and read["classes"] == LABELS
    assert (client.remote.decode(read["tensors"])["own.mask"] == made["mask"]["own.mask"]).all()


def test_a_visual_prompt_comes_whole_out_of_a_library(clip, tmp_path, pictures):
    config = visual.VisualConfig(kind="channel", maker=3, steps=0)
    prompt = visual.tune(clip, pictures, right(6), config, progress=False)
    shelf, kept = library.Library.open(tmp_path), visual.shelved(clip, prompt)
    card = library.Card(name="mine", data=library.DataSet("own", "0" * 64), date=CARD["date"])
    again = visual.from_entry(shelf.add(kept, card, kept.start))
    assert again.config == prompt.config and again.labels == prompt.labels and again.sha256 == prompt.sha256
    assert {name: one.tobytes() for name, one in again.tensors.items()} == {
        name: one.tobytes() for name, one in prompt.tensors.items()
    }
    assert again.classify(clip, pictures) == prompt.classify(clip, pictures)


BAD = [
    ({"pictures": "AAAA"}, "pictures must be base64 of a safetensors file"),
    ({"pictures": client.remote.encode({"pictures": np.zeros((1, 8, 8, 3))})}, "pictures must be one uint8 array"),
    (
        {"tensors": client.remote.encode({"own.border": np.zeros((1, 3, 5))})},
        "The numbers of such a prompt are own.border",
    ),
    ({"tensors": client.remote.encode({"own.border": np.full((1, 3, 448), np.nan)})}, "tensors must hold finite numbers"),
    ({"options": {"kind": "hat"}}, "kind must be"),
    ({"options": {"colour": 3}}, "unknown option"),
    ({"options": {"width": 10**9}}, "at most 256"),
    ({"options": {"width": 16}}, "leaves nothing"),
    ({"options": {"template": "none"}}, "template must"),
    ({"options": {"template": "{label}" + "x" * 9_000}}, "template is at most 1000 letters"),
    ({"options": {"shrink": 10**9}}, "shrink must be True or False"),
    ({"options": {"kind": "mask", "binary": 10**12}}, "binary must be True or False"),
    ({"options": {"kind": "mask", "shared": "no"}}, "shared must be True or False"),
    ({"options": {"kind": "deep", "tokens": 256, "maker": 250}}, "numbers, and 4000000 are allowed"),
    ({"classes": ["red"]}, "classes must be 2 to"),
    ({"labels": ["red", "green"]}, "labels must be one of classes"),
    ({"labels": ["red"]}, "labels must be one of classes"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_request_gets_one_sentence(there, pictures, change, said):
    import base64

    import safetensors.numpy

    good = base64.b64encode(safetensors.numpy.save({"pictures": pictures[:2]})).decode()
    body = {"tensors": client.remote.encode(there.visual_start(LABELS)), "classes": LABELS, "labels": ["red", "red"]}
    with pytest.raises(client.ClientError, match=said) as err:
        there.ask("POST", "/visual/gradient", body | {"pictures": good} | change)
    assert err.value.status == 422 and not fuzz.NEVER.search(str(err.value))


def test_a_server_without_a_vision_model_says_so_and_a_checker_refuses_tokens(pictures):
    app = service.create(load_lm("world"))
    with client.Client(app) as found:
        with pytest.raises(client.ClientError, match="no vision model") as err:
            found.visual_start(LABELS)
        assert err.value.status == 404
    app = service.create(load_lm("world"), vision=load_checker())
    with client.Client(app) as found:
        assert len(found.visual_predict(found.visual_start(scenes.COLORS), pictures, scenes.COLORS)) == 6
        with pytest.raises(client.ClientError, match="tokens need a model that reads patches"):
            found.visual_start(scenes.COLORS, {"kind": "tokens"})


@pytest.mark.parametrize("path", ["start", "upload", "search"])
def test_a_prompt_of_too_many_numbers_is_refused_before_they_are_made(there, path, monkeypatch):
    monkeypatch.setattr(shelving, "Numbers", None)
    body = {"options": {"kind": "deep", "tokens": 256, "maker": 250}, "classes": LABELS}
    body |= {} if path == "start" else {"tensors": client.remote.encode({"own.tokens": np.zeros((1, 4, 256, 128))})}
    body |= {"card": CARD} if path == "upload" else {}
    with pytest.raises(client.ClientError, match="numbers, and 4000000 are allowed"):
        there.ask("POST", f"/visual/{path}", body)


def test_what_has_no_rows_cannot_be_asked_for_rows(there):
    with pytest.raises(client.ClientError, match="rows is no field"):
        there.ask("POST", "/visual/read", {"name": "mask", "rows": True})


@given(request=fuzz.requests(128))
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_a_service_with_a_vision_model(there, request):
    answer = there._http.request(request[0], request[1], content=request[2], headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text
    assert answer.status_code < 400 or not fuzz.NEVER.search(answer.json()["error"])
