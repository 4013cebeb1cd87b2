"""GRU: the steps so far -> logits of the next code and of the literal before it; and how it is trained, with early stopping."""

import math

import numpy as np
import torch
from torch import nn

from workbench.training import adamw, cosine, train

DROPOUT = 0.2  # share of the inputs and states that training leaves out
BATCH = 64  # templates in a step
RATE = 3e-3  # highest learning rate
_ENOUGH = 10_000  # templates from which on the number of epochs holds as given; fewer are read up to 10 times as often
_PATIENCE = 0.25  # share of the epochs without gain on held-out templates after which learning stops
_WARM = 100  # steps until the full rate; of a short run a tenth
BLOCK = 512  # templates scored at a time, to bound memory


class Network(nn.Module):
    """A GRU (Cho et al., arXiv:1406.1078) over steps with two heads: k codes and the end; then, that known, the literals."""

    def __init__(self, n_codes, n_literals, width):
        super().__init__()
        self.start = n_codes  # before the first step; the place of the end, which nothing follows
        self.code = nn.Embedding(n_codes + 1, width)
        self.literal = nn.Embedding(n_literals, width)
        self.cell = nn.GRU(width, width, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.code_head = nn.Linear(width, n_codes + 1)  # logits of the next code, the end last
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

    def literal_logits(self, states, codes):
        """Logits of the literal between the last step and the next code `codes` (...): (..., literals)."""
        return self.literal_head(self.dropout(torch.relu(self.between(states) + self.next_code(codes))))

    def loss(self, codes, literals, there):
        """Mean negative log-probability (nats) of the steps where `there`, code and literal together, without sampling limits."""
        states, _ = self(*self.shifted(codes, literals))
        states, codes, literals = states[there], codes[there], literals[there]
        cross_entropy = nn.functional.cross_entropy
        return cross_entropy(self.code_head(states), codes) + cross_entropy(self.literal_logits(states, codes), literals)


def learn(net, steps, held, epochs, seed, progress):
    """Train `net` in place, on templates as lists of steps; the weights of the epoch that suits `held` best are kept.

    Returns:
        list of floats, perplexity per step of `held` by epoch.
    """
    epochs = round(epochs * min(10, max(1, _ENOUGH / len(steps))))
    batches = Epochs(steps, seed)
    total = epochs * len(batches)

    def loss(step):
        net.train()
        return net.loss(*padded(steps, batches(step)))

    run = train(
        loss,
        {"network": net},
        adamw(net),
        total,
        cosine(RATE, total, min(_WARM, total // 10 + 1)),
        name="training the prior",
        every=len(batches),
        held_out=lambda: perplexity(net.eval(), held),
        patience=int(max(2, _PATIENCE * epochs)) + 1,
        seed=seed,
        progress=progress,
    )
    return [row["held_out"] for row in run.history]


class Epochs:
    """Rows of the templates of each step: a random order in each epoch; lengths in one batch are alike, which saves padding."""

    def __init__(self, steps, seed):
        self.lengths, self.seed, self._epoch, self._rows = np.array([len(one) for one in steps]), seed, None, None

    def __len__(self):
        return math.ceil(len(self.lengths) / BATCH)

    def __call__(self, step):
        """The rows of a step: a list of int."""
        epoch, place = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._drawn(np.random.default_rng([self.seed, epoch]))
        return self._rows[place]

    def _drawn(self, rng):
        order, out = rng.permutation(len(self.lengths)), []
        for at in range(0, len(order), 20 * BATCH):
            chunk = order[at : at + 20 * BATCH]
            chunk = chunk[np.argsort(self.lengths[chunk], kind="stable")]
            batches = [chunk[i : i + BATCH] for i in range(0, len(chunk), BATCH)]
            out += [batches[number] for number in rng.permutation(len(batches))]
        return out


def padded(steps, rows):
    """Codes and literals int64 (n, t) of some templates, and bool (n, t), where there is a step."""
    table = np.zeros((2, len(rows), max(len(steps[row]) for row in rows)), np.int64)
    there = np.zeros(table.shape[1:], bool)
    for place, row in enumerate(rows):
        there[place, : len(steps[row])] = True
        table[:, place, : len(steps[row])] = np.array(steps[row]).T
    return *torch.from_numpy(table), torch.from_numpy(there)


@torch.no_grad()
def perplexity(net, steps):
    """Perplexity per step."""
    rows = sorted(range(len(steps)), key=lambda row: len(steps[row]))
    total = count = 0
    for at in range(0, len(rows), BLOCK):
        batch = padded(steps, rows[at : at + BLOCK])
        n = int(batch[2].sum())
        total, count = total + n * float(net.loss(*batch)), count + n
    return math.exp(total / count)
