"""Learning: how the network of the prior is trained, in batches of templates of like length, with early stopping."""

import math

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

_ENOUGH = 10_000  # templates from which on `epochs` holds as given
_PATIENCE = 0.25  # share of the epochs without gain on held-out templates after which learning stops
_BLOCK = 512  # templates scored at a time, to bound memory


def learn(net, train, held, config, rng, progress):
    """Train `net` in place, on lists of steps; the weights of the epoch that suits `held` best are kept.

    Returns:
        list of floats, perplexity per step of `held` by epoch.

    Source:
        AdamW: arXiv:1711.05101; cosine schedule: arXiv:1608.03983, without restarts.
    """
    epochs = round(config.epochs * min(10, max(1, _ENOUGH / len(train))))
    optimizer = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=0.01)
    total = epochs * math.ceil(len(train) / config.batch)
    warm = min(100, total // 10 + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / total))
    )
    history, state, best = [], None, 0
    for epoch in tqdm(range(epochs), desc="prior", unit="epoch", disable=not progress):
        net.train()
        for rows in batches(train, config.batch, rng):
            optimizer.zero_grad()
            net.loss(*padded(train, rows)).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        net.eval()
        history.append(held_out(net, held))
        if not math.isfinite(history[-1]):
            raise ValueError(f"Learning came to no numbers in epoch {epoch + 1}. Lower rate={config.rate}.")
        if history[-1] <= min(history):
            best, state = epoch, {name: tensor.clone() for name, tensor in net.state_dict().items()}
        if epoch - best > max(2, _PATIENCE * epochs):
            break
    net.load_state_dict(state)
    return history


def batches(steps, size, rng):
    """Rows of the templates of each batch in random order; lengths in one are alike, which saves padding."""
    order = rng.permutation(len(steps))
    for at in range(0, len(order), 20 * size):
        chunk = sorted(order[at : at + 20 * size], key=lambda row: len(steps[row]))
        batches = [chunk[i : i + size] for i in range(0, len(chunk), size)]
        for number in rng.permutation(len(batches)):
            yield batches[number]


def padded(steps, rows):
    """Codes and literals int64 (n, t) of some templates, and bool (n, t), where there is a step."""
    table = np.zeros((2, len(rows), max(len(steps[row]) for row in rows)), np.int64)
    there = np.zeros(table.shape[1:], bool)
    for place, row in enumerate(rows):
        there[place, : len(steps[row])] = True
        table[:, place, : len(steps[row])] = np.array(steps[row]).T
    return *torch.from_numpy(table), torch.from_numpy(there)


@torch.no_grad()
def held_out(net, steps):
    """Perplexity per step."""
    rows = sorted(range(len(steps)), key=lambda row: len(steps[row]))
    total = count = 0
    for at in range(0, len(rows), _BLOCK):
        batch = padded(steps, rows[at : at + _BLOCK])
        n = int(batch[2].sum())
        total, count = total + n * float(net.loss(*batch)), count + n
    return math.exp(total / count)
