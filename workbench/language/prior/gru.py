"""GRU: the steps so far -> logits of the next code and of the literal before it."""

import torch
from torch import nn

DROPOUT = 0.2  # share of the inputs and states that training leaves out


class Network(nn.Module):
    """A GRU (Cho et al., arXiv:1406.1078) over steps with two heads: k codes and the end; then, that known, the literals."""

    def __init__(self, n_codes, n_literals, width):
        super().__init__()
        self.start = n_codes  # before the first step; the place of the end, which nothing follows
        self.code = nn.Embedding(n_codes + 1, width)
        self.literal = nn.Embedding(n_literals, width)
        self.cell = nn.GRU(width, width, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.code_head = nn.Linear(width, n_codes + 1)
        self.between = nn.Linear(width, width)
        self.next_code = nn.Embedding(n_codes + 1, width)
        self.literal_head = nn.Linear(width, n_literals)

    def forward(self, codes, literals, memory=None):
        """Read steps.

        Args:
            codes: int64 (n, t), the codes before each step (`shifted`).
            literals: int64 (n, t), the literals before each step.
            memory: what an earlier call returned, or None.

        Returns:
            states (n, t, width) for the heads, and the memory.
        """
        states, memory = self.cell(self.dropout(self.code(codes) + self.literal(literals)), memory)
        return self.dropout(states), memory

    def shifted(self, codes, literals):
        """The same steps one later, after the start: what each step has before it."""
        first = codes.new_full((len(codes), 1), self.start)
        return torch.cat([first, codes[:, :-1]], 1), torch.cat([torch.zeros_like(first), literals[:, :-1]], 1)

    def code_logits(self, states):
        """Logits of the next code (..., k + 1), the end last."""
        return self.code_head(states)

    def literal_logits(self, states, codes):
        """Logits of the literal between the last step and the next code `codes` (...): (..., literals)."""
        return self.literal_head(self.dropout(torch.relu(self.between(states) + self.next_code(codes))))

    def loss(self, codes, literals, there):
        """Mean negative log-probability (nats) of the steps where `there`, code and literal together, without sampling limits."""
        states, _ = self(*self.shifted(codes, literals))
        states, codes, literals = states[there], codes[there], literals[there]
        cross_entropy = nn.functional.cross_entropy
        return cross_entropy(self.code_logits(states), codes) + cross_entropy(self.literal_logits(states, codes), literals)
