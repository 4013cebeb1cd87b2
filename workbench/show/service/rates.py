"""How fast each user asks: one number of tickets a user, in memory, or in a file that all workers of a service share."""

import contextlib
import mmap
import struct
import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_ROW = struct.Struct("dd")  # tickets left, and when that was, by the clock of the machine


class Rates:
    """Tickets of users: `rate` new ones a second, `burst` at most.

    A lock of the system holds the file while it is changed; it ends with its process, also with a killed one.

    Args:
        users: list of str, all who may ask.
        limits: `Limits`.
        file: str or Path of a file that `begin` made, or None for this process alone.
    """

    def __init__(self, users, limits, file=None):
        self.limits, self._rows = limits, {user: i * _ROW.size for i, user in enumerate(sorted(set(users)))}
        self._file = None if file is None else open(file, "r+b")
        self._table = bytearray(_begun(len(self._rows), limits)) if file is None else mmap.mmap(self._file.fileno(), 0)

    @staticmethod
    def begin(file, users, limits):
        """Write the file in which workers count together."""
        with open(file, "wb") as to:
            to.write(_begun(len(set(users)), limits))

    def take(self, user):
        """Take a ticket: True, or False if there is none."""
        with self._alone():
            at, now = self._rows[user], time.monotonic()
            left, then = _ROW.unpack_from(self._table, at)
            left = min(self.limits.burst, left + max(0.0, now - then) * self.limits.rate) - 1
            _ROW.pack_into(self._table, at, max(left, 0), now)
            return left >= 0

    def close(self):
        """Close the file, if there is one."""
        if self._file is not None:
            self._table.close()
            self._file.close()

    @contextlib.contextmanager
    def _alone(self):
        if self._file is None:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _begun(n, limits):
    return _ROW.pack(limits.burst, 0.0) * n
