"""A full disk: every writer says so, older files stay as they were, and with space again the same call gets to its end."""

import contextlib
import ctypes
import errno
import functools
import os
import random
import shutil
from types import SimpleNamespace
from unittest import mock

from stress_parts.forks import CRASHED, ENDED, NAMED, Fork
from stress_parts.jobs import Result, content, fresh, leftovers, of_folder
from stress_parts.table import Row
from workbench.control.guide.tuning import Tuned
from workbench.control.proposals import LMProposal
from workbench.show.widgets.favourites import FIELDS, Favourites
from workbench.values import WorkbenchError

_DISK = 64 << 20  # bytes
# What a trial tells besides its result: the bytes written; how the call on the full disk ended, its words, what it lost and left.
_SIZE, _FIRST = ".size", (".how", ".words", ".lost", ".left")
_NEWNS, _NEWUSER, _PRIVATE = 0x20000, 0x10000000, 0x44000


def full(world, n, seed, short=False):
    """Yield a `Row` for each writer; `n` full disks in all."""
    kept = SimpleNamespace(**dict.fromkeys(FIELDS, "a red fox, 8k"))

    def favourites(folder, times=40):
        for ending in (".csv", ".jsonl"):
            path = folder / f"kept{ending}"
            there = path.read_text("utf-8").count("\n") - (ending == ".csv") if path.exists() else 0
            Favourites([kept] * times).save(path, before=Favourites([kept] * there) if there else None)
        return of_folder(folder)

    jobs = {"favourites": favourites, **world.jobs(short)}
    if not short:
        jobs["a tuned model"] = lambda folder: _tuned(world, folder)
    older = {name: world.replaced(name) for name in jobs} | {"favourites": functools.partial(favourites, times=20)}
    for i, (name, job) in enumerate(jobs.items()):
        rng = random.Random(f"{seed} disk {name}")
        yield _row(world, name, job, older[name], n // len(jobs) + (i < n % len(jobs)), rng)


def _row(world, name, job, older, n, rng):
    row, report = Row(f"full disk: {name}"), world.folder / "end.json"
    top = fresh(world.folder / "disk")
    try_ = functools.partial(_trial, top, job, older)
    how, expected, words = Fork(functools.partial(try_, None), report).wait()
    if how != ENDED:
        row.fail("crashed", f"undisturbed: {words}")
        return row.done()
    size = max(int(expected.items.pop(_SIZE)), 1 << 15)
    for _ in range(n):
        room = rng.randrange(size)
        row.tried += 1
        note = f"{room:,} bytes free"
        how, found, words = Fork(functools.partial(try_, room), report).wait()
        if how != ENDED:
            row.fail("crashed", f"{note}: {words}")
            continue
        first, words, lost, left = (found.items.pop(name) for name in _FIRST)
        for column, names in {"lost": lost, "leftovers": left}.items():
            if names:
                row.fail(column, f"{note}: {', '.join(names[:3])}", len(names))
        if first == CRASHED:
            row.fail("crashed", f"{note}: {words}")
        row.named += first == NAMED
        row.rebuilt += row.compare(found, expected, f"{note}, then space again") and first == ENDED
    return row.done()


def _trial(top, job, older, room):
    """In a child: the older result, then `job` with `room` bytes of space (None: enough), then `job` with space again."""
    mounted = _mount(top)
    if older:
        older(top)
    before = {path.name: content(path) for path in top.iterdir()}
    if room is None:
        result = job(top)
        return Result(result.items | {_SIZE: sum(p.stat().st_size for p in top.rglob("*") if p.is_file())}, result.digest)
    how, words = ENDED, ""
    with _filled(top, room, mounted):
        try:
            job(top)
        except WorkbenchError as err:
            how, words = NAMED, str(err)
        except Exception as err:
            how, words = CRASHED, f"{type(err).__name__}: {err}"
        left = leftovers(top)
    between = {path.name: content(path) for path in top.iterdir() if path.name in before}
    result = job(top)
    after = {path.name: content(path) for path in top.iterdir() if path.name in before}
    lost = [name for name in before if between.get(name) not in (before[name], after.get(name))]
    return Result(result.items | dict(zip(_FIRST, (how, words, lost, left), strict=True)), result.digest)


@contextlib.contextmanager
def _filled(top, room, mounted):
    """A disk with `room` bytes; where none could be mounted, one that is full when the third file is flushed to it."""
    if mounted:
        ballast = top / "ballast.bin"
        free = shutil.disk_usage(top).free
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - room))
        try:
            yield
        finally:
            ballast.unlink()
        return
    calls, fsync = iter(range(room % 3)), os.fsync

    def failing(number):
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fsync(number)

    with mock.patch("os.fsync", failing):
        yield


def _mount(top):
    """Mount a small disk in a name space of this process alone, so that it goes with it: whether that was allowed."""
    libc, ids = ctypes.CDLL(None, use_errno=True), (os.getuid(), os.getgid())
    if libc.unshare(_NEWNS | (_NEWUSER if ids[0] else 0)):
        fresh(top)
        return False
    if ids[0]:
        with contextlib.suppress(OSError):
            for name, text in {"setgroups": "deny", "uid_map": f"0 {ids[0]} 1", "gid_map": f"0 {ids[1]} 1"}.items():
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
    private = libc.mount(b"none", b"/", None, _PRIVATE, None)
    done = not private and not libc.mount(b"tmpfs", os.fsencode(top), b"tmpfs", 0, b"size=%d" % _DISK)
    return done or bool(fresh(top) and False)


def _tuned(world, folder):
    Tuned(LMProposal(world.lm), [], "kl").save(folder / "model")
    return of_folder(folder)
