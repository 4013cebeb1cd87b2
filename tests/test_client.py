"""The client: numpy and HTTP alone. Its rules and its chain rule are those of torch; tasks share a part."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from workbench import client
from workbench.client import tuning

ROOT = Path(__file__).parents[1]
WIDTH = 6


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(scale=0.3, size=shape).astype(np.float32)


class Bowl:
    """A server whose loss is the squared distance to a place that depends on the labels; what it is asked is kept."""

    def __init__(self, shape=(4, WIDTH)):
        self.shape, self.asked = shape, []

    def start(self, k):
        return np.zeros((k, WIDTH), np.float32)

    def gradient(self, vectors, texts, labels, config=None, *, classes=None):
        self.asked.append((vectors.copy(), list(texts), list(labels)))
        to = numbers(*self.shape, seed=len(labels[0]))
        away = vectors - to
        return float((away**2).sum() / 2), away, list(labels)


# ---- without torch ------------------------------------------------------------------------------------------------------


def test_the_client_imports_no_torch_and_takes_little_memory():
    code = (
        "import json, re, sys; import workbench.client as c\n"
        "there = c.Client('http://127.0.0.1:9')\n"
        "heavy = {'torch', 'transformers', 'scipy', 'sklearn', 'fastapi', 'pandas', 'datasets'} & set(sys.modules)\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())\n"  # getrusage counts the parent's too
        "print(json.dumps([sorted(heavy), int(peak[1]) / 1024]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ)
    heavy, megabytes = json.loads(done.stdout)
    assert heavy == [] and megabytes < 200


def test_a_server_that_is_not_there_and_one_that_is_another():
    with client.Client("http://127.0.0.1:9") as there, pytest.raises(client.ClientError, match="cannot be asked"):
        there.about()
    with pytest.raises(TypeError, match="an address, such as"):
        client.Client(8000)

    async def other(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>"})

    with client.Client(other) as there, pytest.raises(client.ClientError, match="is this address that of a training service"):
        there.about()
    with client.Client(other) as there, pytest.raises(ValueError, match="float32 array"):
        there.gradient(np.zeros((2, 2)), ["a"], ["b"])


# ---- rules --------------------------------------------------------------------------------------------------------------


def adafactor(values, slope, state, rate):
    """Adafactor (arXiv:1804.04235) with torch's defaults: a rule of the caller's own."""
    step = state.get("step", 0) + 1
    two = 1 - step**-0.8
    rows = state.get("rows", 0) * two + (1 - two) * (slope**2).mean(1, keepdims=True)
    columns = state.get("columns", 0) * two + (1 - two) * (slope**2).mean(0, keepdims=True)
    second = rows @ columns / max(rows.mean(), 1e-3)
    update = slope / np.sqrt(np.maximum(second, np.finfo(np.float32).eps ** 2))
    root = lambda x: float(np.sqrt((x.astype(np.float64) ** 2).mean()))  # noqa: E731
    size = max(1e-3, root(values)) * min(rate, step**-0.5)
    values = values - np.float32(size / max(1.0, root(update))) * update
    return values.astype(np.float32), {"step": step, "rows": rows, "columns": columns}


RULES = {
    "sgd": (client.SGD(0.9, 0.01), lambda p: torch.optim.SGD([p], 0.1, 0.9, weight_decay=0.01)),
    "plain sgd": (client.SGD(), lambda p: torch.optim.SGD([p], 0.1)),
    "adamw": (client.AdamW((0.9, 0.98), 1e-8, 0.1), lambda p: torch.optim.AdamW([p], 0.1, (0.9, 0.98), 1e-8, 0.1)),
    "adafactor": (adafactor, lambda p: torch.optim.Adafactor([p], 0.1)),
}


@pytest.mark.parametrize("name", RULES)
def test_fifty_steps_of_a_rule_are_those_of_torch(name):
    rule, make = RULES[name]
    values, state, to = numbers(4, WIDTH), {}, torch.from_numpy(numbers(4, WIDTH, seed=1))
    point = torch.nn.Parameter(torch.from_numpy(values.copy()))
    optimizer = make(point)
    for _ in range(50):
        optimizer.zero_grad()
        ((point - to) ** 3).abs().sum().backward()
        slope = point.grad.numpy().copy()
        optimizer.step()
        values, state = rule(values, slope, state, 0.1)
        assert np.abs(values - point.detach().numpy()).max() < 1e-4
        values = point.detach().numpy().copy()  # so that each step is compared
    assert values.dtype == np.float32


def test_with_a_zero_gradient_weight_decay_takes_its_exact_share():
    values = numbers(4, WIDTH)
    moved, _ = client.AdamW(weight_decay=0.1)(values, np.zeros_like(values), {}, 0.5)
    assert (moved == values * np.float32(1 - 0.05)).all()
    for bad in ({"betas": (2, 0.9)}, {"epsilon": 0}, {"weight_decay": -1}):
        with pytest.raises(ValueError, match="AdamW: "):
            client.AdamW(**bad)
    with pytest.raises(ValueError, match="SGD: momentum"):
        client.SGD(momentum=3)


# ---- general and task prompt ----------------------------------------------------------------------------------------------


def mixed(shared, own):
    """A learned combination: the sum through tanh and a matrix, with its own backward."""
    matrix = numbers(WIDTH, WIDTH, seed=5)
    inner = np.tanh(shared + own)

    def back(slope):
        found = (slope @ matrix.T) * (1 - inner**2)
        return found, found

    return inner @ matrix, back


def in_torch(combine, shared, own):
    matrix = torch.from_numpy(numbers(WIDTH, WIDTH, seed=5)).to(shared.dtype)
    return {
        client.add: lambda: shared + own,
        client.concatenate: lambda: torch.cat([shared, own]),
        client.features: lambda: torch.cat([shared, own], 1),
        client.project: lambda: torch.cat([shared, torch.ones(len(shared), 1, dtype=shared.dtype)], 1) @ own,
        mixed: lambda: torch.tanh(shared + own) @ matrix,
    }[combine]()


SHAPES = {
    client.add: ((4, WIDTH), (4, WIDTH), (4, WIDTH)),
    client.concatenate: ((4, WIDTH), (3, WIDTH), (7, WIDTH)),
    client.features: ((4, 2), (4, WIDTH - 2), (4, WIDTH)),
    client.project: ((4, 5), (6, WIDTH), (4, WIDTH)),
    mixed: ((4, WIDTH), (4, WIDTH), (4, WIDTH)),
}


@pytest.mark.parametrize("combine", SHAPES, ids=lambda one: one.__name__)
def test_the_gradients_of_both_parts_are_those_of_autograd(combine):
    one, other, shape = SHAPES[combine]
    shared, own, slope = numbers(*one, seed=1), numbers(*other, seed=2), numbers(*shape, seed=3)
    vectors, back = combine(shared, own)
    parts = [torch.from_numpy(part).requires_grad_() for part in (shared, own)]
    found = in_torch(combine, *parts)
    found.backward(torch.from_numpy(slope))
    assert vectors.shape == shape and np.abs(vectors - found.detach().numpy()).max() < 1e-6
    for part, gradient in zip(parts, back(slope), strict=True):
        assert gradient.shape == tuple(part.shape) and np.abs(gradient - part.grad.numpy()).max() < 1e-6


def test_an_identity_without_bias_projects_to_the_shared_part_and_other_shapes_are_refused():
    shared = numbers(4, WIDTH)
    plain = np.concatenate([np.eye(WIDTH, dtype=np.float32), np.zeros((1, WIDTH), np.float32)])
    assert (client.project(shared, plain)[0] == shared).all()
    for combine, other in (
        (client.add, (3, WIDTH)),
        (client.concatenate, (3, 2)),
        (client.features, (3, 2)),
        (client.project, (4, 9)),
    ):
        with pytest.raises(ValueError, match=f"{combine.__name__} cannot combine"):
            combine(shared, numbers(*other))


# ---- tasks that share a part ------------------------------------------------------------------------------------------------

TASKS = {"long": (["a", "b", "c"], ["yes", "yes", "yes"]), "short": (["d", "e"], ["no", "no"]), "never": (["f"], ["not"])}


def parts(**more):
    own = {name: numbers(4, WIDTH, seed=len(name)) for name in TASKS}
    return client.Shared(numbers(4, WIDTH), own, **more)


def test_a_step_moves_the_shared_part_and_that_of_its_task_only():
    begun, there = parts(rates={"long": 1, "short": 0, "never": 0}), Bowl()
    done = client.multitask(there, TASKS, begun, client.TuneConfig(steps=3, batch=2))
    assert (done.shared != begun.shared).any() and (done.own["long"] != begun.own["long"]).any()
    assert all((done.own[name] == begun.own[name]).all() for name in ("short", "never"))
    assert done.history[-1]["tasks"] == {"long": 3, "never": 0, "short": 0} and done.history[-1]["step"] == 3
    assert all(set(texts) <= {"a", "b", "c"} and len(texts) == 2 for _, texts, _ in there.asked)


@pytest.mark.parametrize("hold", [("shared",), ("long",), ("shared", "long")])
def test_a_part_that_is_held_does_not_move(hold):
    begun = parts(hold=hold, rates={"long": 1, "short": 0, "never": 0})
    done = client.multitask(Bowl(), TASKS, begun, client.TuneConfig(steps=3, batch=2))
    assert ((done.shared == begun.shared).all(), (done.own["long"] == begun.own["long"]).all()) == (
        "shared" in hold,
        "long" in hold,
    )


def test_tasks_are_drawn_at_their_rates():
    rates = {"long": 0.5, "short": 0.3, "never": 0.2}
    done = client.multitask(Bowl(), TASKS, parts(rates=rates), client.TuneConfig(steps=2_000, batch=1), rule=client.SGD())
    counts = done.history[-1]["tasks"]
    assert stats.chisquare([counts[name] for name in rates], [2_000 * rate for rate in rates.values()]).pvalue > 0.01


def test_the_server_cannot_tell_parts_of_equal_sum():
    shift, requests = np.float32(0.25), []
    for shared, own in ((numbers(4, WIDTH), 0.5), (numbers(4, WIDTH) + shift, 0.25)):
        vectors, _ = client.add(shared, np.full((4, WIDTH), own, np.float32))
        rounded = np.round(vectors, 3)  # the sums differ in their last bits only
        requests.append(json.dumps(client.remote._rows(rounded, ["a"], ["b"], None, None)))
    assert requests[0] == requests[1]


def test_the_loop_learns_and_repeats_itself():
    there, config = Bowl((8, WIDTH)), client.TuneConfig(steps=120, batch=2, rate=0.1)
    found = client.tune(there, ["a", "b", "c"], ["yes", "yes", "yes"], config, classes=["yes", "no"])
    assert np.abs(found.vectors - numbers(8, WIDTH, seed=3)).max() < 0.05 and found.labels == ("yes", "no")
    assert found.history[-1]["loss"] < 0.01 < found.history[0]["loss"] and len(found.history) == 12
    again = client.tune(Bowl((8, WIDTH)), ["a", "b", "c"], ["yes"] * 3, config, classes=["yes", "no"])
    assert (again.vectors == found.vectors).all()
    own = client.tune(
        Bowl((8, WIDTH)), ["a"], ["yes"], config.replace(steps=5), rule=lambda v, g, s, r: (v + 1, s), classes=["yes", "no"]
    )
    assert (own.vectors == 5).all()
    assert (client.tune(there, ["a"], ["yes"], config.replace(steps=0), start=np.ones((2, WIDTH))).vectors == 1).all()


def test_each_row_is_seen_before_one_is_seen_again():
    order = np.random.default_rng([0, 1]).permutation(5)
    seen = [i for step in range(5) for i in tuning.batch(order, client.TuneConfig(batch=2), step)]
    assert sorted(seen[:5]) == sorted(seen[5:]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: client.TuneConfig(steps=-1), "TuneConfig: steps"),
        (lambda: client.TuneConfig(rate=0), "TuneConfig: rate"),
        (lambda: client.tune(Bowl(), ["a"], ["b", "c"]), "1 texts and 2 labels"),
        (lambda: client.tune(Bowl(), [], []), "There are no texts"),
        (lambda: parts(rates={"long": 1}), "rates must hold a number"),
        (lambda: parts(rates={"long": -1, "short": 1, "never": 1}), "rates must hold a number"),
        (lambda: parts(hold=("other",)), "hold names"),
        (lambda: client.Shared(numbers(4, WIDTH), {}), "own needs a part for each task"),
        (lambda: client.multitask(Bowl(), {"other": (["a"], ["b"])}, parts()), "one for each"),
    ],
)
def test_what_does_not_fit_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
