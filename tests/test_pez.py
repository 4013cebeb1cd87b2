import dataclasses
import math

import numpy as np
import PIL.Image
import pytest
import torch
from tiny_clip import WORDS, tiny_clip
from tiny_lm import tiny_lm

from workbench import models, pez, rank, score
from workbench.models import LM
from workbench.search import loop
from workbench.values import ArtifactError, PictureError

QUICK = pez.PEZConfig(length=3, steps=12, restarts=2, candidates=16, width=16)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


@pytest.fixture(scope="module")
def lm():
    made = tiny_lm(words=(*WORDS, "great", "awful", "fine", "poor"))
    return LM("tiny", made.model, made.tokenizer)


@pytest.fixture
def picture():
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return PIL.Image.fromarray(noise)


def ids_of(clip, text):
    return torch.tensor(clip.tokenizer(text, add_special_tokens=False)["input_ids"])


# the released loop


def of_the_model(clip, vectors):
    """Features (n, d), not normalised, of moving tokens (n, t, w) from the model's own blocks at all positions of its window."""
    text, (n, t, _) = clip.model.text_model, vectors.shape
    table, places = text.embeddings.token_embedding.weight, text.embeddings.position_embedding.weight
    frame = torch.tensor([[len(table) - 2, *[0] * t, len(table) - 1, *[0] * (clip.window - t - 2)]]).repeat(n, 1)
    x = table[frame].detach().clone()
    x[:, 1 : t + 1] = vectors
    x = x + places
    for block in text.encoder.layers:
        x = block(x, torch.full((clip.window, clip.window), -torch.inf).triu(1)[None, None])
        x = x[0] if isinstance(x, tuple) else x
    return clip.model.text_projection(text.final_layer_norm(x)[:, t + 1])


def released_loop(clip, targets, length, restarts, steps, seed):
    """The released loop with the model of transformers and nothing else: ids and scores of every step."""
    table = clip.model.text_model.embeddings.token_embedding.weight
    torch.manual_seed(seed)
    x = table[torch.randint(len(table), (restarts, length))].detach().clone().requires_grad_()
    optimiser, out = torch.optim.AdamW([x], lr=0.1, weight_decay=0.1), []

    def cosines(vectors, features):
        text = of_the_model(clip, vectors)
        return (features / features.norm(dim=1, keepdim=True)) @ (text / text.norm(dim=1, keepdim=True)).t()

    for _ in range(steps):
        unit = torch.nn.functional.normalize(x.detach().flatten(0, 1)) @ torch.nn.functional.normalize(table, dim=1).t()
        ids = unit.argmax(1).view(restarts, length)
        point = table[ids].detach().clone().requires_grad_()
        scores = cosines(point, targets).mean(0).detach()
        x.grad = torch.autograd.grad(1 - cosines(point, targets).mean(), point)[0]
        optimiser.step()
        out.append((ids, scores))
    return out


@pytest.mark.parametrize("targets", [1, 4])
def test_one_restart_of_all_tokens_is_the_released_loop(clip, targets):
    rows = torch.randn(targets, clip.width, generator=torch.Generator().manual_seed(1))
    seen = pez.as_targets(clip, [("features", row) for row in rows])
    expected = released_loop(clip, seen.features, 5, 1, 100, 7)
    steps = []
    config = pez.PEZConfig(vocabulary="all", polish=0, length=5, steps=100, restarts=1, seed=7)
    found = pez.search(clip, seen, config, on_step=steps.append)
    for step, (ids, scores) in zip(steps, expected, strict=True):
        assert torch.equal(step.ids[0], ids)
        assert torch.allclose(step.similarity[0], scores, atol=1e-5)
    assert found.similarity == pytest.approx(max(float(scores.max()) for _, scores in expected), abs=1e-5)
    assert len({tuple(step.ids.flatten().tolist()) for step in steps}) > 10  # it did move


# what is found


@pytest.mark.parametrize("method", pez.METHODS)
def test_every_method_beats_chance_and_says_what_it_did(clip, method):
    config = QUICK.replace(method=method, steps=25, vocabulary="words")
    found = pez.search(clip, "red castle moon", config)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 3)) for _ in range(200)]
    chance = (clip.text_features(texts) @ clip.text_features("red castle moon")[0]).median()
    assert found.similarity > chance
    assert found.method == method and found.config == config
    assert len(found.ids) == 3 and len(found.history) == found.steps <= 25 and found.seconds > 0
    assert [one.similarity for one in found.restarts] == sorted((one.similarity for one in found.restarts), reverse=True)
    assert len(found.restarts) == 2 and found.restarts[0].text == found.text == str(found)
    assert found.text == clip.tokenizer.decode(list(found.ids))
    expected = clip.text_features(found.text)[0] @ clip.text_features("red castle moon")[0]
    assert found.similarity == pytest.approx(float(expected), abs=1e-4)
    assert found.text_similarity == pytest.approx(found.similarity, abs=1e-4) and found.retokenises
    assert found.target_similarities == pytest.approx((found.similarity,), abs=1e-5)


@pytest.mark.parametrize(("method", "text"), [("pez", "old light"), ("gcg", "red castle moon")])
def test_a_text_is_distilled_into_its_own_words(clip, method, text):
    config = pez.PEZConfig(method=method, length=len(text.split()), steps=60, restarts=4, width=64, vocabulary="words")
    found = pez.search(clip, text, config)
    assert found.text == text and found.similarity == pytest.approx(1, abs=1e-5)


def test_a_picture_is_a_target_and_several_share_what_is_found(clip, picture):
    other = PIL.Image.new("RGB", (16, 16), "red")
    alone, both = pez.search(clip, picture, QUICK), pez.search(clip, [picture, other], QUICK)
    assert alone.target_similarities == pytest.approx((alone.similarity,), abs=1e-6)
    assert both.similarity == pytest.approx(np.mean(both.target_similarities), abs=1e-6)
    expected = clip.image_features([picture, other]) @ clip.text_features(both.text)[0]
    if both.retokenises:
        assert both.target_similarities == pytest.approx(expected.tolist(), abs=1e-4)


def test_weights_mix_and_negative_targets_repel(clip):
    targets = [pez.Target("text", "red castle", 3.0), ("text", "blue ship", -1.0)]
    seen = pez.as_targets(clip, targets)
    assert seen.weights.tolist() == [0.75, -0.25]
    config = QUICK.replace(length=2, steps=40, restarts=4)
    found = pez.search(clip, targets, config)
    assert found.similarity == pytest.approx(0.75 * found.target_similarities[0] - 0.25 * found.target_similarities[1], abs=1e-5)
    plain = pez.search(clip, "red castle", config)
    repelled = float(clip.text_features(plain.text)[0] @ clip.text_features("blue ship")[0])
    assert found.target_similarities[1] < repelled + 1e-6


def test_many_searches_are_those_made_alone(clip):
    texts = ["red castle moon", "blue ship sea", "old fog"]
    together = pez.search_many(clip, texts, QUICK)
    for i, (text, found) in enumerate(zip(texts, together, strict=True)):
        alone = pez.search(clip, text, QUICK.replace(seed=i))
        assert alone.ids == found.ids and alone.config == found.config
        assert alone.history == pytest.approx(found.history, abs=1e-5)


@pytest.mark.parametrize("method", pez.METHODS)
def test_equal_seeds_give_equal_prompts_and_the_global_seed_has_no_part(clip, method):
    config = QUICK.replace(method=method)
    first = pez.search(clip, "red castle", config)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = pez.search(clip, "red castle", config)
    assert torch.equal(torch.get_rng_state(), state)
    assert dataclasses.replace(first, seconds=0) == dataclasses.replace(again, seconds=0)
    assert pez.search(clip, "red castle", config.replace(seed=1)).history != first.history


# texts


def test_prefix_and_suffix_stand_around_what_is_found(clip):
    found = pez.search(clip, "red castle", QUICK.replace(prefix="Old oil", suffix="sea", vocabulary="words"))
    assert found.text.startswith("Old oil ") and found.text.endswith(" sea") and found.retokenises
    expected = clip.text_features(found.text)[0] @ clip.text_features("red castle")[0]
    assert found.similarity == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("method", pez.METHODS)
def test_blocked_words_never_occur_not_even_put_together(clip, method):
    seen = []
    config = QUICK.replace(method=method, steps=20, length=5, blocked=("red", "ca", "oo", "le"))
    found = pez.search(clip, "red castle moon", config, on_step=seen.append)
    for text in (found.text, *(one.text for one in found.restarts)):
        assert not any(word in text for word in config.blocked), text


# a search on its way


def test_on_step_sees_every_step_and_can_end_the_search(clip):
    steps = []

    def look(step):
        steps.append(step)
        return step.step == 4

    found = pez.search_many(clip, ["red castle", "blue ship"], QUICK, on_step=look)
    assert [step.step for step in steps] == [0, 1, 2, 3, 4] and found[0].steps == 5
    assert steps[0].ids.shape == (2, 2, 3) and steps[0].similarity.shape == (2, 2) and len(steps[0].texts[1]) == 2
    assert steps[0].texts[0][0] == clip.tokenizer.decode(steps[0].ids[0, 0].tolist())
    best = torch.stack([step.best for step in steps])
    assert (best[1:] >= best[:-1]).all() and found[1].history[3] == pytest.approx(float(steps[3].similarity[1].max()))


def test_the_polish_is_the_end_of_the_steps_and_makes_nothing_worse(clip):
    steps = []
    config = QUICK.replace(steps=30, polish=10, patience=None)
    found = pez.search(clip, "red castle moon", config, on_step=steps.append)
    assert [step.polishing for step in steps] == [False] * 20 + [True] * (found.steps - 20)
    before = steps[19].best
    assert found.similarity >= float(before[0])
    without = pez.search(clip, "red castle moon", config.replace(steps=20, polish=0))
    assert without.history == found.history[:20]


def test_a_search_ends_early_when_nothing_is_gained(clip):
    patient = pez.search(clip, "red castle moon", QUICK.replace(steps=300, polish=0, patience=10))
    assert 10 <= patient.steps < 300


@pytest.mark.parametrize("method", ["pez", "project_once", "gcg"])
def test_searches_that_ended_do_not_disturb_the_others(clip, method):
    texts, config = ["red castle moon", "blue ship sea", "old fog"], QUICK.replace(steps=60, polish=10, patience=8, method=method)
    together = pez.search_many(clip, texts, config)
    for i, text in enumerate(texts):
        alone = pez.search(clip, text, config.replace(seed=i))
        assert (alone.ids, alone.steps) == (together[i].ids, together[i].steps)


@pytest.mark.parametrize("method", pez.METHODS)
@pytest.mark.parametrize("cut", [4, 19])
def test_a_search_that_was_cut_off_goes_on_to_the_same_prompt(clip, tmp_path, monkeypatch, method, cut):
    monkeypatch.setattr(loop, "SAVE_EVERY", 2)
    config = QUICK.replace(method=method, steps=24, polish=None if method == "pez" else 0)
    whole = pez.search(clip, "red castle moon", config)

    def pull_the_plug(step):
        if step.step == cut:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pez.search(clip, "red castle moon", config, on_step=pull_the_plug, resume=tmp_path / "run")
    steps = []
    again = pez.search(clip, "red castle moon", config, on_step=steps.append, resume=tmp_path / "run")
    assert 0 < len(steps) < whole.steps
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(whole, seconds=0)
    done = pez.search(clip, "red castle moon", config, resume=tmp_path / "run")
    assert dataclasses.replace(done, seconds=0) == dataclasses.replace(whole, seconds=0)


def test_another_search_is_not_taken_up(clip, tmp_path):
    pez.search(clip, "red castle", QUICK, resume=tmp_path)
    with pytest.raises(ArtifactError, match="config.seed differs"):
        pez.search(clip, "red castle", QUICK.replace(seed=3), resume=tmp_path)
    with pytest.raises(ArtifactError, match="another run: targets differs"):
        pez.search(clip, "blue ship", QUICK, resume=tmp_path)
    with pytest.raises(ArtifactError, match="model, targets, weights differ"):
        pez.search(tiny_clip(seed=1), [("features", np.ones(16))], QUICK, resume=tmp_path)


# elsewhere


def test_transfer_says_what_a_prompt_is_worth_to_another_clip(clip):
    other = tiny_clip(seed=1)
    found = pez.search(clip, ["red castle", "blue ship"], QUICK)
    moved = pez.transfer(found, other, ["red castle", "blue ship"])
    expected = other.text_features(["red castle", "blue ship"]) @ other.text_features(found.text)[0]
    assert moved.target_similarities == pytest.approx(expected.tolist(), abs=1e-5)
    assert moved.similarity == pytest.approx(float(expected.mean()), abs=1e-5)
    assert (moved.name, moved.text, moved.cut) == ("tiny 1", found.text, False)
    assert pez.transfer("sea " * 40, other, "sea").cut
    assert pez.transfer(found, clip, ["red castle", "blue ship"]).similarity == pytest.approx(found.text_similarity, abs=1e-5)


# bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "newton"}, "method must be one of pez, "),
        ({"length": 0}, "length must be an int of 1 or more, got 0"),
        ({"steps": 2.5}, "steps must be an int of 1 or more, got 2.5"),
        ({"steps": 10, "polish": 10}, "10 of 10 leaves none"),
        ({"blocked": ("red", "")}, "blocked must be texts"),
        ({"fluency": math.nan}, "fluency must be a number of 0 or more, got nan"),
        ({"vocabulary": "german"}, "vocabulary must be one of"),
        ({"patience": 0}, "patience must be an int of 1 or more"),
        ({"prefix": None}, "prefix must be a str"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pez.PEZConfig(**options)


def test_the_polish_is_a_fifth_of_the_steps_of_methods_that_move_vectors():
    config = pez.PEZConfig(steps=100)
    changes = ({}, {"method": "gcg"}, {"steps": 50}, {"polish": 7}, {"polish": 0})
    assert [config.replace(**change).polish_steps for change in changes] == [20, 0, 10, 7, 0]
    assert config.replace(method="gcg").replace(method="pez") == config


def test_the_path_of_a_picture_is_the_picture_at_every_door(clip, picture, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "star.png"
    picture.save(path)
    expected = pez.as_targets(clip, [path]).features
    raw = path.read_bytes()
    ways = (path, str(path), "~/star.png", raw, {"star.png": raw}, np.asarray(picture)[None])
    for given in (*ways, [str(path)], ("picture", "~/star.png"), iter([path])):
        assert torch.equal(pez.as_targets(clip, given).features, expected)
    words = pez.as_targets(clip, ("text", str(path))).features
    assert not torch.equal(words, expected) and torch.equal(words, clip.text_features(str(path)))
    assert pez.search(clip, "~/star.png", QUICK).text == pez.search(clip, picture, QUICK).text
    with pytest.raises(PictureError, match=r"no picture ~/sun.png. For a text give \('text', '~/sun.png'\)"):
        pez.search(clip, "~/sun.png", QUICK)
    with pytest.raises(PictureError, match="Target 1 is 2 pictures. Give each of them as a target"):
        pez.search(clip, ["red", [path, path]], QUICK)
    phrases = ["red", "blue sea"]
    assert rank.rank_phrases(clip, "~/star.png", phrases) == rank.rank_phrases(clip, picture, phrases)
    near = score.similarity(clip, "~/star.png")(phrases)
    assert (near == score.similarity(clip, picture)(phrases)).all()
    assert score.aesthetic()([str(path)]) == score.aesthetic()([picture]) and len(score.shows("star")("~/star.png")) == 1


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ([], ValueError, "There are no targets"),
        ([("text", "red", 0.0), ("text", "blue", 0)], ValueError, "weights of all targets are 0"),
        ([("text", "red", math.nan)], ValueError, "weight of target 0 is nan"),
        ([("text", "red", "much")], ValueError, "weight of target 0 is 'much'"),
        ([("text", "red"), ("text", "red", -1.0)], ValueError, "cancel out"),
        ([pez.Target("sound", "red")], ValueError, "of the kind 'sound'"),
        (["red", "  "], TypeError, "Target 1 should be a text"),
        ([("text", 7)], TypeError, "Target 0 should be a text"),
        (["red", {"a": 1}], PictureError, "Target 1: Picture 'a': Not a picture"),
        ([("picture", "no such file.png")], PictureError, "Target 0: There is no picture"),
        ([("features", np.ones(3))], ValueError, "vector of 16"),
        ([("features", np.full(16, np.nan))], ValueError, "finite numbers"),
        (None, PictureError, "Not a picture: NoneType"),
    ],
)
def test_targets_that_make_no_sense_are_refused(clip, targets, error, message):
    with pytest.raises(error, match=message):
        pez.search(clip, targets, QUICK)


def test_searches_that_cannot_be_made_are_refused_before_work_starts(clip, lm):
    with pytest.raises(ValueError, match="No token is left"):
        pez.search(clip, "red", QUICK.replace(blocked=tuple("abcdefghijklmnopqrstuvwxyz")))
    with pytest.raises(ValueError, match="The prompt is too long: 0 tokens of prefix, 30 to find, .* reads 20"):
        pez.search(clip, "red", QUICK.replace(length=30))
    with pytest.raises(ValueError, match="18 tokens of prefix"):
        pez.search(clip, "red", QUICK.replace(prefix="sea " * 18))
    with pytest.raises(ValueError, match="fluency needs a language model"):
        pez.search(clip, "red", QUICK.replace(fluency=1.0))
    with pytest.raises(TypeError, match="classify.search_text"):
        pez.search(lm, "red", QUICK)
    with pytest.raises(TypeError, match="load_clip returns, got str"):
        pez.search("world", "red", QUICK)
    with pytest.raises(TypeError, match="load_lm returns, got CLIP"):
        pez.search(clip, "red", QUICK, lm=clip)
    with pytest.raises(ValueError, match="There are no targets"):
        pez.search_many(clip, [], QUICK)


# the built-in world


def test_a_search_in_the_built_in_world_names_what_the_picture_shows():
    if not (models.loading.FOLDER / "clip").is_dir():
        pytest.skip("needs the built-in CLIP")
    from workbench.world import render, scenes

    clip, scene = models.load_clip(), scenes.scenes(1, seed=0, split="train")[0]
    found = pez.search(clip, PIL.Image.fromarray(render.render(scene, seed=1)), pez.PEZConfig(steps=60))
    truth = (
        clip.text_features(scenes.caption(scene, "keywords"))[0]
        @ clip.image_features(PIL.Image.fromarray(render.render(scene, seed=1)))[0]
    )
    said = scenes.read(found.text)
    assert found.similarity > float(truth) - 0.02
    assert sum(said[name] == getattr(scene, name) for name in scenes.ATTRIBUTES) >= 3
    distilled = pez.search(clip, "red circle snow woodcut", pez.PEZConfig(length=4, steps=80))
    assert distilled.text == "red circle snow woodcut" and distilled.similarity == pytest.approx(1, abs=1e-5)
