from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_encoder import write_bert

from workbench import artifacts, ngram
from workbench import corpus as corpora
from workbench.language.codebook import Codebook, CodebookConfig
from workbench.language.dsl import Decoding, DeepDSL, DSLConfig, PriorConfig, Ranking, WriterConfig, infilling, writing
from workbench.language.ngram import KneserNey
from workbench.language.prior import TemplatePrior
from workbench.language.units import Units
from workbench.language.writer import Writer
from workbench.language.writer import writer as writers
from workbench.language.writer.batches import Batches
from workbench.models import load_encoder
from workbench.template import Slot, Template, escape, parse
from workbench.values import ArtifactError, NotFittedError, Sample, TemplateError

TINY = WriterConfig(width=32, layers=1, heads=2, pieces=300, min_count=2, steps=60, batch=700, rate=1e-2)
CONFIG = DSLConfig(
    codebook=CodebookConfig(n_codes=8, epochs=6),
    writer=TINY,
    prior=PriorConfig(width=16, epochs=1),
)
PROMPT = "portrait of a samurai, oil on canvas, by Claude Monet, 8k"
SHARP = Decoding(temperature=0.7, top_k=5, top_p=0.9)


@pytest.fixture(scope="module")
def prompts():
    return corpora.load("world", n=300, seed=0, progress=False)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(write_bert(tmp_path_factory.mktemp("bert")), layer=3, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fits")


@pytest.fixture(scope="module")
def dsl(prompts, encoder, folder):
    return DeepDSL.fit(prompts, CONFIG, encoder, folder=folder, progress=False)


@pytest.fixture(scope="module")
def reader(dsl):
    return dsl._reader


@pytest.fixture(scope="module")
def author(dsl):
    return dsl._author


@pytest.fixture
def own(dsl):
    """A language to change: one that no other test uses."""
    return DeepDSL(replace(dsl.learned))


@pytest.fixture
def name(dsl):
    """The name of a code, and of another."""
    return dsl.codes[dsl.read(PROMPT).slots[0].code].name


@pytest.fixture
def filled(monkeypatch):
    """What the writer was asked to fill: (templates, content, blend) of each call."""
    calls, fillers = [], Writer.fillers

    def watched(self, templates, content=None, decoding=None, blend=1.0, seed=0, words=()):
        calls.append((templates, content, blend))
        return fillers(self, templates, content, decoding, blend, seed, words)

    monkeypatch.setattr(Writer, "fillers", watched)
    return calls


def check(found, n):
    assert len(found) == n
    for sample in found:
        assert isinstance(sample, Sample) and type(sample.log_prob) is float and sample.log_prob <= 0
        assert sample.text == sample.template.prompt


# ---- sample -------------------------------------------------------------------------------------------------------------


def test_prompts_are_written_from_nothing(dsl):
    found = dsl.sample(6, seed=1)
    check(found, 6)
    assert len({sample.text for sample in found}) > 3
    names = {code.name: code.id for code in dsl.codes}
    assert all(slot.code == names[slot.name] for sample in found for slot in sample.template.slots)
    assert dsl.sample(6, seed=1) == found != dsl.sample(6, seed=2)
    assert len(dsl.sample(np.int64(2))) == 2


def test_a_template_gets_new_fillers_and_keeps_its_literals(dsl):
    for template in (PROMPT, dsl.read(PROMPT), dsl.read(PROMPT).open()):
        found = dsl.sample(5, template)
        check(found, 5)
        assert all(sample.template.same_shape(dsl.read(PROMPT)) for sample in found)
    assert dsl.sample(5, PROMPT) == dsl.sample(5, dsl.read(PROMPT))


def test_locked_slots_keep_their_text(dsl, prompts):
    template = next(t for t in dsl.read(prompts[:]) if len({slot.name for slot in t.slots}) > 1)
    lock = template.slots[0].name
    for given_lock in (lock, {lock}, [lock]):
        for sample in dsl.sample(5, template, lock=given_lock):
            pairs = zip(template.slots, sample.template.slots, strict=True)
            assert all(old.text == new.text for old, new in pairs if old.name == lock)
        assert any(sample.text != template.prompt for sample in dsl.sample(5, template, lock=given_lock))
    every = {slot.name for slot in template.slots}
    assert [sample.text for sample in dsl.sample(2, template, lock=every)] == [template.prompt] * 2


def test_prompts_are_written_again_until_they_read_as_their_template(dsl, monkeypatch):
    template = dsl.read(PROMPT)
    once, kept = dsl.sample(8, template, seed=1), dsl.sample(8, template, seed=1, tries=6)
    check(kept, 8)
    assert dsl.sample(8, template, seed=1, tries=6) == kept
    like = [writing.kept(dsl._reader, found) for found in (once, kept)]
    assert (like[1] >= like[0]).all() and like[1].sum() > like[0].sum()
    # what reads as its template stays
    assert all(a == b for a, b, kept_as in zip(once, kept, like[0], strict=True) if kept_as == 1)
    reads = []
    monkeypatch.setattr(writing, "kept", lambda reader, found: reads.append(len(found)) or np.ones(len(found)))
    assert dsl.sample(8, template, seed=1, tries=6) == once and reads == [8]


@pytest.mark.parametrize("tries", [0, -1, 1.5, True, None])
def test_tries_are_counted_from_one(dsl, tries):
    with pytest.raises(ValueError, match="tries must be an int of 1 or more"):
        dsl.sample(1, PROMPT, tries=tries)


def test_masks_of_a_template_are_filled_too(dsl, name):
    written = f"a  Castle, <{name}:?>, (<?>"
    template = parse(written)
    for one in (template, written):
        found = dsl.sample(3, one)
        assert not any(sample.template.masked or "<" in sample.text for sample in found)
    found = dsl.sample(3, template)
    assert all(sample.text.startswith("a  Castle, ") and ", (" in sample.text for sample in found)
    assert dsl.sample(1, "a castle <on> 8k < ?")  # no mask, so text


@pytest.mark.parametrize("content", ["noise", "prompt", "template"])
def test_content_is_drawn_or_taken_from_a_prompt(dsl, content, filled):
    source = {"noise": "noise", "prompt": PROMPT, "template": dsl.read(PROMPT)}[content]
    found = dsl.sample(3, PROMPT, content=source)
    check(found, 3)
    assert found == dsl.sample(3, PROMPT, content=source)
    given_content = filled[0][1]
    if content == "noise":
        assert given_content == "noise"
    else:
        slots = dsl.read(PROMPT).slots
        vectors = dsl.writer_.content([s.text for s in slots], dsl.encoder.embed_words([s.text.lower() for s in slots]))
        for row in given_content:
            np.testing.assert_allclose(np.stack(row), vectors, atol=1e-5)


def test_content_goes_by_name_and_in_order(dsl, reader, author, name):
    other = next(code.name for code in dsl.codes if code.name != name)
    source = Template.build([Slot(name, "a red boat"), ", ", Slot(name, "a castle")])
    target = reader.template(Template.build([Slot(name), " ", Slot(other), " ", Slot(name), Slot(name)]))
    found = author.content_like(reader.template(source), target)
    assert [vector is None for vector in found] == [False, True, False, True]
    np.testing.assert_allclose(np.stack([found[0], found[2]]), author.content(["a red boat", "a castle"]), atol=1e-5)


def test_content_knows_nothing_of_the_neighbours(reader, author, name):
    target = reader.template(Template.build([Slot(name)]))
    found = [
        author.content_like(reader.template(Template.build([left, Slot(name, "a castle"), right])), target)[0]
        for left, right in (("", ""), ("portrait of ", ", by Claude Monet"), ("8k ((", "))"))
    ]
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


# ---- log_score ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoding", [SHARP, Decoding(), Decoding(top_p=0.95)])
def test_samples_have_the_log_probability_that_scoring_finds(dsl, decoding):
    found = dsl.sample(25, decoding=decoding, seed=2)
    np.testing.assert_allclose(dsl.log_score(found, decoding=decoding), [s.log_prob for s in found], atol=1e-4)
    template = dsl.read(PROMPT)
    lock = {template.slots[-1].name}
    for kept in ((), lock):
        found = dsl.sample(10, template, lock=kept, decoding=decoding, seed=3)
        scores = dsl.log_score(found, template, lock=kept, decoding=decoding)
        np.testing.assert_allclose(scores, [s.log_prob for s in found], atol=1e-4)


def test_what_could_not_have_been_written_has_no_probability(dsl):
    scores = dsl.log_score([PROMPT, "no shape of the kind"], PROMPT)
    assert scores.shape == (2,) and scores.dtype == np.float64 and scores[1] == -np.inf
    template = dsl.read(PROMPT)
    odd = Template.build(replace(p, text="zzyzx qoph") if isinstance(p, Slot) else p for p in template.parts)
    assert dsl.log_score([Sample(odd.prompt, template=odd, log_prob=0.0)], template)[0] == -np.inf
    assert np.isfinite(dsl.log_score([Sample(odd.prompt, template=odd, log_prob=0.0)], template, decoding=Decoding(known=False)))[
        0
    ]
    for wrong in (PROMPT, dsl.sample(1)[0]):
        with pytest.raises(TypeError, match="log_score takes a list of Sample or of str"):
            dsl.log_score(wrong)
    with pytest.raises(TypeError, match=r"Expected a prompt \(str\) or a Template, got int"):
        dsl.log_score([PROMPT, 3])
    with pytest.raises(TemplateError, match=r"cannot tell what stands for <\?>"):
        dsl.log_score([PROMPT], parse("a castle, <?>"))


# ---- vary ---------------------------------------------------------------------------------------------------------------


def test_the_nearer_the_more_slots_keep_their_text(dsl, filled):
    slots = len(dsl.read(PROMPT).slots)
    masks = []
    for proximity in (0, 0.25, 0.5, 0.75, 1):
        filled.clear()
        found = dsl.vary(PROMPT, 4, proximity)
        check(found, 4)
        assert all(sample.template.same_shape(dsl.read(PROMPT)) for sample in found)
        [counts] = {tuple({sum(s.text is None for s in t.slots) for t in call[0]}) for call in filled}
        masks.append(*counts)
        assert {call[2] for call in filled} == {proximity}
        vectors = [vector for call in filled for row in call[1] for vector in row]
        assert all((vector is None) == (proximity == 0) for vector in vectors)
    assert masks[0] == slots and masks[-1] == 1 and masks == sorted(masks, reverse=True)


def test_variations_differ_and_are_the_same_for_the_same_seed(dsl):
    found = dsl.vary(PROMPT, 5, 0.5, seed=4)
    assert found == dsl.vary(dsl.read(PROMPT), 5, 0.5, seed=4) != dsl.vary(PROMPT, 5, 0.5, seed=5)
    assert len({sample.text.lower() for sample in found} | {PROMPT.lower()}) == 6


def test_noise_moves_all_slots_at_once(dsl, filled):
    for proximity in (0, 0.5, 1.0):
        check(dsl.vary(PROMPT, 3, proximity, by="noise"), 3)
    slots = len(dsl.read(PROMPT).slots)
    assert {sum(s.text is None for s in t.slots) for call in filled for t in call[0]} == {slots}


def test_a_prompt_of_one_slot_varies_in_that_slot(dsl, name):
    check(dsl.vary(Template.build(["the ", Slot(name, "castle")]), 2, 1.0), 2)


# ---- infill -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["<?> on a hill", "a castle, <?>", "a <?> castle on <?>, 8k, <?>", "a castle, <?> <?> 8k", "a  CASTLE,<?><?>|8K", "(<?>) x"],
)
def test_masks_are_filled_best_first_and_all_differ(dsl, text):
    found = dsl.infill(text, 5, seed=1)
    check(found, 5)
    assert len({sample.text for sample in found}) == 5
    template = dsl.read(text)
    literals = "".join(part if isinstance(part, str) else part.text or "\n" for part in template.parts).split("\n")
    assert literals == text.split("<?>")
    for sample in found:
        assert not sample.template.masked
        position = 0
        for literal in literals:
            position = sample.text.index(literal, position) + len(literal)
        assert sample.text.startswith(literals[0]) and sample.text.endswith(literals[-1])
    assert found == dsl.infill(text, 5, seed=1)


def test_one_text_that_two_masks_share_in_several_ways_comes_once(dsl, monkeypatch):
    fillings = [("a b", "c"), ("a", "b c"), ("a", "d")]
    monkeypatch.setattr(Writer, "fillers", lambda self, *_: (fillings, np.zeros(3)))
    monkeypatch.setattr(infilling, "proposed", lambda *_: [])
    assert sorted(sample.text for sample in dsl.infill("<?> <?> 8k", 9)) == ["a b c 8k", "a d 8k"]


def test_the_order_is_that_of_both_models_together(dsl, monkeypatch):
    seen, ranked = [], infilling.ranked

    def watched(learned, template, candidates, content):
        out = ranked(learned, template, candidates, content)
        seen.append((candidates, *out))
        return out

    monkeypatch.setattr(infilling, "ranked", watched)
    found = dsl.infill("a castle on a <?>, 8k", 4)
    candidates, together, written = seen[0]
    assert len(candidates) > 20
    by_text = {f"a castle on a {filler}, 8k": (t, w) for (filler,), t, w in zip(candidates, together, written, strict=True)}
    best = sorted(together, reverse=True)[:4]
    assert [by_text[sample.text][0] for sample in found] == pytest.approx(best)
    assert [sample.log_prob for sample in found] == pytest.approx([by_text[sample.text][1] for sample in found])
    # Of one gap the n-grams score what the gap changes: the same up to a constant, but for a filler that joins its neighbours.
    rest, left, right = [], ngram.tokens("a castle on a"), ngram.tokens(", 8k")
    for (filler,), t, w in zip(candidates, together, written, strict=True):
        words = ngram.tokens(f"a castle on a {filler}, 8k")
        if np.isfinite(w) and words == [*left, *ngram.tokens(filler), *right]:
            rest.append(2 * t - w - dsl.ngram_.log_prob([words])[0].sum())
    assert len(rest) > 20 and np.ptp(rest) < 1e-4


def test_candidates_come_from_the_writer_and_from_the_n_grams(dsl, monkeypatch):
    monkeypatch.setattr(KneserNey, "propose", lambda self, left, right, n, seed, only: [(("zzyzx",), 0.0)])
    monkeypatch.setattr(infilling, "ranked", lambda learned, t, c, content: (np.arange(len(c), dtype=float), np.zeros(len(c))))
    found = dsl.infill("a castle on a <?>, 8k", 3)
    assert found[0].text == "a castle on a zzyzx, 8k" and all("zzyzx" not in sample.text for sample in found[1:])


def test_a_named_mask_becomes_a_slot_and_an_unnamed_one_text(dsl, name):
    for sample in dsl.infill(f"a castle, <{name}:?>, <?>", 3):
        assert any(slot.name == name and slot.start > len("a castle") for slot in sample.template.slots)
    template = parse(f"<{name}:a castle>, <{name}:?>")
    for sample in dsl.infill(template, 3):
        assert [slot.name for slot in sample.template.slots] == [name, name]
        assert sample.template.slots[0].text == "a castle"


LITERALS = ["a  oak", " by ", "((", ":1.2)", r"\<", "\\", ",", " | ", "8K ", "👩‍🎨", "قلعة", "\n", "\ud83d", "\x00", "h. ", "-"]


@pytest.fixture(scope="module")
def infill(dsl):
    def quick(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(infilling, "_CANDIDATES", 3)
            return dsl.infill(*arguments)

    return quick


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    before=st.lists(st.sampled_from(LITERALS), max_size=4).map("".join),
    between=st.lists(st.sampled_from(LITERALS), max_size=3).map("".join),
    after=st.one_of(st.text(max_size=8), st.lists(st.sampled_from(LITERALS), min_size=1, max_size=4).map("".join)),
    twice=st.booleans(),
)
@example(before="", between="", after="a", twice=True)
@example(before="a\r", between="\n", after="\n", twice=True)
def test_what_the_user_wrote_stays_to_the_letter(infill, before, between, after, twice):
    if not (before + between * twice + after).strip():
        return
    text = escape(before) + "<?>" + (escape(between) + "<?>" if twice else "") + escape(after)
    for sample in infill(text, 2):
        assert sample.text.startswith(before) and sample.text.endswith(after)
        middle = sample.text[len(before) : len(sample.text) - len(after)]
        assert not twice or between in middle


def test_guided_infill_knows_what_is_wanted(dsl, author, name, filled):
    text = f"a castle on a hill, <{name}:?>, <?>"
    [near] = dsl.infill(text, 1, like={name: "oil on canvas"})
    assert near.text.startswith("a castle on a hill, ")
    templates, content, blend = filled[0]
    assert 0 < blend < 1 and all(row[1] is None for row in content)
    np.testing.assert_allclose(content[0][0], author.content(["oil on canvas"], spelled=False)[0], atol=1e-5)
    check(dsl.infill(text, 2, like={name: "a word never seen", "?": "8k"}), 2)


def test_fillers_near_the_wanted_one_are_proposed(dsl, author):
    code = dsl.codes[int(dsl.fillers.codes[0])]
    wanted = dsl.fillers.texts[0]
    near = infilling.neighbours(dsl.learned, wanted, code.id)
    assert near[0].lower() == wanted and len(near) <= 24
    known = {text for text, c in zip(dsl.fillers.texts, dsl.fillers.codes, strict=True) if c == code.id}
    assert {text.lower() for text in near} <= known
    template = dsl.read(Template.build(["a castle, ", Slot(code.name)]))
    proposed = infilling.proposed(author, template, [wanted], [("x",)], 16, 0)
    assert {(text,) for text in near} <= set(proposed)


def test_several_masks_are_proposed_for_the_same_in_every_process(dsl, author):
    template = dsl.read("a <?> on <?>, 8k")
    seen = []
    drawn = [(f"one {i}", f"two {i}") for i in range(30)] + [("one 7", "two 7")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KneserNey, "propose", lambda self, *sides, seed, only: seen.append(sides) or [(("x",), 0.0)])
        infilling.proposed(author, template, [None, None], drawn, 8, 0)
        infilling.proposed(author, template, [None, None], drawn[:30], 8, 0)
    assert seen[0][1][:3] == ["on", "two", "7"]  # what was drawn most often, not whatever comes first in a set
    assert seen[1][0][-4:-1] == ["a", "one", "7"]
    assert seen[2][1][:3] == ["on", "two", "0"]


# ---- rank ---------------------------------------------------------------------------------------------------------------


def test_ones_own_fillers_are_ranked_as_infill_ranks_its_candidates(dsl, name):
    for text in ("a castle on a <?>, 8k", f"a castle, <{name}:?> and <?>"):
        masks = [slot for slot in dsl.read(text).slots if slot.text is None]
        found = dsl.infill(text, 6, seed=2)
        kept = [parse(text).match(sample.text) for sample in found]
        own = [fillers[0] if len(masks) == 1 else fillers for fillers in kept]
        again = dsl.rank_fillers(text, own[::-1])
        assert [sample.text for sample in again] == [sample.text for sample in found]
        assert [s.log_prob for s in again] == pytest.approx([s.log_prob for s in found], abs=1e-4)
        assert [sample.template for sample in again] == [sample.template for sample in found]


def test_a_filler_that_fits_comes_before_one_that_does_not(dsl):
    found = dsl.rank_fillers("a castle on a hill, oil on <?>, 8k", ["and of by", "zzyzx qoph zzyzx", "canvas"])
    assert [sample.text.split("oil on ")[1] for sample in found][0] == "canvas, 8k"
    check(found, 3)


def test_each_text_is_ranked_once(dsl):
    found = dsl.rank_fillers("a <?> <?> 8k", [("a b", "c"), ["a", "b c"], ("a", "d")])
    assert sorted(sample.text for sample in found) == ["a a b c 8k", "a a d 8k"]


def test_long_fillers_and_unknown_words_can_be_ranked(dsl):
    long = "a very long filler with many a word of it " * 4
    check(dsl.rank_fillers("a castle, <?>, 8k", [long.strip(), "qoph", "قلعة"]), 3)


def test_fillers_that_cannot_be_ranked_are_refused(dsl):
    with pytest.raises(ValueError, match="There is no filler to rank: give one or more"):
        dsl.rank_fillers("a <?>", [])
    for wrong in ("castle", 3, None):
        with pytest.raises(TypeError, match="fillers is a list of str, or of tuples of str for several masks, got"):
            dsl.rank_fillers("a <?>", wrong)
    for wrong in (3, None, (3,), {"a": 1}):
        with pytest.raises(TypeError, match="A filler is a str, or a tuple of str for several masks, got"):
            dsl.rank_fillers("a <?>", [wrong])
    with pytest.raises(TemplateError, match="This prompt has 2 masks, but .* holds 1 fillers"):
        dsl.rank_fillers("a <?> on <?>", ["castle"])
    for empty in ("", "  ", ("",)):
        with pytest.raises(TemplateError, match="A filler needs a word in it, got"):
            dsl.rank_fillers("a <?>", [empty])
    with pytest.raises(TemplateError, match="holds no mask"):
        dsl.rank_fillers("a castle", ["x"])


def test_ranking_needs_a_writer(dsl):
    reader = DeepDSL(replace(dsl.learned, writer=None))
    with pytest.raises(NotFittedError, match="This DSL only reads"):
        reader.rank_fillers("a <?>", ["castle"])


# ---- learning and keeping -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(dsl, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "dsl"
    dsl.save(path)
    return path


def test_a_saved_language_writes_the_same(dsl, saved, encoder):
    again = DeepDSL.load(saved, encoder)
    assert again.config.writer == dsl.config.writer and again.config.prior == dsl.config.prior
    assert again.sample(4, seed=3) == dsl.sample(4, seed=3)
    assert again.sample(3, PROMPT, content="noise") == dsl.sample(3, PROMPT, content="noise")
    assert again.vary(PROMPT, 3) == dsl.vary(PROMPT, 3)
    assert again.infill("a castle, <?>", 3) == dsl.infill("a castle, <?>", 3)
    found = dsl.sample(3)
    np.testing.assert_allclose(again.log_score(found), dsl.log_score(found))


@pytest.mark.parametrize("part", ["writer", "prior", "ngram", "ranking"])
def test_a_damaged_writing_half_is_refused(saved, encoder, tmp_path, part):
    config, tensors = artifacts.load(saved, "deep-dsl")
    for value in (None, {}):
        copy = tmp_path / f"copy{value}"
        artifacts.save(copy, "deep-dsl", config | {"parts": config["parts"] | {part: value}}, tensors)
        with pytest.raises(ArtifactError, match="is not a 'deep-dsl' that this workbench|This is no saved"):
            DeepDSL.load(copy, encoder)


def test_how_fillers_are_ranked_is_learned_and_kept(dsl, own, encoder, tmp_path):
    others = corpora.load("world", n=40, seed=5, progress=False)
    assert own.ranking_ == Ranking()  # 300 prompts are too few to hold some out
    assert own.fit_ranking(others) is own
    found = own.ranking_
    assert found.gaps > 20 and found != dsl.ranking_ == Ranking()
    assert own.fit_ranking(list(others)).ranking_ == found
    assert own.sample(3) == dsl.sample(3)
    own.save(tmp_path / "own")
    again = DeepDSL.load(tmp_path / "own", encoder)
    assert again.ranking_ == found and again.config.ngram == dsl.config.ngram
    assert again.infill("a castle, <?>", 3) == own.infill("a castle, <?>", 3)
    for wrong in ([], others[:5], "a castle"):
        with pytest.raises(ValueError, match="fit_ranking needs a list of 20 prompts or more that this language has not learned"):
            own.fit_ranking(wrong)
    with pytest.raises(TypeError, match="prompts is a list of str, but row 0 is int"):
        own.fit_ranking([3] * 20)


def test_the_seed_reaches_every_stage(dsl, prompts, encoder, folder, tmp_path):
    one, other = (DeepDSL.fit(prompts, replace(CONFIG, seed=seed), encoder, folder=tmp_path, progress=False) for seed in (0, 1))
    for learned in (dsl, one, other):
        assert learned.config.seed == (learned is other)
    for part in ("codebook", "prior", "writer"):
        mine, same, another = (getattr(each.learned, part).to_state()[1] for each in (dsl, one, other))
        assert all(np.array_equal(mine[key], same[key]) for key in mine), part
        assert any(mine[key].shape != another[key].shape or not np.array_equal(mine[key], another[key]) for key in mine), part
    other.save(tmp_path / "dsl")
    assert DeepDSL.load(tmp_path / "dsl", encoder).config == other.config


def test_prompts_that_the_ranking_is_learned_on_are_not_learned(dsl, prompts, encoder, folder, monkeypatch):
    monkeypatch.setattr("workbench.language.dsl.fitting._ENOUGH", 100)
    monkeypatch.setattr("workbench.language.dsl.fitting._SHARE", 10)
    config, read = replace(dsl.config, writer=replace(TINY, width=16, steps=2)), []
    fit = Writer.fit

    def watched(self, templates, *rest, **more):
        read.extend(templates)
        return fit(self, templates, *rest, **more)

    monkeypatch.setattr(Writer, "fit", watched)
    found = DeepDSL.fit(prompts, config, encoder, folder=folder, progress=False)
    assert found.ranking_.held_out == 30 and found.ranking_.gaps > 10
    assert len(read) == 270
    again = DeepDSL.fit(prompts, config, encoder, folder=folder, progress=False)
    assert again.ranking_ == found.ranking_


def test_renamed_codes_write_under_their_new_names(dsl, own, name):
    renamed = own.rename({name: "thing of: <mine>"})
    found = renamed.sample(3, PROMPT)
    assert found[0].template.slots[0].name == "thing of: <mine>"
    assert [sample.text for sample in found] == [sample.text for sample in dsl.sample(3, PROMPT)]


def quick(dsl):
    return replace(dsl.config, writer=replace(TINY, width=16, steps=12, batch=300))


def test_a_fit_stopped_while_it_learns_to_write_goes_on_where_it_was(dsl, prompts, encoder, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "_SAVE_EVERY", 5)
    config, call = quick(dsl), Batches.__call__

    def stopped(self, step):
        if step == 7:
            raise KeyboardInterrupt
        return call(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            DeepDSL.fit(prompts, config, encoder, folder=folder, progress=False)
    steps = []
    for stage in (Units, Codebook, KneserNey, TemplatePrior):
        monkeypatch.setattr(stage, "fit", None)  # finished before
    monkeypatch.setattr(Batches, "__call__", lambda self, step: steps.append(step) or call(self, step))
    stopped_once = DeepDSL.fit(prompts, config, encoder, folder=folder, progress=False)
    assert steps == list(range(5, 12))
    assert not [path for path in folder.rglob("*-part")]
    monkeypatch.undo()
    templates = dsl.read(prompts[:])
    words = sorted(w for w in encoder.tokenizer.get_vocab() if len(w) > 2 and w.isalpha())
    monkeypatch.setattr(Writer, "fit", None)
    again = DeepDSL.fit(prompts, config, encoder, folder=folder, progress=False)
    assert again.sample(3) == stopped_once.sample(3)
    monkeypatch.undo()
    whole = Writer(config.writer).fit(templates, encoder.embed_words, len(dsl.codes), words, progress=False)
    for name, value in whole.network_.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), stopped_once.writer_.network_.state_dict()[name].numpy(), err_msg=name)


def test_other_options_of_the_writer_learn_only_what_depends_on_them(dsl, prompts, encoder, folder, monkeypatch):
    for stage in (Units, Codebook, KneserNey, TemplatePrior):
        monkeypatch.setattr(stage, "fit", None)
    other = DeepDSL.fit(prompts, replace(CONFIG, writer=replace(TINY, width=16, steps=2)), encoder, folder=folder, progress=False)
    assert other.codes == dsl.codes and other.writer_.config.width == 16
    assert dsl.stats["seconds"]["writing"] > 0


def test_a_writer_can_be_added_to_a_language_that_only_reads(dsl, prompts, encoder, folder, tmp_path, monkeypatch):
    for stage in (Units, Codebook):
        monkeypatch.setattr(stage, "fit", None)
    reader = DeepDSL.fit(prompts, replace(CONFIG, writer=None), encoder, folder=folder, progress=False)
    assert reader.writer_ is None and "writing" not in reader.stats["seconds"]
    assert reader.read(PROMPT) == dsl.read(PROMPT)
    reader.save(tmp_path / "reader")
    for one in (reader, DeepDSL.load(tmp_path / "reader", encoder)):
        for use in USES:
            with pytest.raises(NotFittedError, match=r"This DSL only reads.*DSLConfig\(writer=WriterConfig\(\)\)"):
                use(one, 1)


# ---- bad input ----------------------------------------------------------------------------------------------------------

USES = (
    lambda dsl, n: dsl.sample(n),
    lambda dsl, n: dsl.sample(n, PROMPT),
    lambda dsl, n: dsl.vary(PROMPT, n),
    lambda dsl, n: dsl.infill("a castle, <?>", n),
    lambda dsl, n: dsl.log_score([PROMPT] if n else []),
)


def test_a_language_that_learned_nothing_says_so():
    empty = DeepDSL()
    for use in USES:
        with pytest.raises(NotFittedError, match=r"learned nothing yet: use DeepDSL.fit\(prompts\) or DeepDSL.load"):
            use(empty, 1)


@pytest.mark.parametrize("n", [0, -1, True, 1.5, None, "3"])
def test_numbers_of_prompts_that_make_no_sense_are_refused(dsl, n):
    for use in USES[:-1]:
        with pytest.raises(ValueError, match=f"n must be an int of 1 or more, got {n!r}"):
            use(dsl, n)


@pytest.mark.parametrize("proximity", [-0.1, 1.1, "x", True, None, float("nan")])
def test_a_proximity_outside_0_to_1_is_refused(dsl, proximity):
    with pytest.raises(ValueError, match=f"proximity must be a number from 0 to 1, got {proximity!r}"):
        dsl.vary(PROMPT, 1, proximity)


def test_other_ways_to_vary_are_refused(dsl):
    with pytest.raises(ValueError, match="by must be one of slots, noise; got 'x'"):
        dsl.vary(PROMPT, 1, by="x")


def test_an_unknown_slot_name_is_refused_with_the_names_there_are(dsl, name):
    wrong = name + "x"
    template = Template.build(["a castle, ", Slot(wrong)])
    for use in (
        lambda: dsl.infill(template, 1),
        lambda: dsl.infill(str(template), 1),
        lambda: dsl.sample(1, template),
        lambda: dsl.vary(Template.build([Slot(wrong, "a castle")]), 1),
        lambda: dsl.log_score([PROMPT], template),
    ):
        with pytest.raises(TemplateError) as caught:
            use()
        said = str(caught.value)
        assert f"This language has no slot {wrong!r}. Did you mean {name!r}? It has: " in said
        assert all(code.name in said for code in dsl.codes)


def test_a_template_of_another_language_is_refused(dsl, name):
    number = next(code.id for code in dsl.codes if code.name != name)
    template = Template.build(["a castle, ", Slot(name, code=number)])
    for use in (lambda: dsl.infill(template, 1), lambda: dsl.sample(1, template)):
        with pytest.raises(TemplateError, match="the template comes from another DSL. Read its prompt with this one."):
            use()


def test_a_prompt_that_is_nothing_but_masks_is_refused(dsl):
    for text in ("<?>", " <?> ", "<?><?>", "\n<?>\t<?>"):
        with pytest.raises(TemplateError, match=r"nothing but masks in this prompt: sample\(n\) writes from nothing"):
            dsl.infill(text, 1)


def test_a_prompt_without_a_mask_is_refused(dsl):
    for prompt in (PROMPT, dsl.read(PROMPT), ""):
        with pytest.raises(TemplateError, match=r"holds no mask. Write <\?> for anything"):
            dsl.infill(prompt, 1)


def test_masks_are_refused_where_a_whole_prompt_is_needed(dsl, name):
    for masked in (Template.build(["a castle, ", Slot(name)]), f"a castle, <{escape(name)}:?>", "a castle, <?>"):
        with pytest.raises(TemplateError, match="vary needs a whole prompt, still open: .*Use infill for masks"):
            dsl.vary(masked, 1)
        with pytest.raises(TemplateError, match="content comes from a whole prompt, still open"):
            dsl.sample(1, PROMPT, content=masked)


def test_what_holds_no_slot_cannot_change(dsl):
    for text in ("", "the, of", ", |"):
        with pytest.raises(TemplateError, match="There is nothing to vary in"):
            dsl.vary(text, 1)
        with pytest.raises(TemplateError, match="There is nothing to re-roll in"):
            dsl.sample(1, text)


def test_locks_that_hold_nothing_are_refused(dsl, name):
    with pytest.raises(ValueError, match="lock keeps slots of a template: give template= too"):
        dsl.sample(1, lock={name})
    with pytest.raises(TemplateError, match=f"There is no slot '{name}x' to lock. Did you mean {name!r}. The template has: "):
        dsl.sample(1, PROMPT, lock={name + "x"})


def test_likes_that_lead_nowhere_are_refused(dsl, name):
    text = f"a castle, <{escape(name)}:?>"
    with pytest.raises(TemplateError, match=f"like names 'zz', but no mask has that name.* Masks here: {name}"):
        dsl.infill(text, 1, like={"zz": "monet"})
    with pytest.raises(TemplateError, match=r"like names '\?', but no mask has that name"):
        dsl.infill(text, 1, like={"?": "monet"})
    for empty in ("", "  ", None, 3):
        with pytest.raises(TemplateError, match=f"needs a filler with a word in it, got {empty!r}"):
            dsl.infill(text, 1, like={name: empty})
    with pytest.raises(TypeError, match="like is a dict of slot name to filler, got str"):
        dsl.infill(text, 1, like="monet")


def test_prompts_longer_than_the_window_are_refused(dsl):
    long = "a red castle on the hill, " * 60
    with pytest.raises(TemplateError, match=r"takes \d+ positions .* window is 256 .*Shorten the prompt"):
        dsl.infill(long + "<?>", 1)
    with pytest.raises(TemplateError, match="window is 256"):
        dsl.vary(long, 1)


@pytest.mark.parametrize("prompt", [3, None, b"a castle", ["a castle"]])
def test_what_is_no_prompt_is_refused(dsl, prompt):
    uses = [lambda: dsl.vary(prompt, 1), lambda: dsl.infill(prompt, 1)]
    if prompt is not None:
        uses += [lambda: dsl.sample(1, prompt), lambda: dsl.sample(1, PROMPT, content=prompt)]
    for use in uses:
        with pytest.raises(TypeError, match=r"Expected a prompt \(str\) or a Template, got"):
            use()


def test_the_words_drawn_most_often_are_those_of_the_corpus(dsl, prompts):
    """Even a writer trained for a second writes known words only."""
    words = Counter(word for prompt in prompts for word in ngram.tokens(prompt))
    for sample in dsl.sample(5, PROMPT):
        written = {word for slot in sample.template.slots for word in ngram.tokens(slot.text)}  # "8k," before "," is two tokens
        assert written <= set(words) | set(ngram.tokens(PROMPT))
