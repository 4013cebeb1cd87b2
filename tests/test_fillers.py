"""What a language writes into a slot holds words only, whatever stands around it, and every draw ends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench import DeepDSL
from workbench.language.dsl import Decoding, infilling
from workbench.language.ngram import KneserNey
from workbench.language.writer import Writer
from workbench.language.writer.trie import single, writable
from workbench.template import Template
from workbench.values import ModelError, Sample

WORDS = [
    "f/1.8",
    "o'keeffe",
    "o’keeffe",
    "close-up",
    "16:9",
    "h. r. giger",
    "M.C. Escher",
    "d&d",
    "sci - fi",
    "35mm",
    "塔",
    "👩‍🎨",
    "½",
]
MARKS = [
    ",",
    "a, b",
    ".",
    "a.",
    "a\nb",
    "a\r\nb",
    "a;b",
    "a:b",
    "a | b",
    "a…",
    "a—b",
    "a • b",
    "a!",
    "，",
    "、",
    "a ： b",
    "·",
    "",
    " ",
]
MARKS += [
    "(a)",
    "((a",
    "a]",
    "[a|b]",
    "{a}",
    "<a>",
    "（a）",
    "【a】",
    "「a」",
    "＜a＞",
    "“a”",
    "«a»",
    "'a'",
    "‘a’",
    "`a`",
    '"a"',
    "„a“",
    "‹a›",
]
MARKS += [
    r"\(",
    "a:1.2",
    "a::2",
    "::",
    "--ar 16:9",
    "--a",
    "*a*",
    "#a",
    "-",
    "a -",
    "- a",
    "a - - b",
    "\x00",
    "<lora:a:1>",
    "saber_(fate)",
    ">_<",
    "a b++",
    "__a__",
]


def test_words_and_what_joins_them_may_be_written_and_nothing_else():
    assert [text for text in WORDS if not writable(text)] == []
    assert [text for text in MARKS if writable(text)] == []
    assert all(map(single, ["h.", "-", "f/1.8", "8k"])) and not any(map(single, ["'", "a b", "", ",", "("]))


@pytest.fixture(scope="module")
def dsl(minilm):
    return DeepDSL.load("world", minilm)


MASKED = [
    "a castle, {<?>}, 8k",
    'a sign that says "<?>", photo',
    "a “<?>” door",
    "a castle, ((<?>:1.3)), 8k",
    "a castle [<?>|<?>], 8k",
    r"a fox \(<?>\), 8k",
    "a fox::2 <?>::1",
    "a fox\n<?>\n8k",
    "a castle<?>, 8k",
    "<?><?> a fox",
    "a castle, <?>, 8k",
    "'<?>' in a garden | <?> | 8k",
]


@pytest.mark.parametrize("text", MASKED)
def test_masks_are_filled_with_words_only(dsl, text):
    template = dsl.read(text)
    drawn, log_probs = dsl.writer_.fillers([template] * 6, seed=4)
    np.testing.assert_allclose(dsl.writer_.score([template] * 6, drawn), log_probs, atol=1e-3)
    spelled, _ = dsl.writer_.fillers([template] * 2, decoding=Decoding(temperature=1.5, known=False), seed=4)
    proposed = infilling.proposed(dsl._author, template, [None] * len(drawn[0]), drawn, 16, 4)
    assert all(writable(filler) for some in (*drawn, *spelled, *proposed) for filler in some), (drawn, spelled, proposed)


@pytest.mark.parametrize(
    "text",
    [
        "a [fox|cat] in a garden, 8k",
        r"ganyu \(genshin impact\), oil on canvas, 8k",
        "(a castle:1.2) on a hill, [[oil on canvas]], 8k",
        "a 'red' fox, “neon sign”, «oil on canvas»",
        "a fox::2 oil on canvas::1 --ar 16:9",
        "a fox in a forest\noil on canvas; 8k: moonlight",
    ],
)
def test_slots_are_written_anew_with_words_only(dsl, text):
    template = Template.build(
        part if isinstance(part, str) or writable(part.text) else part.text for part in dsl.read(text).parts
    )
    for content in (None, "noise"):
        found = dsl.sample(4, template, content=content, seed=3)
        assert all(writable(slot.text) for sample in found for slot in sample.template.slots), found
    found = dsl.sample(4, template, seed=3)
    np.testing.assert_allclose(dsl.log_score(found, template), [sample.log_prob for sample in found], atol=1e-3)
    kept = {slot.text for slot in template.slots}
    varied = dsl.vary(template, 4, seed=3)
    assert all(writable(slot.text) for sample in varied for slot in sample.template.slots if slot.text not in kept), varied


def test_candidates_near_a_wish_hold_words_only(dsl):
    found = dsl.infill("a castle, {<?>}, 8k", 6, like={"?": "oil, on (canvas)"}, seed=4)
    assert all(writable(sample.text[len("a castle, {") : -len("}, 8k")]) for sample in found)


def test_people_may_rank_any_text(dsl):
    given = ["oil on canvas, by Monet", "(fog:1.2)", '"', "zz-zz, qq"]
    found = dsl.rank_fillers("a castle, <?>, 8k", given)
    assert {sample.text for sample in found} == {f"a castle, {text}, 8k" for text in given}
    assert all(np.isfinite(sample.log_prob) for sample in found)


def test_what_holds_markup_could_not_have_been_written(dsl):
    texts = ["oil on canvas", "oil, canvas", "(oil)", '"oil"', "oil:1.2", "oil | canvas"]
    for way in (Decoding(), Decoding(known=False)):
        template = dsl.read("a castle, <?>, 8k")
        scores = dsl.writer_.score([template], [(text,) for text in texts], owner=[0] * len(texts), decoding=way)
        assert np.isfinite(scores[0]) and (scores[1:] == -np.inf).all()
    samples = dsl.sample(2, "a castle on a hill, oil on canvas, 8k", seed=1)
    bad = [Sample(one.prompt, template=one) for one in (_with(sample.template, "(oil)") for sample in samples)]
    assert (dsl.log_score(bad, "a castle on a hill, oil on canvas, 8k") == -np.inf).all()


def _with(template, text):
    """The template with this text in its last slot."""
    last = template.slots[-1]
    return Template.build(replace(part, text=text) if part == last else part for part in template.parts)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_damaged_weights_end_every_draw(dsl, value):
    writer = Writer.from_state(*dsl.writer_.to_state())
    with torch.no_grad():
        next(writer.network_.parameters()).fill_(value)
    broken = DeepDSL(replace(dsl.learned, writer=writer))
    for write in (
        lambda: broken.sample(2, "a castle on a hill, 8k"),
        lambda: broken.infill("a castle, <?>, 8k", 2),
        lambda: broken.vary("a castle on a hill, 8k", 2),
        lambda: broken.log_score(["a castle on a hill, 8k"], None),
    ):
        with pytest.raises(ModelError, match="NaN or infinity where scores of symbols belong"):
            write()


def test_damaged_n_grams_end_every_draw():
    model = KneserNey().fit([["a", "cat"]] * 3)
    model._tables.draw = lambda context, n, rng: np.full(n, model._lexicon.unknown)
    with pytest.raises(ModelError, match="nothing but unknown words"):
        model.sample(2)
