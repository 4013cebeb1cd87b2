import itertools

import numpy as np
import pytest
import torch
from tiny_clip_score import tiny_clip
from tiny_encoder import write_bert

from workbench.language.codebook import CodebookConfig
from workbench.language.dsl import DeepDSL, DSLConfig
from workbench.models import load_clip, load_encoder
from workbench.models.loading import FOLDER
from workbench.search.describe import describe
from workbench.search.rank import Built
from workbench.template import parse
from workbench.values import NotFittedError, PictureError, TemplateError
from workbench.words import is_function
from workbench.world import scenes

CONFIG = DSLConfig(codebook=CodebookConfig(n_codes=8, epochs=6), writer=None)


def captions(n):
    forms = itertools.cycle(scenes.FORMS)
    return sorted({scenes.caption(scene, next(forms), seed=i) for i, scene in enumerate(scenes.scenes(n, seed=1))})


@pytest.fixture(scope="module")
def dsl(tmp_path_factory):
    encoder = load_encoder(write_bert(tmp_path_factory.mktemp("bert")), layer=3, device="cpu")
    return DeepDSL.fit(captions(400), CONFIG, encoder, folder=tmp_path_factory.mktemp("fits"), progress=False)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(window=77)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def built(dsl, clip, picture):
    return describe(dsl, picture, clip, beam=2, max_slots=4)


def fillers_of(dsl, name):
    code = next(code.id for code in dsl.codes if code.name == name)
    return {text for text, c in zip(dsl.fillers.texts, dsl.fillers.codes, strict=True) if c == code}


def test_a_picture_becomes_a_prompt_of_the_language(dsl, clip, picture, built):
    assert isinstance(built, Built) and built.text == built.template.prompt
    assert 1 <= len(built.template.slots) <= 4
    for slot, step in zip(built.template.slots, built.steps, strict=True):
        assert (slot.name, slot.text) == (step.slot, step.filler) and slot.text in fillers_of(dsl, slot.name)
    expected = float(clip.text_features(built.text)[0] @ clip.image_features(picture)[0])
    assert built.similarity == pytest.approx(expected, abs=1e-5)
    assert built.similarity == pytest.approx(built.steps[-1].similarity, abs=1e-5)


def test_it_fits_better_than_random_fillers(dsl, clip, picture, built):
    rng, texts = np.random.default_rng(0), []
    for counted in dsl.templates[:30]:
        template = parse(counted.examples[0])
        if template.slots:
            pools = [sorted(fillers_of(dsl, slot.name)) for slot in template.slots]
            texts.append(template.open().fill([pool[rng.integers(len(pool))] for pool in pools]).prompt)
    assert built.similarity > float((clip.text_features(texts) @ clip.image_features(picture)[0]).max())


def test_features_do_as_well_as_the_picture_and_twice_gives_the_same(dsl, clip, picture, built):
    assert describe(dsl, clip.image_features(picture), clip, beam=2, max_slots=4) == built


def test_slots_of_a_given_template_are_all_filled_and_its_literals_stay(dsl, clip, picture):
    name = next(code.name for code in dsl.codes if not code.literal)
    built = describe(dsl, picture, clip, template=f"on paper <{name}:?> and <{name}:?>, indeed.")
    first, second = (slot.text for slot in built.template.slots)
    assert built.text == f"on paper {first} and {second}, indeed." and first != second
    assert {first, second} <= fillers_of(dsl, name)
    read = describe(dsl, picture, clip, template="one red circle in the snow")
    assert read.template.open() == dsl.read("one red circle in the snow").open()


def test_a_heavy_prior_takes_what_is_common(dsl, clip, picture, built):
    common = describe(dsl, picture, clip, beam=2, max_slots=4, prior=1e6)
    assert common.similarity <= built.similarity
    for slot in common.template.slots:
        code = next(code.id for code in dsl.codes if code.name == slot.name)
        found = zip(dsl.fillers.texts, dsl.fillers.codes, dsl.fillers.counts, strict=True)
        counts = {text: count for text, c, count in found if c == code and not is_function(text)}
        assert counts[slot.text] == max(counts.values())


def test_no_more_slots_than_asked_for(dsl, clip, picture):
    assert len(describe(dsl, picture, clip, max_slots=1, prior=0).template.slots) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"image": "none.png"}, PictureError, "no picture"),
        ({"image": torch.zeros(2, 3)}, ValueError, "16 wide"),
        ({"template": "<nonsense:?>"}, TemplateError, "no slot 'nonsense'"),
        ({"template": "a tree, <?>"}, TemplateError, "cannot fill <\\?>"),
        ({"template": ""}, TemplateError, "nothing to fill"),
        ({"beam": 0}, ValueError, "beam must be"),
        ({"max_slots": 0}, ValueError, "max_slots must be"),
        ({"prior": -1}, ValueError, "prior must be a number of 0 or more"),
    ],
)
def test_what_cannot_be_described_is_refused(dsl, clip, picture, options, error, message):
    with pytest.raises(error, match=message):
        describe(dsl, **{"image": picture, "clip": clip, **options})


def test_a_language_that_has_learned_nothing_says_so(picture):
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        describe(DeepDSL(), picture)


@pytest.mark.skipif(not (FOLDER / "clip").is_dir(), reason="needs the built-in CLIP: python -m tools.world train")
def test_pictures_of_the_world_are_put_into_right_words(minilm, tmp_path):
    from workbench.world.render import render

    config = DSLConfig(writer=None, codebook=CodebookConfig(n_codes=8))
    dsl, clip = DeepDSL.fit(captions(1500), config, minilm, folder=tmp_path, progress=False), load_clip("world", device="cpu")
    shown = scenes.scenes(5, seed=0, split="held_out")
    said = [scenes.read(describe(dsl, render(scene, seed=i), clip, beam=1).text) for i, scene in enumerate(shown)]
    right = [[one[name] == getattr(scene, name) for name in scenes.ATTRIBUTES] for one, scene in zip(said, shown, strict=True)]
    assert np.mean(right) >= 0.9
