"""Kills and signals at random moments: the same call goes on, to the result of a run that was never stopped.

Every other moment is a random operation on a file (open, rename, remove, make a folder), where most can be torn.
"""

import functools
import os
import random
import shutil
import signal
import sys
import time

from stress_parts.forks import CRASHED, ENDED, NAMED, Fork
from stress_parts.jobs import LISTS, WEB, Result, fresh, leftovers, of_folder
from stress_parts.table import Row

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)
_SHARES = {"fit": 0.7, "fit with a writer": 0.6, "site and report": 0.4}  # of the kills, against 1: these take seconds
_TOUCHES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}
_PLACES = {"export": LISTS, "site and report": WEB}  # folders that are replaced as a whole


def kills(world, n, seed, short=False):
    """Yield a `Row` for each job; about `n` kills in all."""
    jobs = world.jobs(short)
    shares = {name: _SHARES.get(name, 1) for name in jobs}
    for name, job in jobs.items():
        yield _kills(world, name, job, max(2, round(n * shares[name] / sum(shares.values()))), random.Random(f"{seed} {name}"))


def _kills(world, name, job, n, rng):
    row, top, report = Row(f"kills and signals: {name}"), world.folder / "kills", world.folder / "end.json"
    older, place = world.replaced(name), _PLACES.get(name)
    before = None
    if older:
        older(fresh(world.folder / "older"))
        before = of_folder(world.folder / "older" / place) if place else None

    def ready():
        shutil.rmtree(top, ignore_errors=True)
        if older:
            shutil.copytree(world.folder / "older", top)
        return fresh(top) if not older else top

    whole = Fork(functools.partial(job, ready()), report)
    how, expected, words = whole.wait()
    if how != ENDED:
        row.fail("crashed", f"undisturbed: {words}")
        return row.done()
    after = of_folder(top / place) if place else None
    touches = int(Fork(functools.partial(_struck, job, ready()), report).wait()[1].digest)
    while row.tried < n:
        number = SIGNALS[row.tried // 2 % len(SIGNALS)]
        if row.tried % 2:
            at = rng.randrange(touches)
            note = f"{number.name} at file operation {at} of {touches}"
            running = Fork(functools.partial(_struck, job, ready(), number, at), report)
        else:
            moment = rng.random() * whole.seconds
            note = f"{number.name} after {moment:.3f} s"
            running = Fork(functools.partial(job, ready()), report)
            time.sleep(moment)
            running.send(number)
        how, result, words = running.wait()
        if how == ENDED and result == expected:
            continue  # it was faster than the signal
        row.tried += 1
        if how in (CRASHED, NAMED):
            row.fail("crashed", f"{note}: {words}")
        if place:  # the old one or the new one, complete; after a kill it may lie next to its place
            there = [of_folder(one) for one in (top / place, *(top.glob(f".{place}.*") if number != signal.SIGINT else ()))]
            if before not in there and after not in there:
                row.fail("lost", f"{note}: neither the old folder nor the new one", len(before.items))
        how, result, words = Fork(functools.partial(job, top), report).wait()
        if how != ENDED:
            row.fail("crashed", f"{note}, then the same call: {words}")
            continue
        row.rebuilt += row.compare(result, expected, note)
        if left := leftovers(top):
            row.fail("leftovers", f"{note}: {', '.join(left[:3])}", len(left))
    return row.done()


def _struck(job, folder, number=None, at=None):
    """In a child: do the job, with a signal to itself before file operation `at`; a `Result` with how many there were."""
    count = 0

    def hook(event, args):
        nonlocal count
        if event in _TOUCHES and str(args[0]).startswith(str(folder)):
            count += 1
            if count - 1 == at:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)
    job(folder)
    return Result({}, str(count))
