"""Memory: what `corpus.load` of a large text file takes, of all of it and of 100 prompts."""

import resource
import time

from stress_parts.forks import ENDED, Fork
from stress_parts.jobs import Result
from workbench import corpus


def measure(folder, size):
    """Write a text file of `size` bytes of the grammar, load it in processes of their own, print the table; the exit status."""
    path = folder / "large.txt"
    lines = "\n".join(corpus.load("world", n=20_000, progress=False))
    with open(path, "w", encoding="utf-8") as file:
        for number in range(size // len(lines) + 1):
            file.write(lines.replace("\n", f" {number}\n"))
    print(f"{path.stat().st_size:,} bytes\n\n| prompts | seconds | peak MB | more than before, MB |\n| --- | --- | --- | --- |")
    ends = []
    for n in (100, None):

        def load(n=n):
            before, begin = _peak(), time.perf_counter()
            found = corpus.load(path, n=n, progress=False)
            return Result({}, f"| {len(found):,} | {time.perf_counter() - begin:.1f} | {_peak():.0f} | {_peak() - before:.0f} |")

        how, result, words = Fork(load, folder / "end.json").wait(7200)
        print(result.digest if how == ENDED else f"| n={n} | {words} | | |", flush=True)
        ends.append(how)
    return int(any(how != ENDED for how in ends))


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
