import itertools
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_encoder import write_bert

from workbench import __main__ as command
from workbench import corpus, site
from workbench.language.dsl import DeepDSL, fitting
from workbench.language.prior import TemplatePrior
from workbench.show.pages import report
from workbench.values import ModelError

THINGS = ("castle", "red boat", "old tower", "tin robot", "sleepy cat", "glass bird", "wooden horse", "snow hill")
MAKERS = ("oil on canvas", "ink on paper", "a marble statue", "a pencil sketch")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def prompts(tmp_path):
    pairs = itertools.product(THINGS, THINGS, MAKERS)
    lines = [f"{a} of the {b}, {how}, 8k" for a, b, how in pairs if a != b] + [
        "<script>alert(1)</script> of the castle, 8k",
        "hm",
    ]
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(lines))
    return path


def test_one_command_learns_saves_and_reports(prompts, tmp_path, capsys):
    encoder = write_bert(tmp_path / "bert")
    capsys.readouterr()
    options = ["--codes", "4", "--n", "120", "--encoder", str(encoder), "--writing", "none", "--no-progress"]
    code = command.main([str(prompts), *options])
    said = capsys.readouterr()
    assert code == 0, said.err
    announced, rest = said.out.split("prompts kept of", 1)
    assert "Reading at most 120 prompts of" in announced and "learning 4 codes" in announced
    assert f"{os.path.join('out', 'report.html')}" in announced and str(tmp_path / "cache") in announced
    assert "4 codes, most used first" in rest and "not in the sample" in rest
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "The grammar of 120 prompts" in page and "<script>alert" not in page
    dsl = DeepDSL.load(tmp_path / "out" / "dsl")
    assert len(dsl.codes) == 4 and dsl.stats["prompts"] == 120
    lines = rest.split("In Python:\n")[1].splitlines()
    reading = lines[:3]  # what follows is for a language that writes too
    scope = {}
    exec("\n".join(line.strip() for line in reading), scope)
    assert "oil" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, ["mine.csv"], "mine.csv"),
        ("", ["mine.csv"], "empty"),
        ("wide,high\nfour,five\n", ["mine.csv", "--column", "text"], "wide"),
        ("prompt\na red boat\na tin robot\nan old tower\n", ["mine.csv"], "different phrases"),
        ("prompt\na red boat\n", ["mine.csv", "--codes", "1"], "--codes must be an int of 2 or more, got 1"),
        ("prompt\na red boat\na tin robot\nan old tower\n", ["mine.csv"], "take fewer codes (--codes "),
        ("prompt\na red boat\n", ["mine.csv", "--n", "0"], "n=0: expected a number of prompts"),
        ("prompt\na red boat\n", ["mine.csv", "--out", "mine.csv"], "--out mine.csv: this is, or lies in, a file."),
        ("prompt\na red boat\n", ["mine.csv", "--out", "mine.csv/deep"], "Give the path of a folder."),
    ],
)
def test_bad_input_ends_in_a_message_and_exit_code_2(content, arguments, message, tmp_path, capsys):
    folder = write_bert(tmp_path / "bert")
    if content is not None:
        (tmp_path / "mine.csv").write_text(content)
    capsys.readouterr()
    assert command.main([*arguments, "--encoder", str(folder), "--no-progress"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said
    assert "Traceback" not in said


@pytest.mark.parametrize("error", [ModelError("no such encoder"), TypeError("no such kind"), OSError(13, "not allowed", "x")])
def test_errors_of_the_work_end_in_exit_code_2_too(error, prompts, monkeypatch, capsys):
    def fit(*_, **__):
        raise error

    monkeypatch.setattr(DeepDSL, "fit", fit)
    assert command.main([str(prompts), "--no-progress"]) == 2
    assert capsys.readouterr().err == f"error: {error}\n"


def test_ctrl_c_says_that_nothing_is_lost_and_how_to_go_on(prompts, cache, monkeypatch, capsys):
    def fit(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(DeepDSL, "fit", fit)
    assert command.main([str(prompts), "--no-progress"]) == 130
    said = capsys.readouterr().err
    assert "Nothing is lost" in said and "type the same command again" in said and str(cache) in said
    assert "Traceback" not in said


def test_a_mistake_in_the_program_is_not_taken_for_bad_input(prompts, monkeypatch):
    def fit(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(DeepDSL, "fit", fit)
    with pytest.raises(KeyError):
        command.main([str(prompts), "--no-progress"])


def test_arguments_reach_the_stages(prompts, monkeypatch):
    seen = {}

    def fit(corpus, config, encoder, progress, codes):
        seen.update(n=len(corpus), k=config.codebook.n_codes, seed=config.seed, encoder=encoder, progress=progress, codes=codes)
        raise KeyboardInterrupt

    monkeypatch.setattr(DeepDSL, "fit", fit)
    options = [str(prompts), "--n", "50", "--no-progress"]
    command.main([*options, "--codes", "16", "--seed", "7", "--encoder", "some/model"])
    assert seen == {"n": 50, "k": 16, "seed": 7, "encoder": "some/model", "progress": False, "codes": "lexicon"}
    for more, k, codes in (([], 48, "lexicon"), (["--no-lexicon"], 32, None), (["--no-lexicon", "--codes", "8"], 8, None)):
        command.main([*options, *more])
        assert (seen["k"], seen["codes"]) == (k, codes)


def test_the_seed_of_the_command_is_that_of_the_prior_too(prompts, tmp_path, monkeypatch):
    seen = []

    def fit(prior, templates, progress, seed):
        seen.append(seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(TemplatePrior, "fit", fit)
    options = ["--codes", "4", "--n", "60", "--encoder", str(write_bert(tmp_path / "bert")), "--no-progress"]
    for given in (7, -1):
        assert command.main([str(prompts), *options, "--seed", str(given)]) == 130
    assert seen == [7, 2**61 - 2]


def test_a_tilde_in_the_folder_to_write_to_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for parser in (command._parser(), command._site_parser()):
        assert parser.parse_args(["--out=~/x"]).out == tmp_path / "x"
        with pytest.raises(SystemExit):
            parser.parse_args(["--out="])


def test_the_module_runs_as_a_command():
    asked = subprocess.run([sys.executable, "-m", "workbench", "nowhere.txt"], capture_output=True, text=True, env=_env())
    assert asked.returncode == 2
    assert "error: " in asked.stderr and "nowhere.txt" in asked.stderr and "Traceback" not in asked.stderr
    assert asked.stdout == ""  # no plan for a file that is not there


@pytest.mark.parametrize("arguments", [["mine.txt", "--colum", "text"], ["--writ", "none"], ["site", "--tit", "Mine"]])
def test_half_a_name_of_an_option_is_not_taken_for_it(prompts, arguments, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2 and f"unrecognized arguments: {arguments[-2]}" in capsys.readouterr().err


def test_the_script_is_called_by_its_name_in_its_help(monkeypatch):
    assert command._parser().prog == "python -m workbench"
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/deep-dsl", "--help"])
    assert command._parser().prog == "deep-dsl" and command._site_parser().prog == "deep-dsl site"


def test_site_writes_pages_of_a_saved_language(prompts, tmp_path, monkeypatch, capsys):
    seen = {}

    def write(dsl, folder, prompts, *, title, address, n):
        seen.update(dsl=dsl, folder=folder, prompts=sorted(prompts), title=title, address=address, n=n)
        return (tmp_path / folder / "index.html").resolve()

    dsl = SimpleNamespace(codes=(1, 2, 3))
    monkeypatch.setattr(DeepDSL, "load", lambda folder: seen.update(loaded=folder) or dsl)
    monkeypatch.setattr(site, "write", write)
    address = "https://me.github.io/codes"
    options = ["--prompts", str(prompts), "--n", "5", "--title", "Mine", "--address", address, "--no-progress"]
    assert command.main(["site", "out/dsl", *options]) == 0
    said = capsys.readouterr().out
    assert "3 codes, a page and a badge for each." in said and (tmp_path / "out/site/index.html").resolve().as_uri() in said
    assert len(seen.pop("prompts")) == 5
    folder = Path("out", "site")
    assert seen == {"loaded": "out/dsl", "dsl": dsl, "folder": folder, "title": "Mine", "address": address, "n": 5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no such folder"),
        (["--out", "mine.txt"], "it is a file"),
        (["--out", "."], "it holds mine.txt"),
        (["--n", "0"], "n, how many prompts are read"),
        (["--address", "here"], "address is where the site will be"),
        (["--prompts", "nothing.csv"], "nothing.csv"),
    ],
)
def test_site_says_what_it_cannot_use_before_the_work(prompts, arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(site, "write", None)
    assert command.main(["site", *arguments, "--no-progress"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said


def test_ctrl_c_while_pages_are_written_says_that_nothing_changed(monkeypatch, capsys):
    def load(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(DeepDSL, "load", load)
    assert command.main(["site"]) == 130
    assert "No page was written" in capsys.readouterr().err


def test_help_needs_no_torch():
    helps = "m._parser().format_help(); m._site_parser().format_help()"
    line = f"import sys, workbench.__main__ as m; {helps}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], env=_env()).returncode == 0


def _env():
    """The environment with the package in reach, whatever the folder."""
    return {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(command.__file__))}


class Language:
    """Stands for a fitted language: what it was asked for, and whether it writes."""

    def __init__(self, config, encoder="the encoder"):
        self.stats, self.encoder = {"seconds": {"encode": 2.0, "tag all": 1.0}}, encoder
        self.writer_ = config.writer

    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("writes" if self.writer_ else "reads")


@pytest.fixture
def steps(monkeypatch):
    """Fits and reports that take no time: list of (what, whether it writes)."""
    done = []

    def fit(corpus, config, encoder, progress, codes):
        done.append(("fit", config.writer is not None, encoder))
        return Language(config)

    def write(dsl, page, title, note=None, mapped=True):
        done.append(("report" if mapped else "page", dsl.writer_ is not None, dict(dsl.stats["seconds"])))
        page.write_text(note or "complete")

    monkeypatch.setattr(DeepDSL, "fit", fit)
    monkeypatch.setattr(report, "write", write)
    monkeypatch.setattr(report, "summary", lambda dsl, width: "a summary")
    monkeypatch.setattr(report, "samples", lambda dsl, width: "six samples")
    return done


def test_the_report_is_written_after_reading_and_completed_after_writing(prompts, steps, capsys):
    assert command.main([str(prompts), "--no-progress"]) == 0
    kinds = [(what, writes) for what, writes, _ in steps]
    assert kinds == [("fit", False), ("page", False), ("report", False), ("fit", True), ("report", True)]
    assert steps[3][2] == "the encoder"  # that of the first part: it is loaded once
    assert steps[4][2]["encode"] == 4.0 and steps[4][2]["tag all"] == 2.0  # seconds of both parts
    said = capsys.readouterr().out
    order = ("a summary", "shows what was read", "map is there", "six samples", "Done in")
    assert [said.index(words) for words in order] == sorted(said.index(words) for words in order)
    assert Path("out/report.html").read_text() == "complete" and Path("out/dsl/config.json").read_text() == "writes"


def test_a_language_that_only_reads_is_learned_once(prompts, steps):
    assert command.main([str(prompts), "--writing", "none", "--no-progress"]) == 0
    assert [(what, writes) for what, writes, _ in steps] == [("fit", False), ("page", False), ("report", False)]


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (ValueError("a fault"), 2), (OSError(28, "full"), 2)])
def test_a_stop_while_writing_is_learned_leaves_the_report_and_a_language_that_reads(
    prompts, steps, monkeypatch, capsys, error, code
):
    fit = DeepDSL.fit

    def stops(corpus, config, encoder, progress, codes):
        if config.writer is not None:
            raise error
        return fit(corpus, config, encoder, progress, codes)

    monkeypatch.setattr(DeepDSL, "fit", stops)
    assert command.main([str(prompts), "--no-progress"]) == code
    said = capsys.readouterr().err
    assert (
        "once the language has learned" in Path("out/report.html").read_text()
        and Path("out/dsl/config.json").read_text() == "reads"
    )
    if code == 130:
        assert "hold a language that reads" in said and "type the same command again" in said
    else:
        assert said.count("\n") == 1 and said.startswith("error: ")


@pytest.mark.parametrize("stage", ["load", "fit", "save", "write"])
def test_ctrl_c_at_any_stage_ends_in_130(prompts, steps, monkeypatch, capsys, stage):
    def stops(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)

    owners = {"load": corpus, "fit": DeepDSL, "save": Language, "write": report}
    monkeypatch.setattr(owners[stage], stage, stops)
    assert command.main([str(prompts), "--no-progress"]) == 130
    assert "Nothing is lost" in capsys.readouterr().err


def test_warnings_are_one_line_each_and_said_once(prompts, steps, monkeypatch, capsys):
    fit = DeepDSL.fit

    def warns(*args, **options):
        warnings.warn("few prompts:\n  226", stacklevel=2)
        warnings.warn("old", DeprecationWarning, stacklevel=2)
        return fit(*args, **options)

    monkeypatch.setattr(DeepDSL, "fit", warns)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert command.main([str(prompts), "--no-progress"]) == 0
    assert capsys.readouterr().err == "warning: few prompts: 226\n"


def test_the_cost_of_a_large_pile_is_measured_before_the_work(steps, monkeypatch, capsys):
    encoder = object()
    monkeypatch.setattr(fitting, "load_reader", lambda name: encoder)
    monkeypatch.setattr(
        "workbench.language.dsl.cost.cost", lambda prompts, config, encoder: (80.0, 300.0 if config.writer else 0.0)
    )
    monkeypatch.setattr(corpus, "load", lambda *_, **__: Pile())
    assert command.main(["--no-progress"]) == 0
    assert command.main(["--no-progress", "--writing", "none"]) == 0
    said = capsys.readouterr().out
    assert "Measured here: encoding about 80 s, learning to write at most 5 min; the codes" in said
    assert "Measured here: encoding about 80 s; the codes" in said
    assert steps[0][2] is encoder


class Pile(list):
    """1,000 prompts."""

    def __init__(self):
        super().__init__(["a castle"] * 1000)
        self.report = SimpleNamespace(read=1000)


def test_a_closed_output_stops_the_command_without_a_traceback(prompts):
    line = "import sys, workbench.__main__ as m; m._run = lambda options: print('x' * 99999); sys.exit(m.main([]))"
    with subprocess.Popen([sys.executable, "-c", line], stdout=-1, stderr=-1, text=True, env=_env()) as work:
        work.stdout.close()
        said = work.stderr.read()
    assert work.returncode == 141
    assert "The output was closed. Stopped. Nothing is lost" in said and "Traceback" not in said and "ignored" not in said


@pytest.mark.parametrize(("flags", "kept"), [([], 1), (["--keep-near-duplicates"], 12)])
def test_a_pile_of_near_duplicates_is_said_in_a_line_and_kept_by_a_flag(steps, tmp_path, capsys, flags, kept):
    tail = "in a quiet garden at dawn, soft light, fine grain, oil on canvas, warm colours, calm mood, wide view"
    (tmp_path / "alike.txt").write_text("\n".join(f"a {animal} {tail}" for animal in "abcdefghijkl"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert command.main(["alike.txt", "--no-progress", *flags]) == 0
    said = capsys.readouterr()
    assert f"{kept} prompt{'s' * (kept > 1)} kept of 12 rows read" in said.out
    assert kept > 1 or "--keep-near-duplicates keeps them" in said.err
    assert said.err.count("\n") == (kept == 1) and said.err.startswith("warning: " if kept == 1 else "")
