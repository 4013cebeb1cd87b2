"""Command line: learn a DSL from a pile of prompts, save it and write a report. `python -m workbench --help`."""

import argparse
import contextlib
import os
import shutil
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

from workbench import files
from workbench.progress import duration, times
from workbench.values import WorkbenchError

_UNDRAWN = "The map comes next: load this page again in half a minute."
_UNFINISHED = "Written prompts are added to this page once the language has learned to write."
_GO_ON = "Stopped. Nothing is lost: finished work is kept in {cache}. To continue, type the same command again."
_AS_BEFORE = "Stopped. No page was written; an earlier site is unchanged."
_CODES, _UNLABELLED = 48, 32  # codes with the lexicon, of which 27 are its kinds, and without
_SHOWN = 350  # steps of a writer of the built-in corpus: a language of it that has learned longer comes with the package
_OPTIONS = {  # messages of the package name its arguments
    "n_codes=": "--codes ",
    "n_codes": "--codes",
    "column=": "--column ",
    "keep_near_duplicates=True": "--keep-near-duplicates",
}
_LONG = 1000  # prompts from which on the cost is measured before the work
_SCRIPT = "deep-dsl"  # the command that pyproject.toml installs
_SITE = "site"  # the first argument that asks for pages; a file of that name is ./site
_SERVE = "serve"  # that which starts the training service
_ENCODE = "encode"  # that which only encodes a corpus


def main(arguments=None):
    """Learn a DSL and write `out/dsl` and `out/report.html`; with "site" first, write pages; with "serve", train for others; with
    "encode", encode prompts only.

    Args:
        arguments: list of str, or None for those of the process.

    Returns:
        int, the exit code: 0 done, 2 bad input (with one line on stderr), 130 stopped by Ctrl-C, 141 stdout was closed.

    Raises:
        SystemExit: code 2, for arguments that do not parse.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without emoji is no reason to stop
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    verb = arguments[0] if arguments[:1] in ([_SITE], [_SERVE], [_ENCODE]) else None
    parser = {_SITE: _site_parser, _SERVE: _serve_parser, _ENCODE: _encode_parser}.get(verb, _parser)
    options = parser().parse_args(arguments[verb is not None :])
    stopped = {_SITE: _AS_BEFORE, _SERVE: "Ended."}.get(verb, _GO_ON.format(cache=files.cache_folder()))
    try:
        with _warnings_in_a_line():
            {_SITE: _write_site, _SERVE: _serve, _ENCODE: _encode}.get(verb, _run)(options)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left at its end
        print(f"The output was closed. {stopped}", file=sys.stderr)
        return 141
    except (WorkbenchError, ValueError, TypeError, ImportError, OSError) as err:
        print(f"error: {_line(err)}", file=sys.stderr)
        return 2
    return 0


@contextlib.contextmanager
def _warnings_in_a_line():
    """Print what the package warns of as one line each, once."""
    said = set()

    def show(message, category, *_):
        if issubclass(category, UserWarning) and _line(message) not in said:
            said.add(_line(message))
            print(f"warning: {_line(message)}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _line(message):
    """A message of the package as one line, in the words of the command line."""
    said = " ".join(str(message).split())
    for name, option in _OPTIONS.items():
        said = said.replace(name, option)
    return said


def _command():
    """What the user typed: the script that comes with the package, or the module."""
    return _SCRIPT if Path(sys.argv[0]).stem == _SCRIPT else "python -m workbench"


def _parser():
    parser = argparse.ArgumentParser(
        prog=_command(),
        allow_abbrev=False,
        description="Learn the hidden grammar of text-to-image prompts and write a report about it.",
        epilog=f"Ctrl-C loses nothing: the same command continues. Web pages about a saved DSL: {_command()} {_SITE} --help. "
        f"Prompts trained for others: {_command()} {_SERVE} --help. Encoding by many processes: {_command()} {_ENCODE} --help",
    )
    parser.add_argument(
        "prompts",
        nargs="?",
        default="world",
        metavar="PROMPTS",
        help=".txt, .csv, .tsv, .json, .jsonl or .parquet file, or hub data set id; without it, the built-in corpus",
    )
    parser.add_argument("--n", type=int, metavar="N", help="largest number of prompts (default: all; built-in corpus: 20,000)")
    parser.add_argument("--column", metavar="C", help="column that holds the prompts (default: found by its name)")
    parser.add_argument("--keep-near-duplicates", action="store_true", help="drop exact duplicates only")
    parser.add_argument("--codes", type=int, metavar="K", help="size of the alphabet (default: 48; 32 with --no-lexicon)")
    parser.add_argument(
        "--no-lexicon",
        dest="lexicon",
        action="store_false",
        help="learn without labels: no code starts from the built-in lists of people, animals, artists, lighting, ...",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="random seed (default: 0)")
    parser.add_argument("--out", type=files.path, default=Path("out"), help="folder to write to (default: out)")
    parser.add_argument("--encoder", metavar="NAME", help="hub id or folder of a language model (default: all-MiniLM-L6-v2)")
    parser.add_argument(
        "--writing",
        choices=("none", "quick", "full"),
        default="quick",
        help="how long it learns to write: not at all, minutes, or up to an hour on 2 cores (default: quick)",
    )
    parser.add_argument("--no-progress", dest="progress", action="store_false", help="no progress bars")
    return parser


def _site_parser():
    parser = argparse.ArgumentParser(
        prog=f"{_command()} {_SITE}",
        allow_abbrev=False,
        description="Write a web site about a saved DSL, with a page for each code: fillers, examples, neighbours, a badge.",
        epilog="The site opens from its folder, without a server and without a network.",
    )
    parser.add_argument(
        "dsl",
        nargs="?",
        default="world",
        metavar="DSL",
        help="folder of a saved DSL, such as out/dsl; without it, the built-in one",
    )
    parser.add_argument("--out", type=files.path, default=Path("out", "site"), help="folder of the site (default: out/site)")
    parser.add_argument("--prompts", metavar="PROMPTS", help="file or data set id to take examples from")
    parser.add_argument("--column", metavar="C", help="column that holds the prompts (default: found by its name)")
    parser.add_argument("--n", type=int, default=300, metavar="N", help="largest number of prompts to read (default: 300)")
    parser.add_argument("--title", default="The codes of these prompts", help="heading of the index")
    parser.add_argument("--address", metavar="URL", help="web address of the site, for the links in the Markdown of badges")
    parser.add_argument("--no-progress", dest="progress", action="store_false", help="no progress bars")
    return parser


def _serve_parser():
    # Not at the top: the service is optional.
    from workbench.show.service import serving

    return serving.parser(_command())


def _serve(options):
    from workbench.show.service import serving

    serving.serve(options)


def _encode_parser():
    parser = argparse.ArgumentParser(
        prog=f"{_command()} {_ENCODE}",
        allow_abbrev=False,
        description="Encode prompts: a vector for each word, in shards on disk that every later call finds again.",
        epilog="Ctrl-C loses nothing: the same command continues. On a cluster (RAY_ADDRESS) FOLDER must be on a shared disk.",
    )
    parser.add_argument(
        "prompts", nargs="?", default="world", metavar="PROMPTS", help="as for learning; the built-in corpus without"
    )
    parser.add_argument("--n", type=int, metavar="N", help="largest number of prompts (default: all; built-in corpus: 20,000)")
    parser.add_argument("--column", metavar="C", help="column that holds the prompts (default: found by its name)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="random seed of the choice of prompts (default: 0)")
    parser.add_argument("--folder", type=files.path, help="where shards go (default: the cache)")
    parser.add_argument("--encoder", metavar="NAME", help="hub id or folder of a language model (default: all-MiniLM-L6-v2)")
    parser.add_argument("--ray", action="store_true", help="several processes, on Ray: pip install 'ray[data]>=2.40'")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes of --ray, a core each (default: 2)")
    parser.add_argument("--no-progress", dest="progress", action="store_false", help="no progress bars")
    return parser


def _encode(options):
    from workbench import checks

    checks.whole("--workers", options.workers)
    # Not at the top: these take seconds, and --help should not.
    from workbench.data import corpus
    from workbench.language import encode
    from workbench.models import load_encoder

    if options.ray:
        from workbench.language.encode.spreading import import_ray

        import_ray()  # or an error, before prompts are read
    chosen = {"column": options.column, "n": options.n, "seed": options.seed}
    prompts = corpus.load(options.prompts, **chosen, progress=options.progress)
    encoder = load_encoder(*[options.encoder] * (options.encoder is not None))
    workers = options.workers if options.ray else 0
    found = encode.encode(prompts, encoder, options.folder, progress=options.progress, workers=workers)
    print(f"{times(found.made, 'prompt')} encoded, {found.kept:,} were there: {found.n_words:,} words in {found.folder}")


def _write_site(options):
    # Not at the top: these take seconds, and --help should not.
    from workbench.data import corpus
    from workbench.language.dsl import DeepDSL
    from workbench.show.pages import site

    site.check(options.out, options.n, options.address)
    prompts = options.prompts
    if prompts is not None:
        prompts = corpus.load(prompts, column=options.column, n=options.n, progress=options.progress)
    print(f"Writing the pages of {options.dsl} to {options.out}{os.sep}. This takes about a minute.", flush=True)
    dsl = DeepDSL.load(options.dsl)
    page = site.write(dsl, options.out, prompts, title=options.title, address=options.address, n=options.n)
    print(f"{len(dsl.codes)} codes, a page and a badge for each.\nIndex  {page}   (open it in a browser: {page.as_uri()})")


def _run(options):
    # Not at the top: it takes a second, and --help should not.
    from workbench.data.corpus.readers import look_for

    folder, page, started = options.out / "dsl", options.out / "report.html", time.perf_counter()
    look_for(options.prompts)
    _check_folder(options.out)
    how = "beginning with the built-in lists of phrases" if options.lexicon else "without labels"
    n_codes = options.codes if options.codes is not None else _CODES if options.lexicon else _UNLABELLED
    print(f"Reading {_say_source(options)}, then learning {n_codes} codes from them, {how}.")
    print(f"Will write  {page}\n            {folder}{os.sep}\nCache       {files.cache_folder()}")
    print("Ctrl-C loses nothing: the same command continues.\n", flush=True)

    # Not at the top: these take seconds, and --help should not. What finds bad input comes first.
    from workbench.data import corpus
    from workbench.language.codebook import CodebookConfig

    codes, before = CodebookConfig(n_codes=n_codes), time.perf_counter()
    chosen = {
        "column": options.column,
        "n": options.n,
        "seed": options.seed,
        "keep_near_duplicates": options.keep_near_duplicates,
    }
    prompts = corpus.load(options.prompts, **chosen, progress=options.progress)
    read = round(time.perf_counter() - before, 2)
    print(f"{times(len(prompts), 'prompt')} kept of {times(prompts.report.read, 'row')} read.", flush=True)

    from workbench.language.dsl import DeepDSL, DSLConfig
    from workbench.language.dsl.cost import cost
    from workbench.language.dsl.fitting import load_reader
    from workbench.show.pages import report

    base = DSLConfig.full() if options.writing == "full" else DSLConfig()
    writer = None if options.writing == "none" else base.writer
    if writer is not None and options.prompts == "world" and options.writing == "quick":
        writer = replace(writer, most=_SHOWN)
    config = replace(base, codebook=codes, writer=writer, seed=options.seed)
    encoder = options.encoder
    if len(prompts) >= _LONG:
        encoder = load_reader(encoder)
        print(_say_cost(*cost(prompts, config, encoder)), flush=True)
    title, width = f"The grammar of {len(prompts):,} prompts", shutil.get_terminal_size((100, 24)).columns
    learn = {"codes": "lexicon" if options.lexicon else None, "progress": options.progress}
    dsl = DeepDSL.fit(prompts, replace(config, writer=None), encoder=encoder, **learn)
    dsl.stats["seconds"]["corpus"] = read  # fit got them read
    dsl.save(folder)
    print(f"\n{report.summary(dsl, width)}\n", flush=True)
    report.write(dsl, page, title=title, note=_UNDRAWN, mapped=False)
    print(f"{page} shows what was read. Drawing its map ...", flush=True)
    report.write(dsl, page, title=title, note=None if config.writer is None else _UNFINISHED)
    if config.writer is not None:
        print("The map is there. The page is completed once writing is learned, too.", flush=True)
        try:
            dsl = _learn_to_write(prompts, config, dsl, learn)
            dsl.save(folder)
            print(f"\n{report.samples(dsl, width)}\n", flush=True)
            report.write(dsl, page, title=title)
        except KeyboardInterrupt:
            print(f"\n{page} and {folder}{os.sep} hold a language that reads.", file=sys.stderr)
            raise
    print(_closing(page, folder, time.perf_counter() - started, dsl.writer_ is not None))


def _say_cost(encoding, writing):
    parts = [f"encoding about {duration(encoding)}"] + [f"learning to write at most {duration(writing)}"] * (writing > 0)
    return f"Measured here: {', '.join(parts)}; the codes come on top. What is in the cache takes no time."


def _learn_to_write(prompts, config, dsl, learn):
    """The language that `dsl` is, once it writes too. What was read is in the cache and is not learned again."""
    from workbench.language.dsl import DeepDSL

    took = dsl.stats["seconds"]
    dsl = DeepDSL.fit(prompts, config, encoder=dsl.encoder, **learn)
    for stage, seconds in took.items():
        dsl.stats["seconds"][stage] = round(dsl.stats["seconds"].get(stage, 0) + seconds, 2)
    return dsl


def _check_folder(out):
    """Refuse a folder that cannot be written to, before the work."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as err:
        raise ValueError(f"--out {out}: this is, or lies in, a file. Give the path of a folder.") from err
    except OSError as err:
        raise ValueError(f"--out {out}: the folder cannot be made ({err.strerror}). Give another one.") from err
    if not os.access(out, os.W_OK | os.X_OK):
        raise ValueError(f"--out {out}: you may not write to this folder. Give another one.")


def _say_source(options):
    if options.prompts == "world":
        return f"{times(20_000 if options.n is None else options.n, 'prompt')} of the built-in corpus"
    wanted = "all prompts" if options.n is None else f"at most {times(options.n, 'prompt')}"
    return f"{wanted} of {options.prompts}"


def _closing(page, folder, seconds, writes):
    infill = '    for sample in dsl.infill("portrait of a samurai, <?>, by <?>", 4):\n        print(sample.text)'
    return (
        f"Done in {seconds:,.0f} s.\n\n"
        f"Report  {page}   (open it in a browser: {page.resolve().as_uri()})\n"
        f"DSL     {folder}\n\n"
        "In Python:\n"
        "    from workbench import DeepDSL\n"
        f"    dsl = DeepDSL.load({str(folder)!r})\n"
        '    print(dsl.read("portrait of a samurai, oil on canvas, by Rembrandt"))'
        f"{chr(10) + infill if writes else ''}"
    )


if __name__ == "__main__":
    sys.exit(main())
