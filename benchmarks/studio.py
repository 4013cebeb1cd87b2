"""How soon the studio answers: seconds from a click until its controls show the results, without the browser.

    python benchmarks/studio.py [--dsl world] [--rounds 20] [--n 6] [--threads 1]

Re-roll of all chips with one locked, of one chip, variations, masks filled, and reading a typed prompt, each `rounds` times with
another seed, over prompts of the built-in grammar that have three to eight chips. The baseline does what a re-roll did before
the studio: it reads the prompt anew and writes all but its first chip anew, by `infill` of one mask. Wall time, median and
maximum, and CPU time, which other work on the machine disturbs less; the first round of each is not counted, but printed.
"""

import argparse
import statistics
import time

import torch

from workbench import corpus, widgets
from workbench.language.dsl import DeepDSL
from workbench.template import MASK, escape

TARGET = 1.0  # seconds, median of a re-roll


def prompts(dsl, n):
    """Prompts of the grammar's test split with three to eight chips."""
    texts = corpus.load("world", n=12 * n, seed=5, split="test", progress=False)
    found = [text for text in texts if 3 <= len(dsl.read(text).slots) <= 8 and "<" not in text]
    return found[:n]


def timed(work):
    """(wall seconds, CPU seconds of all threads) of `work()`."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def click(studio, text, button, chosen=None, locked=None):
    """What a click on a button of the studio takes, from a prompt, see `timed`."""
    studio.prompt.value = text
    studio.session._past.clear()
    studio._finished.clear()  # the guard against two quick clicks
    if locked is not None:
        studio.choose(locked)
        studio.lock_button.click()
    if chosen is not None:
        studio.choose(chosen)
    if button is studio.fill_button:
        studio.choose(1)
        studio.mask_button.click()
    took = timed(button.click)
    if studio.session.failed or not studio.session.results:
        raise RuntimeError(f"{button.description} of {text!r} was refused: {studio.session.message}")
    kept = studio.session.template.slots[locked].text if locked is not None else ""
    if not all(kept in result.text for result in studio.session.results):
        raise RuntimeError(f"A locked text changed: {kept!r}.")
    return took


def whole(dsl, text, n, seed):
    """The baseline: read the prompt, keep its first chip, write all else anew."""
    return timed(lambda: dsl.infill(f"{escape(dsl.read(text).slots[0].text)} {MASK}", n, seed=seed))


def typed(studio, text):
    """Seconds until a typed prompt is shown as chips."""
    return timed(lambda: setattr(studio.prompt, "value", text))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsl", default="world", help='"world", or the folder of a saved DSL')
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--n", type=int, default=6, help="results of a click (6)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (1, as make studio starts it)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    begin = time.perf_counter()
    dsl = DeepDSL.load(args.dsl)
    loaded = time.perf_counter() - begin
    texts = prompts(dsl, args.rounds + 1)
    begin = time.perf_counter()
    studio = widgets.studio(dsl, texts[0], n=args.n)
    made = time.perf_counter() - begin
    s = studio
    work = {
        "re-roll all, one chip locked": lambda i: click(s, texts[i], s.reroll_button, locked=0),
        "re-roll one chip": lambda i: click(s, texts[i], s.reroll_chip_button, chosen=0),
        "vary, one chip locked": lambda i: click(s, texts[i], s.vary_button, locked=0),
        "fill one mask": lambda i: click(s, texts[i], s.fill_button),
    }
    work["read a typed prompt"] = lambda i: typed(s, texts[i] + " ")
    work["baseline: all but a chip written anew by infill"] = lambda i: whole(dsl, texts[i], args.n, i)
    print(f"{args.dsl}: loaded in {loaded:.1f} s, studio made in {made:.2f} s; {args.threads} threads, {args.n} results a click")
    print("| click | median, s | maximum, s | first, s | CPU, median, s | under 1 s |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for name, one in work.items():
        took = [one(i) for i in range(len(texts))]
        wall, cpu = zip(*took[1:], strict=True)
        median = statistics.median(wall)
        verdict = ("met" if median < TARGET else "missed") if name.startswith("re-roll") else "-"
        row = f"| {name} | {median:.2f} | {max(wall):.2f} | {took[0][0]:.2f} | {statistics.median(cpu):.2f} | {verdict} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
