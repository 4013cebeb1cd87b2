import functools
import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_encoder import write_bert

from workbench import artifacts
from workbench import corpus as corpora
from workbench import encode as encode_module
from workbench.language.codebook import Codebook, CodebookConfig
from workbench.language.dsl import DeepDSL, DSLConfig
from workbench.language.dsl.reader import means
from workbench.language.units import Span, Units, UnitsConfig
from workbench.models import load_encoder
from workbench.template import Slot, Template, escape, parse
from workbench.values import ArtifactError, CorpusError, NotFittedError, TemplateError, Unit
from workbench.words import JOINT, WORD, is_function, split

CONFIG = DSLConfig(codebook=CodebookConfig(n_codes=8, epochs=6), writer=None)
PROMPT = "portrait of a samurai, oil on canvas, by Claude Monet, 8k"


@pytest.fixture(scope="module")
def prompts():
    return corpora.load("world", n=400, seed=0, progress=False)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def encoder(bert):
    return load_encoder(bert, layer=3, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fits")


@pytest.fixture(scope="module", autouse=True)
def smaller_sample():
    """Codes are learned on 300 of the 400 prompts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.language.dsl.fitting._SAMPLE", 300)
        yield


@pytest.fixture(scope="module")
def dsl(prompts, encoder, folder):
    return DeepDSL.fit(prompts, CONFIG, encoder, folder=folder, progress=False)


@pytest.fixture
def own(dsl):
    """A language to rename: one that no other test uses."""
    return DeepDSL(replace(dsl.learned))


@pytest.fixture
def saved(dsl, tmp_path):
    dsl.save(tmp_path / "dsl")
    return tmp_path / "dsl"


def codes(dsl, texts):
    return [[unit.code for unit in units] for units in dsl.tag(texts)]


# ---- reading ------------------------------------------------------------------------------------------------------------


def test_the_units_of_a_prompt_have_offsets_codes_and_names(dsl):
    units = dsl.tag(PROMPT)
    assert all(isinstance(unit, Unit) for unit in units)
    for unit in units:
        assert PROMPT[unit.start : unit.end] == unit.text and type(unit.code) is int
        assert dsl.codes[unit.code].name == unit.name
    assert " ".join(unit.text for unit in units).split() == PROMPT.replace(",", "").split()


def test_the_slots_of_a_template_are_runs_of_units_with_one_code(dsl, prompts):
    for text in [PROMPT, *prompts[:60]]:
        template, units = dsl.read(text), dsl.tag(text)
        assert isinstance(template, Template)
        content = [u for u in units if not is_function(u.text.lower()) and not dsl.codes[u.code].literal]
        inside = {slot: [u for u in content if slot.start <= u.start < slot.end] for slot in template.slots}
        assert sorted(sum(inside.values(), [])) == sorted(content)
        for slot, run in inside.items():
            assert text[slot.start : slot.end] == slot.text == text[run[0].start : run[-1].end]
            assert {u.code for u in run} == {slot.code} and slot.name == dsl.codes[slot.code].name
            assert {token.kind for token in split(slot.text)} <= {WORD, JOINT}
        for left, right in itertools.pairwise(template.slots):
            between = {token.kind for token in split(text[left.end : right.start])}
            assert left.code != right.code or between - {WORD, JOINT}


PIECES = [
    "a castle",
    "oil on canvas",
    "by",
    "((",
    ":1.2)",
    "<",
    "<subject:x>",
    "<?>",
    "\\",
    ",",
    "|",
    "8k",
    "👩‍🎨",
    "塔",
    "\n",
    "of the",
    "-",
]


@pytest.fixture(scope="module")
def read(dsl):
    return lambda text: dsl.read(Template.build([text]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=10).map(" ".join)))
@example(text="")
@example(text=", , |")
@example(text="a <castle> \\ on <?>, 👩‍🎨🏽 \x00 قلعة")
@example(text="\ud83d of a castle")
@example(text="a tower " * 200)
def test_a_template_holds_any_prompt_to_the_letter(read, text):
    template = read(text)
    assert template.prompt == text
    assert parse(str(template)) == template


def test_a_list_is_read_as_its_prompts_are_one_by_one(dsl, prompts):
    texts = [*prompts[:20], "", ", |", PROMPT]
    assert dsl.read(texts) == [dsl.read(text) for text in texts]
    assert dsl.tag(texts) == [dsl.tag(text) for text in texts]
    assert dsl.read(tuple(texts)) == dsl.read(texts)
    assert dsl.tag([]) == [] and dsl.read([]) == [] and dsl.tag("") == []


def test_function_words_stay_plain_text_unless_they_stand_inside_a_slot(dsl):
    for text in ("the", "of a, by, in the"):
        assert dsl.read(text).slots == ()


@pytest.mark.parametrize("value", [3, None, b"a castle", ["a castle", 3], iter(["a castle"]), {"a": 1}])
def test_what_is_no_prompt_is_refused(dsl, value):
    with pytest.raises(TypeError, match=r"Expected a prompt \(str\) or a list of prompts, got"):
        dsl.tag(value)
    with pytest.raises(TypeError, match=r"Expected a prompt \(str\) or a Template, or a list of them, got"):
        dsl.read(value)


def test_the_row_that_is_no_prompt_is_named(dsl):
    with pytest.raises(TypeError, match="got list whose row 2 is NoneType"):
        dsl.read(["a castle", "", None, 3])


def test_masks_stay_where_they_are_and_the_text_around_them_is_read(dsl):
    name = dsl.read(PROMPT).slots[0].name
    text = f"{PROMPT}, <?>, <{escape(name)}:?> and"
    template = dsl.read(text)
    assert template.fill(["x", "y"]).prompt == f"{PROMPT}, x, y and"
    assert [slot.name for slot in template.slots if slot.text is None] == [None, name]
    assert template.slots[:-2] == dsl.read(PROMPT).slots and template.slots[-1].code == template.slots[0].code
    assert dsl.read(parse(text)) == template == dsl.read([PROMPT, text])[1]
    assert dsl.read(Template.build(["a <castle> < ?", Slot(None)])).slots[-1].text is None
    with pytest.raises(TemplateError, match="nothing but masks"):
        dsl.read("<?>, <?>".replace(", ", " "))
    with pytest.raises(TemplateError, match=f"no slot '{name}x'. Did you mean {name!r}"):
        dsl.read(f"a castle, <{name}x:?>")


def test_a_template_with_fillers_keeps_its_parts_and_gets_codes(dsl):
    name = dsl.codes[3].name
    template = Template.build(["a castle, ", Slot(name, "8k"), ", ", Slot(name)])
    found = dsl.read(template)
    assert found == template and [slot.code for slot in found.slots] == [3, 3]
    with pytest.raises(TemplateError, match="comes from another DSL"):
        dsl.read([PROMPT, Template.build([Slot(name, "8k", code=4)])])


def test_a_language_says_what_it_is(dsl):
    assert repr(dsl) == "DeepDSL(400 prompts, 8 codes, reads)"
    assert repr(DeepDSL()) == "DeepDSL(nothing learned yet)"


def test_a_language_has_twelve_verbs():
    verbs = [name for name, value in vars(DeepDSL).items() if name[0] != "_" and not isinstance(value, property)]
    assert sorted(verbs) == sorted("fit load save read tag sample infill vary log_score rename rank_fillers fit_ranking".split())


def test_a_language_that_learned_nothing_says_so(tmp_path):
    for use in (lambda dsl: dsl.tag(PROMPT), lambda dsl: dsl.codes, lambda dsl: dsl.save(tmp_path / "dsl")):
        with pytest.raises(NotFittedError, match=r"learned nothing yet: use DeepDSL.fit\(prompts\) or DeepDSL.load"):
            use(DeepDSL())
    assert not (tmp_path / "dsl").exists()


def test_the_vector_of_a_unit_is_the_mean_of_its_words():
    spans = [Span(0, 3, 0, 2, 2, "a b"), Span(4, 5, 2, 3, 0, "c"), Span(6, 9, 3, 5, 1, "d e")]
    words = np.array([[1, 0], [3, 2], [5, 5], [7, 0], [9, 1]], np.float16)
    assert means(words, spans).tolist() == [[2, 1], [5, 5], [8, 0.5]]
    assert means(words[:0], []).shape == (0, 2)


# ---- what was learned ---------------------------------------------------------------------------------------------------


def test_the_codes_account_for_all_units(dsl, prompts):
    assert [code.id for code in dsl.codes] == list(range(8))
    assert len({code.name for code in dsl.codes}) == 8 and all(type(code.name) is str for code in dsl.codes)
    assert sum(code.usage for code in dsl.codes) == pytest.approx(1.0)
    counted = np.bincount(sum(codes(dsl, prompts[:]), []), minlength=8)
    assert dsl.stats["units"] == sum(code.count for code in dsl.codes) == counted.sum()
    # features are kept in half precision, which may move a unit between two codes
    assert np.abs(counted - [code.count for code in dsl.codes]).sum() <= 0.01 * counted.sum()
    for code in dsl.codes:
        assert all(0 < count <= code.count for _, count in code.fillers) and type(code.literal) is bool


def test_forgetting_rare_fillers_changes_no_count_of_a_code(dsl, encoder, prompts, folder, monkeypatch):
    monkeypatch.setattr("workbench.language.dsl.fitting._COUNTED", 60)
    bounded = DeepDSL.fit(prompts, CONFIG, encoder, folder=folder, progress=False)
    assert [code.count for code in bounded.codes] == [code.count for code in dsl.codes]
    assert bounded.stats["units"] == dsl.stats["units"] and bounded.stats["dead_codes"] == dsl.stats["dead_codes"]
    assert sum(len(code.fillers) for code in bounded.codes) <= 60


def test_rows_of_the_transitions_are_shares(dsl):
    assert dsl.transitions.shape == (9, 9)
    used = [code.id for code in dsl.codes if code.count] + [8]
    np.testing.assert_allclose(dsl.transitions[used].sum(1), 1, atol=1e-5)
    assert dsl.transitions[8, 8] == 0  # every prompt has a unit between start and end


def test_the_fillers_of_the_map_are_frequent_phrases_with_their_codes(dsl):
    fillers = dsl.fillers
    assert len(fillers.texts) == len(fillers.codes) == len(fillers.counts) == len(fillers.vectors)
    assert fillers.counts.min() >= 1 and fillers.vectors.dtype == np.float32
    assert fillers.vectors.shape[1] == dsl.learned.codebook.vectors_.shape[1]
    assert set(fillers.codes) <= set(range(8))


def test_templates_are_counted_and_shown_with_prompts_that_have_them(dsl, prompts):
    assert dsl.templates and [t.count for t in dsl.templates] == sorted((t.count for t in dsl.templates), reverse=True)
    assert sum(t.count for t in dsl.templates) <= 300 < sum(t.count for t in dsl.segments)  # prompts of the sample
    texts = "\n".join(prompts)
    for template in (*dsl.templates, *dsl.segments):
        assert 1 <= len(template.examples) <= 3 and len(template.examples) <= template.count
        for printed in template.examples:
            # separators at the edges are left out
            assert parse(printed).skeleton == template.skeleton and parse(printed).prompt in texts


def test_the_figures_of_a_run(dsl, prompts, encoder):
    stats = dsl.stats
    assert stats["prompts"] == 400
    assert stats["words"] == sum(token.kind == WORD for text in prompts for token in split(text))
    assert 0 < stats["units"] < stats["words"]
    assert stats["dead_codes"] == sum(code.count == 0 for code in dsl.codes)
    assert 1 <= stats["perplexity"] <= 8
    report = prompts.report
    assert stats["corpus"] == {
        "source": "world",
        "read": report.read,
        "kept": report.kept,
        "changed": report.changed,
        "dropped": report.dropped,
    }
    assert stats["encoder"] == encoder.name
    assert {"corpus", "encoder", "phrases", "encode", "sample", "codes", "tag all"} <= set(stats["seconds"])
    assert all(seconds >= 0 for seconds in stats["seconds"].values())
    assert set(stats["v_measure"]) == {"words", "open_slots", "unseen"} and 0 < stats["v_measure"]["words"] < 1
    assert json.loads(json.dumps(stats)) == stats


# ---- fitting: bad input, stopping, reuse --------------------------------------------------------------------------------


@pytest.fixture
def no_encoding(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("this was to be found out before the long work")

    monkeypatch.setattr(encode_module, "encode", fail)


def test_too_few_phrases_for_the_codes_are_found_out_before_encoding(encoder, tmp_path, no_encoding):
    three = ["a red castle on the hill", "an old boat in the rain", "a tin robot by the sea"]
    config = DSLConfig(codebook=CodebookConfig(n_codes=32))
    with pytest.raises(
        ValueError, match=r"32 codes need 32 different phrases or more; the 3 prompts kept of 3 hold 1\d"
    ) as caught:
        DeepDSL.fit(three, config, encoder, folder=tmp_path, progress=False)
    assert "Add prompts, or take fewer codes (n_codes=" in str(caught.value)


@pytest.mark.filterwarnings("ignore:.* rows were dropped")
def test_prompts_that_are_all_equal_are_found_out_before_encoding(encoder, tmp_path, no_encoding):
    with pytest.raises(ValueError, match="the 1 prompts kept of 60 hold 6"):
        DeepDSL.fit(["a red castle on the hill"] * 60, CONFIG, encoder, folder=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("rows", "error"), [([], CorpusError), ([None, 3], CorpusError), (["", "  "], CorpusError), ("a castle", TypeError)]
)
def test_prompts_that_cannot_be_used_are_refused(encoder, tmp_path, no_encoding, rows, error):
    with pytest.raises(error):
        DeepDSL.fit(rows, CONFIG, encoder, folder=tmp_path, progress=False)


def test_an_encoder_of_another_layer_is_kept_with_the_language(bert, prompts, tmp_path):
    dsl = DeepDSL.fit(prompts, CONFIG, load_encoder(bert, layer=2), folder=tmp_path / "fits", progress=False)
    dsl.save(tmp_path / "dsl")
    again = DeepDSL.load(tmp_path / "dsl")
    assert again.encoder.layer == 2 and again.read(PROMPT) == dsl.read(PROMPT)


@pytest.mark.parametrize("seed", ["1", 0.5, True, None])
def test_a_seed_that_is_not_a_whole_number_is_refused(seed):
    with pytest.raises(ValueError, match="DSLConfig: seed must be an int, got"):
        DSLConfig(seed=seed)


def test_rows_that_are_not_strings_are_counted(encoder, prompts, tmp_path):
    found = DeepDSL.fit([*prompts[:80], None, 3, 2.5], CONFIG, encoder, folder=tmp_path, progress=False)
    told = found.stats["corpus"]
    assert told["read"] == 83 and told["dropped"]["not a string"] == 3
    assert told["kept"] == found.stats["prompts"] == 83 - sum(told["dropped"].values())
    assert found.stats["v_measure"] is None


def test_a_fit_stopped_while_encoding_goes_on_where_it_was(dsl, encoder, prompts, tmp_path, monkeypatch):
    made, write = [], encode_module.write_shard

    def interrupted(path, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(path)
        return write(path, *rest)

    monkeypatch.setattr(encode_module, "encode", functools.partial(encode_module.encode, shard_size=100))
    monkeypatch.setattr(encode_module, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DeepDSL.fit(prompts, CONFIG, encoder, folder=tmp_path, progress=False)
    monkeypatch.setattr(encode_module, "write_shard", lambda path, *rest: made.append(path) or write(path, *rest))
    monkeypatch.setattr(Units, "fit", None)  # finished before
    again = DeepDSL.fit(prompts, CONFIG, encoder, folder=tmp_path, progress=False)
    assert len(made) == len(set(made)) == 4
    assert codes(again, prompts[:50]) == codes(dsl, prompts[:50]) and again.codes == dsl.codes


def test_a_second_fit_takes_what_the_first_has_made(dsl, encoder, prompts, folder, monkeypatch):
    for stage in (Units, Codebook):
        monkeypatch.setattr(stage, "fit", None)
    monkeypatch.setattr(encode_module, "write_shard", None)
    again = DeepDSL.fit(prompts, CONFIG, encoder, folder=folder, progress=False)
    assert again.codes == dsl.codes and again.read(PROMPT) == dsl.read(PROMPT)


def test_damaged_stages_are_made_again(dsl, encoder, prompts, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    (units,) = (tmp_path / "copy").glob("fits/*/units/config.json")
    (book,) = (tmp_path / "copy").glob("fits/*/codebook/config.json")
    units.write_text('{"config"')
    book.write_text("{}")
    with pytest.warns(UserWarning, match="config.json .*It is learned again") as said:
        again = DeepDSL.fit(prompts, CONFIG, encoder, folder=tmp_path / "copy", progress=False)
    again_said = [str(one.message) for one in said if "learned again" in str(one.message)]
    assert [name in one for one, name in zip(again_said, ("units", "codebook"), strict=True)] == [True, True]
    assert again.codes == dsl.codes and json.loads(units.read_text())


def test_other_options_do_not_meet_the_stages_of_a_fit_before(encoder, prompts, folder, dsl):
    few = DSLConfig(
        units=UnitsConfig(min_count=10_000),
        codebook=CodebookConfig(n_codes=4, epochs=2),
        writer=None,
    )
    other = DeepDSL.fit(prompts, few, encoder, folder=folder, progress=False)
    assert len(other.codes) == 4 and other.stats["units"] == other.stats["words"] > dsl.stats["units"]


def test_without_a_folder_the_cache_is_used(encoder, prompts, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    found = DeepDSL.fit(prompts[:80], CONFIG, encoder, progress=False)
    assert found.stats["prompts"] == 80 and {"features", "fits"} <= {path.name for path in (tmp_path / "cache").iterdir()}


# ---- saving and names ---------------------------------------------------------------------------------------------------


def test_a_loaded_language_reads_as_the_saved_one(dsl, saved, prompts):
    again = DeepDSL.load(saved)  # the encoder is found by its name
    texts = [*prompts[:40], PROMPT, ""]
    assert again.read(texts) == dsl.read(texts) and again.tag(texts) == dsl.tag(texts)
    assert again.codes == dsl.codes and again.templates == dsl.templates and again.segments == dsl.segments
    assert again.config == dsl.config and again.stats == dsl.stats
    np.testing.assert_array_equal(again.transitions, dsl.transitions)
    assert again.fillers.texts == dsl.fillers.texts
    for mine, other in zip(again.fillers[1:], dsl.fillers[1:], strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_loaded_language_can_be_saved_again(saved, encoder, tmp_path, prompts):
    first = DeepDSL.load(saved, encoder)
    first.save(tmp_path / "second")
    assert DeepDSL.load(tmp_path / "second", encoder).read(prompts[:10]) == first.read(prompts[:10])


def test_another_encoder_is_refused_and_the_right_one_named(saved, tmp_path, bert, encoder):
    other = load_encoder(write_bert(tmp_path / "other", seed=1), layer=3, device="cpu")
    for wrong in (other, str(tmp_path / "other"), load_encoder(bert, layer=2, device="cpu")):
        with pytest.raises(ArtifactError, match="learned with another encoder") as caught:
            DeepDSL.load(saved, wrong)
        assert f"encoder={encoder.name!r}, layer 3" in str(caught.value)


def test_a_language_of_a_newer_format_is_refused(saved, encoder):
    path = saved / "config.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps({**head, "format": head["format"] + 1, "workbench": "99.0"}))
    with pytest.raises(ArtifactError, match=r"written by a newer workbench \(99\.0, format 3\)"):
        DeepDSL.load(saved, encoder)


def test_damaged_or_cut_off_tensors_are_refused(saved, encoder):
    (path,) = saved.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="is damaged"):
        DeepDSL.load(saved, encoder)
    path.write_bytes(data[:-10])
    with pytest.raises(ArtifactError, match="is truncated"):
        DeepDSL.load(saved, encoder)


@pytest.mark.parametrize(
    ("place", "value"), [("parts", {}), ("parts", None), ("codes", [[1]]), ("templates", None), ("encoder", {"name": "x"})]
)
def test_a_config_with_a_part_missing_is_refused(saved, encoder, place, value):
    config, tensors = artifacts.load(saved, "deep-dsl")
    artifacts.save(saved, "deep-dsl", config | {place: value}, tensors)
    with pytest.raises(ArtifactError, match=r"this workbench .* can read .*wrote it.*DeepDSL.fit\(prompts\).*\.save\(folder\)"):
        DeepDSL.load(saved, encoder)


def test_a_language_of_an_older_format_is_refused_with_the_way_to_make_it_anew(saved, encoder):
    path = saved / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1, "workbench": "0.1.7"}))
    with pytest.raises(ArtifactError, match=r"written by workbench 0.1.7 .*DeepDSL.fit\(prompts\).*\.save\(folder\)"):
        DeepDSL.load(saved, encoder)


@pytest.mark.parametrize("name", ["?", " ", "17", ":", "\\", "a\nb", "<?>"])
def test_any_name_survives_printing_and_a_second_renaming(dsl, own, name):
    assert own.rename({0: name}) is own and own.codes[0].name == name
    assert own.rename({name: dsl.codes[0].name}).templates == dsl.templates


def test_a_folder_that_holds_no_language_is_refused(tmp_path, encoder, dsl):
    with pytest.raises(ArtifactError, match="there is no such folder"):
        DeepDSL.load(tmp_path / "nothing", encoder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="notes.txt"):
        dsl.save(tmp_path / "mine")


def test_new_names_are_shown_wherever_codes_are(dsl, own, saved, tmp_path):
    slot = own.read(PROMPT).slots[0]
    renamed = own.rename({slot.name: "who: <it> is"})
    assert renamed.codes[slot.code].name == "who: <it> is" and dsl.codes[slot.code].name == slot.name
    found = renamed.read(PROMPT)
    assert found.slots[0] == Slot("who: <it> is", slot.text, slot.start, slot.end) and parse(str(found)) == found
    assert {unit.name for unit in renamed.tag(PROMPT) if unit.code == slot.code} == {"who: <it> is"}
    assert [unit.code for unit in renamed.tag(PROMPT)] == [unit.code for unit in dsl.tag(PROMPT)]
    renamed.save(saved)
    assert DeepDSL.load(saved).read(PROMPT) == found


def test_templates_of_the_corpus_are_shown_with_the_new_names(dsl, own):
    old = parse(dsl.templates[0].examples[0]).slots[0].name
    renamed = own.rename({old: "fresh"})
    pairs = [*zip(dsl.templates, renamed.templates, strict=True), *zip(dsl.segments, renamed.segments, strict=True)]
    for before, after in pairs:
        assert after.count == before.count
        for mine, other in zip(before.examples, after.examples, strict=True):
            assert [slot.name for slot in parse(other).slots] == [
                "fresh" if slot.name == old else slot.name for slot in parse(mine).slots
            ]
            assert parse(other).skeleton == after.skeleton and parse(other).prompt == parse(mine).prompt


@pytest.mark.parametrize("names", [["a", "b"], "subject", None, [(0, "subject")]])
def test_new_names_that_are_no_dict_are_refused(dsl, names):
    with pytest.raises(TypeError, match=r"rename needs a dict such as \{'.*': 'subject'\}, got (list|str|NoneType)"):
        dsl.rename(names)


def test_codes_can_be_named_by_number_and_swap_their_names(own):
    first, second = own.codes[0].name, own.codes[1].name
    swapped = own.rename({first: second, 1: first})
    assert [code.name for code in swapped.codes[:2]] == [second, first]


def test_names_that_cannot_be_given_are_refused(dsl):
    first = dsl.codes[0].name
    with pytest.raises(TemplateError, match=r"'no such' is neither a code \(0\.\.7\) nor a name of this language: ") as caught:
        dsl.rename({"no such": "x"})
    assert dsl.codes[3].name in str(caught.value)
    with pytest.raises(TemplateError, match="8 is neither a code"):
        dsl.rename({8: "x"})
    with pytest.raises(TemplateError, match="Two codes would be called"):
        dsl.rename({0: dsl.codes[1].name})
    for name in ("", None, 5):
        with pytest.raises(TemplateError, match=f"The new name of 0 must be a str that is not empty, got {name!r}"):
            dsl.rename({0: name})
    assert dsl.codes[0].name == first
