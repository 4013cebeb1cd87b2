"""The loop that all methods share: move, keep the best, report, save, and end early."""

import math

import torch

from workbench.search.pez.config import SWAPPING
from workbench.search.pez.moves import Moves
from workbench.search.pez.prompt import Step
from workbench.search.pez.swaps import Swaps

_GAIN = 1e-4  # a similarity higher by less is not news


@torch.no_grad()
def loop(run, checkpoint, on_step=None):
    """Make the steps of a run.

    Args:
        run: `Run`; its best prompts are the result.
        checkpoint: `Checkpoint`.
        on_step: function of a `Step`, or None. When it returns True the search ends.

    Returns:
        list of s lists of float: the best similarity among the restarts of a search in each step it made.
    """
    state = _State(run)
    state.restore(checkpoint.load())
    while not state.ended:
        state.turn()
        if state.ended:
            break
        rows = state.rows()
        ids, similarity = state.method.step(rows, state.step / max(1, run.config.steps - 1))
        if run.config.method == "project_once" and not state.polishing:
            run.ids[rows], run.similarity[rows] = ids, similarity
        else:
            run.keep(rows, ids, similarity)
        state.note()
        stop = on_step is not None and bool(on_step(state.report()))
        state.step += 1
        if stop:
            state.finish_moving()
            state.ended = True
        elif state.step % checkpoint.every == 0:
            checkpoint.save(*state.saved())
    checkpoint.save(*state.saved())
    return [[float(now[i]) for now, took in zip(state.history, state.took, strict=True) if took[i]] for i in range(run.searches)]


class _State:
    def __init__(self, run):
        self.run, self.step, self.polishing, self.ended = run, 0, False, False
        self.polish_from = 0  # the step it began with
        self.active = torch.ones(run.searches, dtype=torch.bool)
        self.news = torch.full((run.searches,), -math.inf)  # the similarity that was news last
        self.since = torch.zeros(run.searches, dtype=torch.long)
        self.history, self.took = [], []  # of each step: similarities, and which searches took part
        kind = run.config.method
        self.method = Swaps(run, kind) if kind in SWAPPING else Moves(run)
        self.best_rows = torch.zeros(run.searches, dtype=torch.long, device=run.device)

    def turn(self):
        """Go over to the polish when it is time, and note when all is done."""
        config = self.run.config
        if not self.polishing and (self.step >= config.steps - config.polish or not self.active.any()):
            self.finish_moving()
            if config.polish:
                self.begin_polish()
            else:
                self.ended = True
        if self.polishing and (self.step >= self.polish_from + config.polish or not self.active.any()):
            self.ended = True

    def rows(self):
        """Rows of the searches that go on; of each the best one when they are polished."""
        if self.polishing:
            return self.best_rows[self.active.to(self.run.device)]
        return self.active.repeat_interleave(self.run.restarts).nonzero()[:, 0].to(self.run.device)

    def finish_moving(self):
        """Look at tokens that were not looked at yet."""
        every = torch.arange(len(self.run.ids), device=self.run.device)
        last = None if self.polishing or not isinstance(self.method, Moves) else self.method.finish(every)
        if last is not None:
            self.run.keep(every, *last)

    def begin_polish(self):
        run, config = self.run, self.run.config
        self.method, self.polishing, self.polish_from = Swaps(run, "polish"), True, self.step
        self.best_rows = run.best_rows()
        self.active = torch.ones_like(self.active)
        if config.stop_at is not None:
            self.active = self.best() < config.stop_at
        self.news, self.since = self.best(), torch.zeros_like(self.since)

    def best(self):
        return self.run.best_similarity.view(self.run.searches, -1).amax(1).cpu()

    def note(self):
        """History, and which searches end."""
        run, config = self.run, self.run.config
        now = run.similarity.view(run.searches, -1).amax(1).cpu()
        self.history.append(now)
        self.took.append(self.active.clone())
        best = now if config.method == "project_once" and not self.polishing else self.best()
        news = best > self.news + _GAIN
        self.news = torch.where(news, best, self.news)
        self.since = torch.where(news, 0, self.since + 1)
        if config.patience is not None:
            self.active &= self.since < config.patience
        if config.stop_at is not None:
            self.active &= best < config.stop_at
        if self.polishing:
            self.active &= ~self.method.settled(self.best_rows).cpu()

    def report(self):
        run = self.run
        shape = (run.searches, run.restarts)
        similarity = run.similarity.view(shape).cpu().clone()
        ids = run.ids.view(*shape, -1).cpu().clone()
        return Step(self.step, self.polishing, ids, similarity, self.best(), run.vocabulary)

    def saved(self):
        """What `restore` takes: numbers and tensors."""
        run = self.run
        tensors = {name: getattr(run, name) for name in _OF_RUN} | {name: getattr(self, name) for name in _OF_STATE}
        tensors |= {f"draws{i}": draws.get_state() for i, draws in enumerate(run.draws)}
        tensors["history"] = torch.stack(self.history) if self.history else torch.zeros(0, run.searches)
        tensors["took"] = torch.stack(self.took) if self.took else torch.zeros(0, run.searches, dtype=torch.bool)
        return {name: getattr(self, name) for name in _NUMBERS}, tensors | self.method.state()

    def restore(self, saved):
        """Go on from `saved`, or from the beginning if it is None."""
        if saved is None:
            return
        numbers, tensors = saved
        run = self.run
        for name, value in numbers.items():
            setattr(self, name, value)
        if self.polishing:
            self.method = Swaps(run, "polish")
        for i, draws in enumerate(run.draws):
            draws.set_state(tensors.pop(f"draws{i}"))
        self.history, self.took = list(tensors.pop("history")), list(tensors.pop("took"))
        self.active, self.news, self.since = (tensors.pop(name) for name in ("active", "news", "since"))
        tensors = {name: tensor.to(run.device) for name, tensor in tensors.items()}
        self.best_rows = tensors["best_rows"]
        for name in _OF_RUN:
            setattr(run, name, tensors[name])
        self.method.restore(tensors)


_OF_RUN = ("ids", "similarity", "best_ids", "best_similarity", "best_total", "best_again")
_OF_STATE = ("active", "news", "since", "best_rows")
_NUMBERS = ("step", "polishing", "ended", "polish_from")
