"""The table: one row for each thing that is tried, printed as soon as it is complete, and notes on what failed."""

import sys
import time
from dataclasses import dataclass, field

COLUMNS = ("tried", "named", "rebuilt", "silent", "crashed", "lost", "doubled", "unequal", "leftovers")
BAD = COLUMNS[3:]  # all of these must be 0
_NOTES = 3  # of a row


@dataclass
class Row:
    """Counts of one thing.

    Attributes:
        tried: int.
        named: int, times it ended in an error of our own, or in a warning, with words.
        rebuilt: int, times the result was the right one all the same.
        silent: int, times the result was another one and nothing was said.
        crashed: int, times it ended in a raw error, or not within its time.
        lost, doubled: int, pieces of a result (prompts, steps, files) that are missing, or there too often.
        unequal: int, results that are not the right one in another way.
        leftovers: int, temporary files and folders that are there in the end.
    """

    what: str
    tried: int = 0
    named: int = 0
    rebuilt: int = 0
    silent: int = 0
    crashed: int = 0
    lost: int = 0
    doubled: int = 0
    unequal: int = 0
    leftovers: int = 0
    seconds: float = 0.0
    notes: list = field(default_factory=list)
    _begin: float = field(default_factory=time.perf_counter)

    def fail(self, column, note, times=1):
        """Count a failure and note what was tried and what came."""
        setattr(self, column, getattr(self, column) + times)
        if len(self.notes) < _NOTES:
            self.notes.append(f"{column}: {' '.join(str(note).split())[:300]}")

    def compare(self, result, expected, note):
        """Count what a result (`Result` of `jobs`) has lost or doubled; whether all is equal."""
        for column, one, other in (("lost", expected, result), ("doubled", result, expected)):
            gone = {name: n - other.items.get(name, 0) for name, n in one.items.items() if n > other.items.get(name, 0)}
            if gone:
                self.fail(column, f"{note}: {', '.join(map(str, list(gone)[:3]))}", sum(gone.values()))
        if result.items == expected.items and result.digest != expected.digest:
            self.fail("unequal", note)
        return result == expected

    def done(self):
        """Print the row and its notes; the row itself."""
        self.seconds = time.perf_counter() - self._begin
        cells = [self.what, *(f"{getattr(self, name):,}" for name in COLUMNS), f"{self.seconds:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
        for note in self.notes:
            print(f"    {self.what}: {note}", file=sys.stderr, flush=True)
        return self

    @property
    def bad(self):
        """int, failures of all kinds."""
        return sum(getattr(self, name) for name in BAD)


def head():
    """Print the head of the table."""
    print(f"| what | {' | '.join(COLUMNS)} | seconds |\n| --- |{' --- |' * (len(COLUMNS) + 1)}", flush=True)


def total(rows):
    """Print the sums."""
    cells = ["all", *(f"{sum(getattr(row, name) for row in rows):,}" for name in COLUMNS)]
    print(f"| {' | '.join(cells)} | {sum(row.seconds for row in rows):.0f} |", flush=True)
