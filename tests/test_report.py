import base64
import hashlib
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from workbench import report
from workbench.language.dsl import Code, Fillers, TemplateCount
from workbench.template import Slot, Template
from workbench.values import ArtifactError

EVIL = "<script>alert('gotcha')</script>"
VOID = {"meta", "img", "br", "input", "link", "hr"}


class Reader(HTMLParser):
    """Collects what a page holds and complains about tags that do not close each other."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words, self.headings = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)
            if self.open[-1] in ("h1", "h2", "h3"):
                self.headings.append((self.open[-1], data))

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def made_up_dsl(fillers=60):
    """Four codes: a subject, an artist whose name is code of another kind, function words, and one that nothing uses."""
    rng = np.random.default_rng(0)
    codes = np.arange(fillers) % 3
    vectors = (np.eye(8)[codes] + rng.normal(scale=0.1, size=(fillers, 8))).astype(np.float32)
    texts = tuple(f"word {i}" for i in range(fillers - 1)) + (EVIL,) * (fillers > 0)
    shares = np.full((5, 5), 1 / 3)
    shares[3] = 0
    shares[:, [3, 4]] = [0, 0]
    example = Template.build(["a ", Slot("subject", EVIL), ", by ", Slot("x < y", "Ada & Bob")])
    return SimpleNamespace(
        writer_=None,
        codes=(
            Code(0, "subject", 500, 0.5, ((EVIL, 300), ("old lighthouse", 200)), False),
            Code(1, "x < y", 300, 0.3, (("Ada & Bob", 300),), False),
            Code(2, "by", 200, 0.2, (("by", 200),), True),
            Code(3, "nobody", 0, 0.0, (), False),
        ),
        fillers=Fillers(texts, codes, np.ones(fillers, np.int64), vectors),
        transitions=shares.astype(np.float32),
        templates=(TemplateCount(example.skeleton, 12, (str(example),)),) * 12,
        segments=(TemplateCount("by <artist>", 40, ("by <artist:Claude Monet>",)),) * 3,
        stats={
            "prompts": 1234,
            "words": 5678,
            "units": 1000,
            "dead_codes": 1,
            "perplexity": 2.8,
            "seconds": {"corpus": 1.5, "encode": 20.25},
            "corpus": {
                "source": "my <prompts>.csv",
                "read": 1300,
                "kept": 1234,
                "changed": 7,
                "dropped": {"near duplicate": 60, "too short": 6, "empty": 0},
            },
            "encoder": "tiny",
            "v_measure": None,
        },
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    assert report.write(made_up_dsl(), path, title=f"About {EVIL}") == path
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text("utf-8")


def test_the_page_is_well_formed_and_has_its_headings_in_order(page):
    headings = Reader(page).headings
    assert [text for tag, text in headings if tag == "h1"] == [f"About {EVIL}"]
    assert [text for tag, text in headings if tag == "h2"] == [
        "Templates",
        "Codes",
        "Map of the language",
        "Usage and order",
        "Figures of the run",
    ]


def test_the_page_asks_for_nothing_from_outside(page):
    tags = Reader(page).tags
    frame = next(attributes["srcdoc"] for tag, attributes in tags if tag == "iframe")
    links = [
        attributes[name]
        for tag, attributes in tags + Reader(frame).tags
        for name in ("src", "href", "data", "action")
        if name in attributes
    ]
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert "@import" not in page and "url(" not in page
    policy = next(attributes["content"] for _, attributes in tags if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:; ")


def test_links_of_the_navigation_lead_to_sections(page):
    tags = Reader(page).tags
    ids = {attributes["id"] for tag, attributes in tags if tag == "section"}
    assert {attributes["href"] for tag, attributes in tags if tag == "a"} == {f"#{name}" for name in ids}


def test_text_of_prompts_is_never_html(page):
    reader = Reader(page)
    assert "script" not in [tag for tag, _ in reader.tags]
    assert reader.text.count("alert('gotcha')") >= 4  # title, heading, a chip, a filler
    frame = next(attributes["srcdoc"] for tag, attributes in reader.tags if tag == "iframe")
    assert [tag for tag, _ in Reader(frame).tags].count("script") == 2  # the data and the program of the map


def test_the_only_script_that_may_run_is_the_one_of_the_map(page):
    frame = next(attributes["srcdoc"] for tag, attributes in Reader(page).tags if tag == "iframe")
    program = re.search(r"<script>(.*?)</script>", frame, re.DOTALL)[1]
    allowed = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'\"" in page
    assert "unsafe-inline'; script-src" in page and "script-src 'unsafe-inline" not in page.split("<body>")[0]


def test_the_page_tells_what_was_dropped_and_why_and_what_it_took(page):
    text = Reader(page).text
    for said in (
        "Source of the prompts my <prompts>.csv",
        "Rows dropped 66: near duplicate 60, too short 6",
        "Dead codes 1",
        "2.8 of 4",
        "unknown: only the built-in corpus comes with labels",
        "21.8: corpus 1.5, encode 20.2",
    ):
        assert said.replace(" ", "") in text.replace(" ", "")
    assert "empty 0" not in text


def test_the_most_used_codes_have_chips_of_different_colours(tmp_path):
    dsl, names = made_up_dsl(fillers=3), ("subject", "action", "scene")  # the hashes of these names choose one colour
    dsl.codes = tuple(Code(number, name, 9 - number, 1 / 3, (), False) for number, name in enumerate(names))
    dsl.transitions = np.full((4, 4), 1 / 4, np.float32)
    example = Template.build(Slot(name, "x") for name in names)
    dsl.templates = dsl.segments = (TemplateCount(example.skeleton, 2, (str(example),)),)
    page = report.write(dsl, tmp_path / "r.html").read_text("utf-8")
    shown = re.findall('<span dir="auto" title="([^"]*)" style="background:(#......)', page)
    assert {name for name, _ in shown} == set(names) and len(set(shown)) == len({colour for _, colour in shown}) == 3


def test_templates_are_shown_with_chips_and_the_rarer_ones_folded_away(page):
    reader = Reader(page)
    assert "a <subject>, by <x < y> 12 prompts" in reader.text
    assert sum(tag == "span" and attributes.get("title") == "x < y" for tag, attributes in reader.tags) == 12
    assert "2 more" in reader.text and "40 segments" in reader.text


def test_each_code_has_its_name_share_and_fillers_and_a_dead_one_says_so(page):
    rows = re.findall(r'<tr><th scope="row"><bdi>.*?</tr>', page)
    said = [" ".join(Reader(row).text.split()) for row in rows]
    assert len(said) == 4
    assert "old lighthouse 200" in said[0] and "50.0% 500" in said[0]
    assert "function words" in said[2] and "function words" not in said[0]
    assert "unused" in said[3]


def test_every_picture_has_an_alt_text(page):
    pictures = [attributes for tag, attributes in Reader(page).tags if tag == "img"]
    assert len(pictures) == 3
    assert all(len(picture["alt"].split()) >= 6 for picture in pictures)
    assert all(attributes["title"] for tag, attributes in Reader(page).tags if tag == "iframe")


def test_function_words_are_not_on_the_map(page):
    frame = next(attributes["srcdoc"] for tag, attributes in Reader(page).tags if tag == "iframe")
    assert '"names":["subject","x \\u003c y"]' in frame
    assert "40 frequent fillers" in Reader(page).text


def test_too_few_fillers_for_a_map_leave_it_out_and_say_so(tmp_path):
    text = Reader(report.write(made_up_dsl(fillers=3), tmp_path / "r.html").read_text("utf-8")).text
    assert "There is no map: it needs 5 different fillers or more, 2 were found." in text


def test_v_measures_are_shown_where_the_truth_is_known(tmp_path):
    dsl = made_up_dsl(fillers=0)
    dsl.stats["v_measure"] = {"words": 0.6543, "open_slots": 0.7, "unseen": None}
    text = Reader(report.write(dsl, tmp_path / "r.html").read_text("utf-8")).text
    assert "all words0.654 of 1" in text and "open slots0.700 of 1" in text
    assert "never seen" not in text


def test_a_report_that_cannot_be_written_leaves_the_old_one_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(
        "workbench.artifacts.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(ArtifactError, match="The disk is full"):
        report.write(made_up_dsl(fillers=0), path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"] and path.read_text() == "old"


def test_the_summary_for_a_terminal_says_the_same(page):
    text = report.summary(made_up_dsl(), width=70)
    assert "50.0%   subject" in text and "20.0% * by" in text and "(unused)" in text
    assert "     12  a <subject>, by <x < y>" in text
    assert "66: near duplicate 60, too short 6" in text
    codes = text.split("\n\n")[0].split("\n")[1:]
    assert len(codes) == 4 and max(map(len, codes)) <= 70


def test_a_filler_cannot_steer_the_terminal():
    dsl = made_up_dsl()
    dsl.codes = (dsl.codes[0]._replace(fillers=(("red\x1b[31m\nbell\x07", 3),)),)
    assert "red▫[31m bell▫" in report.summary(dsl)
    assert "\x1b" not in report.summary(dsl)
