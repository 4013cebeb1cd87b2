"""The training service: are its numbers the local ones, what does a batch of users gain, and what breaks it?

    python benchmarks/service.py             # all, with SmolLM2: some ten minutes on one core
    python benchmarks/service.py --quick     # numbers, a batch, the client, visual prompts: five minutes; the last line is JSON
    python benchmarks/service.py fuzz        # or crowd, or kills: one part alone, on the tiny model of the picture world

fuzz: requests that nobody should send. crowd: 200 clients at once. kills: the server is killed (-9) while it answers and stores.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from scaling import bytes_equal
from visual import QUICK, measure

from workbench import client, library, service, soft
from workbench.models import load_clip, load_lm
from workbench.models.checker import load_checker
from workbench.show.service.bodies import encode
from workbench.world import questions

TOP = Path(__file__).resolve().parents[1]
USERS, ROWS, K = 8, 2, 8
START, LABELS = ", very", list(questions.LABELS)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["numbers", "fuzz", "crowd", "kills"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--lm", default="smollm2")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [args.part] if args.part else ["numbers"] if args.quick else ["numbers", "fuzz", "crowd", "kills"]
    parts = {
        "numbers": lambda: numbers(args.lm, args.seed),
        "fuzz": lambda: fuzz(args.requests),
        "crowd": lambda: crowd(args.clients, args.seed),
        "kills": lambda: kills(args.kills, args.seed),
    }
    found = {}
    for part in wanted:
        found |= parts[part]()
    if args.quick:
        clip = load_clip("world", device="cpu")
        shares = {f"{shift}_{kind}": measure(clip, shift, [kind], 1, 512)[kind][0] for shift, kind in QUICK}
        found |= {name: round(share, 3) for name, share in shares.items()}
        found["ray_bytes_equal"] = bytes_equal()
    print(json.dumps(found))


# ---- numbers --------------------------------------------------------------------------------------------------------------


def numbers(name, seed):
    """Differences to the local numbers, the gain of a batch, and the memory of a client: dict of the keys of `service.py`."""
    lm = load_lm(name)
    gap = over_http(lm, seed)
    print(f"gradient over HTTP beside the local one, {name}, float32: largest relative difference {gap:.1e}", flush=True)
    apart, share, _ = batched(lm, seed, 1)
    print(f"{USERS} users in a batch, float32: largest difference to each alone {apart:.1e}, {share:.1e} of the largest number")
    half = load_lm(name, "bfloat16")
    half.model.set_attn_implementation("eager")
    *_, speeds = batched(half, seed, 3)
    speed, error = float(np.mean(speeds)), float(np.std(speeds, ddof=1) / np.sqrt(len(speeds)))
    print(f"{USERS} users of {ROWS} rows, bfloat16, suffix: {speed:.2f} +- {error:.2f} times the rows per second", flush=True)
    memory = client_memory()
    print(f"a client of its own process after 20 steps: peak {memory:.0f} MB", flush=True)
    found = {"gradient_difference": gap, "batched_difference": apart, "batched_speed": speed, "client_mb": memory}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def task(seed, n):
    """Rows of a task of the world: (texts, labels)."""
    return questions.rows("artist", "prompt", n, seed)


def vectors_of(lm, k, seed):
    """Vectors of about the size of embeddings: float32 (k, w)."""
    table = lm.model.get_input_embeddings().weight.detach().float()
    scale, draw = float(table.square().mean().sqrt()), np.random.default_rng(seed)
    return (scale * draw.normal(size=(k, table.shape[1]))).astype(np.float32)


def over_http(lm, seed):
    """The largest difference of losses and gradients over HTTP to local ones, as a share of the largest number."""
    gaps = []
    with service.running(service.create(lm, start=START)) as address, client.Client(address) as there:
        for turn, layout in enumerate(soft.LAYOUTS):
            config, vectors, rows = soft.SoftConfig(layout=layout), vectors_of(lm, K, seed + turn), task(seed + turn, 8)
            here = soft.gradient(lm, vectors, *rows, config, classes=LABELS)
            found = there.gradient(vectors, *rows, config, classes=LABELS)
            gaps += [abs(found[0] / here[0] - 1), float(np.abs(found[1] - here[1]).max() / np.abs(here[1]).max())]
    return max(gaps)


def batched(lm, seed, turns):
    """Users in one batch and one after the other.

    Returns:
        (largest difference of gradients; the same as a share of the largest number; list of gains in rows per second).
    """
    app = service.create(lm, start=None)
    engine, config = app.state.engine, soft.SoftConfig()
    users = [(vectors_of(lm, K, seed + j), *task(seed + j, ROWS)) for j in range(USERS)]

    async def alone():
        return [await engine.gradient(*user, config, LABELS) for user in users]

    async def together():
        return await asyncio.gather(*(engine.gradient(*user, config, LABELS) for user in users))

    def timed(ask):
        begin = time.perf_counter()
        return asyncio.run(ask()), time.perf_counter() - begin

    timed(together)
    gaps, shares, speeds = [], [], []
    for _ in range(turns):
        (one, slow), (many, fast) = timed(alone), timed(together)
        speeds.append(slow / fast)
        gaps += [float(np.abs(a[1] - b[1]).max()) for a, b in zip(one, many, strict=True)]
        shares += [gap / float(np.abs(a[1]).max()) for gap, a in zip(gaps[-USERS:], one, strict=True)]
    engine.close()
    return max(gaps), max(shares), speeds


def client_memory():
    """The peak memory of a process that learns with the client, in MB."""
    code = (
        "import re, sys\nfrom workbench import client\nthere = client.Client(sys.argv[1])\n"
        "texts, labels = ['a red circle', 'a blue star, by Monetta'] * 8, ['half', 'full'] * 8\n"
        "there.tune(texts, labels, client.TuneConfig(steps=20))\nassert 'torch' not in sys.modules\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024)"
    )
    with service.running(service.create(load_lm("world"), start=START)) as address:
        command, env = [sys.executable, "-c", code, address], os.environ | {"PYTHONPATH": str(TOP)}
        done = subprocess.run(command, cwd=TOP, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


# ---- what breaks it -------------------------------------------------------------------------------------------------------


def fuzz(n):
    """Requests that hypothesis draws: how many failed, and how many answers held what they must not."""
    from hypothesis import HealthCheck, given, settings
    from service_parts import fuzz as hostile

    from workbench import meta

    lm, counts = load_lm("world"), {"requests": 0, "failed": 0, "told": 0, "answered": 0}
    width = lm.model.get_input_embeddings().weight.shape[1]
    config = meta.MetaConfig(prompt=soft.SoftConfig(start=START, vectors=3), examples=2, steps=0, map="last")
    general = meta.learn(lm, [meta.Task("artists", *task(0, 16))], config, progress=False)
    with tempfile.TemporaryDirectory() as folder:
        shelf = library.Library.open(folder)
        limits = service.Limits(rate=10**6, burst=10**6)
        more = {"meta_prompts": {"general": general}, "vision": load_checker()}
        app = service.create(lm, start=START, library=shelf, limits=limits, **more)
        with client.Client(app) as there:

            @given(request=hostile.requests(width))
            @settings(max_examples=n, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            def ask(request):
                method, path, data = request
                answer = there._http.request(method, path, content=data, headers={"content-type": "application/json"})
                counts["requests"] += 1
                counts["answered"] += answer.status_code < 400
                counts["failed"] += answer.status_code >= 500
                counts["told"] += answer.status_code >= 400 and bool(hostile.NEVER.search(answer.json()["error"]))

            begin = time.perf_counter()
            ask()
        app.state.engine.close()
    print(f"fuzz: {counts['requests']:,} requests in {time.perf_counter() - begin:.0f} s, {counts['answered']:,} answered,")
    print(f"      {counts['failed']} failed, {counts['told']} said too much", flush=True)
    return {"fuzzed": counts["requests"], "fuzz_failed": counts["failed"], "fuzz_told": counts["told"]}


def crowd(n, seed):
    """Many clients at once, 3 requests each: errors, and how long they wait."""
    import httpx

    lm = load_lm("world")
    rows = task(seed, 4)
    body = {"vectors": encode({"vectors": vectors_of(lm, K, seed)}), "texts": rows[0], "labels": rows[1], "classes": LABELS}
    waits, errors = [], []

    async def one(there):
        for _ in range(3):
            begin = time.perf_counter()
            try:
                answer = await there.post("/gradient", json=body)
                errors.extend([answer.status_code] * (answer.status_code != 200))
            except httpx.HTTPError as err:
                errors.append(type(err).__name__)
            waits.append(time.perf_counter() - begin)

    async def ask(address):
        limits = httpx.Limits(max_connections=n, max_keepalive_connections=n)
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as there:
            await asyncio.gather(*(one(there) for _ in range(n)))

    with serving(None) as (address, _):
        begin = time.perf_counter()
        asyncio.run(ask(address))
        seconds = time.perf_counter() - begin
    half, most = np.quantile(waits, [0.5, 0.99])
    print(f"crowd: {n} clients, {len(waits):,} requests of 4 rows in {seconds:.1f} s ({len(waits) / seconds:.0f} a second),")
    print(f"       {len(errors)} errors, half within {half:.2f} s, 99 of 100 within {most:.2f} s", flush=True)
    return {"crowd_errors": len(errors), "crowd_p99": round(float(most), 3)}


def kills(n, seed):
    """The server is killed while it answers and stores: how many restarts failed, and how many entries were lost or torn."""
    draw, kept, torn, failed = np.random.default_rng(seed), {}, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(n):
            try:
                with serving(folder) as (address, child):
                    stop, threads = threading.Event(), []
                    for worker in range(3):
                        threads.append(threading.Thread(target=load, args=(address, turn * 10 + worker, kept, stop), daemon=True))
                        threads[-1].start()
                    time.sleep(float(draw.uniform(0.1, 2.0)))
                    os.kill(child.pid, signal.SIGKILL)
                    stop.set()
                    for thread in threads:
                        thread.join()
            except (RuntimeError, EOFError):
                failed += 1
        shelf = library.Library.open(folder)
        entries = {entry.id: entry for entry in shelf.entries(versions=True)}
        for name, vectors in kept.items():
            torn += name not in entries or not (shelf.get(name).vectors == vectors).all()
        readable = sum(shelf.get(name) is not None for name in entries)
    print(f"kills: {n} times, {failed} restarts failed; {len(kept)} uploads were confirmed, {torn} of them lost or torn;")
    print(f"       {readable} of {len(entries)} entries can be read", flush=True)
    return {"kills": n, "kills_failed": failed, "kills_lost": torn + len(entries) - readable}


def load(address, seed, kept, stop):
    """Ask and upload until the server is gone."""
    draw = np.random.default_rng(seed)
    with client.Client(address, seconds=5) as there:
        while not stop.is_set():
            try:
                vectors = draw.normal(size=(2, there.about()["width"])).astype(np.float32)
                there.gradient(vectors, ["a red circle", "a star, by Monetta"], LABELS)
                card = {"name": f"{seed}", "date": library.now(), "data": [{"name": "own", "sha256": "0" * 64}]}
                body = {"vectors": encode({"vectors": vectors}), "classes": LABELS, "card": card}
                kept[there.ask("POST", "/library/upload", body)["id"]] = vectors
            except client.ClientError as err:
                if err.status is not None:  # the server answered, and refused
                    raise
                time.sleep(0.01)


class serving:  # noqa: N801
    """A server of the world's model in a process of its own: the block gets its address and the process."""

    def __init__(self, folder):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["workbench.show.service.app", "workbench.models", "uvicorn"])
        self.near, far = context.Pipe()
        self.child = context.Process(target=_serve, args=(far, folder), daemon=True)

    def __enter__(self):
        self.child.start()
        if not self.near.poll(60):
            raise RuntimeError("the server did not start")
        return self.near.recv(), self.child

    def __exit__(self, *_):
        self.child.kill()
        self.child.join()


def _serve(pipe, folder):
    torch.set_num_threads(1)
    shelf = None if folder is None else library.Library.open(folder)
    limits = service.Limits(rate=10**6, burst=10**6)
    with service.running(service.create(load_lm("world"), start=START, library=shelf, limits=limits)) as address:
        pipe.send(address)
        threading.Event().wait()


if __name__ == "__main__":
    main()
