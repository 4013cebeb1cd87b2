"""The writer on a causal language model: a tiny random GPT-2 stands in for one from the hub."""

import numpy as np
import pytest
import tokenizers
import torch
import transformers

from workbench.language.writer import Decoding, Writer, WriterConfig
from workbench.models import load_lm
from workbench.template import Slot, Template
from workbench.values import ModelError

COLOURS, THINGS = ("red", "blue", "green", "dark violet"), ("castle", "old ship", "robot", "fox")


def template(colour, thing):
    return Template.build(["a ", Slot("colour", colour, code=0), " ", Slot("thing", thing, code=1), ", 8k"])


TEMPLATES = [template(c, t) for c in COLOURS for t in THINGS] * 4


def embed(texts):
    rows = [np.random.default_rng(sum(map(ord, text))).normal(size=8) for text in texts]
    return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt2")
    backend = tokenizers.ByteLevelBPETokenizer()
    backend.train_from_iterator([t.prompt for t in TEMPLATES], vocab_size=330, show_progress=False)
    inner = backend._tokenizer
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(path)
    torch.manual_seed(0)
    size = inner.get_vocab_size()
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=128, vocab_size=size, eos_token_id=0)
    transformers.GPT2LMHeadModel(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def writer(folder):
    config = WriterConfig(decoder=str(folder), steps=60, batch=512, rate=1e-2, window=128, min_count=1)
    return Writer(config).fit(TEMPLATES, embed, 2, progress=False)


def test_it_learns(writer):
    assert writer.history_[-1]["nats"] < 0.5 * np.log(writer.tokens_.size)


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(0.7, 5, 0.9), Decoding(known=False)])
def test_fill_and_score_agree(writer, decoding):
    opened = [TEMPLATES[i].open(*names) for i, names in ((0, ()), (5, ("thing",)), (7, ("colour",)))]
    found = writer.fill(opened, decoding=decoding, seed=1)
    scored = writer.score(opened, [f.fillers for f in found], decoding=decoding)
    np.testing.assert_allclose(scored, [f.log_prob for f in found], atol=1e-4)


def test_known_words_only_and_text_stays(writer):
    known = {token.replace("▁", " ") for token in writer.tokens_.known}
    for filling in writer.fill([TEMPLATES[0].open()] * 20, seed=2):
        assert filling.template.prompt.startswith("a ") and filling.template.prompt.endswith(", 8k")
        assert all(" " + word in known for word in filling.fillers[0].split())


def test_the_visible_part_is_read_from_left_to_right(writer):
    assert not writer.network_.two_way


def test_round_trip_needs_no_folder(writer):
    again = Writer.from_state(*writer.to_state())
    opened = [TEMPLATES[0].open()] * 4
    assert again.fill(opened, seed=3) == writer.fill(opened, seed=3)


def test_a_window_beyond_the_model_is_refused(folder):
    with pytest.raises(ValueError, match="got window=256"):
        Writer(WriterConfig(decoder=str(folder))).fit(TEMPLATES, embed, 2, progress=False)


def test_unknown_model():
    with pytest.raises(ModelError, match="no-such-folder"):
        load_lm("no-such-folder")
