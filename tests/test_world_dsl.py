"""The DSL that comes with the package: small enough for git, and as good as the notebooks say."""

import numpy as np
import pytest

from benchmarks import reading
from tools import outside
from workbench import corpus, ngram, report
from workbench.language.dsl import BUILT_IN, Decoding, DeepDSL
from workbench.template import Slot, Template
from workbench.words import WORD, split


@pytest.fixture(scope="module")
def dsl():
    return DeepDSL.load("world")


@pytest.fixture(scope="module")
def held_out():
    return corpus.load("world", n=200, seed=1, split="test", progress=False)


def test_it_is_small():
    assert sum(path.stat().st_size for path in BUILT_IN.iterdir()) <= 12.5e6
    assert {path.suffix for path in BUILT_IN.iterdir()} == {".json", ".safetensors"}


def test_it_reads_ordinary_prompts(dsl):
    """Twenty invented prompts, sentences and tags; the kinds that are right were written down first."""
    rows = [row for marked in reading.PROMPTS for row in reading.chips(dsl, marked)[1]]
    assert len(rows) >= 130
    assert np.mean([right for *_, right in rows]) >= 0.9, [row for row in rows if not row[2]]


def test_its_codes_are_named_after_kinds(dsl):
    names = {
        unit.text: unit.name for unit in dsl.tag("a blue dragon, a plate of sushi, oil painting, by Claude Monet, artstation")
    }
    named = [names[text] for text in ("blue", "dragon", "sushi", "oil painting", "Claude Monet", "artstation")]
    assert named == ["color", "creature", "food", "medium", "artist", "site"]


def test_a_folder_of_that_name_wins(tmp_path, monkeypatch):
    (tmp_path / "world").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="config.json"):
        DeepDSL.load("world")


def test_samples_are_as_fluent_as_prompts(dsl):
    """Fluent by n-grams of other prompts of both grammars."""

    def prompts(n, seed):
        return [*outside.generate(2 * n, seed), *corpus.load("world", n=n, seed=seed, progress=False)]

    judge = ngram.KneserNey().fit([ngram.tokens(text) for text in prompts(2000, 2)])
    written = [sample.text for sample in dsl.sample(150, seed=0)]
    ratio, base = (judge.perplexity([ngram.tokens(text) for text in texts]) for texts in (written, prompts(50, 3)))
    assert ratio / base < 1.6


def test_it_finds_hidden_words(dsl, held_out):
    rng, right = np.random.default_rng(0), []
    words = [word for word in dsl.ngram_.vocabulary_ if any(w.kind == WORD for w in split(word))]
    for text in list(held_out)[:60]:
        known = [w for w in split(text) if w.kind == WORD and text[w.start : w.end].lower() in words]
        start, end, _ = map(str, rng.choice(known))
        start, end = int(start), int(end)
        template = Template.build([text[:start], Slot(None), text[end:]])
        left, right_side = ngram.tokens(text[:start]), ngram.tokens(text[end:])
        scores = dsl.ngram_.candidates_log_prob(left, right_side, words)
        best = [words[i] for i in np.argsort(-scores)[:60]]
        written = dsl.writer_.score([template], [(w,) for w in best], np.zeros(len(best), int))
        both = written + np.sort(scores)[::-1][:60]
        right.append(best[int(both.argmax())] == text[start:end].lower())
    assert np.mean(right) >= 0.5  # .03 by chance of the commonest word, .7 by benchmarks/writing.py


def test_artists_are_asked_for_by_the_name_their_slot_has(dsl):
    name = next(s.name for s in dsl.read("a castle on a hill, oil on canvas, by Claude Monet").slots if "Monet" in s.text)
    found = dsl.infill(f"a castle on a hill, oil on canvas, by <{name}:?>", 5, seed=0)
    assert len({sample.text for sample in found}) == 5
    assert all(sample.text.startswith("a castle on a hill, oil on canvas, by ") for sample in found)


@pytest.mark.parametrize("proximity", [0.5, 0.8, 1.0])
def test_variations_of_a_short_prompt_are_new_and_differ(dsl, proximity):
    prompt = "portrait of a samurai, oil on canvas, by Gustav Klimt, 8k"
    for seed in range(3):
        found = [sample.text.lower() for sample in dsl.vary(prompt, 4, proximity, seed=seed)]
        assert len({*found, prompt.lower()}) == 5


def test_variations_do_not_stumble(dsl):
    prompt = "an oil painting of a red fox in a snowy forest, by Vincent van Gogh"
    for proximity in (0.5, 0.8, 1.0):
        for sample in dsl.vary(prompt, 6, proximity, seed=0):
            assert sample.text.startswith(("an a", "an e", "an i", "an o", "an u")) and "Gogh and Vincent" not in sample.text


def test_content_says_a_prompt_again_words_it_never_saw_included(dsl, held_out):
    """Half of the open fillers of these prompts are in no training prompt."""
    templates = [template for template in dsl.read(list(held_out)[:60]) if template.slots]
    share = {}
    for spelled in (True, False):
        contents = [list(dsl._author.content([slot.text for slot in one.slots], spelled)) for one in templates]
        words = [slot.text for one in templates for slot in one.slots]
        opened = [one.open() for one in templates]
        found, _ = dsl.writer_.fillers(opened, contents, Decoding(temperature=0.01), words=words)
        pairs = [(a.text, b) for one, some in zip(templates, found, strict=True) for a, b in zip(one.slots, some, strict=True)]
        share[spelled] = np.mean([a.lower() == b.lower() for a, b in pairs])
    assert share[True] >= 0.95 and share[True] > share[False] + 0.1


def test_articles_suit_what_is_written_behind_them(dsl):
    found = dsl.sample(40, "an owl by an old lamp", seed=0) + dsl.sample(40, "a castle, a photograph", seed=0)
    slots = [(sample.text[: slot.start].split()[-1:], slot.text) for sample in found for slot in sample.template.slots]
    behind = {article: {text[0].lower() for before, text in slots if before == [article]} for article in ("a", "an")}
    assert behind["a"] and not behind["a"] & set("aei")
    assert behind["an"] and not behind["an"] & set("bcdfgjklmnpqrstvwxyz")


def test_the_report_shows_what_it_writes(dsl, tmp_path):
    page = report.write(dsl, tmp_path / "report.html").read_text("utf-8")
    written = page[page.index('id="written"') : page.index('id="map"')]
    for title in ("The same template, new words", "A gap, filled", "From nothing"):
        assert written.count(f"<h3>{title}</h3>") == 1
    assert written.count("<li>") == 3 * report._SAMPLES and "&lt;?&gt;" in written
