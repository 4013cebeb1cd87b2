"""The loop of every search for hard prompts. It joins an objective and movers, and knows neither CLIP nor any method by name.

An **objective** says how good prompts are. It has

    table                       float32 tensor (v, w), the token vectors of the model that reads the prompts
    score(ids, rows)            float32 (n,), higher is better, of prompts int64 (n, t)
    gradient(vectors, rows)     the same scores at token vectors (n, t, w), and the gradient (n, t, w) of their sum
    about                       dict of plain values that tell its goal from any other, for checkpoints

`rows` (n,) are the rows of the `Run` that the prompts belong to: `rows // run.restarts` is the number of the search, which may
have targets of its own. `pez.search` has an objective for CLIP, `classify.search_text` one for a language model. An objective
without a gradient (votes, rewards) leaves `gradient` out; movers that need none still work with it.

A **mover** changes prompts: it proposes the next ones from the objective and from what it remembers. It is a subclass of `Mover`,
made from a `Run`, which gives it tokens, random draws of each search, scores and the best prompts so far. A new method is one
such class and one line in `workbench.search.movers.METHODS`. A genetic search crosses prompts and asks `run.score`; a
reinforcement search keeps a policy, draws prompts from it and asks `run.score`; a soft search moves vectors along
`run.objective.gradient` and projects them in `finish`.

A search runs **stages** one after another, each a mover and its number of steps, such as the method and then the polish.
"""

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from workbench import artifacts

_GAIN = 1e-4  # a smaller gain in similarity does not count for patience
SAVE_EVERY = 50  # steps between two checkpoints


class Mover:
    """What moves the prompts of a run.

    Attributes:
        polish: float 0..1, the share of the steps that the polish takes by default.
        best_only: bool, it moves the best row of each search instead of all of them.
        returns_prompts: bool, the similarity that `step` returns is that of the ids. If not, only `finish` gives prompts to keep.
        kept: tuple of str, the tensors among its attributes that a checkpoint needs.
    """

    polish = 0.0
    best_only = False
    returns_prompts = True
    kept = ()

    def __init__(self, run):
        self.run = run

    def step(self, rows, progress):
        """Move some rows.

        Args:
            rows: int64 tensor (n,). Without `best_only` they are all restarts of the searches that still run.
            progress: float 0..1, how much of the whole search is done.

        Returns:
            (ids int64 (n, t), similarity float32 (n,)) of prompts that were looked at, one for each row.
        """
        raise NotImplementedError

    def finish(self):
        """At the end of the stage: (ids, similarity) of all rows that `step` has not returned yet, or None."""
        return None

    def settled(self, rows):
        """Whether further steps of rows (n,) would change nothing: bool (n,)."""
        return torch.zeros(len(rows), dtype=torch.bool, device=rows.device)

    def state(self):
        """All that it remembers, for a checkpoint: dict of str to tensor."""
        return {name: getattr(self, name) for name in self.kept}

    def restore(self, tensors):
        """Go on from a `state`."""
        for name in self.kept:
            setattr(self, name, tensors[name])


@dataclass(frozen=True)
class Step:
    """What `on_step` is given.

    Attributes:
        step: int, from 0.
        polishing: bool, whether the method is done and its best prompts are being polished.
        ids: int64 tensor (s, r, t) on the CPU, the tokens of all searches and restarts; the last ones of a search that has ended.
        similarity: float32 tensor (s, r), of these.
        best: float32 tensor (s,), the best similarity so far of each search; -inf before there is one.
    """

    step: int
    polishing: bool
    ids: torch.Tensor
    similarity: torch.Tensor
    best: torch.Tensor
    vocabulary: object

    @property
    def texts(self):
        """List of s lists of r str; decoded when asked for."""
        return [[self.vocabulary.text(ids) for ids in search] for search in self.ids.tolist()]


@torch.no_grad()
def loop(run, stages, resume=None, on_step=None):
    """Make the steps of a run: move, keep the best, report, save, and end early.

    Args:
        run: `Run`; its best prompts are the result.
        stages: list of (`Mover` class, int steps).
        resume: str or Path of a folder that keeps the state, or None.
        on_step: function of a `Step`, or None. When it returns True the search ends.

    Returns:
        list of s lists of float: the best similarity among the restarts of a search in each step it made.

    Raises:
        ArtifactError: `resume` holds something else, or another search; the error names what differs.
    """
    checkpoint = None
    if resume is not None:  # with what tells this search from any other
        about = {"config": dataclasses.asdict(run.config), "lm": None if run.fluency is None else run.fluency.lm.name}
        about |= {"weights": digest(run.objective.table), **run.objective.about}
        checkpoint = artifacts.Checkpoint(resume, "prompt search", about)
    state, total = _State(run, stages), sum(steps for _, steps in stages)
    if checkpoint and (saved := checkpoint.load()) is not None:
        state.restore(saved)
    while state.turn():
        rows = state.rows()
        ids, similarity = state.mover.step(rows, state.step / max(1, total - 1))
        if state.mover.returns_prompts:
            run.keep(rows, ids, similarity)
        else:
            run.ids[rows], run.similarity[rows] = ids, similarity
        state.note()
        stop = on_step is not None and bool(on_step(state.report()))
        state.step += 1
        if stop:
            state.leave()
            state.ended = True
        elif checkpoint and state.step % SAVE_EVERY == 0:
            checkpoint.save(*state.saved())
    if checkpoint:
        checkpoint.save(*state.saved())
    return [[float(now[i]) for now, took in zip(state.history, state.took, strict=True) if took[i]] for i in range(run.searches)]


def digest(tensor):
    """The sha256 of a tensor as a str."""
    return hashlib.sha256(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes()).hexdigest()


class _State:
    """Where the loop stands."""

    def __init__(self, run, stages):
        self.run, self.stages = run, stages
        self.step, self.ended, self.history, self.took = 0, False, [], []  # of each step: similarities, searches that took part
        self.enter(0)

    def enter(self, stage):
        """Begin a stage with all searches."""
        run = self.run
        self.stage, self.begun, self.mover = stage, self.step, self.stages[stage][0](run)
        self.best_rows = run.best_rows()
        self.active = torch.ones(run.searches, dtype=torch.bool)
        self.news, self.since = self.best(), torch.zeros(run.searches, dtype=torch.long)  # last gain, and steps since then

    def leave(self):
        """End a stage."""
        last = self.mover.finish()
        if last is not None:
            self.run.keep(self.run.every, *last)

    def turn(self):
        """Go on to the next stage when one is done. Returns False when all are."""
        while not self.ended and (self.step >= self.begun + self.stages[self.stage][1] or not self.active.any()):
            self.leave()
            if self.stage + 1 < len(self.stages):
                self.enter(self.stage + 1)
            else:
                self.ended = True
        return not self.ended

    def rows(self):
        """Rows of the searches that go on."""
        active = self.active.to(self.run.device)
        return self.best_rows[active] if self.mover.best_only else self.run.every[active.repeat_interleave(self.run.restarts)]

    def best(self):
        return self.run.best_similarity.view(self.run.searches, -1).amax(1).cpu()

    def note(self):
        """Add to the history, and see which searches end."""
        run = self.run
        now = run.similarity.view(run.searches, -1).amax(1).cpu()
        self.history.append(now)
        self.took.append(self.active.clone())
        best = self.best() if self.mover.returns_prompts else now
        news = best > self.news + _GAIN
        self.news = torch.where(news, best, self.news)
        self.since = torch.where(news, 0, self.since + 1)
        if run.config.patience is not None:
            self.active &= self.since < run.config.patience
        rows = self.best_rows if self.mover.best_only else run.every
        self.active &= ~self.mover.settled(rows).view(run.searches, -1).all(1).cpu()

    def report(self):
        run, shape = self.run, (self.run.searches, self.run.restarts)
        ids, similarity = run.ids.view(*shape, -1).cpu().clone(), run.similarity.view(shape).cpu().clone()
        return Step(self.step, self.stage > 0, ids, similarity, self.best(), run.vocabulary)

    def saved(self):
        """What `restore` takes: numbers and arrays."""
        run, empty = self.run, torch.zeros(0, self.run.searches)
        tensors = {name: getattr(run, name) for name in _OF_RUN} | {name: getattr(self, name) for name in _OF_STATE}
        tensors |= {f"draws{i}": draws.get_state() for i, draws in enumerate(run.draws)}
        tensors["history"] = torch.stack(self.history) if self.history else empty
        tensors["took"] = torch.stack(self.took) if self.took else empty.bool()
        tensors |= {f"mover.{name}": tensor for name, tensor in self.mover.state().items()}
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return numbers, {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}

    def restore(self, saved):
        """Go on from `saved`."""
        numbers, run = saved[0], self.run
        tensors = {name: torch.from_numpy(array.copy()) for name, array in saved[1].items()}
        for name in _OF_RUN:
            setattr(run, name, tensors[name].to(run.device))
        if numbers["stage"] != self.stage:
            self.enter(numbers["stage"])
        for name, value in numbers.items():
            setattr(self, name, value)
        for name in _OF_STATE:
            setattr(self, name, tensors[name])
        self.best_rows = self.best_rows.to(run.device)
        for i, draws in enumerate(run.draws):
            draws.set_state(tensors[f"draws{i}"])
        self.history, self.took = list(tensors["history"]), list(tensors["took"])
        mine = {name.removeprefix("mover."): tensor for name, tensor in tensors.items() if name.startswith("mover.")}
        self.mover.restore({name: tensor.to(run.device) for name, tensor in mine.items()})


_OF_RUN = ("ids", "similarity", "best_ids", "best_similarity", "best_total")
_OF_STATE = ("active", "news", "since", "best_rows")
_NUMBERS = ("step", "stage", "begun", "ended")
