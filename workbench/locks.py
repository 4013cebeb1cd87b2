"""Locks: one process at a time, by the system's own locks of files."""

import contextlib
import hashlib
import math
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_PAUSE = 0.05  # seconds until a lock is tried again
_PATIENCE = 5  # seconds of waiting for another process before it is said
_HELD = {}  # the open files of locks, by path and thread


@contextlib.contextmanager
def locked(path, what):
    """Let one process at a time into the block; the others wait, and say for which process after a few seconds.

    The lock is the system's: it ends when its file is closed, so with its process, also with a killed one. Where there are no
    such locks, on Windows and some network disks, nobody waits.

    Args:
        path: str or Path of the lock's file, which stays.
        what: str, what is locked, for the message.
    """
    key = (os.path.realpath(path), threading.get_ident())
    try:
        _release(key)  # a Ctrl-C may have kept it from being closed
        with contextlib.suppress(OSError):
            _HELD[key] = open(path, "a+", encoding="utf-8")
            _take(_HELD[key], what)
        yield
    finally:
        _release(key)


def _release(key):
    if key in _HELD:
        with contextlib.suppress(OSError):  # a Ctrl-C may have come while it was being closed
            _HELD[key].close()
        del _HELD[key]


def _take(file, what):
    """Wait for the lock of an open file, and write into it whose it is. Raises OSError where there are no locks."""
    if fcntl is None:
        return
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > patience:
                file.seek(0)
                holder = file.read().strip()
                by = f"process {holder}" if holder else "another process"
                print(f"{what} is in use by {by}: waiting for it.", file=sys.stderr)
                patience = math.inf
            time.sleep(_PAUSE)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def lock_of(folder, place="saved"):
    """Path of the lock of a folder: not in it, so that nothing else is there, and one of 256 for each kind of `place`."""
    number = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:2]
    return Path(tempfile.gettempdir(), f"deep-dsl-workbench-{getattr(os, 'getuid', int)()}-{place}-{number}.lock")
