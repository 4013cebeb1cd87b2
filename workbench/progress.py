"""Progress: the one bar of long work. It moves on a terminal, seldom in a notebook, and is a line a minute in a log file."""

import contextlib
import sys
import time

from tqdm.auto import tqdm as notebook_bar  # widgets where there are some, else text
from tqdm.std import tqdm as terminal_bar

_TERMINAL, _LOG = 0.1, 60.0  # seconds between two looks at a bar
_SHORT = 10.0  # seconds: a log file need not know of shorter work
# Whoever runs a notebook may read a cell's messages after its end only (nbval does), and a queue that is full drops the rest.
# So each message makes the wait for the next ones longer, over all bars of a cell: some 400 in an hour, 800 in ten.
_NOTEBOOK, _LONGER = 2.0, 1.01  # seconds between the first two looks, and the factor by which a message stretches them
_OPEN, _UPDATE = 22, 3  # messages of a bar made of widgets: to appear and, later, to end; to move

_clock = time.monotonic


def bar(iterable=None, *, total=None, done=0, name="", unit="items", shown=True):
    """Show how far a piece of work is.

    `for row in bar(rows, name="reading prompts")`, or `with bar(total=9) as moving:` and `moving.update()`.

    On a terminal it moves ten times a second. In a notebook it appears after some seconds and moves the more seldom the longer
    a cell runs. Where stderr is neither, as in a log file, it is one line a minute and one at the end of work of 10 seconds or
    longer.

    Args:
        iterable: what to go through, or None to call `update`.
        total: int, how many there are; None takes the length of `iterable`, if it has one.
        done: int, how many were done before, by an earlier part of the work.
        name: str, what is done: "training the writer".
        unit: str, plural: "steps".
        shown: bool; False shows nothing.

    Returns:
        `Bar`.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    return Bar(iterable, total, done, name, unit, _place() if shown else None)


def duration(seconds):
    """Seconds in words: "8 s", "4 min", "1 h 10 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def times(count, what):
    """A count with its noun: "1 use", "1,200 uses"; "once"."""
    if what == "time" and count == 1:
        return "once"
    return f"{count:,} {what if count == 1 else what + 's'}"


class Bar:
    """How far a piece of work is. Made by `bar`; iterate over it, or call `update` in a `with` block."""

    def __init__(self, iterable, total, done, name, unit, place):
        self.total, self.done, self.name, self.unit = total, done, name, unit
        self._iterable, self._place, self._first, self._began, self._note, self._face = iterable, place, done, _clock(), "", None
        self._next = self._began + (_LOG if place == "log" else 0 if place == "terminal" else _NOTEBOOK)
        if place == "terminal":
            self._show(self._began)

    def __iter__(self):
        with self:
            for value in self._iterable:
                yield value
                self.update()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self._face is not None:
            self._move()
            self._face.close()
        elif self._place == "log" and kind is None and _clock() - self._began >= _SHORT:
            self.say(f"{self.name}: {self._count()} in {duration(_clock() - self._began)}")

    def update(self, n=1):
        """Note that n more are done."""
        self.done += n
        if self._place is not None:
            now = _clock()
            if now >= self._next and self.done != self.total:  # the end is shown by `__exit__`
                self._show(now)

    def note(self, text):
        """Figures that are shown after the count from the next look on."""
        self._note = text

    def say(self, line):
        """Print a line on stderr, above the bar; nothing if nothing is shown."""
        if self._place is not None:
            with contextlib.suppress(OSError, ValueError):  # a log that is full or closed is no reason to stop the work
                if self._place == "log":
                    print(line, file=sys.stderr, flush=True)
                else:
                    terminal_bar.write(line, file=sys.stderr)

    def _show(self, now):
        if self._place == "log":
            note, left = self._note and f", {self._note}", ""
            if self.total and self.done > self._first:
                left = (now - self._began) / (self.done - self._first) * max(0, self.total - self.done)
                left = f", {duration(left)} left"
            self.say(f"{self.name}: {self._count()}{note}{left}")
            self._next = now + _LOG
        elif self._place == "terminal":
            self._move()
            self._next = now + _TERMINAL
        else:
            self._next = _budget.ask(now, self._face is None)
            if self._next == now:
                self._move()
                self._next = _budget.next

    def _move(self):
        """Bring the bar of tqdm, which is made when it is first seen, to where the work is."""
        if self._face is None:
            made = terminal_bar if self._place == "terminal" else notebook_bar
            options = {"total": self.total, "initial": self._first, "desc": self.name, "unit": f" {self.unit}"}
            self._face = made(**options, mininterval=0, miniters=0)
            self._face.start_t -= _clock() - self._began
            self._face.last_print_t = self._face.start_t
        self._face.set_postfix_str(self._note, refresh=False)
        self._face.update(self.done - self._face.n)

    def _count(self):
        return f"{self.done:,}{f' of {self.total:,}' if self.total else ''} {self.unit}"


class _Budget:
    """When the bars of a cell may send again."""

    def __init__(self):
        self.cell, self.sent, self.next = None, 0, 0.0

    def ask(self, now, new):
        """`now` if a bar may be shown, and the messages are counted; otherwise the time to ask again."""
        cell = getattr(_shell(), "execution_count", None)
        if cell != self.cell:
            self.cell, self.sent, self.next = cell, 0, now
        if now < self.next:
            return self.next
        self.sent += _OPEN + _UPDATE if new else _UPDATE
        self.next = now + _NOTEBOOK * _LONGER**self.sent
        return now


_budget = _Budget()


def _shell():
    """The shell of IPython that runs this, or None."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return ask() if ask is not None else None


def _place():
    """Where a bar is shown: "notebook", "terminal", "log", or None where there is no stderr."""
    if hasattr(_shell(), "kernel"):
        return "notebook"
    if sys.stderr is None or getattr(sys.stderr, "closed", False):
        return None
    return "terminal" if getattr(sys.stderr, "isatty", bool)() else "log"
