"""Adapters: distributions of Python and learned languages as proposals, and the way to tell what something is."""

from dataclasses import dataclass, replace

import numpy as np

from workbench.control.proposals.lm import LMProposal
from workbench.values import GuideError


@dataclass(frozen=True)
class FromDistribution:
    """A distribution given by two functions.

    Attributes:
        draw: function (n, seed) -> n samples, a list or an array.
        log_prob: function samples -> (n,), log-probability or log-density in nats.
        name: str, for messages.
        contexts: function context -> another proposal; None if there are no contexts.
    """

    draw: object
    log_prob: object
    name: str = "distribution"
    contexts: object = None

    def sample(self, n, seed=0):
        """Draw n samples: a list; an array is cut into its rows."""
        found = self.draw(n, seed)
        return found.tolist() if isinstance(found, np.ndarray) else list(found)

    def log_score(self, samples):
        """Log-probabilities of samples: float64 (n,), nats."""
        return np.asarray(self.log_prob(samples), np.float64).reshape(len(samples))

    def given(self, context):
        """The distribution in a context, as `contexts` makes it."""
        if self.contexts is None:
            raise GuideError(f"{self.name} knows no contexts. Make it with contexts=, a function from context to proposal.")
        return of(self.contexts(context))


@dataclass(frozen=True)
class FromScipy:
    """A frozen distribution of `scipy.stats`, such as `poisson(3)`."""

    law: object

    def sample(self, n, seed=0):
        """Draw n samples: a list of numbers, or of lists if the law has several dimensions."""
        return np.reshape(self.law.rvs(size=n, random_state=np.random.default_rng(seed)), (n, *_shape(self.law))).tolist()

    def log_score(self, samples):
        """Log-probabilities or log-densities of samples: float64 (n,), nats."""
        log_prob = self.law.logpmf if hasattr(self.law, "pmf") else self.law.logpdf
        return np.asarray(log_prob(np.asarray(samples)), np.float64).reshape(len(samples))


def _shape(law):
    return (law.dim,) if getattr(law, "dim", 1) > 1 else ()


@dataclass(frozen=True)
class FromDSL:
    """A learned language as a proposal; what it writes are `Sample`s that know their template.

    Attributes:
        dsl: `DeepDSL` with a writer.
        template: `Template` or prompt whose slots are filled anew; None draws a template for each prompt.
        lock: names of slots of the template that keep their text.
        decoding: `Decoding`; None is the language's own.
        batch: int, prompts written or scored at once, some megabytes each; what is drawn depends on it.
    """

    dsl: object
    template: object = None
    lock: tuple = ()
    decoding: object = None
    batch: int = 256

    def sample(self, n, seed=0):
        """Write n prompts: list of `Sample`."""
        out = []
        for at in range(0, max(n, 1), self.batch):
            # each batch has a seed of its own, the first one the seed that was given
            own = seed if at == 0 else int(np.random.SeedSequence([seed, at]).generate_state(1)[0])
            out += self.dsl.sample(min(self.batch, n - at), self.template, lock=self.lock, seed=own, **self._decoding())
        return out

    def log_score(self, samples):
        """Log-probabilities of template and fillers together: float64 (n,), nats. Plain texts are read first, which is slow."""
        out = []
        for at in range(0, len(samples), self.batch):
            some = samples[at : at + self.batch]
            out.append(self.dsl.log_score(some, self.template, lock=self.lock, **self._decoding()))
        return np.concatenate(out) if out else np.zeros(0)

    def given(self, context):
        """The language with this template, or the prompt it comes from."""
        return replace(self, template=context)

    def _decoding(self):
        return {} if self.decoding is None else {"decoding": self.decoding}


def of(thing):
    """Make a proposal of what is one in other words.

    Args:
        thing: a proposal, returned as it is; `models.LM`; `DeepDSL`; or a frozen distribution of `scipy.stats`.

    Returns:
        `Proposal`.

    Raises:
        GuideError: it cannot sample, or it cannot score.
    """
    if hasattr(thing, "writer_") and hasattr(thing, "codes"):
        return FromDSL(thing)
    if hasattr(thing, "model") and hasattr(thing, "tokenizer") and not hasattr(thing, "sample"):
        return LMProposal(thing)
    if hasattr(thing, "rvs") and (hasattr(thing, "logpmf") or hasattr(thing, "logpdf")):
        return FromScipy(thing)
    kind = getattr(thing, "__name__", None) if isinstance(thing, type) else type(thing).__name__
    if not callable(getattr(thing, "sample", None)) or isinstance(thing, type):
        raise GuideError(
            f"{kind} is no proposal: it has no sample(n, seed). Give a models.LM, a DeepDSL, a distribution of scipy.stats, "
            "proposals.FromDistribution(draw, log_prob), or an object with sample and log_score."
        )
    if not callable(getattr(thing, "log_score", None)):
        raise GuideError(
            f"{kind} samples but cannot score: it has no log_score(samples) -> (n,). Without log-probabilities there is "
            "no telling how much a sample should count; wrap it with proposals.FromDistribution(draw, log_prob)."
        )
    return thing
