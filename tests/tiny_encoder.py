"""Tiny random language models in ordinary Hugging Face folders, made in a second, so that tests need no download."""

import string

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, PreTrainedTokenizerFast

WINDOW = 48  # pieces, special ones included
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = ("castle", "hill", "oil", "paint", "##ing", "on", "canvas", "light", "##house", "8", "##k", "of", "a", "the", "塔")


def write_bert(folder, seed=0, layers=4, pooler=True, extra=()):
    """Write a BERT of `layers` layers, 16 wide, with a WordPiece tokenizer of letters and a few words; return the folder."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    names = dict.fromkeys([*_SPECIAL, *letters, *("##" + c for c in letters), *_WORDS, *extra])
    tokenizer = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    # as in the tokenizer.json of MiniLM: who reads it as it is loses all words after the window
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    roles = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=WINDOW, **roles).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=WINDOW,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config, add_pooling_layer=pooler).eval().save_pretrained(folder)
    return folder


def write_gpt2(folder, seed=0, layers=3):
    """Write a GPT-2 of `layers` layers, 16 wide, with a tokenizer of bytes and no padding piece; return the folder."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=WINDOW).save_pretrained(folder)
    config = GPT2Config(
        vocab_size=256,
        n_embd=16,
        n_layer=layers,
        n_head=2,
        n_positions=WINDOW,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        GPT2Model(config).eval().save_pretrained(folder)
    return folder
