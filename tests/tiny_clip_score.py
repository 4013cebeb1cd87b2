"""A tiny random CLIP as an object, made in a moment, so that tests need no download."""

import string

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from workbench.models import CLIP

WINDOW = 24
_MERGES = (("c", "a"), ("ca", "t</w>"), ("r", "e"), ("re", "d</w>"), ("ca", "s"), ("t", "l"), ("tl", "e</w>"), ("cas", "tle</w>"))


class Pixels:
    """Stands for an image processor: mean colour of an 8 x 8 grid."""

    def __call__(self, images, return_tensors):
        small = [np.asarray(image.resize((8, 8)), np.float32) / 255 for image in images]
        return {"pixel_values": torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)}


def tiny_clip(seed=0, act="quick_gelu", legacy_end=False, window=WINDOW):
    """A CLIP 32 wide with a BPE tokenizer of letters and a few merges; `legacy_end` has the wrong eos_token_id of old configs."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    names = dict.fromkeys(["<pad>", *letters, *(c + "</w>" for c in letters), *("".join(pair) for pair in _MERGES)])
    names = list(names) + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {name: i for i, name in enumerate(names)}
    begin, end = len(names) - 2, len(names) - 1
    tokenizer = Tokenizer(models.BPE(vocab, list(_MERGES), end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("<|startoftext|>", begin), ("<|endoftext|>", end)]
    tokenizer.post_processor = processors.TemplateProcessing("<|startoftext|> $A <|endoftext|>", special_tokens=ends)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    fast.model_max_length = window
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "hidden_act": act}
    text = {"vocab_size": len(names), "max_position_embeddings": window, "bos_token_id": begin, "pad_token_id": end, **sizes}
    text["eos_token_id"] = 2 if legacy_end else end
    vision = {"image_size": 8, "patch_size": 4, **sizes}
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval().requires_grad_(False)
    for parameter in model.parameters():  # so that order, biases and depth matter
        parameter.add_(torch.randn_like(parameter) * 0.15)
    return CLIP("tiny", "tiny", model, fast, Pixels(), window, 16)
