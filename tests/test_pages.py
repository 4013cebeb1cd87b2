import base64
import hashlib
import html
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from types import SimpleNamespace

import browser_server
import numpy as np
import pytest
from tiny_encoder import write_bert

from tools import outside
from workbench import corpus as corpora
from workbench import report, site
from workbench.language.codebook import CodebookConfig
from workbench.language.dsl import Code, DeepDSL, DSLConfig, Fillers, TemplateCount
from workbench.models import load_encoder
from workbench.show.pages import code_page, language_map, occurrences
from workbench.show.pages.code_facts import file_names
from workbench.show.rendering import percent
from workbench.template import Slot, Template
from workbench.values import ArtifactError, Unit

EVIL = "</script><script>alert('x')</script><img src=x onerror=\"alert(1)\">"
EVIL_FILE = "script-script-alert-x-script-img-src-x-onerror-alert-1"
VOID = {"meta", "img", "br", "input", "link", "hr"}
HEADINGS = ("h1", "h2", "h3", "h4")


class Reader(HTMLParser):
    """Collects what a page holds and complains about tags that do not close each other."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words, self.headings, self.programs, self.data = [], [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            (self.data if self.tags[-1][1].get("type") else self.programs).append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)
            if self.open and self.open[-1] in HEADINGS:
                self.headings.append((self.open[-1], data))

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def found(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


PHRASES = {"a": 2, "by": 2, "red castle": 0, "old boat": 0, EVIL: 0, "Ada & Bob": 1, "Eve": 1}


class Toy:
    """A language of seven phrases and four codes that reads by looking them up; what its pages say is known.

    The fillers of codes 0 and 1 point alike, those of function words elsewhere; "a" and "by" are function words.
    """

    def __init__(self):
        self.codes = (
            Code(0, EVIL, 50, 0.5, ((EVIL, 30), ("red castle", 20)), False),
            Code(1, "x < y", 30, 0.3, (("Ada & Bob", 30),), False),
            Code(2, "a", 20, 0.2, (("a", 20),), True),
            Code(3, "nobody", 0, 0.0, (), False),
        )
        rng = np.random.default_rng(0)
        codes = np.arange(60) % 3
        means = np.array([[1, 0, 0, 0.1], [1, 0.2, 0, 0], [0, 0, 1, 0]])
        vectors = (means[codes] + rng.normal(scale=0.01, size=(60, 4))).astype(np.float32)
        texts = (EVIL, *(f"word {i}" for i in range(1, 60)))
        self.fillers = Fillers(texts, codes, np.arange(60, 0, -1), vectors)
        shares = np.zeros((5, 5), np.float32)
        shares[2, 0], shares[2, 1] = 0.75, 0.25  # 15 times a -> 0, 5 times a -> 1
        shares[0, 1], shares[0, 4] = 0.5, 0.5  # 25 times 0 -> 1
        shares[1, 4], shares[4, 2], shares[4, 0] = 1, 0.6, 0.4
        self.transitions = shares
        example = Template.build(["a ", Slot(EVIL, "red castle"), ", by ", Slot("x < y", "Ada & Bob")])
        part = Template.build(["by ", Slot("x < y", "Eve")])
        self.templates = (TemplateCount(example.skeleton, 12, (str(example),)),)
        self.segments = (TemplateCount(part.skeleton, 40, (str(part),)), TemplateCount("by <artist>", 3, ("by <artist:Monet>",)))
        self.stats = {"prompts": 25, "units": 100, "corpus": {"source": f"my {EVIL}.csv"}}

    def tag(self, texts):
        return [[Unit(text[a:b], a, b, code, self.codes[code].name) for a, b, code in _found(text)] for text in texts]

    def read(self, texts):
        out = []
        for text in texts:
            parts, at = [], 0
            for start, end, code in _found(text):
                if not self.codes[code].literal:
                    parts += [text[at:start], Slot(self.codes[code].name, text[start:end], code=code)]
                    at = end
            out.append(Template.build([*parts, text[at:]]))
        return out


def _found(text):
    pattern = "|".join(rf"(?<!\w){re.escape(phrase)}(?!\w)" for phrase in sorted(PHRASES, key=len, reverse=True))
    return [(found.start(), found.end(), PHRASES[found[0]]) for found in re.finditer(pattern, text)]


PROMPTS = [
    "a red castle, by Ada & Bob",
    "a red castle, by Eve",
    f"a {EVIL} of a red castle",
    "old boat, by Eve",
    "nothing here",
]


def placed(vectors, *, seed):
    """As `atlas.fit`, which has tests of its own, without its seconds."""
    return SimpleNamespace(xy=vectors[:, :2], trustworthiness=0.9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language_map.atlas, "fit", placed)
        return site.write(Toy(), tmp_path_factory.mktemp("deep") / "er" / "site", PROMPTS, title=f"About {EVIL}").parent


@pytest.fixture(scope="module")
def pages(folder):
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.html")}


@pytest.fixture
def flat(monkeypatch):
    """No map, which takes most of the time."""
    monkeypatch.setattr(language_map, "chart", lambda dsl: None)


def section(page, name):
    return Reader(re.search(f'<section id="{name}".*?</section>', page, re.DOTALL)[0])


# ---- the folder as a whole --------------------------------------------------------------------------------------------------


def crawl(folder):
    """All pages and files that links lead to, from the index on; fails on a link that leads nowhere."""
    seen, waiting = set(), [(folder / "index.html").resolve()]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.suffix != ".html":
            continue
        reader = Reader(path.read_text("utf-8"))
        ids = {attributes["id"] for _, attributes in reader.tags if "id" in attributes}
        for _, attributes in reader.tags:
            for link in filter(None, (attributes.get("href"), attributes.get("action"))):
                if link == "data:,":
                    continue
                target, _, place = link.partition("#")
                assert not place or place in ids, f"{path}: {link}"
                if target:
                    assert re.fullmatch(r"(\.\./)?([a-z]+/)?[a-z0-9-]+\.(html|svg)", target), link
                    found = (path.parent / target).resolve()
                    assert found.is_file() and found.is_relative_to(folder.resolve()), f"{path}: {link}"
                    waiting.append(found)
    return {path.relative_to(folder.resolve()).as_posix() for path in seen}


def test_every_link_leads_somewhere_and_every_file_is_linked(folder):
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert crawl(folder) == there - {site.MARKER}
    assert len([name for name in there if name.startswith("codes/")]) == 4


def test_no_page_asks_for_anything_from_outside(pages):
    for page in pages.values():
        reader = Reader(page)
        assert not [tag for tag, _ in reader.tags if tag in ("img", "iframe", "object", "embed", "base", "use", "image")]
        assert all("src" not in attributes and "style" not in attributes.get("rel", "") for _, attributes in reader.tags)
        style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1]
        assert "url(" not in style and "@import" not in style and "@font-face" not in style
        outside = re.findall(r"https?://[^\s\"<]+", page)
        assert set(outside) <= {"http://www.w3.org/2000/svg"}
        policy = next(attributes["content"] for attributes in reader.found("meta") if attributes.get("http-equiv"))
        assert policy.startswith("default-src 'none'; base-uri 'none'; img-src data:; ")


def test_the_one_script_that_may_run_is_the_one_of_the_page(pages):
    for page in pages.values():
        (program,) = Reader(page).programs
        allowed = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
        assert f"script-src 'sha256-{allowed}'\"" in page


def test_texts_are_never_html(pages):
    assert len(pages) == 5
    for name, page in pages.items():
        reader = Reader(page)
        assert len(reader.found("script")) == (2 if name == "index.html" else 1)
        assert not any(key.startswith("on") for _, attributes in reader.tags for key in attributes)
        assert "About </script><script>alert('x')" in reader.text
    data = json.loads(Reader(pages["index.html"]).data[0])
    assert data[0]["name"].startswith("</script><script>") and data[0]["fillers"][0].startswith("</script><script>")


def test_pages_have_a_language_landmarks_headings_in_order_and_labels(pages):
    for page in pages.values():
        reader = Reader(page)
        (root,) = reader.found("html")
        assert root["lang"] == "en"
        levels = [HEADINGS.index(tag) for tag, _ in reader.tags if tag in HEADINGS]
        assert levels[0] == 0 and levels.count(0) == 1
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
        assert len(reader.found("main")) == len(reader.found("header")) == len(reader.found("footer")) == 1
        assert reader.found("a")[0] == {"class": "skip", "href": "#main"}
        ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert all(attributes["aria-labelledby"] in ids for attributes in reader.found("section"))
        assert all(attributes["aria-label"] for attributes in reader.found("nav") + reader.found("svg"))
        assert {attributes["id"] for attributes in reader.found("input")} == {a["for"] for a in reader.found("label")}


def luminance(colour):
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("night", [False, True])
def test_text_stands_out_by_day_and_by_night(pages, night):
    style = re.search("<style>(.*?)</style>", pages["index.html"], re.DOTALL)[1]
    day, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", day + (dark if night else "")))
    assert (colours["ink"] == "#e8eaed") is night
    inks = [(ink, ground) for ink in ("ink", "faint", "accent") for ground in ("paper", "panel", "soft")] + [("on-mark", "mark")]
    for ink, ground in inks:
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["edge"], colours["panel"]) >= 3  # of fields and buttons


# ---- what a page says -------------------------------------------------------------------------------------------------------


def test_the_index_lists_codes_by_use_with_share_and_fillers(pages):
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', pages["index.html"], re.DOTALL)
    said = [" ".join(Reader(row).text.split()) for row in rows]
    assert [re.search(r"\d+\.\d %", row)[0] for row in said] == ["50.0 %", "30.0 %", "20.0 %", "0.0 %"]
    assert "red castle 20" in said[0] and "x < y" in said[1] and "function words" in said[2] and "unused" in said[3]
    assert "25 prompts of my </script>" in Reader(pages["index.html"]).text


def test_the_map_leads_to_pages_and_leaves_function_words_out(pages):
    drawn = section(pages["index.html"], "map")
    assert "39 frequent fillers" in drawn.text  # of 40: one occurs twice only
    # the names on it, and its legend
    assert [attributes["href"] for attributes in drawn.found("a")] == [f"codes/{name}.html" for name in (EVIL_FILE, "x-y")] * 2
    marks = [attributes["class"] for attributes in drawn.found("i")]
    assert marks == ["dot m0 k0", "dot m0 k1"] and [a["class"] for a in drawn.found("path")] == ["dots m0 k0", "dots m0 k1"]
    assert sum(attributes["d"].count("h0") for attributes in drawn.found("path")) > 30
    near = section(pages["codes/x-y.html"], "near")
    assert "x < y" in near.text and [a["class"] for a in near.found("path")] == ["dots m0 rest", "dots m0 k1 this"]
    assert "function words are left out" in section(pages["codes/a.html"], "near").text


def test_a_page_shows_prompts_with_the_slot_marked(pages):
    shown = section(pages["codes/x-y.html"], "examples")
    assert "3 of the 5 prompts that were given hold this code." in shown.text
    marks = re.findall("<mark>(.*?)</mark>", pages["codes/x-y.html"].split('id="examples"')[1].split("</section>")[0])
    # fillers not shown yet come first
    assert marks == ["Ada &amp; Bob", "Eve", "Eve"]
    subjects = pages[f"codes/{EVIL_FILE}.html"].split('id="examples"')[1].split("</section>")[0]
    assert [Reader(mark).text for mark in re.findall("<mark>.*?</mark>", subjects)] == [
        "red castle",
        EVIL,  # both slots of one prompt
        "red castle",
        "old boat",
        "red castle",
    ]


def test_a_page_shows_function_words_where_they_stand(pages):
    page = pages["codes/a.html"]
    marks = re.findall("<mark>(.*?)</mark>", page.split('id="examples"')[1].split("</section>")[0])
    assert set(marks) == {"a", "by"}
    shapes = section(page, "segments").text
    assert "by x < y 3 times" in shapes


def test_segments_are_counted_and_lead_to_the_other_codes(pages):
    shapes = section(pages["codes/x-y.html"], "segments")
    assert "by x < y 3 times" in shapes.text and "in 5 prompts that were given" in shapes.text
    mixed = section(pages["codes/a.html"], "segments")
    assert {attributes["href"] for attributes in mixed.found("a")} == {f"{name}.html" for name in (EVIL_FILE, "x-y")}


def test_before_and_after_are_shares_of_the_uses_of_a_code(pages):
    steps = section(pages["codes/x-y.html"], "order")
    before, after = steps.text.split("What comes after")
    # 25 times after code 0, 5 times after "a"
    assert "83.3 %" in before and "a16.7 %" in before.replace(" 16", "16") and before.index("83.3") < before.index("16.7")
    assert "end of the prompt100.0 %" in after
    first = section(pages["codes/a.html"], "order").text
    assert "start of the prompt100.0 %" in first


def test_the_nearest_codes_are_those_whose_fillers_point_alike(pages):
    near = section(pages[f"codes/{EVIL_FILE}.html"], "near")
    first, second = re.findall(r"<li>.*?</li>", pages[f"codes/{EVIL_FILE}.html"].split('id="near"')[1])[:2]
    assert "x-y.html" in first and "a.html" in second
    cosine = [float(number) for number in re.findall(r"<small>(-?\d\.\d\d)</small>", first + second)]
    assert cosine[0] == pytest.approx((1 / np.sqrt(1.01 * 1.04)), abs=0.02) and abs(cosine[1]) < 0.1
    assert "Without fillers" in section(pages["codes/nobody.html"], "near").text and near.found("svg")


def test_codes_are_turned_over_like_leaves_by_use(pages):
    links = [a for a in Reader(pages["codes/x-y.html"]).found("a") if "rel" in a]
    assert [(a["rel"], a["href"]) for a in links] == [("prev", f"{EVIL_FILE}.html"), ("next", "a.html")]


def test_a_long_list_of_fillers_is_cut_and_says_so(flat, tmp_path):
    dsl = Toy()
    n = 700
    dsl.fillers = Fillers(tuple(f"f{i}" for i in range(n)), np.zeros(n, int), np.arange(n), np.ones((n, 4), np.float32))
    page = (site.write(dsl, tmp_path / "site", PROMPTS).parent / f"codes/{EVIL_FILE}.html").read_text("utf-8")
    said = section(page, "fillers").text
    assert "700 frequent fillers" in said and "The 150 most frequent of 700 are shown." in said
    assert "f699 699" in said and "f550 550" in said and "f549" not in said


def test_long_prompts_are_shown_around_the_slot(flat, tmp_path):
    long = f"{'left ' * 2000}red castle{' right' * 2000}"
    page = (site.write(Toy(), tmp_path / "site", [long]).parent / f"codes/{EVIL_FILE}.html").read_text("utf-8")
    said = section(page, "examples").text
    assert len(said) < 1000 and "left red castle right" in said and said.count("…") == 2


def test_of_many_prompts_some_are_read_evenly_spaced(flat, tmp_path):
    dsl, seen = Toy(), []
    read = dsl.read
    dsl.read = lambda texts: seen.extend(texts) or read(texts)
    index = site.write(dsl, tmp_path / "site", [f"a red castle {i}" for i in range(101)], n=3)
    assert seen == [f"a red castle {i}" for i in (0, 50, 100)]
    assert "3 of the 3 prompts out of the 101 given hold this code." in (index.parent / "codes/a.html").read_text("utf-8")


def test_without_prompts_the_examples_are_those_that_the_language_keeps():
    seen, source = occurrences.look(Toy(), None, 300)
    assert source == "3 prompts and segments that this language keeps as examples"
    assert [example.text for example in seen[1].examples] == ["a red castle, by Ada & Bob", "by Eve"]
    assert [(found.template.skeleton, found.count) for found in seen[1].segments] == [("by <x < y>", 40)]
    assert 2 not in seen


# ---- names, badges, sizes ---------------------------------------------------------------------------------------------------


def test_file_names_are_plain_and_never_the_same():
    names = ["Quality!", "quality", "quality-2", "", "写真", "Größe", "con", "../../etc/passwd", "a" * 300, "<b>"]
    given = file_names([SimpleNamespace(id=i, name=name) for i, name in enumerate(names)])
    assert list(given.values()) == [
        "quality",
        "quality-2",
        "quality-2-2",
        "code-3",
        "code-4",
        "groe",
        "code-6",
        "etc-passwd",
        "a" * 60,
        "b",
    ]


@pytest.mark.parametrize("name", ["subject", EVIL, "写真 📷", "bell\x07 \x00 \ud83d", "", "w" * 300, 'a <b> & "c"'])
def test_a_badge_is_xml_that_says_the_name_and_stands_out(name):
    drawn = code_page.badge(SimpleNamespace(name=name, usage=0.103))
    root = ElementTree.fromstring(drawn)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert len(texts) == 2 and texts[1] == "10.3 % of phrases" and len(texts[0]) <= 40
    assert name not in ("subject", "写真 📷") or texts[0] == name
    assert root.get("role") == "img" and root.get("aria-label") == f"{texts[0]}: {texts[1]}"
    grounds = [path.get("fill") for path in root.iter("{http://www.w3.org/2000/svg}path")]
    inks = [text.get("fill") for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(contrast(ink, ground) >= 7 for ink, ground in zip(inks, grounds, strict=True))


def test_the_markdown_of_a_badge_can_be_pasted(flat, folder, pages, tmp_path):
    shown = html.unescape(re.search('<pre id="markdown">(.*?)</pre>', pages["codes/x-y.html"], re.DOTALL)[1])
    assert shown == r"[![x \< y: 30.0 % of phrases](badges/x-y.svg)](codes/x-y.html)"
    assert (folder / "badges" / "x-y.svg").read_text("utf-8").strip() in pages["codes/x-y.html"]
    there = site.write(Toy(), tmp_path / "site", PROMPTS, address="https://me.github.io/codes/").parent
    page = (there / "codes" / "x-y.html").read_text("utf-8")
    assert "(https://me.github.io/codes/badges/x-y.svg)](https://me.github.io/codes/codes/x-y.html)" in page


def test_shares_are_said_in_words():
    assert [percent(share) for share in (0, 0.0001, 0.001, 0.1234, 1)] == ["0.0 %", "< 0.1 %", "0.1 %", "12.3 %", "100.0 %"]


def big(k=250, n=4000):
    """A language with many codes and long fillers full of signs that take room in HTML."""
    rng = np.random.default_rng(0)
    long = [f"{i} {'<&>' * 200}" for i in range(n)]
    codes = tuple(Code(i, f"code {i} {long[i]}", k - i, 1 / k, tuple((text, 3) for text in long[:12]), False) for i in range(k))
    fillers = Fillers(tuple(long), np.arange(n) % k, np.ones(n, int), rng.normal(size=(n, 4)).astype(np.float32))
    template = Template.build([Slot(codes[0].name, long[0]), ", ", Slot(codes[1].name, long[1])])
    return SimpleNamespace(
        codes=codes,
        fillers=fillers,
        transitions=np.full((k + 1, k + 1), 1 / (k + 1), np.float32),
        templates=(TemplateCount(template.skeleton, 2, (str(template),)),),
        segments=(),
        stats={"prompts": 10, "units": 10, "corpus": None},
    )


def test_no_page_of_a_big_language_has_more_than_300_kb(tmp_path, monkeypatch):
    monkeypatch.setattr(language_map.atlas, "fit", placed)
    folder = site.write(big(), tmp_path / "site").parent
    sizes = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert max(size for name, size in sizes.items() if name != site.MARKER) < 300_000
    assert {"index.html", "index-2.html", "index-3.html", "index-4.html"} <= set(sizes) and "index-5.html" not in sizes
    assert len(crawl(folder)) == 250 * 2 + 4
    first = (folder / "index.html").read_text("utf-8")
    said = re.search("Searches 250 names of codes and the ([0-9,]+) most frequent of ([0-9,]+) fillers", Reader(first).text)
    given = sum(len(row["fillers"]) for row in json.loads(Reader(first).data[0]))
    assert int(said[1].replace(",", "")) == given > 0


# ---- the folder and what may stand in the way -------------------------------------------------------------------------------


def test_an_earlier_site_is_replaced_whole(flat, tmp_path):
    folder = site.write(Toy(), tmp_path / "site", PROMPTS).parent
    (folder / ".DS_Store").write_text("made by a system")
    dsl = Toy()
    dsl.codes = tuple(code._replace(name=f"new {code.id}") for code in dsl.codes)
    site.write(dsl, folder, [])
    assert sorted(path.name for path in (folder / "codes").iterdir()) == [f"new-{i}.html" for i in range(4)]
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_folder_of_others_is_refused_before_the_work(tmp_path):
    dsl = SimpleNamespace()  # has nothing that could be read
    mine = tmp_path / "mine"
    mine.mkdir()
    for number in range(5):
        (mine / f"thesis-{number}.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match=r"it holds thesis-\d.txt, .* and more, which no earlier site put there"):
        site.write(dsl, mine)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="it is a file. Give the path of a folder."):
        site.write(dsl, tmp_path / "file")
    with pytest.raises(ArtifactError, match="Cannot write .*Give another folder"):
        site.write(dsl, tmp_path / "file" / "site")
    assert len(list(mine.iterdir())) == 5 and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("spoilt", ["a file more", "no marker", "a broken marker", "another marker"])
def test_a_site_that_somebody_worked_in_is_left_alone(flat, tmp_path, spoilt):
    folder = site.write(Toy(), tmp_path / "site", PROMPTS).parent
    marker = folder / site.MARKER
    if spoilt == "a file more":
        (folder / "codes" / "notes.txt").write_text("mine")
    elif spoilt == "no marker":
        marker.unlink()
    else:
        marker.write_text("{" if spoilt == "a broken marker" else '{"kind": "album"}')
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ArtifactError, match="codes/notes.txt" if spoilt == "a file more" else "Nothing was changed"):
        site.write(Toy(), folder, PROMPTS)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_empty_folder_is_taken_and_a_link_stays_one(flat, tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    index = site.write(Toy(), tmp_path / "link", PROMPTS)
    assert index == tmp_path.resolve() / "real" / "index.html" and (tmp_path / "link").is_symlink()
    site.write(Toy(), tmp_path / "link", PROMPTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_site_that_cannot_be_written_leaves_the_earlier_one(flat, tmp_path, monkeypatch, error):
    folder = site.write(Toy(), tmp_path / "site", PROMPTS).parent
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    calls, replace = [], os.replace

    def full(*paths):
        calls.append(paths)
        if len(calls) > 5:
            raise error
        replace(*paths)

    monkeypatch.setattr("workbench.files.os.replace", full)
    with pytest.raises(ArtifactError if isinstance(error, OSError) else KeyboardInterrupt):
        site.write(Toy(), folder, PROMPTS)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_an_exchange_that_fails_puts_the_earlier_site_back(flat, tmp_path, monkeypatch):
    folder, rename = site.write(Toy(), tmp_path / "site", PROMPTS).parent, os.replace

    def broken(a, b):
        if str(a).endswith(".part"):
            raise OSError(5, "Input/output error")
        rename(a, b)

    monkeypatch.setattr("workbench.files.os.replace", broken)
    with pytest.raises(ArtifactError, match="Cannot write .*site: Input/output"):
        site.write(Toy(), folder, [])
    assert "red castle" in (folder / "codes" / "a.html").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n, how many prompts are read, must be an int of 1 or more, got 0"),
        ({"n": True}, ValueError, "got True"),
        ({"address": "me.github.io"}, ValueError, 'such as "https://me.github.io/codes", got'),
        ({"address": 'https://x"onload="y'}, ValueError, "address is where the site will be"),
        ({"prompts": "prompts.txt"}, TypeError, "For a file: corpus.load"),
        ({"prompts": {"a"}}, TypeError, "got set"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_left(flat, tmp_path, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        site.write(Toy(), tmp_path / "site", **options)
    assert list(tmp_path.iterdir()) == []


# ---- with a learned language and in a browser -------------------------------------------------------------------------------


def test_a_freshly_learned_language_gets_its_pages(flat, tmp_path):
    encoder = load_encoder(write_bert(tmp_path / "bert"), layer=3, device="cpu")
    config = DSLConfig(codebook=CodebookConfig(n_codes=8, epochs=2), writer=None)
    prompts = corpora.load("world", n=200, seed=0, progress=False)
    dsl = DeepDSL.fit(prompts, config, encoder, folder=tmp_path / "fits", progress=False)
    dsl.rename({0: "<b>bold</b>"})
    folder = site.write(dsl, tmp_path / "site", n=40).parent
    assert len(crawl(folder)) == 8 * 2 + 1
    said = Reader((folder / "codes" / "b-bold-b.html").read_text("utf-8")).text
    assert "<b>bold</b>" in said and "of the 40 prompts of the built-in grammar" in said


def test_the_pages_of_the_built_in_language_show_each_code_in_prompts(flat, minilm, tmp_path):
    dsl = DeepDSL.load("world", encoder=minilm)
    prompts = [*corpora.load("world", n=40, progress=False), *outside.generate(80)]  # as those it was learned from
    folder = site.write(dsl, tmp_path / "site", prompts).parent
    crawl(folder)
    marked = [path.name for path in (folder / "codes").iterdir() if "<mark>" in path.read_text("utf-8")]
    assert len(marked) >= 0.8 * len(dsl.codes)


@pytest.fixture(scope="module")
def browser():
    browser_server.needed("axe_playwright_python")
    with browser_server.browsing() as opened:
        yield opened


def check_looks(page, address):
    """A page has no barriers by day and by night, and no telephone scrolls it sideways."""
    from axe_playwright_python.sync_playwright import Axe

    page.goto(address)
    for width, scheme in ((1200, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
    assert page.errors == [] and all(url.startswith(("file:", "about:srcdoc")) for url in page.asked)


def test_the_site_looks_well_and_its_search_and_badge_work_from_a_file(folder, browser):
    page = browser()
    for name in ("index.html", "codes/x-y.html", "codes/a.html", "codes/nobody.html"):
        check_looks(page, (folder / name).as_uri())
    page.goto((folder / "codes" / "x-y.html").as_uri())
    page.get_by_label("Search codes and fillers").fill("CASTLE")
    page.get_by_role("button", name="Search").press("Enter")
    page.wait_for_url("**/index.html?q=CASTLE")
    assert page.locator("#status").inner_text() == "1 code, 1 filler"
    assert page.locator("#found .fillers").inner_text() == "red castle"
    field = page.get_by_label("Part of a phrase")
    for words, filler in (("bob", "Ada & Bob"), ("cast RED", "red castle"), ("word 4", "word 4")):
        field.fill(words)
        assert filler in page.locator("#found .fillers").first.inner_text()
    field.fill("monet")
    assert "Nothing holds “monet”. Searches 4 names" in page.locator("#status").inner_text()
    field.fill("x < y")
    page.get_by_role("link", name="x < y").first.press("Enter")
    page.wait_for_url("**/codes/x-y.html")
    page.get_by_role("button", name="Copy the Markdown").click()
    page.get_by_text(re.compile("Copied|It is selected")).wait_for()
    page.goto((folder / "index.html").as_uri())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.errors == [] and all(url.startswith("file:") for url in page.asked)


def test_the_report_looks_well_by_day_and_by_night_and_on_a_telephone(report_file, browser):
    page = browser()
    check_looks(page, report_file.as_uri())
    frame = page.frame_locator("iframe")
    assert frame.locator("#status").inner_text() == "40 fillers, 2 codes"
    grounds = "[...document.querySelectorAll('#list canvas')].map(c => [...c.getContext('2d').getImageData(14, 14, 1, 1).data])"
    shown = page.frames[1].evaluate(grounds)
    assert len({tuple(colour) for colour in shown}) == 2 and min(max(colour[:3]) for colour in shown) > 150  # not dark on dark
    page.get_by_text("Whole prompts: the").click()
    assert page.get_by_text("12 prompts").first.is_visible()


# ---- the report ---------------------------------------------------------------------------------------------------------------

SCRIPT = "<script>alert('gotcha')</script>"


def made_up_dsl(fillers=60):
    """Four codes: a subject, an artist whose name is code of another kind, function words, and one that nothing uses."""
    rng = np.random.default_rng(0)
    codes = np.arange(fillers) % 3
    vectors = (np.eye(8)[codes] + rng.normal(scale=0.1, size=(fillers, 8))).astype(np.float32)
    texts = tuple(f"word {i}" for i in range(fillers - 1)) + (SCRIPT,) * (fillers > 0)
    shares = np.full((5, 5), 1 / 3)
    shares[3] = 0
    shares[:, [3, 4]] = [0, 0]
    example = Template.build(["a ", Slot("subject", SCRIPT), ", by ", Slot("x < y", "Ada & Bob")])
    return SimpleNamespace(
        writer_=None,
        codes=(
            Code(0, "subject", 500, 0.5, ((SCRIPT, 300), ("old lighthouse", 200)), False),
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
def report_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report.atlas, "fit", placed)
        assert report.write(made_up_dsl(), path, title=f"About {SCRIPT}") == path
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path


@pytest.fixture(scope="module")
def report_page(report_file):
    return report_file.read_text("utf-8")


def test_the_page_is_well_formed_and_has_its_headings_in_order(report_page):
    headings = Reader(report_page).headings
    assert [text for tag, text in headings if tag == "h1"] == [f"About {SCRIPT}"]
    assert [text for tag, text in headings if tag == "h2"] == [
        "Prompts, read",
        "Map of the language",
        "Codes",
        "Templates",
        "Figures of the run",
    ]


def test_the_page_asks_for_nothing_from_outside(report_page):
    tags = Reader(report_page).tags
    frame = next(attributes["srcdoc"] for tag, attributes in tags if tag == "iframe")
    links = [
        attributes[name]
        for tag, attributes in tags + Reader(frame).tags
        for name in ("src", "href", "data", "action")
        if name in attributes
    ]
    assert links
    assert all(link == "data:," or link.startswith("#") for link in links)
    assert "@import" not in report_page and "url(" not in report_page
    policy = next(attributes["content"] for _, attributes in tags if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'; base-uri 'none'; img-src data:; ")


def test_links_of_the_navigation_lead_to_sections(report_page):
    tags = Reader(report_page).tags
    ids = {attributes["id"] for tag, attributes in tags if tag == "section"}
    assert {attributes["href"] for tag, attributes in tags if tag == "a"} == {f"#{name}" for name in ids}


def test_text_of_prompts_is_never_html(report_page):
    reader = Reader(report_page)
    assert "script" not in [tag for tag, _ in reader.tags]
    assert reader.text.count("alert('gotcha')") >= 4  # title, heading, chips, a filler
    frame = next(attributes["srcdoc"] for tag, attributes in reader.tags if tag == "iframe")
    assert [tag for tag, _ in Reader(frame).tags].count("script") == 2  # the data and the program of the map


def test_the_only_script_that_may_run_is_the_one_of_the_map(report_page):
    frame = next(attributes["srcdoc"] for tag, attributes in Reader(report_page).tags if tag == "iframe")
    program = re.search(r"<script>(.*?)</script>", frame, re.DOTALL)[1]
    allowed = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'\"" in report_page
    assert "unsafe-inline'; script-src" in report_page and "script-src 'unsafe-inline" not in report_page.split("<body>")[0]


def test_the_page_tells_what_was_dropped_and_why_and_what_it_took(report_page):
    text = Reader(report_page).text
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


def test_prompts_come_first_as_chips_and_templates_are_folded(report_page):
    first = section(report_page, "read")
    assert [a["title"] for a in first.found("span") if "title" in a] == ["subject", "x < y"] * 3
    templates = section(report_page, "templates")
    assert "a <subject>, by <x < y> 12 prompts" in templates.text and "40 segments" in templates.text
    assert len(templates.found("details")) == 2 and not first.found("details")
    assert sum(a.get("title") == "x < y" for a in templates.found("span")) == 12


def test_written_prompts_follow_as_chips(tmp_path):
    dsl = made_up_dsl(fillers=0)
    made = Template.build(["a ", Slot("subject", "lamp"), ", by ", Slot("x < y", "Eve"), ", ", Slot("nobody", "8k")])
    dsl.templates, dsl.writer_ = (TemplateCount(made.skeleton, 2, (str(made),)),), object()
    dsl.sample = lambda n, template=None, seed=0: [SimpleNamespace(template=made, text=made.prompt)] * n
    dsl.infill = lambda gap, n, seed=0: [SimpleNamespace(text=f"{gap} filled")] * n
    dsl.read = lambda texts: [Template.build([Slot("subject", text)]) for text in texts]
    page = report.write(dsl, tmp_path / "r.html").read_text("utf-8")
    written = section(page, "written")
    assert "a lamp, by <?>, 8k" in written.text and written.text.count("filled subject") == 6
    assert page.index('id="read"') < page.index('id="written"') < page.index('id="map"') < page.index('id="codes"')
    assert page.index('id="templates"') < page.index('id="run"')


def test_what_follows_a_code_is_said_in_words(report_page):
    codes = section(report_page, "codes")
    assert "subject 33.3 %" in codes.text.split("What follows each code")[1] and len(codes.found("details")) == 1


def test_each_code_has_its_name_share_and_fillers_and_a_dead_one_says_so(report_page):
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', report_page, re.DOTALL)[:4]
    said = [" ".join(Reader(row).text.split()) for row in rows]
    assert "old lighthouse 200" in said[0] and "50.0 % 500" in said[0]
    assert "function words" in said[2] and "function words" not in said[0]
    assert "unused" in said[3]


def test_the_map_is_drawn_once_and_its_frame_has_a_name(report_page):
    assert not Reader(report_page).found("img")
    assert [frame["title"] for frame in Reader(report_page).found("iframe")] == ["Interactive map of fillers"]


def test_function_words_are_not_on_the_map(report_page):
    frame = next(attributes["srcdoc"] for tag, attributes in Reader(report_page).tags if tag == "iframe")
    assert '"names":["subject","x \\u003c y"]' in frame
    assert "40 frequent fillers" in Reader(report_page).text


def test_too_few_fillers_for_a_map_leave_it_out_and_say_so(tmp_path):
    text = Reader(report.write(made_up_dsl(fillers=3), tmp_path / "r.html").read_text("utf-8")).text
    assert "There is no map: it needs 5 different fillers or more, 2 were found." in text


def test_a_page_that_need_not_wait_for_the_map_says_all_but_it(tmp_path):
    page = report.write(made_up_dsl(), tmp_path / "r.html", note="The map comes next.", mapped=False).read_text("utf-8")
    assert "The map comes next." in page and 'id="map"' not in page and not Reader(page).found("iframe")
    assert 'id="codes"' in page and "There is no map" not in page


def test_v_measures_are_shown_where_the_truth_is_known(tmp_path):
    dsl = made_up_dsl(fillers=0)
    dsl.stats["v_measure"] = {"words": 0.6543, "open_slots": 0.7, "unseen": None}
    text = Reader(report.write(dsl, tmp_path / "r.html").read_text("utf-8")).text
    assert "all words0.654 of 1" in text and "open slots0.700 of 1" in text
    assert "never seen" not in text


def test_a_report_that_cannot_be_written_leaves_the_old_one_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("workbench.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ArtifactError, match="The disk is full"):
        report.write(made_up_dsl(fillers=0), path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"] and path.read_text() == "old"


def test_the_summary_for_a_terminal_says_the_same(report_page):
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
