"""Causal language model of captions: a small GPT-2, and what it is measured by, the exact probability of every caption."""

import copy
import math
import random
from functools import cache
from pathlib import Path

import torch
from torch.nn import functional
from tqdm.auto import tqdm

from tools.world import cards, checkpoints, portable, vocabulary
from workbench.models import load_lm
from workbench.world import scenes

STEPS, BATCH, RATE = 1300, 64, 2e-3
MINUTES = 3  # on one core
WINDOW = 64  # tokens, begin included
GATES = {
    "cross-entropy / entropy": ("<=", 1.03),
    "samples that are captions": (">=", 0.85),
}
_FRESH = 4 * 10**12  # seeds of captions to check on begin here; those to train on stay below
_EVERY = 200
_WHAT = """A GPT-2 of 0.9 million parameters (4 layers, width 128, 64 tokens, the words of the CLIP beside it, lower case), stock
class `GPT2LMHeadModel`, that writes captions of the built-in world: sentences, keywords in any order, prompts with surplus words.
`workbench.models.load_lm("world")` loads it. Its tokenizer puts `<begin>` first."""
_HOW = """AdamW, 2e-3 with a cosine, batches of 64 captions of pairs that are not held out, a third of each form, each new.
The distribution of captions is known exactly, so the figure is the cross-entropy over the entropy, both of the same captions:
1 is a perfect model. "samples that are captions" is the share of texts it writes that could be a caption, word for word."""


def tokenizer():
    """A new `transformers.PreTrainedTokenizerFast`: the words of the CLIP's, without an end token, and readable when decoded."""
    from tokenizers import decoders, processors

    fast = vocabulary.tokenizer()
    backend, begin = fast.backend_tokenizer, vocabulary.BEGIN
    backend.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A $B", special_tokens=[(begin, fast.bos_token_id)]
    )
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=True)  # no space before a comma
    return type(fast)(
        tokenizer_object=backend,
        pad_token=vocabulary.PAD,
        unk_token=vocabulary.UNKNOWN,
        bos_token=begin,
        eos_token=vocabulary.END,
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )


def captions(n, seed=0, split="train"):
    """Draw captions in equal parts of all forms, lower case.

    Args:
        n: int.
        seed: int.
        split: str, see `scenes.scenes`.

    Returns:
        list of n str.
    """
    rng = random.Random(f"captions {seed}")
    drawn = scenes.scenes(n, seed, split)
    return [scenes.caption(scene, rng.choice(scenes.FORMS), rng.randrange(2**53)).lower() for scene in drawn]


def log_prob(text):
    """The exact log-probability that `captions` of the train split draws a text.

    Args:
        text: str; case does not matter.

    Returns:
        float, nats, < 0; -inf if it can not draw it.
    """
    said = scenes.read(text)
    if any(said[name] is None for name in scenes.ATTRIBUTES) or (said["color"], said["object"]) in scenes.HELD_OUT:
        return -math.inf
    scene, parts = scenes.Scene(**said), text.lower().split(", ")
    pairs = len(scenes.COLORS) * len(scenes.OBJECTS) - len(scenes.HELD_OUT)
    artist = 2 * len(scenes.ARTISTS) if scene.artist else 2
    chance = -math.log(len(scenes.FORMS) * pairs * len(scenes.BACKGROUNDS) * len(scenes.STYLES) * artist)
    values = sorted(value.lower() for value in scene if value)
    if sorted(parts) == values:
        return chance - math.lgamma(len(parts) + 1)
    heads = _heads(scene)
    if parts[0] not in heads:
        return -math.inf
    front, adjective = heads[parts[0]]
    own = ([] if front else [scene.style]) + ([f"by {scene.artist.lower()}"] if scene.artist else [])
    rest, chance = parts[1:], chance - math.log(2)  # for the style in front or not
    surplus = [part for part in rest if part in _surplus()]
    n, r = len(_surplus()), len(surplus)
    if sorted(rest) != sorted(own + surplus) or r != len(set(surplus)) or r > 4:
        return -math.inf
    if r == 0:
        return chance if not adjective else -math.inf
    chance -= math.log(2 * (len(scenes._ADJECTIVES) if adjective else 1)) + math.log(4)
    # the surplus at the end in the order drawn, or all in any order
    ordered = 1 / math.perm(n, r) if rest == own + surplus else 0.0
    mixed = 1 / math.comb(n, r) / math.factorial(len(rest))
    return chance + math.log((ordered + mixed) / 2)


@cache
def _surplus():
    return frozenset(scenes._SURPLUS)


def _heads(scene):
    """First parts of sentences and prompts that say a scene -> (is the style in front, is there an adjective)."""
    heads = {}
    for adjective in ("", *(f"{word} " for word in scenes._ADJECTIVES)):
        thing = f"{adjective}{scene.color} {scene.object}"
        thing = f"{_article(thing)} {scenes._PLACES[scene.background]}"
        heads[thing] = (False, bool(adjective))
        heads[f"{_article(scene.style)} of {thing}"] = (True, bool(adjective))
    return heads


def _article(words):
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def build(seed=0):
    """A new model with random weights -> GPT2LMHeadModel."""
    from transformers import GPT2Config, GPT2LMHeadModel

    fast = tokenizer()
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=fast.vocab_size,
            n_positions=WINDOW,
            n_embd=128,
            n_layer=4,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=fast.bos_token_id,
            eos_token_id=fast.eos_token_id,
            pad_token_id=fast.pad_token_id,
        )
    )


def train(folder, seed=0, steps=STEPS, progress=True):
    """Train a language model and write it to `folder` as `save_pretrained` does, with its tokenizer and card.

    Args:
        folder: str or Path of this model; replaced when the training is done. A checkpoint lies beside it meanwhile.
        seed: int >= 0.
        steps: int, batches of 64 captions.
        progress: bool, show a progress bar.
    """
    folder, fast, model = Path(folder), tokenizer(), build(seed).train()
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.01)
    config = {"part": "lm", "seed": seed, "steps": steps, "batch": BATCH, "rate": RATE, "words": fast.vocab_size}
    saved, modules = folder.with_name(f".{folder.name}.checkpoint"), {"model": model, "average": average}
    first = checkpoints.resume(saved, config, modules, optimizer)
    for step in tqdm(range(first, steps), initial=first, total=steps, desc="lm", disable=not progress):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((step + 1) / 60, 0.5 + 0.5 * math.cos(math.pi * step / steps) + 1e-3)
        log_probs, _ = _score(model, fast, captions(BATCH, seed * 10**6 + step))
        loss = -log_probs.mean() / 16
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(0.98, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
        if (step + 1) % _EVERY == 0:
            checkpoints.store(saved, step + 1, config, modules, optimizer)
    with checkpoints.whole_folder(folder) as temporary:
        average.half().save_pretrained(temporary)
        fast.save_pretrained(temporary)
        portable.tokenizer(temporary)
        cards.write(temporary, "lm", check(temporary), GATES, seed, steps, _WHAT, _HOW, kind="a language model")
    checkpoints.remove(saved)


def _score(model, fast, texts):
    """Log-probability of each text with its end, nats (n,), and the number of its tokens (n,)."""
    batch = fast([f"{text}{vocabulary.END}" for text in texts], padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    logits = model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1]).logits
    losses = functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none") * mask[:, 1:]
    return -losses.sum(1), mask[:, 1:].sum(1)


def check(folder, seed=0, n=1024):
    """Measure a saved language model on captions that no training has drawn.

    Args:
        folder: str or Path of the model, or "world".
        seed: int >= 0.
        n: int, captions to read; a quarter as many are written.

    Returns:
        dict of str to float: "cross-entropy" and "entropy" in nats a caption, their ratio "cross-entropy / entropy", "perplexity"
        a token, and "samples that are captions" in 0..1.
    """
    lm = load_lm(str(folder))
    texts = captions(n, _FRESH + seed)
    with torch.inference_mode():
        scored = [_score(lm.model, lm.tokenizer, texts[start : start + 128]) for start in range(0, n, 128)]
    log_probs, tokens = (torch.cat(parts) for parts in zip(*scored, strict=True))
    cross, entropy = -log_probs.mean().item(), -sum(map(log_prob, texts)) / n
    written = sample(lm, max(n // 4, 1), seed)
    return {
        "cross-entropy / entropy": cross / entropy,
        "cross-entropy": cross,
        "entropy": entropy,
        "perplexity": math.exp(-log_probs.sum().item() / tokens.sum().item()),
        "samples that are captions": sum(log_prob(text) > -math.inf for text in written) / len(written),
    }


def sample(lm, n, seed=0):
    """Texts that a language model writes from nothing.

    Args:
        lm: `models.LM`.
        n: int.
        seed: int.

    Returns:
        list of n str.
    """
    lots = torch.Generator().manual_seed(seed)
    ids, ended = torch.full((n, 1), lm.tokenizer.bos_token_id), torch.zeros(n, dtype=torch.bool)
    with torch.inference_mode():
        while ids.shape[1] < WINDOW and not ended.all():
            chances = lm.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -1].softmax(1)
            drawn = torch.multinomial(chances, 1, generator=lots)
            ids = torch.cat([ids, drawn.masked_fill(ended[:, None], lm.tokenizer.pad_token_id)], dim=1)
            ended |= drawn[:, 0] == lm.tokenizer.eos_token_id
    return [text.replace(" - ", "-") for text in lm.tokenizer.batch_decode(ids, skip_special_tokens=True)]
