"""Concepts: what each way leaves alone, what diffusers loads, what merging keeps exactly, and what is refused."""

import copy
import functools

import numpy as np
import PIL.Image
import pytest
import safetensors.numpy
import torch
from tiny_diffusion import tiny_diffusion

from workbench import concepts, picture_guidance, training
from workbench.models import load_clip, load_pipeline
from workbench.models.pipeline import Pipeline
from workbench.search.concepts import inversion
from workbench.values import ArtifactError, ModelError, PictureError
from workbench.world import newcomers, scenes

FAST = concepts.ConceptConfig(steps=3, batch=3)
KEPT = [scenes.caption(scene, seed=i) for i, scene in enumerate(scenes.scenes(8, 3))]


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline("world", device="cpu")


@pytest.fixture(scope="module")
def lava():
    return newcomers.examples(4, "lava", seed=1)


@pytest.fixture(scope="module")
def arrow():
    return newcomers.examples(4, "arrow", seed=2)


def learn(pipeline, shown, config=FAST, **more):
    return concepts.learn(pipeline, *shown, config, progress=False, **more)


def same(one, other):
    """Whether two pictures or lists of them are equal."""
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, other, strict=True))


def arrays(concept):
    return {**concept.words, **concept.weights}


# ---- what is learned ----------------------------------------------------------------------------------------------------


def test_only_the_row_of_the_word_is_new(pipeline, lava):
    before = {k: v.clone() for part in ("unet", "text_encoder") for k, v in getattr(pipeline.pipe, part).state_dict().items()}
    known = learn(pipeline, lava).on(pipeline)
    table, old = (one.pipe.text_encoder.get_input_embeddings().weight for one in (known, pipeline))
    assert len(table) == len(old) + 1 and torch.equal(table[:-1], old)
    assert known.pipe.unet is pipeline.pipe.unet and known.pipe.vae is pipeline.pipe.vae
    after = {k: v for part in ("unet", "text_encoder") for k, v in getattr(pipeline.pipe, part).state_dict().items()}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (
        pipeline.pipe.text_encoder.get_input_embeddings() is not inversion and "<lava>" not in pipeline.pipe.tokenizer.get_vocab()
    )
    assert same(known.draw(KEPT[:3], steps=2), pipeline.draw(KEPT[:3], steps=2))


def test_every_new_word_and_every_vector_of_it_moves(pipeline):
    shown = newcomers.examples(4, ("lava", "arrow"), seed=3)
    config = FAST.replace(vectors=2)
    start, moved = (learn(pipeline, shown, config.replace(steps=n)) for n in (0, 3))
    assert set(moved.words) == {"<lava>", "<arrow>"}
    for word, rows in moved.words.items():
        assert rows.shape == (2, 128) and rows.dtype == np.float32
        assert (np.abs(rows - start.words[word]).max(1) > 1e-4).all()


@pytest.mark.parametrize(("how", "count"), [("word", 0), ("attention", 114_688), ("all", 2_732_652)])
def test_each_way_changes_the_weights_that_it_names(pipeline, lava, how, count):
    found = learn(pipeline, lava, FAST.replace(how=how, steps=2), kept=KEPT)
    assert sum(value.size for value in found.weights.values()) == count and found.size == count + 128
    named = dict(pipeline.pipe.unet.named_parameters())
    if how == "attention":
        assert all(".attn2.to_" in name for name in found.weights)
    assert all(not np.array_equal(value, named[name].detach().numpy()) for name, value in found.weights.items() if value.std())
    assert not any(weight.requires_grad or weight.grad is not None for weight in named.values())


def test_a_color_is_learned_from_a_few_pictures_and_the_rest_of_a_prompt_is_kept(pipeline):
    shown = newcomers.examples(5, "lava", seed=100)
    config = concepts.ConceptConfig(steps=50, batch=5, rate=0.01)
    known = learn(pipeline, shown, config, starts={"<lava>": ["blue", "red", "orange"]}).on(pipeline)
    pictures = known.draw(["a <lava> square in the snow, photo"] * 6, steps=4)
    middle = np.mean([np.asarray(picture)[12:20, 12:20].mean((0, 1)) for picture in pictures], 0) / 255
    assert np.abs(middle - newcomers.COLORS["lava"]).max() < 0.2  # red is .2 off in green, orange .22


def test_of_several_starts_the_one_that_explains_the_pictures_best_is_taken(pipeline):
    shown = newcomers.examples(4, "lava", seed=5)
    found = learn(pipeline, shown, FAST.replace(steps=0), starts={"<lava>": ["blue", "orange", "cyan"]})
    ids = pipeline.pipe.tokenizer.convert_tokens_to_ids("orange")
    assert np.array_equal(found.words["<lava>"][0], pipeline.pipe.text_encoder.get_input_embeddings().weight[ids].numpy())


def test_the_states_of_old_captions_are_those_of_the_pipeline(pipeline):
    study = inversion._Study(pipeline, {"<lava>": 1})
    with torch.no_grad():
        found = study.states(KEPT[:2], torch.zeros(1, 128))
        expected = pipeline.pipe.encode_prompt(KEPT[:2], "cpu", 1, False)[0]
    assert torch.equal(found, expected)


def test_equal_seeds_give_equal_concepts_and_a_stopped_run_goes_on_to_the_same(pipeline, lava, tmp_path, monkeypatch):
    config = FAST.replace(steps=14, how="attention")
    whole = learn(pipeline, lava, config, kept=KEPT)
    update, done = training._update, []

    def stop(*args):
        done.append(update(*args))
        if len(done) == 12:
            raise RuntimeError("killed")
        return done[-1]

    monkeypatch.setattr(training, "_update", stop)
    with pytest.raises(RuntimeError, match="killed"):
        learn(pipeline, lava, config, kept=KEPT, folder=tmp_path / "run")
    monkeypatch.undo()
    again = learn(pipeline, lava, config, kept=KEPT, folder=tmp_path / "run")
    assert all(np.array_equal(value, arrays(again)[name]) for name, value in arrays(whole).items())
    assert again.history == whole.history
    with pytest.raises(ArtifactError, match="another run: data differs"):
        learn(pipeline, (lava[0][::-1], lava[1]), config, kept=KEPT, folder=tmp_path / "run")


def test_flips_and_cuts_are_other_pictures(pipeline, lava):
    plain, flipped, cut = (learn(pipeline, lava, FAST.replace(**more)) for more in ({}, {"flips": True}, {"zoom": 1.3}))
    assert not np.array_equal(plain.words["<lava>"], flipped.words["<lava>"])
    assert not np.array_equal(plain.words["<lava>"], cut.words["<lava>"])


def test_the_layout_of_stable_diffusion_is_learned_and_guided_too(pipeline, lava):
    other = tiny_diffusion(pipeline.pipe.tokenizer)
    found = learn(other, lava, FAST.replace(how="attention", steps=2), kept=["a red heart"] * 2)
    assert found.weights and all(np.isfinite(value).all() for value in arrays(found).values())
    known = found.on(other)
    assert known.draw("a <lava> heart", steps=2)[0].size == (32, 32)
    config = picture_guidance.GuidanceConfig(steps=3)
    clip = load_clip("world", device="cpu")
    assert picture_guidance.draw(known, clip, "a <lava> heart", "photo", config)[0].size == (32, 32)


# ---- files --------------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded_to_the_bit(pipeline, lava, tmp_path):
    found = learn(pipeline, lava, FAST.replace(how="attention"))
    found.save(tmp_path / "c")
    again = concepts.Concept.load(tmp_path / "c")
    assert all(np.array_equal(value, arrays(again)[name]) for name, value in arrays(found).items())
    assert (again.config, again.sha256, again.history) == (found.config, found.sha256, found.history)
    assert same(again.on(pipeline).draw(lava[1], steps=2), found.on(pipeline).draw(lava[1], steps=2))


@pytest.mark.parametrize("vectors", [1, 2])
def test_diffusers_loads_what_is_exported_and_draws_the_same(pipeline, lava, tmp_path, vectors):
    found = learn(pipeline, lava, FAST.replace(how="attention", vectors=vectors, steps=12))
    words, weights = found.export(tmp_path / "out")
    assert words.stat().st_size < 2000 and weights.stat().st_size < 4 * 114_688 + 8000
    pipe = load_pipeline("world", device="cpu").pipe
    pipe.load_textual_inversion(str(words.parent), weight_name=words.name)
    pipe.unet.load_attn_procs(str(weights.parent), weight_name=weights.name, _pipeline=pipe)
    other = Pipeline("world", "", pipe)
    rows = pipe.text_encoder.get_input_embeddings().weight[-vectors:].detach().numpy()
    assert np.array_equal(rows, found.words["<lava>"])
    for name, value in found.weights.items():
        block, which = name.removesuffix(".weight").rsplit(".", 1)
        layer = getattr(pipe.unet.get_submodule(block).processor, f"{which}_custom_diffusion")
        assert np.array_equal(layer.weight.detach().numpy(), value)
    # its attention is another function, so that sums differ in their last bits
    pairs = zip(other.draw(lava[1], steps=2), found.on(pipeline).draw(lava[1], steps=2), strict=True)
    assert all(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 2 for a, b in pairs)
    with pytest.raises(ArtifactError, match="not empty"):
        found.export(tmp_path / "out")


def test_a_whole_network_is_saved_as_a_pipeline(pipeline, lava, tmp_path):
    found = learn(pipeline, lava, FAST.replace(how="all", steps=1))
    with pytest.raises(ValueError, match=r"concept\.on\(pipeline\)\.pipe\.save_pretrained"):
        found.export(tmp_path / "out")
    found.on(pipeline).pipe.save_pretrained(tmp_path / "whole")
    again = load_pipeline(tmp_path / "whole", device="cpu")
    options = {"steps": 2, "guidance": 3.0}
    assert same(again.draw(lava[1], **options), found.on(pipeline).draw(lava[1], **options))


# ---- merging ------------------------------------------------------------------------------------------------------------


def test_the_closed_form_is_least_squares_under_constraints():
    random = np.random.default_rng(0)
    w, regular, c, v = (random.normal(size=size) for size in ((4, 6), (40, 6), (2, 6), (2, 4)))
    found = concepts.closed_form(w, regular, c, v)
    assert np.abs(found @ c.T - v.T).max() < 1e-9
    # the same by numpy: what is free lies in the null space of the constraints
    free = np.linalg.svd(c)[2][2:]
    start = np.linalg.lstsq(c, v - c @ w.T, rcond=None)[0]
    rest = np.linalg.lstsq(regular @ free.T, -regular @ start, rcond=None)[0]
    assert np.allclose(found, w + (start + free.T @ rest).T, atol=1e-4)
    with pytest.raises(ValueError, match="contradict"):
        concepts.closed_form(w, regular, np.concatenate([c, c]), np.concatenate([v, -v]))


def test_merged_keys_and_values_are_at_the_new_words_those_of_their_concept(pipeline, lava, arrow):
    both = [learn(pipeline, shown, FAST.replace(how="attention", steps=6)) for shown in (lava, arrow)]
    prompts = [lava[1][0], arrow[1][0]]
    merged = concepts.merge(pipeline, both, prompts=prompts, kept=KEPT)
    study = inversion._Study(pipeline, {word: 1 for word in merged.words})
    vectors = torch.from_numpy(np.concatenate(list(merged.words.values())))
    for one, prompt in zip(both, prompts, strict=True):
        at = study.states([prompt], vectors).detach()[study.ids([prompt]) >= study.old].numpy()
        for name, value in merged.weights.items():
            assert np.abs(at @ value.T - at @ one.weights[name].T).max() < 1e-4, name
    added = concepts.merge(pipeline, both, "sum")
    name = next(iter(added.weights))
    old = dict(pipeline.pipe.unet.named_parameters())[name].numpy()
    assert np.allclose(added.weights[name], both[0].weights[name] + both[1].weights[name] - old, atol=1e-6)
    assert concepts.merge(pipeline, both, "mean", prompts=prompts, kept=KEPT).on(pipeline).draw("a <lava> <arrow>", steps=1)


def test_words_alone_are_merged_as_they_are(pipeline, lava, arrow):
    both = [learn(pipeline, shown) for shown in (lava, arrow)]
    merged = concepts.merge(pipeline, both)
    assert not merged.weights and list(merged.words) == ["<lava>", "<arrow>"]
    assert same(merged.on(pipeline).draw(lava[1], steps=2), both[0].on(pipeline).draw(lava[1], steps=2))


# ---- what is refused ----------------------------------------------------------------------------------------------------


def test_pictures_of_mixed_sizes_lying_on_their_side_are_read_upright(pipeline, lava, tmp_path):
    upright = [PIL.Image.fromarray(one).resize((64, 64), 0) for one in lava[0]]
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # stored turned to the left
    turned = upright[0].transpose(PIL.Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "a.png", exif=exif)
    study = inversion._Study(pipeline, {"<lava>": 1})
    assert torch.equal(study.latents([tmp_path / "a.png"]), study.latents([upright[0]]))
    assert learn(pipeline, ([tmp_path / "a.png", *upright[1:3], PIL.Image.new("RGB", (90, 40))], lava[1])).words


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p, c: (p[:1], c[:1], {}), ValueError, "One picture cannot show"),
        (lambda p, c: (p, c[:2], {}), ValueError, "4 pictures and 2 captions"),
        (lambda p, c: ([*p[:3], PIL.Image.new("L", (10_000, 5_000))], c, {}), PictureError, "50 million pixels"),
        (lambda p, c: (p, [*c[:3], "a red heart"], {}), ValueError, "Caption 3 has no new word"),
        (lambda p, c: (p, [*c[:3], "a heart, " * 14 + "<lava>"], {}), ValueError, "Caption 3 is too long: <lava>"),
        (lambda p, c: (p, [*c[:3], 3], {}), TypeError, "captions is a list of str, but row 3 is int"),
        (lambda p, c: (p, c, {"starts": {"<lava>": "dark red"}}), ValueError, "'dark red', which is 2 tokens"),
        (lambda p, c: (p, c, {"starts": {"<lava>": "vermilion"}}), ValueError, "'vermilion', which is unknown"),
        (lambda p, c: (p, c, {"starts": {"<larva>": "red"}}), ValueError, "Did you mean '<lava>'"),
    ],
)
def test_bad_input_is_named_before_any_work(pipeline, lava, change, error, message):
    pictures, captions, more = change(list(lava[0]), list(lava[1]))
    with pytest.raises(error, match=message):
        learn(pipeline, (pictures, captions), **more)


def test_a_word_is_not_learned_twice(pipeline, lava):
    found = learn(pipeline, lava, FAST.replace(steps=0))
    known = found.on(pipeline)
    with pytest.raises(ValueError, match="has a word <lava> already"):
        learn(known, lava)
    with pytest.raises(ValueError, match="Two concepts have the word <lava>"):
        concepts.merge(pipeline, [found, found])


def test_a_concept_of_another_pipeline_is_refused(pipeline, lava):
    found = learn(pipeline, lava, FAST.replace(steps=0))
    other = Pipeline("other", "", copy.copy(pipeline.pipe))
    other.pipe.unet = copy.deepcopy(pipeline.pipe.unet)
    with torch.no_grad():
        next(other.pipe.unet.parameters()).add_(1)
    with pytest.raises(ModelError, match="learned with another pipeline"):
        found.on(other)


def test_a_pipeline_without_the_part_to_train_is_refused(pipeline, lava):
    from diffusers import UNet2DModel

    with pytest.raises(ModelError, match="has no tokenizer, no text_encoder"):
        learn(object(), lava)
    other = Pipeline("other", "", copy.copy(pipeline.pipe))
    other.pipe.unet = UNet2DModel(
        8, 12, 12, block_out_channels=(32, 32), down_block_types=["DownBlock2D"] * 2, up_block_types=["UpBlock2D"] * 2
    )
    with pytest.raises(ModelError, match="has no cross-attention"):
        learn(other, lava, FAST.replace(how="attention"))


def test_a_loss_that_is_not_finite_is_an_error(pipeline, lava, monkeypatch):
    monkeypatch.setattr(inversion.functional, "mse_loss", lambda a, b: (a - b).mean() * float("nan"))
    with pytest.raises(ValueError, match="not finite. Lower the learning rate"):
        learn(pipeline, lava)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "lora"}, "how must be one of word, attention, all"),
        ({"vectors": 0}, "vectors must be an int of 1 or more"),
        ({"rate": 0}, "rate must be a number above 0"),
        ({"zoom": 0.5}, "zoom must be a number from 1 to 4"),
        ({"flips": 1}, "flips must be True or False"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        concepts.ConceptConfig(**options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, a, b: concepts.merge(p, [a]), "two concepts or more, got 1"),
        (lambda p, a, b: concepts.merge(p, [a, b], kept=KEPT), "There are no prompts"),
        (lambda p, a, b: concepts.merge(p, [a, b], prompts=["a <lava> <arrow>"], kept=KEPT), "words of 2 concepts"),
        (lambda p, a, b: concepts.merge(p, [a, b], prompts=["a <lava> star"], kept=KEPT), "No prompt has a word of concept 1"),
        (lambda p, a, b: concepts.merge(p, [a, b], "median"), "how must be one of closed_form, sum, mean"),
    ],
)
def test_merging_names_what_it_lacks(pipeline, lava, arrow, call, message):
    both = [learn(pipeline, shown, FAST.replace(how="attention", steps=1)) for shown in (lava, arrow)]
    with pytest.raises(ValueError, match=message):
        call(pipeline, *both)


@pytest.mark.parametrize("call", ["learn", "merge"])
def test_an_old_caption_with_a_new_word_is_refused(pipeline, lava, arrow, call):
    config = FAST.replace(how="attention", steps=1)
    with pytest.raises(ValueError, match=r"kept.* 'a <lava> heart'.* new word"):
        if call == "learn":
            learn(pipeline, lava, config, kept=[*KEPT, "a <lava> heart"])
        else:
            both = [learn(pipeline, shown, config) for shown in (lava, arrow)]
            concepts.merge(pipeline, both, prompts=[lava[1][0], arrow[1][0]], kept=[*KEPT, "a <lava> heart"])


def test_words_of_like_names_go_to_files_of_their_own(pipeline, lava, tmp_path):
    words = {"<a.b>": 1.0, "<ab>": 2.0, "<\N{CYRILLIC SMALL LETTER A}>": 3.0, "<2>": 4.0}
    rows = {word: np.full((1, 128), value, np.float32) for word, value in words.items()}
    concept = concepts.Concept(rows, {}, FAST, "0" * 64)
    files = concept.export(tmp_path / "out")
    found = [safetensors.numpy.load_file(path) for path in files]
    assert len(set(files)) == 4 and {word: float(array[0]) for one in found for word, array in one.items()} == words


def test_the_highest_noise_is_a_step_that_the_scheduler_has(pipeline, lava, monkeypatch):
    monkeypatch.setattr(inversion, "_spread", lambda n: torch.ones(n))  # what rounding can make of the highest level
    assert learn(pipeline, lava).words


def test_a_pipeline_in_half_precision_is_refused_in_words(pipeline, lava):
    other = Pipeline("other", "", copy.copy(pipeline.pipe))
    other.pipe.unet = copy.deepcopy(pipeline.pipe.unet).to(torch.bfloat16)
    with pytest.raises(ModelError, match=r"float32, its unet has torch.bfloat16.*pipe\.to\(torch\.float32\)"):
        learn(other, lava)


def test_a_pipeline_of_another_class_learns_without_being_built_anew(pipeline, lava):
    class Other(type(pipeline.pipe)):
        @functools.wraps(type(pipeline.pipe).__init__)
        def __init__(self, *_, **__):
            raise TypeError("this class takes other parts")

    other = Pipeline("world", "", copy.copy(pipeline.pipe))
    other.pipe.__class__ = Other
    found = learn(other, lava, FAST.replace(steps=1))
    known = found.on(other)
    assert type(known.pipe) is Other and same(known.draw(lava[1], steps=1), found.on(pipeline).draw(lava[1], steps=1))


def test_the_folder_of_another_run_is_refused_before_old_captions_are_drawn(pipeline, lava, tmp_path, monkeypatch):
    config = FAST.replace(how="attention", steps=1)
    learn(pipeline, lava, config, kept=KEPT, folder=tmp_path / "run")
    monkeypatch.setattr(Pipeline, "draw", lambda *_, **__: pytest.fail("pictures were drawn"))
    with pytest.raises(ArtifactError, match="another run"):
        learn(pipeline, lava, config.replace(seed=4), kept=KEPT, folder=tmp_path / "run")


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
@pytest.mark.parametrize("change", [lambda x: x * np.nan, lambda x: x[:0], lambda x: x[0]])
def test_the_closed_form_takes_finite_matrices_only(bad, change):
    random = np.random.default_rng(0)
    given = [random.normal(size=size) for size in ((4, 6), (40, 6), (2, 6), (2, 4))]
    given[bad] = change(given[bad])
    with pytest.raises(ValueError, match="finite matrices"):
        concepts.closed_form(*given)


def test_a_merged_concept_has_the_options_of_one_with_weights(pipeline, lava, arrow):
    word, weights = learn(pipeline, lava), learn(pipeline, arrow, FAST.replace(how="attention", steps=1))
    assert concepts.merge(pipeline, [word, weights]).config.how == "attention"
