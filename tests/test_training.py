"""The one training loop: known answers, Ctrl-C, resuming to the bit, and checkpoints of other runs."""

import math
import os
import signal

import numpy as np
import pytest
import torch

from workbench.artifacts import Checkpoint
from workbench.training import Interrupted, adamw, constant, cosine, train
from workbench.values import ArtifactError


class Line(torch.nn.Module):
    """y = a x, to be taught a = 3."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(()))

    def loss(self, step):
        x = torch.randn(32)  # seeded by the loop
        return ((self.a - 3) * x).square().mean()


def run(steps, *, folder=None, line=None, **options):
    line = line or Line()
    checkpoint = Checkpoint(folder, "a test", {"rate": 0.1}) if folder else None
    optimizer = torch.optim.AdamW(line.parameters(), 1.0, weight_decay=0.0)
    options = {"every": 5, "save_every": 7, "progress": False} | options
    done = train(line.loss, {"line": line}, optimizer, steps, constant(0.1), checkpoint=checkpoint, **options)
    return line, done


def test_it_finds_the_known_answer_and_says_what_it_did():
    line, done = run(200)
    assert abs(line.a.item() - 3) < 0.05
    assert done.step == 200 and [row["step"] for row in done.history] == list(range(5, 201, 5))
    assert done.history[-1]["loss"] < done.history[0]["loss"] / 100 and done.best is None and done.seconds > 0


def test_schedules_rise_fall_and_stay():
    falls, stays = cosine(2.0, 110, warmup=10, floor=0.1), constant(2.0, warmup=3)
    assert [falls(0), falls(10), falls(60), falls(110)] == pytest.approx([2 / 11, 2.0, 1.1, 0.2])
    assert [stays(step) for step in (0, 1, 2, 3, 999)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert cosine(1.0, 10)(0) == 1.0 and constant(1.0)(0) == 1.0


def test_biases_and_norms_do_not_decay():
    decayed, free = adamw(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2), weight_decay=0.5).param_groups
    assert [p.ndim for p in decayed["params"]] == [2] and decayed["weight_decay"] == 0.5
    assert [p.ndim for p in free["params"]] == [1, 1, 1] and free["weight_decay"] == 0.0


@pytest.mark.parametrize("stop", [3, 7, 13, 20])
def test_a_run_that_was_stopped_goes_on_to_the_bit(tmp_path, stop):
    whole, all_of_it = run(30)
    run(stop, folder=tmp_path / "run")
    line, done = run(30, folder=tmp_path / "run")
    assert torch.equal(line.a, whole.a)
    rows = [{k: v for k, v in row.items()} for row in done.history]
    # the row of a run that ended at step 3 is there too; all others are the same
    assert [row for row in rows if row["step"] % 5 == 0 and row["step"] > stop + 5] == [
        row for row in all_of_it.history if row["step"] > stop + 5
    ]


@pytest.mark.parametrize("at", [4, 11])
def test_ctrl_c_finishes_the_step_saves_and_the_rest_is_equal_to_the_bit(tmp_path, at):
    whole, all_of_it = run(30)
    line = Line()
    plain = line.loss

    def pressed(step):
        if step == at:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(step)

    line.loss = pressed
    with pytest.raises(Interrupted, match=f"stopped after step {at + 1}") as caught:
        run(30, folder=tmp_path / "run", line=line)
    assert caught.value.run.step == at + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again, done = run(30, folder=tmp_path / "run")
    assert torch.equal(again.a, whole.a) and done.history == all_of_it.history


def test_a_kill_loses_only_the_steps_since_the_last_checkpoint(tmp_path):
    whole, all_of_it = run(30)
    line = Line()
    plain = line.loss

    def dies(step):
        if step == 17:
            raise KeyboardInterrupt  # as from a second Ctrl-C: nothing more is saved
        return plain(step)

    line.loss = dies
    with pytest.raises(KeyboardInterrupt):
        run(30, folder=tmp_path / "run", line=line)
    state, _ = Checkpoint(tmp_path / "run", "a test", {"rate": 0.1}).load()
    assert state["step"] == 14
    again, done = run(30, folder=tmp_path / "run")
    assert torch.equal(again.a, whole.a) and done.history == all_of_it.history


def test_the_best_held_out_weights_are_kept_and_patience_ends_the_run(tmp_path):
    line, figures = Line(), iter([5.0, 2.0, 3.0, 4.0, 9.0])
    seen = []

    def held_out():
        seen.append(line.a.item())
        return next(figures)

    _, done = run(100, line=line, held_out=held_out, patience=2)
    assert done.step == 20 and done.best == 10 and line.a.item() == seen[1]
    assert [row["held_out"] for row in done.history] == [5.0, 2.0, 3.0, 4.0]


def test_the_best_weights_survive_a_stop(tmp_path):
    def measured(figures, line):
        return lambda: next(figures)

    first = Line()
    run(10, line=first, folder=tmp_path / "run", held_out=measured(iter([1.0, 2.0]), first))
    best = first.a.item()
    second = Line()
    _, done = run(20, line=second, folder=tmp_path / "run", held_out=measured(iter([3.0, 4.0]), second))
    assert done.best == 5 and second.a.item() == best


def test_a_memo_and_what_comes_after_each_step_are_part_of_the_run(tmp_path):
    memo, seen = {"draws": 0}, []

    def after(step):
        memo["draws"] += 2
        seen.append(step)

    run(14, folder=tmp_path / "run", memo=memo, after=after)
    later = {"draws": 0}
    run(16, folder=tmp_path / "run", memo=later, after=seen.append)
    assert memo == {"draws": 28} and later == {"draws": 28} and seen == list(range(16))


def test_the_checkpoint_of_another_run_is_refused_by_name(tmp_path):
    run(7, folder=tmp_path / "run")
    with pytest.raises(ArtifactError, match=r"holds the checkpoint of another run: rate differs\. Give another folder"):
        Checkpoint(tmp_path / "run", "a test", {"rate": 0.2}).load()
    with pytest.raises(ArtifactError, match=r"another run: options\.steps, rate differ"):
        Checkpoint(tmp_path / "new", "a test", {"rate": 1, "options": {"steps": 1, "width": 2}}).save({}, {})
        Checkpoint(tmp_path / "new", "a test", {"rate": 2, "options": {"steps": 3, "width": 2}}).load()
    with pytest.raises(ArtifactError, match="holds a 'a test', expected a 'another'"):
        Checkpoint(tmp_path / "run", "another", {}).load()
    with pytest.raises(ValueError, match="has gone 7 steps already, and 5 are asked for"):
        run(5, folder=tmp_path / "run")


@pytest.mark.parametrize("harm", ["config", "tensors"])
def test_a_damaged_checkpoint_is_named_and_set_aside(tmp_path, harm):
    folder = tmp_path / "run"
    run(14, folder=folder)
    [path] = folder.glob("config.json" if harm == "config" else "*.safetensors")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="run.damaged-1; the work begins anew"):
        line, done = run(30, folder=folder)
    assert torch.equal(line.a, run(30)[0].a) and done.step == 30
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run", "run.damaged-1"]


def test_what_is_not_finite_ends_the_run_with_advice():
    line = Line()
    line.loss = lambda step: line.a / 0 * 0 if step == 3 else line.a.square()
    with pytest.raises(ValueError, match="training: the gradient of step 4 is not finite. Lower the learning rate"):
        run(10, line=line)
    with pytest.raises(ValueError, match="the held-out figure after step 5 is nan"):
        run(10, held_out=lambda: math.nan)


def test_a_loss_may_go_backward_itself_and_give_values():
    line = Line()

    def own(step):
        (line.a - 3).square().backward()
        return {"distance": abs(line.a.item() - 3), "note": "x", "unknown": None}

    line.loss = own
    _, done = run(10, line=line, clip=None)
    assert done.history[-1]["note"] == "x" and done.history[-1]["unknown"] is None
    assert done.history[-1]["distance"] < done.history[0]["distance"]


def test_half_precision_weights_come_back_to_the_bit(tmp_path):
    module = torch.nn.Linear(4, 4).bfloat16()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    checkpoint = Checkpoint(tmp_path / "run", "a test", {})
    train(lambda step: module(torch.ones(1, 4).bfloat16()).sum(), {"m": module}, optimizer, 3, constant(0.1),
          checkpoint=checkpoint, progress=False)  # fmt: skip
    other = torch.nn.Linear(4, 4).bfloat16()
    train(lambda step: 0, {"m": other}, torch.optim.SGD(other.parameters(), 0.1), 3, constant(0.1),
          checkpoint=checkpoint, progress=False)  # fmt: skip
    assert torch.equal(module.weight, other.weight) and np.isfinite(other.bias.float().detach().numpy()).all()
