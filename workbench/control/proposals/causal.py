"""A causal language model as a proposal. Its samples remember their tokens, so that scoring agrees with drawing."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import LogitsProcessorList

from workbench import checks
from workbench.models.cut import Cut
from workbench.models.lm import window
from workbench.values import GuideError, Sample

_BATCH = 256  # texts run at once, fewer where their logits would be more than
_LOGITS = 1e8  # numbers


@dataclass(frozen=True)
class LMProposal:
    """A causal language model that continues a prefix until it ends the text or `max_tokens` are written.

    If the tokenizer has a token for the beginning of a text, it comes before the prefix.

    Attributes:
        lm: `models.LM`, or any object with `model` and `tokenizer`.
        prefix: str, the beginning of each text; also called context.
        max_tokens: int, tokens written at most, the end included.
        temperature, top_k, top_p: as in `Cut`; 1, 0 and 1 leave the model as it is.
        processor: a `LogitsProcessor` of transformers, or any function of it: (tokens so far int64 (n, t), scores float (n, v))
            -> scores (n, v). It comes before temperature and cuts, in drawing and in scoring alike; `decode` makes some.
    """

    lm: object
    prefix: str = ""
    max_tokens: int = 48
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    processor: object = None

    def __post_init__(self):
        checks.whole("max_tokens", self.max_tokens)
        if self.processor is not None and not callable(self.processor):
            raise TypeError(f"processor must be a LogitsProcessor of transformers, got {type(self.processor).__name__}.")
        if not isinstance(self.prefix, str):
            raise TypeError(f"prefix must be a str, got {type(self.prefix).__name__}.")
        Cut(self.temperature, self.top_k, self.top_p)

    # ---- the two verbs -----------------------------------------------------------------------------------------------------

    def sample(self, n, seed=0):
        """Write n texts that begin with the prefix: list of `Sample` with `ids`, `kept`, `context` and `log_prob`."""
        checks.whole("n", n)
        random = torch.Generator().manual_seed(checks.seed(seed))
        begin, ends, out = self._begin(), self._ends(), []
        for at in range(0, n, self.batch):
            out += self._write(min(self.batch, n - at), begin, ends, random)
        return out

    def log_score(self, samples):
        """Log-probabilities of texts: float64 (n,), nats.

        A `Sample` of this tokenizer is scored by its tokens. A plain str is scored by its usual tokens and the end of the text,
        which is a lower bound, because other tokens may spell the same text. -inf for a text without the prefix, or without an
        end.
        """
        out = np.full(len(samples), -np.inf)
        rows, ids, kept = self._tokens(samples)
        for at in range(0, len(rows), self.batch):
            part = slice(at, at + self.batch)
            with torch.inference_mode():
                out[rows[part]] = self._score(ids[part], kept[part]).cpu().numpy()
        return out

    def given(self, context):
        """This model with another prefix."""
        return replace(self, prefix=context)

    def processed(self, processor):
        """This model with one more processor, behind those that it has."""
        return replace(self, processor=processor if self.processor is None else LogitsProcessorList([self.processor, processor]))

    def states(self, samples):
        """What a value head reads along texts: the last hidden state of the model, and the embedding of the token itself.

        A state is there to predict what follows, so that in a small model it often no longer says which word it stands on.

        Args:
            samples: list of n `Sample` of this model, or of str, which are read as texts that have not ended yet.

        Returns:
            list of n float32 tensors (t + 1, 2 d), on the CPU: after the prefix, and after each of t tokens.

        Raises:
            GuideError: a text that does not begin with the prefix.
        """
        begin, out = self._begin(ahead=1), []
        rows = [self._spelled(one) if getattr(one, "ids", None) is None else one.ids for one in samples]
        for one, row in zip(samples, rows, strict=True):
            if row is None or getattr(one, "context", None) not in (None, self.prefix):
                raise GuideError(f"{str(one)[:60]!r} does not begin with {self.prefix!r}, the prefix of this model.")
        for at in range(0, len(rows), self.batch):
            some = [torch.tensor([*begin, *row]) for row in rows[at : at + self.batch]]
            ids = torch.nn.utils.rnn.pad_sequence(some, batch_first=True).to(self.lm.model.device)
            there = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in some], batch_first=True).to(ids.device)
            with torch.inference_mode():
                hidden = self.lm.model.base_model(input_ids=ids, attention_mask=there, use_cache=False).last_hidden_state
                found = with_tokens(self.lm.model, hidden, ids)[:, len(begin) - 1 :].cpu()
            out += [one[: len(row) - len(begin) + 1] for one, row in zip(found, some, strict=True)]
        return out

    # ---- what tuning needs besides -------------------------------------------------------------------------------------------

    def log_prob(self, samples):
        """As `log_score`, for texts drawn with this prefix: float64 tensor (n,) through which gradients flow."""
        rows, ids, kept = self._tokens(samples)
        if len(rows) != len(samples):
            raise GuideError(f"{len(samples) - len(rows)} of {len(samples)} texts cannot be written by this model.")
        return self._score(ids, kept)

    def parameters(self):
        """Pairs (name, tensor) of the weights; tied weights come once."""
        return self.lm.model.named_parameters()

    def copy(self):
        """This proposal with weights of its own."""
        # not `LM(...)`: `lm` may be of any class with `model` and `tokenizer`
        lm = copy.copy(self.lm)
        object.__setattr__(lm, "model", copy.deepcopy(self.lm.model).eval().requires_grad_(True))
        return replace(self, lm=lm)

    @property
    def batch(self):
        """Texts run at once: int."""
        return at_once(self.lm.model, self.max_tokens)

    # ---- how -----------------------------------------------------------------------------------------------------------------

    @property
    def cut(self):
        """`Cut` of the three options."""
        return Cut(self.temperature, self.top_k, self.top_p)

    def _begin(self, ahead=0):
        """Tokens before each text: list of int. A model that looks `ahead` reads so many more than in writing."""
        tokenizer, config = self.lm.tokenizer, self.lm.model.config
        ids = tokenizer(self.prefix, add_special_tokens=False).input_ids if self.prefix else []
        first = config.bos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        if first is not None:
            ids = [first, *ids]
        if not ids:
            raise GuideError(
                "This tokenizer has no token for the beginning of a text, so there is nothing to continue: give prefix=."
            )
        room = window(self.lm) - ahead
        if len(ids) + self.max_tokens - 1 > room:
            raise GuideError(
                f"A prefix of {len(ids)} tokens and max_tokens={self.max_tokens} need more than the {room} positions of this "
                f"model. Shorten the prefix or set max_tokens to {max(1, room - len(ids) + 1)} or less."
            )
        return ids

    def _ends(self):
        found = [self.lm.tokenizer.eos_token_id, self.lm.model.config.eos_token_id]
        flat = {e for one in found for e in (one if isinstance(one, (list, tuple)) else [one]) if e is not None}
        return sorted(e for e in flat if e < self.lm.model.config.vocab_size)

    @torch.inference_mode()
    def _write(self, n, begin, ends, random):
        model, device = self.lm.model, self.lm.model.device
        step = torch.tensor([begin] * n, device=device)
        stops = torch.tensor(ends, dtype=torch.int64)
        ids, kept = np.zeros((n, self.max_tokens), np.int64), np.zeros((n, self.max_tokens), np.int64)
        lengths, log_p, alive, past = np.full(n, self.max_tokens), np.zeros(n), np.arange(n), None
        for t in range(self.max_tokens):
            found = model(input_ids=step, past_key_values=past, use_cache=True)
            past = found.past_key_values
            scores = found.logits[:, -1].float()
            if self.processor is not None:
                scores = self.processor(_so_far(begin, ids[alive, :t]).to(device), scores)
            law, size = self.cut.log_law(scores.cpu())
            # exponential races instead of multinomial: the same draws on every backend
            race = torch.empty(law.shape).exponential_(generator=random)
            token = (law - race.log()).argmax(1)
            log_p[alive] += law.gather(1, token[:, None])[:, 0].double().numpy()
            ids[alive, t], kept[alive, t] = token.numpy(), size.numpy()
            over = torch.isin(token, stops)
            lengths[alive[over.numpy()]] = t + 1
            on = (~over).nonzero()[:, 0]
            if not len(on):
                break
            shrunk, alive = len(on) < len(alive), alive[on.numpy()]
            step = token[on][:, None].to(device)
            if shrunk and hasattr(past, "batch_select_indices"):
                past.batch_select_indices(on.to(device))
            elif shrunk:  # a cache that cannot drop texts is built again
                done = torch.from_numpy(ids[alive, : t + 1]).to(device)
                past, step = None, torch.cat([torch.tensor([begin] * len(alive), device=device), done], 1)
        cut = not self.cut.whole
        rows = [tuple(row[:length].tolist()) for row, length in zip(ids, lengths, strict=True)]
        notes = [tuple(row[:length].tolist()) if cut else None for row, length in zip(kept, lengths, strict=True)]
        texts = self._texts(begin, rows, set(ends))
        return [
            Sample(text, ids=row, kept=note, context=self.prefix, log_prob=score)
            for text, row, note, score in zip(texts, rows, notes, log_p.tolist(), strict=True)
        ]

    def _texts(self, begin, rows, ends):
        """Prefix and continuation as text. They are decoded together: some tokenizers drop the blank before a first word."""
        options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        rows = [begin + [i for i in row if i not in ends] for row in rows]
        start = self.lm.tokenizer.decode(begin, **options)
        found = self.lm.tokenizer.batch_decode(rows, **options)
        return [self.prefix + text[len(start) :] if text.startswith(start) else text for text in found]

    def _tokens(self, samples):
        """Rows that this model could have written, their tokens, and how many candidates were kept at each: three lists."""
        if isinstance(samples, str):
            raise TypeError("log_score takes a list of texts, got one str.")
        ends, out = set(self._ends()), []
        for row, text in enumerate(samples):
            if not isinstance(text, str):
                raise TypeError(f"log_score takes texts, sample {row} is {type(text).__name__}.")
            ids, kept = getattr(text, "ids", None), getattr(text, "kept", None)
            if ids is None:
                ids, kept = self._read(text), None
            elif text.context != self.prefix:
                continue
            if not ids or len(ids) > self.max_tokens or any(i in ends for i in ids[:-1]):
                continue
            if ids[-1] not in ends and len(ids) < self.max_tokens:
                continue
            out.append((row, ids, kept or (0,) * len(ids)))
        return tuple(list(column) for column in zip(*out, strict=True)) if out else ([], [], [])

    def _read(self, text):
        """The tokens of a text, and its end where that is within `max_tokens`: tuple; () for a text without the prefix."""
        ids, ends = self._spelled(text), self._ends()
        return () if ids is None else (*ids, ends[0]) if ends and len(ids) < self.max_tokens else ids

    def _spelled(self, text):
        """The usual tokens of a text behind the prefix: tuple; None for a text without the prefix."""
        if not text.startswith(self.prefix):
            return None
        tokenizer = self.lm.tokenizer
        start = tokenizer(self.prefix, add_special_tokens=False).input_ids if self.prefix else []
        ids = tokenizer(str(text), add_special_tokens=False).input_ids
        if ids[: len(start)] != start:  # the prefix's end and the text's start share a token
            ids = start + tokenizer(text[len(self.prefix) :], add_special_tokens=False).input_ids
        return tuple(ids[len(start) :])

    def _score(self, ids, kept):
        """Sum of log-probabilities of tokens after the prefix: float64 tensor (n,)."""
        sizes = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in kept], batch_first=True).to(self.lm.model.device)
        begin = self._begin()

        def law(logits, there):
            scores = logits if self.processor is None else self._processed(logits, there, begin, ids)
            return self.cut.log_law(scores, kept=sizes[there])[0]

        return sums(self.lm.model, begin, ids, law)

    def _processed(self, logits, there, begin, ids):
        """What the processor makes of scores (m, v) at the places (n, t) of texts: it is asked place by place, as in drawing."""
        rows, at = there.nonzero().T
        out = torch.empty_like(logits)
        for t in range(there.shape[1]):
            here = at == t
            written = np.array([ids[row][:t] for row in rows[here].tolist()], np.int64).reshape(int(here.sum()), t)
            out[here] = self.processor(_so_far(begin, written).to(logits.device), logits[here])
        return out


def with_tokens(model, hidden, ids):
    """Last hidden states (n, t, d) of tokens int64 (n, t), and their embeddings beside them: float32 (n, t, 2 d)."""
    return torch.cat([hidden, model.get_input_embeddings()(ids)], -1).float()


def at_once(model, length):
    """How many texts of so many tokens a model reads at once: int."""
    return int(np.clip(_LOGITS / (length * model.config.vocab_size), 1, _BATCH))


def _so_far(begin, ids):
    """The tokens that stand before the next: int64 (n, t)."""
    return torch.cat([torch.tensor([begin] * len(ids)), torch.from_numpy(np.asarray(ids, np.int64))], 1)


def sums(model, begin, ids, law):
    """Sums of log-probabilities of tokens: float64 tensor (n,), nats, through which gradients flow.

    Args:
        model: causal language model of transformers.
        begin: list of int, tokens before each text.
        ids: n sequences of one token or more.
        law: function (logits (m, v), places bool (n, t) with m True) -> log-probabilities (m, v) of the next token.
    """
    rows = [torch.tensor(row) for row in ids]
    there = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).bool().to(model.device)
    targets = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
    head = torch.tensor([begin] * len(rows), device=model.device)
    ids, mask = torch.cat([head, targets[:, :-1]], 1), torch.cat([torch.ones_like(head), there[:, :-1].long()], 1)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, len(begin) - 1 :].float()
    found = law(logits[there], there).gather(1, targets[there][:, None])[:, 0].double()
    return torch.zeros(len(rows), dtype=torch.float64, device=model.device).index_add(0, there.nonzero()[:, 0], found)
