"""CriticControl: a frozen writer whose next token is weighed by the chance that the text ends as wished."""

import hashlib
import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from workbench import checks, files
from workbench.artifacts import Checkpoint, Saved, check_layout
from workbench.control import proposals
from workbench.control.decode.ahead import Ahead
from workbench.control.guide.scoring import name_of, scores
from workbench.training import adamw, cosine, train
from workbench.values import GuideError, NotFittedError

_WIDTH = 256  # hidden units of the value head
_FLOOR = 0.05  # of the rate at the end
_HELD = 10  # one text in so many is held out
_EVERY, _PATIENCE = 50, 6  # steps between measurements, and how many without gain end the training
_STRENGTH = 1.0  # of the exact rule


@dataclass(frozen=True)
class CriticConfig(checks.Options):
    """Options of `Critic.fit`."""

    texts: int = 4000  # texts that the frozen writer writes to learn from, ten at least
    steps: int = 600  # of training, at most
    batch: int = 128  # texts a step
    rate: float = 3e-3  # the highest learning rate; few texts of a larger writer need a tenth of it
    trace: float = 0.95  # lambda: how far the end of a text reaches back past the head's own guesses, 0..1
    memory: bool = True  # read tokens and the states so far too; False is the head of the paper, on the last hidden state alone
    seed: int = 0

    def __post_init__(self):
        self.check(wholes={"texts": 10, "steps": 1, "batch": 1}, numbers={"trace": (0, 1)})


class Critic(Saved):
    """A value head on the last hidden state of a frozen writer: the chance that a text which begins so ends as wished.

    After `fit`: `base_` (float, share of the writer's own texts that are as wished), `low_` and `high_` (floats, scores that
    count as 0 and as 1), `history_`, `best_` (int, step), `scorer_` (str).

    Source:
        Kim et al., arXiv:2212.10938, sections 3.1 and 3.2; the returns: Schulman et al., arXiv:1506.02438, with gamma 1.
    """

    kind = "critic"

    def __init__(self, config=CriticConfig()):  # noqa: B008 - frozen
        self.config = config

    # ---- learning -------------------------------------------------------------------------------------------------------

    def fit(self, source, scorer, folder=None, progress=True):
        """Learn how texts of a writer end. Its weights stay as they are.

        Args:
            source: anything `proposals.of` takes that has `states`: a `models.LM`, an `LMProposal`, a `DeepDSL` with a writer.
            scorer: function, list of n samples -> n finite numbers. Scores from 0 to 1 are chances; others are scaled so that
                the lowest one seen is 0 and the highest 1.
            folder: where checkpoints go; the same call goes on where it was stopped. None keeps none.
            progress: bool, show a progress bar.

        Returns:
            self.

        Raises:
            GuideError: a source without states, a scorer that fails, or one that gives all texts the same.
            ArtifactError: the folder holds something else.
            Interrupted: Ctrl-C; the same call with the same folder goes on.
        """
        source, config = steerable(source), self.config
        folder = None if folder is None else files.path(folder, "folder")
        samples = source.sample(config.texts, seed=config.seed)
        name = name_of(scorer)
        found = scores(scorer, samples, name)
        low, high = float(found.min()), float(found.max())
        if low == high:
            raise GuideError(
                f"{name!r} gave {low:g} for each of {len(samples):,} texts, so there is nothing to learn: what is wished for "
                "never occurs, or always. Write more texts (CriticConfig(texts=...)), begin them with a prefix that helps, or "
                "take a scorer with steps in between."
            )
        if 0 <= low and high <= 1:
            low, high = 0.0, 1.0
        ends = torch.tensor((found - low) / (high - low), dtype=torch.float32)
        rows = source.states(samples)
        head = self._build(rows[0].shape[1], config.seed)
        held, own = np.arange(0, len(rows), _HELD), np.setdiff1d(np.arange(len(rows)), np.arange(0, len(rows), _HELD))
        digest = hashlib.sha256(repr([str(one) for one in samples]).encode() + ends.numpy().tobytes())

        def loss(step):
            picked = np.random.default_rng([config.seed, step]).choice(own, min(config.batch, len(own)), replace=False)
            x, there = _side_by_side([rows[i] for i in picked])
            values = head(x)
            wanted = returns(values.detach().sigmoid(), there, ends[picked], config.trace)
            value = nn.functional.binary_cross_entropy_with_logits(values[there], wanted[there])
            return value, {"loss": float(value.detach())}

        @torch.no_grad()
        def held_out():
            x, there = _side_by_side([rows[i] for i in held])
            wanted = ends[held][:, None].expand(there.shape)
            return float(nn.functional.binary_cross_entropy_with_logits(head(x)[there], wanted[there]))

        checkpoint = None
        if folder is not None:
            checkpoint = Checkpoint(folder, "critic training", {"config": asdict(config), "data": digest.hexdigest()})
        run = train(
            loss,
            {"head": head},
            adamw(head),
            config.steps,
            cosine(config.rate, config.steps, min(20, config.steps // 10), _FLOOR),
            name="training the critic",
            every=_EVERY,
            held_out=held_out,
            patience=_PATIENCE,
            checkpoint=checkpoint,
            seed=config.seed,
            progress=progress,
        )
        self.base_, self.low_, self.high_, self.scorer_ = float(ends.mean()), low, high, name
        self.history_, self.best_ = run.history, run.best
        self._head = head.eval().requires_grad_(False)
        return self

    def _build(self, width, seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _Head(width, self.config.memory)

    # ---- reading --------------------------------------------------------------------------------------------------------

    def log_chance(self, states, before=None):
        """Log of the chance that a text ends as wished, from the writer's states.

        Args:
            states: float (n, t, d), along texts; or with `before` float (n, k, d), after each of k candidates.
            before: float (n, t, d), states along the texts that the candidates follow, or None.

        Returns:
            float32 (n, t) or (n, k), nats.

        Raises:
            NotFittedError: before `fit`.
            GuideError: the states are those of another writer.
        """
        if not hasattr(self, "_head"):
            raise NotFittedError("This critic has learned nothing yet: call fit(source, scorer) first.")
        if states.shape[-1] != self._head.width:
            raise GuideError(
                f"This critic reads states of {self._head.width} numbers, the writer gives {states.shape[-1]}: it was learned on "
                "another writer. Fit a new one."
            )
        with torch.no_grad():
            found = self._head(states.float().cpu(), None if before is None else before.float().cpu())
        return nn.functional.logsigmoid(found)

    def chance(self, source, samples):
        """How the chance goes along texts: list of float64 arrays (t + 1,), before the first token and after each."""
        return [self.log_chance(row[None])[0].exp().double().numpy() for row in steerable(source).states(samples)]

    # ---- steering -------------------------------------------------------------------------------------------------------

    def weigh(self, logits, ahead, k=10):
        """Scores of the next token, weighed: p(a) * chance(text + a) over the k likeliest tokens a; the others are cut off.

        Args:
            logits: float (n, v), -inf for what may not be chosen.
            ahead: function, tokens int64 (n, k) -> states (n, k, d) after the text and each of them, and (n, t, d) along it.
            k: int.

        Returns:
            float (n, v), log-probabilities.

        Raises:
            NotFittedError: before `fit`.
        """
        top, at = logits.log_softmax(-1).topk(min(k, logits.shape[-1]), -1)
        found = (top + _STRENGTH * self.log_chance(*ahead(at)).to(top.device)).log_softmax(-1)
        return torch.full_like(logits, -math.inf).scatter(-1, at, found.to(logits.dtype))

    def processor(self, lm, k=10):
        """This critic as a `LogitsProcessor` of transformers, for `generate` of the model it was learned on, without padding."""
        k = checks.whole("k", k)
        return Ahead(lm, lambda scores, ahead, ids: self.weigh(scores, ahead, k))

    def steer(self, source, k=10):
        """The writer, steered: a `Proposal` whose `log_score` is that of the steered law.

        Args:
            source: the writer that this was learned on, perhaps with another prefix or template, or steered in other ways too.
            k: int, likeliest tokens that are looked at; the more, the nearer to the exact law, and the slower.

        Returns:
            `Proposal` of the same kind.
        """
        source, k = steerable(source), checks.whole("k", k)
        if hasattr(source, "lm"):
            return source.processed(self.processor(source.lm, k))
        return source.steered(lambda scores, ahead: self.weigh(scores, ahead, k))

    # ---- keeping --------------------------------------------------------------------------------------------------------

    def to_state(self):
        """Config (JSON values) and tensors (float32) that `from_state` reads."""
        if not hasattr(self, "_head"):
            raise NotFittedError("This critic has learned nothing yet: call fit(source, scorer) first.")
        told = {name: getattr(self, name) for name in ("base_", "low_", "high_", "history_", "best_", "scorer_")}
        return {"options": asdict(self.config), **told}, {n: t.numpy().copy() for n, t in self._head.state_dict().items()}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Critic` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        sizes = check_layout(tensors, {"now.weight": "float32 h d", "out.weight": "float32 1 h", "norm.weight": "float32 d"})
        found = cls(CriticConfig(**config["options"]))
        head = found._build(2 * sizes["d"], 0)
        head.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in tensors.items()})
        found._head = head.eval().requires_grad_(False)
        for name in ("base_", "low_", "high_", "history_", "best_", "scorer_"):
            setattr(found, name, config[name])
        return found


class _Head(nn.Module):
    """The value head: a score whose sigmoid is the chance.

    With memory it reads the last hidden state, the token there, and the largest features of both so far. Without, the hidden
    state alone: of a small writer it is nearly blind, as that forgets what its next words do not need.
    """

    def __init__(self, width, memory):
        super().__init__()
        self.width, self.memory = width, memory
        self.norm, self.now, self.out = nn.LayerNorm(width // 2), nn.Linear(width // 2, _WIDTH), nn.Linear(_WIDTH, 1)
        if memory:  # embeddings are much smaller than states: each has a norm of its own
            self.token, self.note = nn.LayerNorm(width // 2), nn.Linear(width, _WIDTH)
            self.past = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, states, before=None):
        """States as of `Critic.log_chance` -> float (n, t) or (n, k)."""
        found = self.now(self.norm(states[..., : self.width // 2]))
        if self.memory:
            notes = self._notes(states)
            if before is None:
                notes = notes.cummax(1).values
            else:
                notes = torch.maximum(notes, self._notes(before).amax(1, keepdim=True))
            found = found + self.past(notes)
        return self.out(nn.functional.gelu(found))[..., 0]

    def _notes(self, states):
        half = self.width // 2
        return self.note(torch.cat([self.norm(states[..., :half]), self.token(states[..., half:])], -1)).relu()


def steerable(source):
    """A proposal whose hidden states can be read; a `GuideError` for any other."""
    found = proposals.of(source)
    if not callable(getattr(found, "states", None)):
        raise GuideError(
            f"{type(found).__name__} cannot be steered while it writes: it has no states(samples). Give a models.LM, an "
            "LMProposal or a DeepDSL with a writer; other proposals are steered by guide or reranked by decode.rerank."
        )
    if hasattr(found, "lm"):
        found._begin(ahead=1)  # a look at the last token reads it, which writing does not
    return found


def returns(values, there, ends, trace):
    """What each place of a text should be worth: a mean of the end and of the head's own guesses on the way there.

    Args:
        values: float (n, t), chances at each place.
        there: bool (n, t), which places there are; the first of each row are.
        ends: float (n,), what each text was worth at its end.
        trace: float 0..1, lambda; with 1 each place is worth the end (Monte Carlo).

    Returns:
        float (n, t); 0 where there is no place.

    Source:
        Schulman et al., arXiv:1506.02438, section 3, with gamma 1 and a reward at the end alone.
    """
    lengths, out = there.sum(1), torch.zeros_like(values)
    ahead = ends.to(values)
    for t in range(values.shape[1] - 1, -1, -1):
        last = lengths - 1 == t
        if t + 1 < values.shape[1]:
            ahead = torch.where(lengths - 1 > t, (1 - trace) * values[:, t + 1] + trace * ahead, ahead)
        ahead = torch.where(last, ends.to(values), ahead)
        out[:, t] = torch.where(there[:, t], ahead, 0)
    return out


def _side_by_side(rows):
    """States of texts, padded: float (n, t, d), and which are there: bool (n, t)."""
    there = nn.utils.rnn.pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True)
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), there
