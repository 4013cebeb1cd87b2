"""Interrupts: KeyboardInterrupt at a random byte code of a call that replaces files; the old or the new is there, complete."""

import random
import sys

from stress_parts.jobs import LISTS, content, fresh, leftovers
from stress_parts.table import Row
from workbench.data import wildcards
from workbench.files import replacing_ours
from workbench.values import WorkbenchError

# The files of Python that write and replace: an interrupt elsewhere finds no file half done.
_WHERE = (
    "workbench/files.py",
    "workbench/locks.py",
    "workbench/artifacts.py",
    "wildcards/__init__.py",
    "shutil.py",
    "pathlib",
    "contextlib.py",
)
_COMPUTES = ("check_plain", "_checksum")  # functions there that only compute


def interrupts(world, n, seed, short=False):
    """Yield a `Row` for exports, with `n` interrupts, most while its folder is exchanged; for a site and a save, a tenth."""
    two, lists = [world.old, world.dsl], []
    for dsl in two:
        world.export(fresh(world.folder / "lists"), dsl)
        lists.append({p.name: p.read_text("utf-8") for p in sorted((world.folder / "lists" / LISTS).glob("*.txt"))[:4]})

    def exchanged(folder, pages):
        with replacing_ours(folder / "site", "site", "marker.json") as part:
            (part / "codes").mkdir()
            for name, text in pages.items():
                (part / "codes" / name).write_text(text, "utf-8")

    rng = random.Random(f"{seed} interrupts")
    yield _row(world, "an export's folder", n - n // 20, lambda folder, files: wildcards.write(folder / LISTS, files), lists, rng)
    yield _row(world, "a whole export", n // 20, world.export, two, rng)
    yield _row(world, "a site's folder", n // 10, exchanged, lists, rng)
    yield _row(world, "a save", n // 10, lambda folder, dsl: dsl.save(folder / "dsl"), two, rng)


def _row(world, name, n, write, two, rng):
    row, top = Row(f"interrupts: {name}"), fresh(world.folder / "interrupts")
    write(top, two[1])
    known, counts = {}, {}
    for which in (0, 1):  # what is there when nothing interrupts, and how many byte codes that takes
        counts[which] = _traced(lambda: write(top, two[which]), None)  # noqa: B023
        known[which] = _pieces(top)
    present = 1
    while row.tried < n:
        at, other = rng.randrange(counts[1 - present]), 1 - present
        row.tried += 1
        note = f"byte code {at} of {counts[other]}"
        try:
            _traced(lambda: write(top, two[other]), at)  # noqa: B023
        except KeyboardInterrupt:
            pass
        except WorkbenchError:
            row.named += 1
        except Exception as err:
            row.fail("crashed", f"{note}: {type(err).__name__}: {err}")
        found = _pieces(top)
        for piece in known[0].keys() | known[1].keys():
            if found.get(piece) not in (known[0].get(piece), known[1].get(piece)):
                row.fail("lost", f"{note}: {piece} is {'neither the old nor the new' if piece in found else 'gone'}")
        present = other if found == known[other] else present
        if found.keys() != known[present].keys() or row.tried % 50 == 0:
            _complete(row, top, lambda: write(top, two[present]), note)  # noqa: B023
    return row.done()


def _complete(row, top, call, note):
    """The same call, undisturbed: it has to succeed and to leave nothing behind."""
    try:
        call()
    except Exception as err:
        row.fail("crashed", f"{note}, then the same call: {type(err).__name__}: {err}")
    if left := leftovers(top):
        row.fail("leftovers", f"{note}, then the same call: {', '.join(left[:3])}", len(left))
    if left or not _pieces(top):
        fresh(top)
        call()


def _pieces(top):
    """A dict of what is replaced as a whole, a folder or a file, to what is in it."""
    return {path.name: content(path) for path in top.iterdir() if not path.name.startswith(".")}


def _traced(call, at):
    """Make a call and raise KeyboardInterrupt at its byte code number `at` in the files `_WHERE`; how many there were."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if event == "call":
            code = frame.f_code
            if code.co_name in _COMPUTES or not any(part in code.co_filename for part in _WHERE):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            count += 1
            if count - 1 == at:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return count
