"""Training: the one loop. Schedule, bounded gradients, progress, held-out figures, the best so far, checkpoints."""

import contextlib
import math
import signal
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench import progress as bars


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during `train`, after the step was finished and the checkpoint written. `run` is the `Run` so far."""

    def __init__(self, run):
        super().__init__(f"stopped after step {run.step}")
        self.run = run


@dataclass
class Run:
    """What `train` did.

    Attributes:
        step: int, steps done.
        history: list of dicts, one for each `every` steps: `step`, the means of the values of `loss` over these steps, and
            `held_out` if that was measured.
        seconds: float, time spent in steps, over all parts of a run that was stopped.
        best: int, the step whose weights were kept, or None where nothing was held out.
    """

    step: int = 0
    history: list = field(default_factory=list)
    seconds: float = 0.0
    best: int | None = None


def cosine(peak, steps, warmup=0, floor=0.0):
    """A learning rate that rises for `warmup` steps and falls along half a cosine to `floor` times the peak.

    Args:
        peak: float, the highest rate.
        steps: int, steps in all.
        warmup: int, steps of the linear rise.
        floor: float 0..1.

    Returns:
        function of the step (int, from 0) -> float.

    Source:
        Loshchilov and Hutter, arXiv:1608.03983, without restarts.
    """

    def rate(step):
        if step < warmup:
            return peak * (step + 1) / (warmup + 1)
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))

    return rate


def constant(peak, warmup=0):
    """A learning rate that rises for `warmup` steps and then stays: function of the step (int, from 0) -> float."""
    return lambda step: peak * min(1, (step + 1) / (warmup + 1))


def adamw(*modules, weight_decay=0.01, betas=(0.9, 0.999)):
    """AdamW (arXiv:1711.05101) over the weights of modules; biases and norms do not decay. `train` sets its rate."""
    weights = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=1.0, betas=betas)


def train(
    loss,
    modules,
    optimizer,
    steps,
    rate,
    *,
    name="training",
    clip=1.0,
    every=50,
    held_out=None,
    patience=None,
    after=None,
    memo=None,
    checkpoint=None,
    save_every=200,
    seed=0,
    progress=True,
):
    """Train modules, in place.

    Whatever a step draws must depend on the step alone: `loss` is called with torch seeded by `seed` and the step, and gets
    the step for other generators. Then a run that was stopped goes on with the very numbers of one that was not.

    Args:
        loss: function of the step (int, from 0) -> a scalar tensor, or (scalar tensor, dict of str to float), or a dict alone if
            it has run `backward` itself.
        modules: dict of str to what has `state_dict` and `load_state_dict`: all whose weights change, averages of weights too.
        optimizer: torch.optim.Optimizer; its rate is set at each step.
        steps: int, steps in all, those of an earlier part of the run included.
        rate: function of the step -> learning rate, such as `cosine(1e-3, steps)`.
        name: str, for the progress bar and errors.
        clip: float, largest norm of the gradient; None does not clip.
        every: int, steps between two rows of the history and two measurements of `held_out`.
        held_out: function without arguments -> float, lower is better. The weights of its best value are kept.
        patience: int, stop after so many measurements without gain; None never does.
        after: function of the step, called after each update.
        memo: dict of JSON values that `loss` and `after` may change; it is part of a checkpoint.
        checkpoint: `artifacts.Checkpoint`, or None to keep nothing.
        save_every: int, steps between checkpoints; the last step and Ctrl-C write one too.
        seed: int.
        progress: bool, show a progress bar.

    Returns:
        `Run`. With `held_out` the modules have their best weights, otherwise the last ones.

    Raises:
        Interrupted: Ctrl-C; the step was finished, the checkpoint is written, and the modules have their best weights.
        ArtifactError: the checkpoint belongs to another run, or the disk is full.
        ValueError: a loss, gradient or held-out figure that is not finite, or a checkpoint that went further than `steps`.
    """
    loop = _Loop(modules, optimizer, memo if memo is not None else {}, checkpoint, held_out is not None)
    loop.resume()
    run = loop.run
    if run.step > steps:
        raise ValueError(f"{name} has gone {run.step} steps already, and {steps} are asked for. Ask for more, or start another.")
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    bar = bars.bar(total=steps, done=run.step, name=name, unit="steps", shown=progress)
    with bar, _deferred() as interrupted:
        while run.step < steps and not loop.waited(patience):
            step, begin = run.step, time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            values = _update(loss, step, optimizer, weights, clip, seed, name)
            if after is not None:
                after(step)
            run.step += 1
            run.seconds += time.perf_counter() - begin
            loop.add(values)
            if run.step % every == 0 or run.step == steps:
                row = loop.row()
                if held_out is not None:
                    row["held_out"] = loop.measure(held_out, name)
                figures = (f"{key} {value:.4g}" for key, value in list(row.items())[1:3] if isinstance(value, float))
                bar.note(", ".join(figures))
                if "sample" in row:  # of work that writes: a reader sees sooner than a figure what goes wrong
                    bar.say(f"{name}, step {run.step}: {row['sample']}")
            bar.update()
            if interrupted or run.step % save_every == 0 or run.step == steps:
                loop.save()
            if interrupted:
                loop.finish()
                raise Interrupted(run)
        loop.finish()
    return run


def _update(loss, step, optimizer, weights, clip, seed, name):
    """One step down the gradient; the values of `loss` as a dict."""
    optimizer.zero_grad(set_to_none=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed((seed * 1_000_003 + step) % 2**63)
        found = loss(step)
    values = found if isinstance(found, dict) else found[1] if isinstance(found, tuple) else {"loss": float(found.detach())}
    if not isinstance(found, dict):
        (found[0] if isinstance(found, tuple) else found).backward()
    norm = torch.nn.utils.clip_grad_norm_(weights, math.inf if clip is None else clip)
    if not torch.isfinite(norm):
        raise ValueError(f"{name}: the gradient of step {step + 1} is not finite. Lower the learning rate, or look at the data.")
    optimizer.step()
    return values


class _Loop:
    """What a run has besides its steps: sums for the next row of the history, the best weights, and how both are kept."""

    def __init__(self, modules, optimizer, memo, checkpoint, measures):
        self.modules, self.optimizer, self.memo, self.checkpoint = modules, optimizer, memo, checkpoint
        self.run, self.sums, self.least, self.idle, self.measures, self.best = Run(), {}, math.inf, 0, measures, {}

    def add(self, values):
        for key, value in values.items():
            self.sums.setdefault(key, []).append(value)

    def row(self):
        means = {key: _mean(found) for key, found in self.sums.items()}
        self.run.history.append({"step": self.run.step, **means})
        self.sums = {}
        return self.run.history[-1]

    def measure(self, held_out, name):
        value = float(held_out())
        if not math.isfinite(value):
            raise ValueError(f"{name}: the held-out figure after step {self.run.step} is {value}. Lower the learning rate.")
        self.idle += 1
        if value < self.least:
            self.least, self.idle, self.run.best = value, 0, self.run.step
            self.best = {key: _clone(module.state_dict()) for key, module in self.modules.items()}
        return value

    def waited(self, patience):
        return patience is not None and self.idle >= patience

    def finish(self):
        for key, weights in self.best.items():
            self.modules[key].load_state_dict(weights)

    def save(self):
        if self.checkpoint is None:
            return
        tensors = {}
        for key, module in self.modules.items():
            tensors |= {f"now.{key}.{name}": _array(value) for name, value in module.state_dict().items()}
        for key, weights in self.best.items():
            tensors |= {f"best.{key}.{name}": _array(value) for name, value in weights.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": _array(value) for name, value in state.items()}
        run = self.run
        state = {
            "step": run.step,
            "history": run.history,
            "seconds": round(run.seconds, 3),
            "best": run.best,
            "sums": self.sums,
            "least": self.least if self.least < math.inf else None,
            "idle": self.idle,
            "memo": self.memo,
        }
        self.checkpoint.save(state, tensors)

    def resume(self):
        found = self.checkpoint.load() if self.checkpoint is not None else None
        if found is None:
            return
        state, tensors = found
        for key, module in self.modules.items():
            module.load_state_dict(_named(tensors, f"now.{key}."))
            if self.measures and state["best"] is not None:
                self.best[key] = _named(tensors, f"best.{key}.")
        moments = {}
        for name, value in _named(tensors, "optimizer.").items():
            number, _, what = name.partition(".")
            moments.setdefault(int(number), {})[what] = value
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.run = Run(state["step"], state["history"], state["seconds"], state["best"])
        self.sums, self.idle = state["sums"], state["idle"]
        self.least = math.inf if state["least"] is None else state["least"]
        self.memo.clear()
        self.memo.update(state["memo"])


def _mean(values):
    """The mean of numbers; the last one of what is no number, None if one is None."""
    if any(value is None for value in values):
        return None
    if not all(isinstance(value, int | float) for value in values):
        return values[-1]
    return values[0] if len(values) == 1 else float(np.mean(values))


def _array(value):
    """A copy as a numpy array, bfloat16 as float32: training goes on, and numpy has no bfloat16."""
    if not isinstance(value, torch.Tensor):
        return np.array(value)
    value = value.detach().cpu()
    return np.array((value.float() if value.dtype == torch.bfloat16 else value).numpy())


def _clone(weights):
    return {name: value.detach().clone() for name, value in weights.items()}


def _named(tensors, prefix):
    return {key.removeprefix(prefix): torch.from_numpy(value.copy()) for key, value in tensors.items() if key.startswith(prefix)}


@contextlib.contextmanager
def _deferred():
    """Ctrl-C waits for the end of a step: a list that then holds something. The second Ctrl-C does not wait."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield []  # somebody else handles the signal
        return
    pressed = []

    def note(number, frame):
        if pressed:
            signal.default_int_handler(number, frame)
        pressed.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
