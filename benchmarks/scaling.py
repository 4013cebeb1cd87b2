"""What a prompt costs, and what a million and a billion of them would: the slopes behind docs/scaling.md, measured here.

    python benchmarks/scaling.py             # encoding here and on Ray, the library, the service: ten minutes on two cores
    python benchmarks/scaling.py --quick     # smaller, one core: four minutes; the last line is JSON
    python benchmarks/scaling.py ray         # or encoding, library, service: one part alone

ray: the same shards by one and by two processes of Ray, and again with one of them killed; it needs the extra ray.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from workbench import corpus, encode, library, service, soft
from workbench.language.encode.spreading import there
from workbench.models import load_encoder, load_lm
from workbench.world import questions

PARTS = ("encoding", "ray", "library", "service")
SIZE = 64  # prompts of a shard where processes are compared: enough shards to share out
K, W = 8, 576  # vectors of SmolLM2
AT = (10**6, 10**9)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--lm", default="smollm2")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    small, seed, found = args.quick, args.seed, {}
    parts = {
        "encoding": lambda: encoding(1_000 if small else 4_000, seed),
        "ray": lambda: on_ray(1_000 if small else 4_000, seed),
        "library": lambda: searching((2_500, 7_500) if small else (5_000, 20_000), seed),
        "service": lambda: serving(args.lm, 2 if small else 6, seed),
    }
    for part in [args.part] if args.part else PARTS:
        found |= parts[part]()
    if args.part is None:
        forecast(found)
    print(json.dumps({name: float(f"{one:.4g}") if isinstance(one, float) else one for name, one in found.items()}))


def prompts(n, seed):
    """Prompts of the grammar."""
    return list(corpus.load("world", n=n, seed=seed, progress=False, keep_near_duplicates=True))


def encoding(n, seed):
    """Words of a second of one core, words of a prompt, bytes of a word."""
    texts, encoder = prompts(n, seed), load_encoder(device="cpu")
    encode.encode(texts[:64], encoder, tempfile.mkdtemp(), progress=False)  # first calls are slower
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        features = encode.encode(texts, encoder, folder, progress=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
    words = features.n_words
    print(
        f"encoding: {words / cpu:,.0f} words a CPU second ({words / wall:,.0f} by the clock), {words / len(texts):.1f} words and"
    )
    print(f"          {size / len(texts):,.0f} bytes a prompt", flush=True)
    return {"words_per_cpu_second": words / cpu, "words_per_prompt": words / len(texts), "encoded_bytes": size / len(texts)}


def bytes_equal(n=512, seed=0):
    """Whether two processes of Ray write the files that one process alone writes: bool, or None where Ray is not installed."""
    if not there():
        return None
    texts, encoder = prompts(n, seed), load_encoder(device="cpu")
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as spread:
        encode.encode(texts, encoder, here, SIZE, progress=False)
        encode.encode(texts, encoder, spread, SIZE, progress=False, workers=2)
        return digests(here) == digests(spread) != {}


def on_ray(n, seed):
    """Two processes of Ray against one, and with one killed: dict, empty without Ray."""
    if not there():
        print("ray: not installed; pip install 'ray[data]>=2.40'")
        return {"ray_bytes_equal": None}
    texts, encoder = prompts(n, seed), load_encoder(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        encode.encode(texts, encoder, folder, SIZE, progress=False)
        local = digests(folder)
    rates, wall, cpu, same, lost = {}, {}, {}, True, 0
    for workers, kill in ((1, False), (2, False), (2, True)):
        with tempfile.TemporaryDirectory() as folder:
            begin, killed = time.perf_counter(), []
            with spent() as seconds, killing(folder, killed) if kill else contextlib.nullcontext():
                encode.encode(texts, encoder, folder, SIZE, progress=False, workers=workers)
            found = digests(folder)
            if kill:
                lost = len(local) - sum(found.get(name) == one for name, one in local.items())
                print(f"ray: {len(killed)} process killed, {lost} of {len(local)} shards lost or other", flush=True)
                continue
            same &= found == local
            times = sorted(path.stat().st_mtime for path in Path(folder).rglob("*.safetensors"))
            rates[workers] = (len(times) - workers) * SIZE / (times[-1] - times[workers - 1])  # from the first of each on
            wall[workers], cpu[workers] = time.perf_counter() - begin, seconds[0]
            print(f"ray: {workers} of 2 cores: {rates[workers]:.1f} prompts a second once it runs,")
            print(f"     {wall[workers]:.0f} s by the clock in all; its processes had {cpu[workers]:.0f} s of a core", flush=True)
    print(f"ray: two against one {rates[2] / rates[1]:.2f}; equal bytes: {same}", flush=True)
    return {"ray_bytes_equal": same, "ray_speed": rates[2] / rates[1], "ray_lost": lost}


@contextlib.contextmanager
def spent():
    """CPU seconds of the processes below this one that Ray computes in, in a list, as far as they were seen alive."""
    import psutil

    stop, seen, found = threading.Event(), {}, [0.0]

    def watch():
        while not stop.wait(0.5):
            for child in mappers(psutil):
                with contextlib.suppress(psutil.Error):
                    seen[child.pid] = sum(child.cpu_times()[:2])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield found
    stop.set()
    thread.join()
    found[0] = sum(seen.values())


@contextlib.contextmanager
def killing(folder, killed):
    """Kill one process of Ray as soon as a shard is there."""
    import psutil

    def wait():
        while not any(Path(folder).rglob("[!.]*.safetensors")):
            time.sleep(0.05)
        for child in mappers(psutil)[:1]:
            child.kill()
            killed.append(child.pid)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield
    thread.join(10)


def mappers(psutil):
    """The processes that encode."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "MapWorker" in " ".join(child.cmdline()):
                found.append(child)
    return found


def digests(folder):
    """The sha256 of each shard, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).rglob("*.safetensors")}


def searching(sizes, seed):
    """Seconds of a search as a line over the entries of a library, and bytes of an entry."""
    draw, start, seconds = np.random.default_rng(seed), np.zeros((K, W), np.float32), []
    card = {"data": library.DataSet("own", "0" * 64), "date": "2026-03-01T12:00:00Z"}

    def entry(i):
        vectors, config = draw.normal(size=(K, W)).astype(np.float32), SimpleNamespace(layout="suffix")
        state = {"options": {"layout": "suffix"}}
        more = {"labels": ("no", "yes"), "model": "m", "sha256": "a" * 64, "to_state": lambda: (state, {"vectors": vectors})}
        return SimpleNamespace(vectors=vectors, config=config, **more), library.Card(name=f"task {i}", **card), start, None

    with tempfile.TemporaryDirectory() as folder:
        shelf, at = library.Library.open(folder), 0
        for size in sizes:
            for begin in range(at, size, 500):
                shelf.add_many([entry(i) for i in range(begin, min(size, begin + 500))])
            at, query = size, entry(-1)[0]
            some = []
            for _ in range(5):
                cpu = time.process_time()
                shelf.search(query, 5, metric="cosine", start=start)
                some.append(time.process_time() - cpu)
            seconds.append(float(np.median(some)))
        used = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / at
    slope = (seconds[1] - seconds[0]) / (sizes[1] - sizes[0])
    print(f"library: {seconds[0]:.3f} and {seconds[1]:.3f} CPU s a search of {sizes[0]:,} and {sizes[1]:,} entries,")
    print(f"         {used:,.0f} bytes an entry of {K} x {W} numbers", flush=True)
    return {"search_begin": seconds[0] - slope * sizes[0], "search_slope": slope, "entry_bytes": used}


def serving(name, turns, seed):
    """Rows of a second of which the service gives the gradient: 8 users of 2 rows in a batch."""
    lm = load_lm(name)
    app = service.create(lm, start=None)
    engine, config, labels = app.state.engine, soft.SoftConfig(), list(questions.LABELS)
    width = lm.model.get_input_embeddings().weight.shape[1]
    vectors = np.random.default_rng(seed).normal(scale=0.05, size=(K, width)).astype(np.float32)
    users = [(vectors, *questions.rows("artist", "prompt", 2, seed + j)) for j in range(8)]

    async def together():
        await asyncio.gather(*(engine.gradient(*user, config, labels) for user in users))

    asyncio.run(together())
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(turns):
        asyncio.run(together())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    engine.close()
    rows = turns * sum(len(user[1]) for user in users)
    print(f"service: {name}, {rows / cpu:.2f} rows a CPU second ({rows / wall:.2f} by the clock), a batch of 8 users", flush=True)
    return {"rows_per_cpu_second": rows / cpu}


def forecast(one):
    """The lines of docs/scaling.md: what `AT` prompts would cost by these slopes."""
    hour = 3_600
    for n in AT:
        core = n * one["words_per_prompt"] / one["words_per_cpu_second"] / hour
        print(f"{n:,} prompts: encoding {core:,.1f} core hours, {n * one['encoded_bytes'] / 1e9:,.1f} GB;")
        search, size = one["search_begin"] + one["search_slope"] * n, n * one["entry_bytes"] / 1e9
        print(f"    in a library: {search:,.1f} s a search, {size:,.1f} GB; one gradient of each as a row: ", end="")
        print(f"{n / one['rows_per_cpu_second'] / hour:,.1f} core hours", flush=True)


if __name__ == "__main__":
    main()
