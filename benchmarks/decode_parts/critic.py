"""A critic against the truth: its chances, what it reaches, and how far the steered law is from the exact conditional one."""

import itertools
import time
from collections import Counter

import numpy as np
import torch

from workbench import decode, models, proposals, score

WISH = score.contains("night")
SIDES = ("object", "color", "style", "artist")


def learn(base, texts, steps, memory=True, seed=0):
    """A critic of the wish, and its CPU seconds."""
    begin = time.process_time()
    config = decode.CriticConfig(texts=texts, steps=steps, memory=memory, seed=seed)
    return decode.Critic(config).fit(base, WISH, progress=False), time.process_time() - begin


def chances(base, critic, n, each, seed=0):
    """Correlation of the critic with Monte Carlo: n beginnings of texts of the model, each continued many times."""
    rng, lm = np.random.default_rng(seed), base.lm
    samples = base.sample(n, seed=seed + 77)
    said = critic.chance(base, samples)
    begin, end = base._begin(), base._ends()[0]
    ours, truth = [], []
    for one, along in zip(samples, said, strict=True):
        cut = int(rng.integers(0, len(one.ids)))
        ours.append(along[cut])
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(int(rng.integers(2**31)))
            found = lm.model.generate(
                torch.tensor([[*begin, *one.ids[:cut]]]),
                attention_mask=torch.ones(1, cut + len(begin), dtype=torch.int64),
                do_sample=True,
                top_k=0,
                num_return_sequences=each,
                max_new_tokens=base.max_tokens - cut,
                pad_token_id=end,
                eos_token_id=end,
            )
        truth.append(WISH(lm.tokenizer.batch_decode(found, skip_special_tokens=True)).mean())
    return float(np.corrcoef(ours, truth)[0, 1])


def distance(base, steered, exact):
    """Total variation between a law and the exact conditional one, from texts that the exact one drew.

    Returns:
        (over texts, which bounds all others; the largest over the joint values of two attributes of scenes). Of the steered law
        only the texts that are as wished are counted, so that the second is an upper bound too.
    """
    rate = float(WISH(base.sample(12_000, seed=4321)).mean())
    with np.errstate(over="ignore"):
        ratio = np.exp(steered.log_score(exact) - base.log_score(exact) + np.log(rate))
    gap, cells = 1 - ratio, [_values(one) for one in exact]
    pairs = []
    for a, b in itertools.combinations(range(len(SIDES)), 2):
        sums = Counter()
        for cell, value in zip(cells, gap.tolist(), strict=True):
            sums[cell[a], cell[b]] += value
        pairs.append(sum(max(value, 0.0) for value in sums.values()) / len(exact))
    return float(np.maximum(gap, 0).mean()), max(pairs)


def conditional(base, n, seed=11):
    """Texts of the exact conditional law: drawn, and kept if they are as wished. (list of n, texts drawn)."""
    kept, drawn = [], 0
    while len(kept) < n:
        some = base.sample(2048, seed=seed + drawn)
        drawn += len(some)
        kept += [one for one, good in zip(some, WISH(some), strict=True) if good]
    return kept[:n], round(drawn * n / len(kept))


def perplexity(base, samples):
    """Of texts, by the model, for each token; tokens that a prefix gave count too."""
    plain = [getattr(one, "text", one) for one in samples]
    sizes = [len(base.lm.tokenizer(text, add_special_tokens=False).input_ids) + 1 for text in plain]
    nats = base.log_score(plain)
    fine = np.isfinite(nats)
    return float(np.exp(-nats[fine].sum() / np.array(sizes)[fine].sum()))


def distinct2(samples):
    """Share of pairs of neighbouring words that are different."""
    pairs = [pair for one in samples for pair in itertools.pairwise(str(one).replace(",", " ,").split())]
    return len(set(pairs)) / max(1, len(pairs))


def _values(text):
    from workbench.world import scenes

    said = scenes.read(str(text))
    return tuple(said[name] for name in SIDES)


def apart(samples, exact):
    """Total variation between two sets of texts over single attributes, and over forms: the largest."""
    from workbench.world import scenes

    def views(text):
        said = scenes.read(str(text))
        form = "words" if not any(word in str(text).split() for word in ("a", "an")) else "text"
        return (*(said[name] for name in SIDES), form)

    a, b = ([views(one) for one in some] for some in (samples, exact))
    found = []
    for i in range(len(SIDES) + 1):
        one, other = Counter(row[i] for row in a), Counter(row[i] for row in b)
        found.append(0.5 * sum(abs(one[k] / len(a) - other[k] / len(b)) for k in {*one, *other}))
    return max(found)


def quick(seed=0):
    """Figures of one core in a minute: dict of `critic_r`, `critic_night`, `critic_tv`."""
    return measure(texts=3000, steps=250, beginnings=60, each=100, n=256, exact=400, k=40, seed=seed)


def measure(texts=6000, steps=600, beginnings=200, each=500, n=1000, exact=2000, k=40, memory=True, seed=0):
    """All figures of a critic on the built-in language model: dict."""
    base = proposals.LMProposal(models.load_lm("world"))
    critic, seconds = learn(base, texts, steps, memory, seed)
    steered = critic.steer(base, k)
    begin = time.process_time()
    drawn = steered.sample(n, seed=seed + 1)
    writing = time.process_time() - begin
    agree = float(np.abs(steered.log_score(drawn[:200]) - [one.log_prob for one in drawn[:200]]).max())
    over_texts, over_pairs = distance(base, steered, conditional(base, exact)[0])
    plain = base.sample(2000, seed=seed + 2)
    return {
        "critic_r": round(chances(base, critic, beginnings, each, seed), 3),
        "critic_night": round(float(WISH(drawn).mean()), 3),
        "critic_tv": round(over_pairs, 3),
        "tv_texts": round(over_texts, 3),
        "base_night": round(float(WISH(plain).mean()), 3),
        "perplexity_ratio": round(perplexity(base, drawn) / perplexity(base, plain), 3),
        "agrees": agree,
        "fit_cpu_s": round(seconds, 1),
        "write_cpu_s": round(writing, 1),
    }
