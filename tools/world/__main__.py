"""Command line of the built-in picture world: train its tiny models, or measure them. `python -m tools.world --help`."""

import argparse
import os
import sys
import time

from tools import world as training
from workbench import files
from workbench.values import WorkbenchError


def main(arguments=None):
    """Train or measure the models of the built-in world.

    Args:
        arguments: list of str or None for those of the process.

    Returns:
        int, the exit code: 0 done, 1 a figure falls short of its gate, 2 bad input, 130 stopped by Ctrl-C.

    Raises:
        SystemExit: with code 2, arguments that do not parse.
    """
    options = _parser().parse_args(arguments)
    try:
        return (_train if options.verb == "train" else _check)(options)
    except KeyboardInterrupt:
        print("\nStopped. Finished work is kept: run the same command again to continue.", file=sys.stderr)
        return 130
    except (WorkbenchError, ValueError, TypeError, ImportError, OSError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 2


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tools.world", description="The tiny models of the built-in picture world.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, about in (
        ("train", "train the models from random weights; finished ones are skipped, a stopped one continues"),
        ("check", "measure the models and compare the figures with their gates"),
    ):
        sub = verbs.add_parser(verb, help=about, description=about)
        sub.add_argument("--only", nargs="+", choices=training.PARTS, default=training.PARTS, metavar="PART", help=_parts())
        sub.add_argument("--out", type=files.path, metavar="FOLDER", help="folder of the models (default: that of the package)")
        sub.add_argument("--seed", type=int, default=0, metavar="S", help="random seed (default: 0)")
        sub.add_argument("--no-progress", dest="progress", action="store_false", help="no progress bars")
    return parser


def _parts():
    return f"only these: {', '.join(training.PARTS)} (default: all)"


def _folder(options):
    from workbench.models.loading import FOLDER  # not at the top: torch takes seconds, and --help should not

    return FOLDER if options.out is None else options.out


def _train(options):
    from tools.world import cards

    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: expected 0 or more.")
    out, names = _folder(options), [name for name in training.PARTS if name in options.only]
    todo = []
    for name in names:
        done = cards.read(out / name)
        if done is None:
            todo.append(name)
        elif done["seed"] != options.seed:
            raise ValueError(
                f"{out / name} was trained with seed {done['seed']}, got --seed {options.seed}. Give another --out, or remove "
                "that folder."
            )
        else:
            print(f"{name}: already trained, in {out / name}. To train it again, remove that folder or give another --out.")
    if todo:
        from workbench.models import sums

        _can_write(out)
        parts = {name: training.part(name) for name in todo}
        minutes = {name: part.MINUTES for name, part in parts.items()}
        print(
            f"Will train {', '.join(f'{name} ({cost:g} min)' for name, cost in minutes.items())}: about "
            f"{sum(minutes.values()):g} minutes on one core, and write to {out}{os.sep}\n"
            "Ctrl-C loses little: the same command continues from there.\n",
            flush=True,
        )
        for name, part in parts.items():
            started = time.perf_counter()
            part.train(out / name, options.seed, progress=options.progress)
            sums.write(out, name)
            print(f"{name}: {(time.perf_counter() - started) / 60:.1f} minutes", flush=True)
    return _say({name: cards.read(out / name)["figures"] for name in names})


def _can_write(out):
    """Refuse a folder that cannot be written to, before the work."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ValueError(f"--out {out}: the folder cannot be made ({err.strerror}). Give another one.") from err
    if not os.access(out, os.W_OK | os.X_OK):
        raise ValueError(f"--out {out}: you may not write to this folder. Give another one.")


def _check(options):
    out, names = _folder(options), [name for name in training.PARTS if name in options.only]
    missing = [name for name in names if not (out / name).is_dir()]
    if missing:
        raise ValueError(f"{out} has no {', '.join(missing)}. Train first: python -m tools.world train --out {out}")
    figures = {}
    for name in names:
        print(f"Measuring {name} ...", flush=True)
        figures[name] = training.part(name).check(out / name, options.seed)
    return _say(figures)


def _say(figures):
    """Print figures next to their gates -> exit code."""
    short = []
    for name, values in figures.items():
        gates = training.part(name).GATES
        print(f"\n{name}")
        for key, value in values.items():
            print(f"  {key:<40} {value:8.3f}   {' '.join(map(str, gates.get(key, '')))}")
        short += [f"{name}: {line}" for line in training.failures(values, gates)]
    print("\n" + ("\n".join(["Below the gates:", *short]) if short else "All figures reach their gates."))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
