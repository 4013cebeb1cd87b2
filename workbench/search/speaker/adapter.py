"""Adapter: what a speaker sees of a picture changes the last state of a frozen language model, and so its next word."""

import warnings

import torch

from workbench.models.lm import begin_of, window
from workbench.values import ModelError


class Adapter(torch.nn.Module):
    """Two layers on features of a picture (n, d) and states of a language model (n, t, w): the change of the states (n, t, w).

    It begins at no change: the speaker then is the language model, which has seen nothing. It stands behind the layers of the
    model and not, as in the paper, before them: so no gradient runs through the model, and a tiny one learns to look in seconds.

    Args:
        features: int d, width of the features of pictures.
        width: int w, of the states of the language model.
        config: `SpeakerConfig`.
    """

    def __init__(self, features, width, config):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.seen = torch.nn.Linear(features, config.hidden)
            self.said = torch.nn.Linear(width, config.hidden)
            self.outer = torch.nn.Linear(config.hidden, width)
            torch.nn.init.zeros_(self.outer.weight), torch.nn.init.zeros_(self.outer.bias)
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))

    def look(self, seen):
        """Bring features (n, d) of pictures to mean 0 and variance 1: those of a CLIP lie close together."""
        self.centre.copy_(seen.mean(0))
        self.spread.copy_(seen.std(0).clamp_min(1e-4) if len(seen) > 1 else torch.ones_like(self.spread))

    def forward(self, seen, states):
        """The changed states."""
        inner = self.seen((seen - self.centre) / self.spread)[:, None] + self.said(states)
        return states + self.outer(torch.nn.functional.gelu(inner))


class Voice:
    """A frozen language model that speaks through an adapter.

    Args:
        lm: `models.LM`.
        adapter: `Adapter`.
        longest: int, tokens of a text, the end included.

    Raises:
        ModelError: the model has no end token, or its window is too short.
    """

    def __init__(self, lm, adapter, longest):
        self.lm, self.device, self.longest = lm, lm.model.device, longest
        self.adapter = adapter.to(self.device)
        self.begin, self.end = begin_of(lm), lm.tokenizer.eos_token_id
        if self.end is None:
            raise ModelError(f"{lm.name} has no token for the end of a text, so that a speaker could never stop.")
        if longest > window(lm):
            raise ModelError(f"{lm.name} reads {window(lm)} tokens, and longest is {longest}. Lower it.")
        self.head = lm.model.get_output_embeddings()

    @torch.no_grad()
    def draw(self, seen, greedy=False):
        """Texts about pictures with features (n, d): (ids int64 (n, t), taken bool (n, t): which tokens belong to the text).

        They are drawn by torch's generator of the moment; `greedy` takes the likeliest token. The end belongs to the text.
        """
        on = torch.ones(len(seen), dtype=torch.bool, device=self.device)
        token, past, ids, taken = torch.full((len(seen),), self.begin, device=self.device), None, [], []
        for _ in range(self.longest):
            found = self.lm.model.base_model(input_ids=token[:, None], past_key_values=past, use_cache=True)
            past, law = found.past_key_values, self._law(seen, found.last_hidden_state)[:, 0]
            token = law.argmax(1) if greedy else torch.multinomial(law.exp(), 1)[:, 0]
            token = torch.where(on, token, self.end)
            ids.append(token), taken.append(on)
            on = on & (token != self.end)
            if not on.any():
                break
        return torch.stack(ids, 1), torch.stack(taken, 1)

    def log_probs(self, seen, ids):
        """Log-probability of each token of ids (n, t) about pictures (n, d): float32 (n, t), with the adapter's gradient."""
        return self.log_probs_at(seen, self.states(ids), ids)

    def log_probs_at(self, seen, states, ids):
        """The same, given the `states` of ids, which do not depend on the adapter."""
        return self._law(seen, states).gather(2, ids[..., None])[..., 0]

    @torch.no_grad()
    def states(self, ids):
        """States of the language model before each token of ids (n, t): float (n, t, w)."""
        begin = torch.full((len(ids), 1), self.begin, device=ids.device)
        return self.lm.model.base_model(input_ids=torch.cat([begin, ids[:, :-1]], 1), use_cache=False).last_hidden_state

    def texts(self, ids):
        """Texts of ids (n, t): list of n str."""
        rows = [row[: row.index(self.end)] if self.end in row else row for row in ids.tolist()]
        return [text.strip() for text in self.lm.tokenizer.batch_decode(rows, skip_special_tokens=True)]

    def tokens(self, texts):
        """Ids int64 (n, t) of texts with their ends, and which belong to them; what is longer than `longest` is cut."""
        rows = [[*row, self.end] for row in self.lm.tokenizer(texts, add_special_tokens=False)["input_ids"]]
        if cut := sum(len(row) > self.longest for row in rows):
            warnings.warn(f"{cut} of {len(rows)} texts are cut to {self.longest} tokens: see longest.", stacklevel=3)
        rows = [row[: self.longest] for row in rows]
        most = max(map(len, rows))
        ids = torch.tensor([row + [self.end] * (most - len(row)) for row in rows], device=self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        return ids, torch.arange(most, device=self.device)[None] < lengths[:, None]

    def _law(self, seen, states):
        return self.head(self.adapter(seen.to(self.device), states.float()).to(self.head.weight.dtype)).float().log_softmax(-1)
