"""Proposals: things with two verbs, `sample(n, seed=0)` and `log_score(samples)`, which say how likely their samples are."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from workbench import checks
from workbench.control.proposals.causal import LMProposal
from workbench.values import GuideError

__all__ = ["FromDSL", "FromDistribution", "FromScipy", "LMProposal", "of"]

_BATCH = 256  # prompts written or scored at once, some megabytes each; what is drawn depends on it


@dataclass(frozen=True)
class FromDistribution:
    """A distribution given by two functions.

    Attributes:
        draw: function (n, seed) -> n samples, a list or an array.
        log_prob: function samples -> (n,), log-probability or log-density in nats.
        contexts: function context -> another proposal; None if there are no contexts.
    """

    draw: object
    log_prob: object
    contexts: object = None

    def sample(self, n, seed=0):
        """Draw n samples: list; an array becomes the list of its rows."""
        found = self.draw(n, checks.seed(seed))
        return found.tolist() if isinstance(found, np.ndarray) else list(found)

    def log_score(self, samples):
        """Log-probabilities of samples: float64 (n,), nats."""
        return np.asarray(self.log_prob(samples), np.float64).reshape(len(samples))

    def given(self, context):
        """The distribution in a context, as `contexts` makes it."""
        if self.contexts is None:
            raise GuideError("This distribution has no contexts. Make it with contexts=, a function from context to proposal.")
        return of(self.contexts(context))


@dataclass(frozen=True)
class FromScipy:
    """A frozen distribution of `scipy.stats`, such as `poisson(3)`."""

    law: object

    def sample(self, n, seed=0):
        """Draw n samples: list of numbers, or of lists if the distribution has several dimensions."""
        shape = (self.law.dim,) if getattr(self.law, "dim", 1) > 1 else ()
        return np.reshape(self.law.rvs(size=n, random_state=np.random.default_rng(checks.seed(seed))), (n, *shape)).tolist()

    def log_score(self, samples):
        """Log-probabilities or log-densities of samples: float64 (n,), nats."""
        log_prob = self.law.logpmf if hasattr(self.law, "pmf") else self.law.logpdf
        return np.asarray(log_prob(np.asarray(samples)), np.float64).reshape(len(samples))


@dataclass(frozen=True)
class FromDSL:
    """A learned language that keeps to a template or has options of its own, and writes large sets in batches.

    A `DeepDSL` has the two verbs itself; `guide` wraps it in this, so that thousands of prompts fit into memory.

    Attributes:
        dsl: `DeepDSL` with a writer.
        template: `Template` or prompt whose slots are filled with new text; None draws a template for each prompt.
        lock: names of slots of the template that keep their text.
        decoding: `Decoding`; None is the language's own.
    """

    dsl: object
    template: object = None
    lock: tuple = ()
    decoding: object = None

    def sample(self, n, seed=0):
        """Write n prompts: list of `Sample`, each with its template."""
        seed, out = checks.seed(seed), []
        for at in range(0, max(n, 1), _BATCH):
            # each batch has its own seed, the first one the given seed
            own = seed if at == 0 else int(np.random.SeedSequence([seed, at]).generate_state(1)[0])
            out += self.dsl.sample(min(_BATCH, n - at), self.template, seed=own, **self._options())
        return out

    def log_score(self, samples):
        """Log-probabilities of template and fillers together: float64 (n,), nats. Plain texts are read first, which is slow."""
        parts = [samples[at : at + _BATCH] for at in range(0, len(samples), _BATCH)]
        return np.concatenate([np.zeros(0), *(self.dsl.log_score(part, self.template, **self._options()) for part in parts)])

    def given(self, context):
        """The language with another template, or the prompt it is read from."""
        return replace(self, template=context)

    def steered(self, steer):
        """The language with changed scores of the next piece; `steer` is a function (scores (n, v), ahead) -> scores.

        Raises:
            GuideError: a pretrained decoder writes these prompts, which cannot be steered: give a template.
        """
        if self.template is None and self.dsl.decoder_ is not None:
            raise GuideError("Prompts from nothing are written by this language's decoder, which is not steered: give template=.")
        own = self.dsl.decoding if self.decoding is None else self.decoding
        before = own.steer or (lambda scores, ahead, taken: scores)
        return replace(self, decoding=replace(own, steer=lambda *now: steer(before(*now), now[1])))

    def states(self, samples):
        """What a value head reads along the fillings of prompts: list of n float32 tensors (t, 2 d). Slow: one by one."""
        found, own = [], self.dsl.decoding if self.decoding is None else self.decoding

        def note(scores, ahead, taken):
            after, before = ahead(taken[:, None])
            found[-1] = torch.cat([before[-1], after[-1]]).float()
            return scores

        reader = replace(self, decoding=replace(own, steer=note))
        for one in samples:
            found.append(None)
            reader.log_score([one])
        width = next((len(rows[0]) for rows in found if rows is not None), 2)
        return [torch.zeros(1, width) if rows is None else rows for rows in found]

    def _options(self):
        return {"lock": self.lock} | ({} if self.decoding is None else {"decoding": self.decoding})


def of(thing):
    """The proposal that something is or stands for.

    Args:
        thing: a proposal, returned as it is; a `DeepDSL`; a `models.LM`; or a frozen distribution of `scipy.stats`.

    Returns:
        `Proposal`.

    Raises:
        GuideError: it cannot sample, or it cannot score.
    """
    if hasattr(thing, "read") and hasattr(thing, "codes"):
        return FromDSL(thing)
    if hasattr(thing, "model") and hasattr(thing, "tokenizer") and not hasattr(thing, "sample"):
        return LMProposal(thing)
    if hasattr(thing, "rvs") and (hasattr(thing, "logpmf") or hasattr(thing, "logpdf")):
        return FromScipy(thing)
    kind = getattr(thing, "__name__", None) if isinstance(thing, type) else type(thing).__name__
    if not callable(getattr(thing, "sample", None)) or isinstance(thing, type):
        raise GuideError(
            f"{kind} is not a proposal: it has no sample(n, seed). Give a models.LM, a DeepDSL, a distribution of scipy.stats, "
            "proposals.FromDistribution(draw, log_prob), or an object with sample and log_score."
        )
    if not callable(getattr(thing, "log_score", None)):
        raise GuideError(
            f"{kind} samples but cannot score: it has no log_score(samples) -> (n,). Without log-probabilities there is no "
            "way to weight its samples; wrap it with proposals.FromDistribution(draw, log_prob)."
        )
    return thing
