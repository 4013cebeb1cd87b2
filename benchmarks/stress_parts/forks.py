"""Forks: a call in a process of its own, which has everything imported and can be killed."""

import json
import os
import signal
import sys
import time
import traceback
import warnings

from stress_parts.jobs import Result
from workbench.values import WorkbenchError

ENDED, NAMED, CRASHED, STOPPED = "ended", "named", "crashed", "stopped"


class Fork:
    """A call that runs in a child process.

    Args:
        call: function without arguments -> `Result`, or None.
        report: Path of the file that the child writes its end to.
    """

    def __init__(self, call, report):
        report.unlink(missing_ok=True)
        sys.stdout.flush()
        self.report, self.begin = report, time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about threads: those of this process only wait
            self.pid = os.fork()
        if not self.pid:
            _child(call, report)

    def send(self, number):
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds=120):
        """Wait for the end -> (how it ended, `Result` or None, words); after so many seconds it has crashed."""
        late = self.begin + seconds
        while not (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.perf_counter() > late:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return CRASHED, None, f"not done after {seconds} s"
            time.sleep(0.002)
        self.seconds = time.perf_counter() - self.begin
        if os.WIFSIGNALED(found[1]):
            return STOPPED, None, f"signal {os.WTERMSIG(found[1])}"
        if not self.report.exists():
            return CRASHED, None, f"exit status {os.waitstatus_to_exitcode(found[1])} and no words"
        how, result, words = json.loads(self.report.read_text("utf-8"))
        return how, result and Result(*result), words


def _child(call, report):
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            end = ENDED, call(), ""
        except KeyboardInterrupt:
            end = STOPPED, None, "KeyboardInterrupt"
        except WorkbenchError as err:
            end = NAMED, None, f"{type(err).__name__}: {err}"
        except BaseException as err:
            where = traceback.extract_tb(err.__traceback__)[-1]
            end = CRASHED, None, f"{type(err).__name__} in {where.filename.rpartition('/')[2]}:{where.lineno}: {err}"
        part = report.with_suffix(".new")
        part.write_text(json.dumps(end), "utf-8")
        os.replace(part, report)
    finally:
        os._exit(0)
