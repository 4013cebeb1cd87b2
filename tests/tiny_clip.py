"""Tiny random CLIPs whose vocabulary is known word by word, made in a moment, so that tests need no download."""

import string

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

from workbench.models import CLIP

WINDOW = 20
WORDS = ("red", "blue", "castle", "cat", "ship", "moon", "old", "oil", "light", "house", "sea", "fog")
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def tokenizer(words=WORDS):
    """Byte-pair pieces with an end-of-word mark, as CLIP's: letters, parts of the words, and the words."""
    letters = string.ascii_lowercase
    names = dict.fromkeys([*letters, *(c + "</w>" for c in letters)])
    merges = {}
    for word in words:
        left, rest = word[0], [*word[1:-1], word[-1] + "</w>"]
        for piece in rest:
            merges[left, piece] = None
            left += piece
            names[left] = None
    names = {name: i for i, name in enumerate([*names, BEGIN, END])}
    made = Tokenizer(models.BPE(names, list(merges), end_of_word_suffix="</w>", unk_token=END))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    made.decoder = decoders.BPEDecoder(suffix="</w>")
    ends = [(name, names[name]) for name in (BEGIN, END)]
    made.post_processor = processors.TemplateProcessing(f"{BEGIN} $A {END}", special_tokens=ends)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=BEGIN, eos_token=END, pad_token=END, unk_token=END)
    fast.model_max_length = WINDOW
    return fast


def tiny_clip(seed=0, layers=2, act="quick_gelu", words=WORDS):
    """A CLIP 32 wide with `layers` blocks in each tower and random weights, strong enough that order and position matter."""
    fast = tokenizer(words)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4, hidden_act=act)
    text = dict(vocab_size=len(fast), max_position_embeddings=WINDOW, bos_token_id=len(fast) - 2, eos_token_id=len(fast) - 1)
    config = CLIPConfig(
        text_config=text | sizes,
        vision_config=dict(image_size=16, patch_size=8) | sizes,
        projection_dim=16,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(config).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16)
    return CLIP(f"tiny {seed}", "", model, fast, processor, WINDOW, 16)
