"""The one bar: what it sends to a terminal, a notebook and a log file, counted on a clock of its own."""

import io
import sys
from types import SimpleNamespace

import pytest

from workbench import progress


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Face:
    """Stands for tqdm in a notebook, and counts messages as a kernel with ipywidgets sends them."""

    sent = []

    def __init__(self, **options):
        self.options, self.n, self.start_t = options, options["initial"], 0.0
        self.sent += [clock.now] * 15

    def set_postfix_str(self, text, refresh):
        assert not refresh

    def update(self, n):
        self.n += n
        self.sent += [clock.now] * 3

    def close(self):
        self.sent += [clock.now] * 4


clock = Clock()


@pytest.fixture(autouse=True)
def a_clock(monkeypatch):
    clock.now = 1000.0
    monkeypatch.setattr(progress, "_clock", clock)
    monkeypatch.setattr(progress, "_budget", progress._Budget())


@pytest.fixture
def log(capsys):
    return lambda: capsys.readouterr().err.splitlines()


@pytest.fixture
def notebook(monkeypatch):
    shell = SimpleNamespace(kernel=None, execution_count=1)
    monkeypatch.setattr(progress, "_shell", lambda: shell)
    monkeypatch.setattr(progress, "notebook_bar", Face)
    monkeypatch.setattr(Face, "sent", [])
    return shell


def work(n, seconds, **options):
    for _ in progress.bar(range(n), **options):
        clock.now += seconds


def test_a_log_file_gets_a_line_a_minute_and_one_at_the_end(log):
    work(960, 0.25, name="training the writer", unit="steps")
    assert log() == [
        "training the writer: 240 of 960 steps, 3 min left",
        "training the writer: 480 of 960 steps, 2 min left",
        "training the writer: 720 of 960 steps, 60 s left",
        "training the writer: 960 of 960 steps in 4 min",
    ]


def test_a_log_file_hears_nothing_of_short_or_hidden_work(log):
    work(100, 0.09)
    work(1000, 1, shown=False)
    assert log() == []


def test_a_log_file_gets_figures_lines_and_no_end_of_what_broke(log):
    with pytest.raises(KeyError), progress.bar(name="reading", unit="rows") as bar:
        bar.note("3 words/s")
        clock.now += 61
        bar.update(2000)
        bar.say("a line")
        raise KeyError
    assert log() == ["reading: 2,000 rows, 3 words/s", "a line"]


def test_what_was_done_before_does_not_count_for_the_time_left(log):
    with progress.bar(total=300, done=100, name="x", unit="steps") as bar:
        clock.now += 60
        bar.update(100)
    assert log()[0] == "x: 200 of 300 steps, 60 s left"


@pytest.mark.parametrize("stream", [None, "closed", "full"])
def test_no_stderr_is_no_reason_to_stop(monkeypatch, stream):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    stderr = {None: None, "closed": io.StringIO(), "full": Full()}[stream]
    if stream == "closed":
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    work(100, 3)


def test_a_terminal_gets_a_bar(monkeypatch):
    stderr = io.StringIO()
    stderr.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stderr)
    work(50, 0.05, name="reading", unit="rows")
    said = stderr.getvalue()
    assert said.endswith("\n") and "reading" in said and "50/50" in said
    assert 15 < said.count("\r") < 40


@pytest.mark.parametrize(("hours", "bars"), [(0.05, 1), (0.2, 8), (1, 1), (1, 200), (10, 10), (10, 3000)])
def test_a_cell_of_a_notebook_sends_few_messages_however_long_it_runs(notebook, hours, bars):
    seconds, steps = 3600 * hours, 12000
    for _ in range(bars):
        work(steps // bars or 1, seconds / bars / (steps // bars or 1))
    assert clock.now - 1000 == pytest.approx(seconds)
    assert len(Face.sent) < min(900, 60 + seconds * 0.8)  # some 1,000 get lost
    assert len(Face.sent) > 60 or hours < 0.1  # and it moves


def test_bars_inside_bars_share_what_a_cell_may_send(notebook):
    for _ in progress.bar(range(30)):
        for _ in progress.bar(range(30)):
            work(30, 0.1)
    assert len(Face.sent) < 600


def test_a_notebook_shows_nothing_of_short_work_and_each_cell_begins_anew(notebook):
    work(100, 0.01)
    assert Face.sent == []
    for cell in range(2, 5):
        Face.sent.clear()
        notebook.execution_count = cell
        work(1000, 0.5)
        assert 100 < len(Face.sent) < 300


def test_a_bar_shows_how_far_work_is_at_its_end(notebook, monkeypatch):
    made = []
    monkeypatch.setattr(progress, "notebook_bar", lambda **options: made.append(Face(**options)) or made[-1])
    with progress.bar(total=500, done=100, name="x", unit="steps") as bar:
        for _ in range(400):
            clock.now += 0.1
            bar.update()
    assert [face.n for face in made] == [500]
    assert made[0].options == {"total": 500, "initial": 100, "desc": "x", "unit": " steps", "mininterval": 0, "miniters": 0}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1 h 30 min"), (90000, "25 h 0 min")],
)
def test_durations_are_said_in_words(seconds, said):
    assert progress.duration(seconds) == said
