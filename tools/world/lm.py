"""Causal language model of captions: a small GPT-2. The exact probability of each caption (`world.captions`) judges it."""

import math
from pathlib import Path

import torch
from torch.nn import functional

from tools.world import cards, portable, runs, vocabulary
from workbench import files, proposals, training
from workbench.models import load_lm
from workbench.world import captions

STEPS, BATCH, RATE = 1300, 64, 2e-3
MINUTES = 3  # on one core
WINDOW = 64  # tokens, begin included
GATES = {
    "cross-entropy / entropy": ("<=", 1.03),
    "samples that are captions": (">=", 0.85),
}
_FRESH = 4 * 10**12  # seeds of captions to check on begin here; those to train on stay below
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
    """Train a language model into `folder`, as `save_pretrained` writes it, with its tokenizer and card."""
    folder, fast, model = Path(folder), tokenizer(), build(seed).train()
    average, update = runs.moving_average(model, keep=0.98)
    checkpoint = runs.checkpoint(folder, "lm", seed=seed, steps=steps, batch=BATCH, rate=RATE, words=fast.vocab_size)

    def loss(step):
        log_probs, _ = _score(model, fast, captions.sample(BATCH, seed * 10**6 + step))
        return -log_probs.mean() / 16

    modules, optimizer = {"model": model, "average": average}, training.adamw(model, betas=(0.9, 0.98))
    rate = training.cosine(RATE, steps, warmup=60)
    training.train(loss, modules, optimizer, steps, rate, name="lm", after=update, checkpoint=checkpoint, progress=progress)
    with files.replacing_folder(folder) as temporary:
        average.half().save_pretrained(temporary)
        fast.save_pretrained(temporary)
        portable.tokenizer(temporary)
        cards.write(temporary, "lm", check(temporary), GATES, seed, steps, _WHAT, _HOW, kind="a language model")
    checkpoint.remove()


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
    texts = captions.sample(n, _FRESH + seed)
    with torch.inference_mode():
        scored = [_score(lm.model, lm.tokenizer, texts[start : start + 128]) for start in range(0, n, 128)]
    log_probs, tokens = (torch.cat(parts) for parts in zip(*scored, strict=True))
    cross, entropy = -log_probs.mean().item(), -sum(map(captions.log_prob, texts)) / n
    # decoding puts blanks around hyphens
    written = [text.replace(" - ", "-") for text in proposals.of(lm).sample(max(n // 4, 1), seed)]
    return {
        "cross-entropy / entropy": cross / entropy,
        "cross-entropy": cross,
        "entropy": entropy,
        "perplexity": math.exp(-log_probs.sum().item() / tokens.sum().item()),
        "samples that are captions": sum(captions.log_prob(text) > -math.inf for text in written) / len(written),
    }
