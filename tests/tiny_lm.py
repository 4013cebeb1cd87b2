"""A tiny random GPT-2 whose vocabulary is known word by word, so that all its texts can be counted."""

import itertools

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from workbench.models import LM
from workbench.values import Sample

WORDS = ("red", "blue", "old", "fox", "ship", "castle", "moon")


def tiny_lm(seed=2, words=WORDS, spread=0.15):
    """A model over words parted by blanks, and an end; `spread` is how far its first weights lie from 0."""
    names = ["<end>", *words]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    config = GPT2Config(
        vocab_size=len(names),
        n_positions=16,
        n_embd=32,
        n_layer=2,
        n_head=2,
        initializer_range=spread,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config).eval()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<end>", eos_token="<end>")
    return LM("tiny", model, fast)


def every_text(max_tokens, words=WORDS):
    """All texts that this model can write in so many tokens, the end included: list of `Sample`."""
    found = []
    for length in range(max_tokens + 1):
        for ids in itertools.product(range(1, len(words) + 1), repeat=length):
            text = " ".join(words[i - 1] for i in ids)
            found.append(Sample(text, ids=ids if length == max_tokens else (*ids, 0)))
    return found
