"""The one model of the service and the one thread that asks it. Requests that come together are answered by one forward."""

import asyncio
import contextlib
import copy
import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from workbench.search.soft import SoftConfig
from workbench.search.soft.frozen import Frozen, frozen
from workbench.search.soft.learning import gradient_many
from workbench.search.soft.rows import check_lm, read_rows
from workbench.search.soft.soft_prompt import scored
from workbench.show.service.bodies import Refused
from workbench.show.service.config import WINDOW, Limits

_NAME = "the model"  # in all errors


@dataclass
class _Job:
    """One request to the model; those of one `key` can be answered together. `key` None: `ask` is a function of the LM."""

    key: tuple | None
    ask: object
    cost: int
    done: Future


class Engine:
    """A frozen language model that is asked by one thread, and read rows before.

    Until `close`, its weights need no gradients and its dropout is off.

    Args:
        lm: `models.LM`. Its name appears in no answer.
        limits: `Limits`.
    """

    def __init__(self, lm, limits=None):
        check_lm(lm)
        self.lm = lm
        # A tokenizer must not be used by two threads: the thread of the model and the one that checks have their own.
        self._asked, self._checked = self.another(), self.another()
        self.limits, self.width = limits or Limits(), lm.model.get_input_embeddings().weight.shape[1]
        self._jobs, self._lock, self._thread, self._held = queue.Queue(), threading.Lock(), None, contextlib.ExitStack()
        self._checker = ThreadPoolExecutor(1, "service check")

    def another(self):
        """The same model with a tokenizer of its own, for another thread; its name is told to nobody: `LM`."""
        return replace(self.lm, name=_NAME, tokenizer=copy.deepcopy(self.lm.tokenizer))

    def close(self):
        """End the thread; waiting requests are answered first."""
        with self._lock:
            if self._thread is not None:
                self._jobs.put(None)
                self._thread.join()
                self._thread = None
                self._held.close()

    # ---- before the model ---------------------------------------------------------------------------------------------------

    async def check(self, vectors, texts, labels, config, classes=None):
        """Read rows as the model will, and count what they cost.

        Args:
            vectors: float32 (k, w).
            texts: list of str.
            labels: list of str, or None.
            config: `SoftConfig`.
            classes: list of str, or None.

        Returns:
            int, tokens that the model has to read.

        Raises:
            Refused: rows that do not fit, are too many or too long.
        """
        limits, known = self.limits, classes or sorted(set(labels or ()))
        for name, values, most in (
            ("texts", texts, limits.rows),
            ("classes", known, limits.classes),
        ):
            if len(values) > most:
                raise Refused(422, f"There are {len(values)} {name}, and {most} are allowed in a request.")
        return await asyncio.get_running_loop().run_in_executor(
            self._checker, self._cost, len(vectors), texts, labels, config, classes
        )

    def _cost(self, k, texts, labels, config, classes):
        if labels is None and config.layout == "suffix":
            raise Refused(422, "Without labels the layout must be prefix: what stands behind a text cannot help to write it.")
        try:
            rows = read_rows(self._checked, texts, labels, config, k, classes)
        except ValueError as err:
            raise Refused(422, str(err)) from None
        finally:
            _forget(self._checked)
        behind = sum(len(label) for label in rows.labels)
        cost = sum(len(text) + k + behind for text in rows.texts)
        if cost > self.limits.tokens:
            raise Refused(
                413, f"This makes the model read {cost} tokens, and {self.limits.tokens} are allowed: send fewer rows at a time."
            )
        return cost

    # ---- the model ----------------------------------------------------------------------------------------------------------

    async def gradient(self, vectors, texts, labels, config, classes=None):
        """What `soft.gradient` gives: (loss, gradient, predictions). Raises `Refused`, as `check` does."""
        cost = await self.check(vectors, texts, labels, config, classes)
        key = ("gradient", config.layout, config.template, config.loss, labels is None)
        loss, slope, predicted = await self._submit(key, (vectors, texts, labels, config, classes), cost)
        if not (np.isfinite(loss) and np.isfinite(slope).all()):
            raise Refused(422, "The loss of these vectors is not finite: they lie too far out.")
        return loss, slope, predicted

    async def probabilities(self, vectors, texts, classes, config):
        """How likely each class is: float64 (n, c), rows sum to 1. Raises `Refused`, as `check` does."""
        labels = [classes[0]] * len(texts)
        cost = await self.check(vectors, texts, labels, config, classes)
        key = ("predict", config.layout, config.template)
        return await self._submit(key, (vectors, texts, labels, config, classes), cost)

    async def alone(self, ask, cost=0):
        """The answer of a function of the `LM`, which is asked between the others."""
        return await self._submit(None, ask, cost)

    async def _submit(self, key, ask, cost):
        with self._lock:
            if self._jobs.qsize() >= self.limits.waiting:
                raise Refused(429, "Too many requests wait for the model: try again.", {"retry-after": "1"})
            if self._thread is None:
                self._held.enter_context(frozen(self.lm))
                self._thread = threading.Thread(target=self._work, name="service model", daemon=True)
                self._thread.start()
            job = _Job(key, ask, cost, Future())
            self._jobs.put(job)
        return await asyncio.wrap_future(job.done)

    def _work(self):
        while self._serve(self._next()):
            pass

    def _next(self):
        """The jobs of a moment: a list, None in it to end."""
        jobs = [self._jobs.get()]
        until, cost = time.monotonic() + WINDOW, 0
        while jobs[-1] is not None and cost < self.limits.tokens:
            cost += jobs[-1].cost
            try:
                jobs.append(self._jobs.get(timeout=max(0, until - time.monotonic())))
            except queue.Empty:
                break
        return jobs

    def _serve(self, jobs):
        """Answer the jobs that were not given up: True to go on. Nothing of them is kept."""
        groups = {}
        for job in jobs:
            if job is not None and job.done.set_running_or_notify_cancel():  # from here on nobody can give it up
                groups.setdefault(job.key or id(job), []).append(job)
        for some in groups.values():
            self._together(some)
        _forget(self._asked)
        return jobs[-1] is not None

    def _together(self, jobs):
        try:
            found = self._answers(jobs)
        except Exception as err:
            if len(jobs) > 1:  # one of them is at fault, not the others
                for job in jobs:
                    self._together([job])
                return
            jobs[0].done.set_exception(err)
            return
        for job, answer in zip(jobs, found, strict=True):
            job.done.set_result(answer)

    def _answers(self, jobs):
        if jobs[0].key is None:
            return [jobs[0].ask(self._asked)]
        vectors, texts, labels, configs, classes = zip(*(job.ask for job in jobs), strict=True)
        if jobs[0].key[0] == "gradient":
            tasks = list(zip(texts, labels, strict=True))
            return gradient_many(self._asked, vectors, tasks, configs[0], classes=classes)
        rows = [read_rows(self._asked, *job.ask[1:4], len(job.ask[0]), job.ask[4]) for job in jobs]
        return predict(self._asked, vectors, rows, configs[0])


def predict(lm, vectors, tasks, config):
    """How likely each label is, for several prompts with rows of their own, in one forward.

    Args:
        lm: `models.LM`.
        vectors: list of p float32 arrays (k, w).
        tasks: list of p `Rows`.
        config: `SoftConfig` of all.

    Returns:
        list of p float64 arrays (n, c), rows sum to 1.
    """
    points = [torch.from_numpy(one).to(lm.model.device) for one in vectors]
    items = [(j, i) for j, task in enumerate(tasks) for i in range(len(task.texts))]
    with torch.inference_mode():
        return [np.exp(found) for found in scored(Frozen(lm, config, tasks), items, points)]


def settings(body):
    """The `SoftConfig` of a request. Raises `Refused` for a template without its place."""
    if body.template.count("{text}") != 1:
        raise Refused(422, "template must hold {text} once, such as '{text} It was'.")
    return SoftConfig(layout=body.layout, template=body.template, loss=getattr(body, "loss", "cross_entropy"))


def _forget(lm):
    """Empty the memory that a tokenizer has of the words it has read."""
    forget = getattr(lm.tokenizer.backend_tokenizer.model, "_clear_cache", None)
    if forget is not None:
        forget()
