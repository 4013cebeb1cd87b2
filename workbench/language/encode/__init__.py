"""Encode: frozen language model -> one vector per word, sharded on disk, resumable, cached by content."""

import contextlib
import hashlib
import shutil
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from workbench import checks, files
from workbench import progress as bars
from workbench.language.encode.shards import Features, open_shard, write_shard
from workbench.values import ArtifactError
from workbench.words import WORD, split

__all__ = ["Features", "encode", "words"]

_FORMAT = 2  # of a shard; since 2 it holds a checksum
_BATCH = {"cpu": 1024, "cuda": 32768}  # pieces per batch with padding; on the CPU more would fall out of a core's cache
_LONG = 60  # seconds of work from which its cost is announced


class _Plan(NamedTuple):
    """A shard to be. Places are characters counted through all its prompts."""

    texts: list
    bases: list  # (n,) where each prompt starts
    counts: np.ndarray  # (n,) words per prompt
    starts: np.ndarray  # (w,) where each word starts
    ends: np.ndarray  # (w,)
    key: str  # sha256 of all that and the encoder


class _Pieces(NamedTuple):
    """What the tokenizer made of a plan. A window is what the model reads at once, nearly always a whole prompt."""

    ids: list  # per window a list of ids, special pieces included
    firsts: list  # per window the column of its first piece of text
    rows: list  # per window (start, stop), its places among all pieces of text
    starts: np.ndarray  # (t,) where each piece of text starts, as in `_Plan`
    ends: np.ndarray  # (t,)


def words(texts, encoder):
    """Word features of a few prompts, in memory.

    A word's vector is the mean over its wordpieces of the hidden states at `encoder.layer`, neither centred nor normalised.
    A word of which the tokenizer keeps nothing (a zero-width character, say) gets zeros. A prompt longer than the model's
    window is read in several windows, one after the other.

    Args:
        texts: list of n str.
        encoder: `workbench.models.Encoder`.

    Returns:
        list of n float32 (w_i, d); w_i is the number of tokens of kind `word` in `workbench.words.split(texts[i])`.

    Raises:
        TypeError: not a list of str.
    """
    _check_texts(texts)
    if not len(texts):
        return []
    plan = _plan(texts, encoder)
    with _workers(encoder) as pool:
        vectors = _vectors(plan, _tokenise(plan, encoder), encoder, pool)
    return np.split(vectors, np.cumsum(plan.counts)[:-1])


def encode(texts, encoder, folder=None, shard_size=1024, progress=True, workers=0):
    """Word features (see `words`) of many prompts, on disk: 2 * d bytes a word, and the memory of one shard.

    A shard's file is named after its texts, the places of its words and the encoder's fingerprint: what is there is not made
    again, even for another corpus, and another encoder never meets it. A run killed at any moment goes on at the first
    missing shard. Every byte that is there is checked: a damaged shard is made again, with a warning that names the file.
    On the CPU each batch is computed by one thread, so the bytes do not depend on the number of cores. They do depend, in the
    last bit of a float16, on `shard_size`: prompts of one shard are computed in batches together.
    Nothing is ever deleted from the folder but temporary files of killed runs: delete it yourself to free the space.

    Args:
        texts: sequence of n str, such as a list or a `Corpus`.
        encoder: `workbench.models.Encoder`.
        folder: str or Path, the cache; None is `features` in `files.cache_folder()`.
        shard_size: int, prompts per file.
        progress: bool, show a progress bar with words per second and disk space, and announce long work.
        workers: int, processes on Ray that make what is missing, with one core each; 0 makes it in this process. The bytes are
            the same. Where the environment variable RAY_ADDRESS names a cluster, its machines must share `folder`.

    Returns:
        `Features`.

    Raises:
        ImportError: workers are asked for, and Ray is not installed.
        TypeError: a text is not a str (it says which).
        ValueError: no texts, or shard_size < 1.
        ArtifactError: the folder cannot be used, or the disk is full or will be; finished shards stay.
        ModelError: hidden states too large for float16.
    """
    _check_texts(texts)
    if not len(texts) or shard_size < 1:
        raise ValueError(
            f"encode needs one text or more and shard_size >= 1, got {len(texts)} texts and shard_size={shard_size}."
        )
    folder = _open_folder(files.cache_folder() / "features" if folder is None else files.path(folder, "folder"), encoder)
    shards, damaged, made = [], [], 0
    if checks.whole("workers", workers, 0):
        from workbench.language.encode.spreading import spread

        made, damaged = spread(texts, encoder, folder, shard_size, workers, progress)
        progress = False  # what is left is to read the shards

    def prepare(start):
        plan = _plan(texts[start : start + shard_size], encoder)
        path, shard, fault = _find(plan, encoder, folder)
        return plan, path, shard, fault, None if shard else _tokenise(plan, encoder)

    with _workers(encoder) as pool, bars.bar(total=len(texts), name="encoding", unit="prompts", shown=progress) as bar:
        upcoming = pool.submit(prepare, 0)
        for start in range(0, len(texts), shard_size):
            plan, path, shard, fault, pieces = upcoming.result()
            if start + shard_size < len(texts):  # Python prepares the next shard while torch works on this one
                upcoming = pool.submit(prepare, start + shard_size)
            if fault:
                damaged.append(path)
                warnings.warn(f"{path} {fault}. It is made again.", stacklevel=2)
            if shard is None:
                began = time.monotonic()
                write_shard(path, plan.key, plan.counts, _vectors(plan, pieces, encoder, pool))
                _, shard, _ = _find(plan, encoder, folder)
                if not made:
                    _announce(shard, len(texts) - start, time.monotonic() - began, bar)
                made += shard.n_prompts
            shards.append(shard)
            bar.update(shard.n_prompts)
    return Features(folder, shards, encoder.width, made, len(texts) - made, damaged)


def make_shard(texts, encoder, into):
    """Make the shard of some prompts, unless it is there.

    Returns:
        (bool, it was made; its Path; str, what was wrong with an old one, or None).
    """
    plan = _plan(texts, encoder)
    path, shard, fault = _find(plan, encoder, into)
    if shard is None:
        with _workers(encoder) as pool:
            write_shard(path, plan.key, plan.counts, _vectors(plan, _tokenise(plan, encoder), encoder, pool))
    return shard is None, path, fault


def _find(plan, encoder, folder):
    """The path of a shard, and what `open_shard` says of it."""
    path = folder / f"{plan.key[:32]}.safetensors"
    return path, *open_shard(path, plan.key, len(plan.texts), len(plan.starts), encoder.width)


def _check_texts(texts):
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"Expected a list of prompts, got one {type(texts).__name__}. Put it into a list: [text].")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"Prompt {i} is not a str but {type(text).__name__}: {text!r:.80}.")


def _open_folder(root, encoder):
    """The encoder's own folder, without what killed runs left there."""
    folder = root / f"layer{encoder.layer}-{encoder.fingerprint[:16]}"
    files.make_folder(folder)
    files.sweep(folder)
    return folder


@contextlib.contextmanager
def _workers(encoder):
    """Threads that run batches. On the CPU each takes whole batches, which beats sharing every product among the cores."""
    import torch

    threads = torch.get_num_threads()
    # transformers collects the hidden states of a model that is not truncated in a way that is not safe in threads
    if encoder.device.type == "cpu" and encoder.truncated:
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    else:
        pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # threads started later would inherit the 1


def _plan(texts, encoder):
    from workbench.models.loading import printable

    spans, counts, bases, base = [], [], [], 0
    readable = [printable(text) for text in texts]  # character by character, so places stay what they are
    digest = hashlib.sha256(f"{_FORMAT} {encoder.fingerprint} {len(texts)}".encode())
    for text, shown in zip(texts, readable, strict=True):
        found = [(base + word.start, base + word.end) for word in split(text) if word.kind == WORD]
        spans += found
        counts.append(len(found))
        bases.append(base)
        base += len(text)
        digest.update(f" {len(shown)} {shown}".encode())
    spans = np.array(spans, np.int64).reshape(-1, 2)
    digest.update(spans.tobytes())  # words cut by another rule must not meet this shard either
    return _Plan(readable, bases, np.array(counts), spans[:, 0], spans[:, 1], digest.hexdigest())


def _tokenise(plan, encoder):
    ids, firsts, rows, offsets, total = [], [], [], [np.empty((0, 2), np.int64)], 0
    for base, encoding in zip(plan.bases, encoder.rust.encode_batch(plan.texts), strict=True):
        for window in (encoding, *encoding.overflowing):
            special = window.special_tokens_mask
            size = len(special) - sum(special)
            first = special.index(0) if size else 0
            ids.append(window.ids)
            firsts.append(first)
            rows.append((total, total + size))
            offsets.append(np.array(window.offsets[first : first + size], np.int64).reshape(-1, 2) + base)
            total += size
    # `_vectors` searches in them: no piece may lie before the one it follows, whatever a tokenizer says of added pieces.
    starts, ends = np.maximum.accumulate(np.concatenate(offsets)).T
    return _Pieces(ids, firsts, rows, starts, ends)


def _vectors(plan, pieces, encoder, pool):
    """float32 (w, d): the mean over the pieces that overlap a word; zeros where none does."""
    hidden = np.zeros((len(pieces.starts) + 1, encoder.width), np.float32)  # a row more, since reduceat may point past the end
    list(pool.map(lambda batch: _run(batch, pieces, encoder, hidden), _batches(pieces, encoder)))  # waits for all
    first = np.searchsorted(pieces.ends, plan.starts, side="right")
    last = np.searchsorted(pieces.starts, plan.ends, side="left")
    known = first < last
    out = np.zeros((len(first), encoder.width), np.float32)
    if known.any():
        edges = np.stack([first[known], last[known]], axis=1)
        sums = np.add.reduceat(hidden, edges.ravel())[::2]  # every other sum is that of the pieces between two words
        out[known] = sums / (edges[:, 1:] - edges[:, :1])
    return out


def _batches(pieces, encoder):
    """Windows of nearly equal length together, the longest first, so that little is padded."""
    lengths = [len(ids) for ids in pieces.ids]
    budget = _BATCH.get(encoder.device.type, _BATCH["cpu"])
    batches = []
    for i in np.argsort(lengths, kind="stable")[::-1]:
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > budget:
            batches.append([])
        batches[-1].append(i)
    return batches


def _run(batch, pieces, encoder, hidden):
    """Run the model on the windows `batch` and put the pieces of text into their rows of `hidden`."""
    import torch

    longest = len(pieces.ids[batch[0]])
    ids = np.full((len(batch), longest), encoder.tokenizer.pad_token_id or 0, np.int64)
    mask = np.zeros((len(batch), longest), np.int64)
    for row, i in enumerate(batch):
        ids[row, : len(pieces.ids[i])] = pieces.ids[i]
        mask[row, : len(pieces.ids[i])] = 1
    states = encoder.hidden(torch.from_numpy(ids), None if mask.all() else torch.from_numpy(mask)).numpy(force=True)
    for row, i in enumerate(batch):
        (start, stop), first = pieces.rows[i], pieces.firsts[i]
        hidden[start:stop] = states[row, first : first + stop - start]


def _announce(shard, n_prompts, seconds, bar):
    """After the first shard made: say what the whole will cost; stop here if the disk is too small for it."""
    scale = n_prompts / shard.n_prompts
    size, free = shard.path.stat().st_size, shutil.disk_usage(shard.path.parent).free
    cost = f"{size * scale / 1e6:,.0f} MB in {shard.path.parent}"
    if size * (scale - 1) > free:
        raise ArtifactError(
            f"The disk is too small: the features of {n_prompts:,} prompts take about {cost}, {free / 1e6:,.0f} MB are free. "
            "Free some space, choose a folder on another disk, or take fewer prompts."
        )
    bar.note(f"{shard.n_words / seconds:,.0f} words/s, {size * scale / 1e6:,.0f} MB on disk in the end")
    if seconds * scale > _LONG:
        bar.say(
            f"Encoding {n_prompts:,} prompts will take about {bars.duration(seconds * scale)} and {cost}. "
            "You can stop it at any time: the next run goes on from there."
        )
