import numpy as np
import pytest
from tiny_encoder import write_bert

from workbench.language.codebook import CodebookConfig
from workbench.language.dsl import DeepDSL, DSLConfig
from workbench.language.dsl.given_codes import check_given, met
from workbench.models import load_encoder


def test_fillers_under_two_names_are_counted_before_the_work():
    codes = {"color": ["gold", "red", "amber"], "material": ["Gold", "amber", "oak"]}
    with pytest.warns(UserWarning, match=r"2 fillers stand under two names \('Gold' under 'color' and 'material'; 'amber'"):
        assert list(check_given(codes, DSLConfig())) == ["color", "material"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return load_encoder(write_bert(tmp_path_factory.mktemp("bert")), layer=3, device="cpu")


def test_the_lexicon_gives_codes_for_the_kinds_that_prompts_have(bert, tmp_path):
    animals, media, places = ("fox", "owl", "wolf", "cat"), ("etching", "fresco", "woodcut", "collage"), ("castle", "tower")
    prompts = [f"{a}, {m}, {p} {n}" for a in animals for m in media for p in places for n in ("one", "qux", "zorp", "blik")]
    config = DSLConfig(codebook=CodebookConfig(n_codes=8, epochs=2), writer=None)
    with pytest.warns(UserWarning, match="prompts are few"):
        dsl = DeepDSL.fit(prompts, config, bert, folder=tmp_path, progress=False, codes="lexicon")
    assert [code.name for code in dsl.codes[:2]] == ["animal", "medium"] == list(dsl.stats["given"])
    report = dsl.stats["lexicon"]
    assert 0.5 < report["met"] < 1
    assert report["left_out"]["place"] == 2 and report["left_out"]["artist"] == 0  # two are too few
    assert {unit.name for unit in dsl.tag("fox, etching")} == {"animal", "medium"}
    dsl.save(tmp_path / "dsl")
    again = DeepDSL.load(tmp_path / "dsl", encoder=bert)
    assert again.stats == dsl.stats and again.tag(prompts[:9]) == dsl.tag(prompts[:9])


def test_of_the_lexicon_the_most_frequent_kinds_get_three_fifths_of_the_codes():
    codes = {"a": ["x1", "x2", "x3"], "b": ["y1", "y2", "y3"], "c": ["z1", "z2", "z3"], "d": ["w"]}
    types = [f for fillers in codes.values() for f in fillers]
    known = {f: code for code, fillers in enumerate(codes.values()) for f in fillers}
    ids = np.array([*range(10), 3, 6, 6])
    kept, numbers, report = met(types, ids, codes, known, 4)
    assert list(kept) == ["b", "c"] and report == {"met": 1.0, "left_out": {"a": 3, "d": 1}}
    assert numbers == {"y1": 0, "y2": 0, "y3": 0, "z1": 1, "z2": 1, "z3": 1}


def test_prompts_in_another_language_are_learned_without_the_lexicon(bert, tmp_path):
    prompts = [f"{a} {b}, {c}" for a in ("красный", "старый", "чёрный") for b in ("замок", "лес", "волк") for c in "жзикл"]
    config = DSLConfig(codebook=CodebookConfig(n_codes=4, epochs=2), writer=None)
    with pytest.warns(UserWarning) as said:
        dsl = DeepDSL.fit(prompts, config, bert, folder=tmp_path, progress=False, codes="lexicon")
    assert any("Only 0.0% of the phrases of these prompts stand in the lists" in str(each.message) for each in said)
    assert "given" not in dsl.stats and dsl.stats["lexicon"]["met"] == 0
    assert all(code.name in " ".join(prompts) for code in dsl.codes if code.fillers)
