"""Ahead: a `LogitsProcessor` that sees the hidden states of a text with each of some tokens put behind it."""

import torch
from transformers import LogitsProcessor

from workbench.control.proposals.causal import with_tokens


class Ahead(LogitsProcessor):
    """Changes scores by what would follow.

    The candidates of one place are read in one pass, side by side: each sees the text and itself. What was read of the texts is
    kept for the next place, however they were reordered or dropped in between. Texts must not be padded on the left.

    Args:
        lm: `models.LM`.
        change: function (scores float (n, v), ahead, ids int64 (n, t)) -> scores (n, v), where `ahead` is a function of tokens
            int64 (n, k) -> (states after each of them, float (n, k, 2 d), and those along the text, float (n, t, 2 d)), as of
            `LMProposal.states`.

    Attributes:
        read: int, tokens read by the model so far, to say what this costs.
    """

    def __init__(self, lm, change):
        self.lm, self.change, self.read = lm, change, 0
        self._rows, self._past, self._seen = {}, None, None

    @torch.inference_mode()
    def __call__(self, input_ids, scores):
        """Changed scores: tokens so far int64 (n, t), scores float (n, v) -> float (n, v)."""
        return self.change(scores, lambda tokens: self._states(input_ids, tokens), input_ids)

    def _states(self, ids, tokens):
        from transformers import DynamicCache

        model, (n, k) = self.lm.model, tokens.shape
        written = [tuple(row) for row in ids.tolist()]
        found = [self._rows.get(row[:-1]) for row in written]
        if self._past is not None and all(at is not None for at in found) and ids.shape[1] > 1:
            past, seen = self._past, self._seen[found]
            if found != list(range(len(self._rows))) or len(found) != past.layers[0].keys.shape[0]:
                past.batch_select_indices(torch.tensor(found, device=ids.device))
        else:
            past, seen = DynamicCache(config=model.config), torch.zeros(n, 0, 2 * model.config.hidden_size, device=ids.device)
        known = past.get_seq_length()
        new = torch.cat([ids[:, known:], tokens], 1)
        t, m = ids.shape[1], ids.shape[1] - known
        # who sees whom: the text what stands before it; a candidate the text and itself
        sees = torch.ones(m + k, t + k, dtype=torch.bool, device=ids.device).tril(known)
        sees[m:, t:] = torch.eye(k, dtype=torch.bool, device=ids.device)
        kind = next(model.parameters()).dtype
        mask = torch.zeros(sees.shape, dtype=kind, device=ids.device).masked_fill(~sees, torch.finfo(kind).min)
        places = torch.cat([torch.arange(known, t), torch.full((k,), t)]).to(ids.device)
        out = model.base_model(
            input_ids=new,
            attention_mask=mask.expand(n, 1, *mask.shape),
            position_ids=places.expand(n, -1),
            past_key_values=past,
            use_cache=True,
        )
        self.read += new.numel()
        past.crop(-k)
        states = with_tokens(model, out.last_hidden_state, new)
        self._past, self._rows = past, {row: at for at, row in enumerate(written)}
        self._seen = torch.cat([seen, states[:, :m]], 1)
        return states[:, m:], self._seen
