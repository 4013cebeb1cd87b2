"""How likely a causal language model finds the texts of prompts."""

import torch

from workbench.models import LM
from workbench.models.lm import begin_of, window
from workbench.models.loading import printable

_CHUNK = 128  # texts in one forward


class Fluency:
    """Nats of texts under a language model, per moving token.

    The model splits texts in its own way: it judges the text, so no gradient passes from its tokens to those of the prompt.
    Fluency counts where prompts are compared: when the best is kept and when tokens are swapped. So with `polish`, "hotflip" or
    "gcg" the search looks for fluent prompts, while "pez" alone only prefers those it meets. The sum is divided by the moving
    tokens of the prompt, a fixed number: otherwise a text would gain by being split into many likely tokens.

    Args:
        lm: `models.LM`.
        tokens: int, moving tokens of the prompts.

    Raises:
        TypeError: not an `LM`.
    """

    def __init__(self, lm, tokens):
        if not isinstance(lm, LM):
            raise TypeError(f"lm takes what models.load_lm returns, got {type(lm).__name__}.")
        self.lm, self.tokens = lm, tokens
        self.begin, self.window = [token for token in [begin_of(lm)] if token is not None], window(lm)

    def __call__(self, texts):
        """Nats float32 (n,) of n texts; infinite for an empty one."""
        return torch.cat([self._nats(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)])

    @torch.inference_mode()
    def _nats(self, texts):
        rows = self.lm.tokenizer([printable(text) for text in texts], add_special_tokens=False)["input_ids"]
        rows = [(self.begin + row)[: self.window] for row in rows]
        longest = max(2, *map(len, rows))
        device = next(self.lm.model.parameters()).device
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        logits = self.lm.model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        out = (nats * mask[:, 1:]).sum(1) / self.tokens
        out[mask.sum(1) <= len(self.begin)] = torch.inf
        return out.cpu().clone()
