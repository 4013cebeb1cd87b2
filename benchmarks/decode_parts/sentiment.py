"""Positive sentiment on SmolLM2, steered by a critic and judged by a reader that was trained on other rows."""

import json
import time

import numpy as np

from workbench import decode, models, proposals
from workbench.control.scorers import Scorer
from workbench.models.encoder import load_encoder

BEGIN = "The movie was"
LENGTH = 16


def reader(encoder, rows):
    """A reader of sentiment: MiniLM features and logistic regression. function, list of n texts -> float64 (n,), 0..1."""
    from sklearn.linear_model import LogisticRegression

    head = LogisticRegression(max_iter=1000).fit(_features(encoder, [text for text, _ in rows]), [label for _, label in rows])
    return lambda texts: head.predict_proba(_features(encoder, [str(one) for one in texts]))[:, 1]


def _features(encoder, texts, size=64):
    """Means of the last hidden states: float32 (n, d)."""
    out = []
    for at in range(0, len(texts), size):
        ids = encoder.tokenizer(texts[at : at + size], padding=True, truncation=True, max_length=64, return_tensors="pt")
        hidden, there = encoder.hidden(ids.input_ids, ids.attention_mask), ids.attention_mask[..., None]
        out.append(((hidden * there).sum(1) / there.sum(1)).numpy())
    return np.concatenate(out)


def rows_of(data):
    """The file of sentences, which must be there: Path."""
    path = data / "tasks" / "sst2.jsonl"
    if not path.is_file():
        raise SystemExit(f"There is no file {path}: name the folder of the data with --data or WORKBENCH_DATA.")
    return path


def measure(data, texts=600, n=100, k=20, length=LENGTH, seed=0):
    """Share that the independent reader finds positive, and the perplexity ratio: dict.

    Before, steered, and for the best of 4 texts by the reader that the critic learned from. `as_wished`: among all texts that
    this reader finds positive, which is what an exact critic would reach.
    """
    lines = [json.loads(line) for line in rows_of(data).read_text("utf-8").splitlines()]
    rows = [(one["text"], one["label"] == "positive") for one in lines if one["split"] == "train"]
    order = np.random.default_rng(seed).permutation(len(rows))
    half, encoder = len(rows) // 2, load_encoder(layer=6)
    ours, other = (reader(encoder, [rows[i] for i in part]) for part in (order[:half][:2000], order[half:][:2000]))
    base = proposals.LMProposal(models.load_lm("smollm2"), prefix=BEGIN, max_tokens=length)
    begin = time.process_time()
    critic = decode.Critic(decode.CriticConfig(texts=texts, steps=150, batch=64, rate=1e-4, seed=seed))
    critic.fit(base, Scorer(ours, "positive") >= 0.5, progress=False)
    learning = time.process_time() - begin
    begin = time.process_time()
    plain, steered = base.sample(n, seed=seed + 1), critic.steer(base, k).sample(n, seed=seed + 1)
    seconds = time.process_time() - begin
    before, after = (float((other(some) >= 0.5).mean()) for some in (plain, steered))
    some = base.sample(4 * n, seed=seed + 2)
    best = [some[i] for i in np.arange(0, 4 * n, 4) + ours(some).reshape(n, 4).argmax(1)]
    size = sum(len(one.ids) for one in steered), sum(len(one.ids) for one in plain)
    nats = -base.log_score(steered).sum() / size[0], -sum(one.log_prob for one in plain) / size[1]
    return {
        "before": round(before, 3),
        "after": round(after, 3),
        "gain": round(after - before, 3),
        "best_of_4": round(float((other(best) >= 0.5).mean()), 3),
        "as_wished": round(
            float((other([one for one, value in zip(some, ours(some), strict=True) if value >= 0.5]) >= 0.5).mean()), 3
        ),
        "perplexity_ratio": round(float(np.exp(nats[0] - nats[1])), 3),
        "learning_cpu_s": round(learning, 1),
        "writing_cpu_s": round(seconds, 1),
        "examples": [str(one) for one in steered[:3]],
    }
