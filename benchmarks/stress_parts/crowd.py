"""Together: several processes at once in one cache and to one folder; all of them end, and their results are whole."""

import functools

from stress_parts.forks import ENDED, NAMED, Fork
from stress_parts.jobs import content, fresh, leftovers
from stress_parts.table import Row

_SAVES = 20  # of each process


def together(world, n, seed, short=False):
    """Yield a `Row` for fits, encodes, saves and exports of `n` processes at once."""
    jobs = world.jobs(short=True)
    for name, job in ((name, jobs[name]) for name in ("fit", "encode", *(() if short else ("fit with a writer",)))):
        yield _same(world, name, job, n)
    two = (world.dsl, world.old)
    yield _rivals(world, "saves", n, lambda folder, i: two[i % 2].save(folder / "dsl"), two)
    yield _rivals(world, "exports", n, lambda folder, i: world.exported(folder, two[i % 2]), two)


def _same(world, name, job, n):
    """The same work in one folder."""
    row = Row(f"together: {n} x {name} in one folder")
    how, expected, words = Fork(functools.partial(job, fresh(world.folder / "alone")), world.folder / "end.json").wait()
    for again in ("an empty folder", "a full one"):
        top = world.folder / "together" if again == "a full one" else fresh(world.folder / "together")
        running = [Fork(functools.partial(job, top), world.folder / f"end-{i}.json") for i in range(n)]
        for one in running:
            how, result, words = one.wait()
            row.tried += 1
            if how != ENDED:
                row.fail("crashed", f"in {again}: {words}")
            else:
                row.rebuilt += row.compare(result, expected, f"in {again}")
        if left := leftovers(top):
            row.fail("leftovers", f"in {again}: {', '.join(left[:3])}", len(left))
    return row.done()


def _rivals(world, name, n, write, two):
    """Two results that take each other's place in one folder, while it is looked at."""
    row, known = Row(f"together: {n} x {_SAVES} {name} to one folder"), []
    for i in range(len(two)):
        write(fresh(world.folder / "alone"), i)
        known.append({path.name: content(path) for path in (world.folder / "alone").iterdir()})
    top = fresh(world.folder / "together")
    write(top, 0)

    def many(i):
        for _ in range(_SAVES):
            write(top, i)

    running = [Fork(functools.partial(many, i), world.folder / f"end-{i}.json") for i in range(n)]
    for one in running:
        how, _, words = one.wait()
        row.tried += _SAVES
        if how == ENDED:
            row.rebuilt += _SAVES
        elif how == NAMED:
            row.named += _SAVES
            row.notes.append(words)
        else:
            row.fail("crashed", words)
    for piece in known[0]:
        try:
            there = content(top / piece)
        except Exception as err:
            there = f"{type(err).__name__}: {err}"
        if there not in (known[0][piece], known[1][piece]):
            row.fail("lost", f"{piece} is neither the one nor the other: {there[:150]}")
    if left := leftovers(top):
        row.fail("leftovers", ", ".join(left[:3]), len(left))
    return row.done()
