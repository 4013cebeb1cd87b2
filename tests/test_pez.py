import dataclasses
import math

import numpy as np
import PIL.Image
import pytest
import torch
from tiny_clip import WORDS, tiny_clip
from tiny_lm import tiny_lm

from workbench import models, pez
from workbench.models import LM
from workbench.search.pez import exact, linear, moves, swaps
from workbench.search.pez.fluency import Fluency
from workbench.search.pez.nearest import Nearest
from workbench.search.pez.run import Run
from workbench.search.pez.tower import TextTower
from workbench.search.pez.vocabulary import Vocabulary
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


# the text tower


@pytest.mark.parametrize("act", ["quick_gelu", "gelu", "silu", "gelu_new"])
@pytest.mark.parametrize(("prefix", "suffix"), [("", ""), ("old oil", "sea")])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_tower_gives_the_features_of_the_model_and_its_gradient(act, prefix, suffix, layers):
    clip = tiny_clip(layers=layers, act=act)
    texts = ["red castle moon", "blue cat ship"]
    ids = torch.stack([ids_of(clip, text) for text in texts])
    tower = TextTower(clip, 3, ids_of(clip, prefix).tolist() if prefix else (), ids_of(clip, suffix).tolist() if suffix else ())
    vectors = tower.table[ids]
    expected = clip.text_features([f"{prefix} {text} {suffix}".strip() for text in texts])
    assert (tower.features(vectors) - expected).abs().max() < 1e-5
    toward = torch.randn(2, clip.width, generator=torch.Generator().manual_seed(0))
    features, gradient = tower.gradient(vectors, toward)
    assert (features - expected).abs().max() < 1e-5
    # against differences of the features themselves, in the direction of random steps
    for seed in range(3):
        step = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
        ahead, back = (tower.features(vectors + sign * 1e-3 * step) for sign in (1, -1))
        slope = ((ahead - back) * toward).sum() / 2e-3
        assert abs(float(slope - (gradient * step).sum())) < 2e-2 * max(1.0, abs(float(slope)))


def test_prepared_weights_change_nothing(clip):
    plain, prepared = TextTower(clip, 3), TextTower(clip, 3, rows=2)
    vectors, toward = torch.randn(2, 3, 32), torch.randn(2, clip.width)
    for a, b in zip(plain.gradient(vectors, toward), prepared.gradient(vectors, toward), strict=True):
        assert torch.allclose(a, b, atol=1e-5, rtol=1e-4)
    assert torch.allclose(plain.features(vectors[:1]), prepared.features(vectors[:1]), atol=1e-5)
    assert linear.can_pack(torch.zeros(2, 2, dtype=torch.bfloat16)) is False


def test_bfloat16_is_close_and_not_equal(clip):
    vectors = torch.randn(4, 3, 32)
    exact, rough = (TextTower(clip, 3, dtype=dtype).features(vectors) for dtype in (torch.float32, torch.bfloat16))
    assert 0 < (exact - rough).abs().max() < 0.1


# the nearest token


@pytest.mark.parametrize("spread", [1.0, 1e-2])
def test_the_search_in_two_stages_finds_what_the_whole_search_finds(spread):
    generator = torch.Generator().manual_seed(0)
    # rows close together, where bfloat16 alone would be wrong
    table = torch.randn(1, 24, generator=generator) + spread * torch.randn(900, 24, generator=generator)
    near, far = torch.randn(50, 24, generator=generator), torch.randn(300, 24, generator=generator)
    vectors = torch.cat([table[:50] + 0.1 * spread * near, far])
    unit = torch.nn.functional.normalize(table.double(), dim=1)
    cosines = torch.nn.functional.normalize(vectors.double(), dim=1) @ unit.t()
    for coarse in (True, False):
        found = Nearest(table, coarse=coarse).find(vectors)
        assert (cosines.amax(1) - cosines.gather(1, found[:, None])[:, 0]).max() < 1e-6
    assert torch.equal(Nearest(table, coarse=True).find(7 * table), torch.arange(900))


def test_near_ties_can_be_settled_as_the_whole_search_does():
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randn(200, 1, 24, generator=generator) + 3e-8 * torch.randn(200, 2, 24, generator=generator)
    table, vectors = pairs.flatten(0, 1), torch.randn(400, 24, generator=generator)
    unit = torch.nn.functional.normalize(table, dim=1)
    whole = (torch.nn.functional.normalize(vectors, dim=1) @ unit.t()).argmax(1)
    assert torch.equal(Nearest(table, coarse=True, exact=len(vectors)).find(vectors), whole)


def test_of_equal_tokens_the_first_is_nearest():
    table = torch.eye(4)[[0, 1, 1, 2]]
    assert Nearest(table, coarse=True).find(torch.eye(4)[[1]]).tolist() == [1]


# the released loop


def of_the_model(clip, vectors):
    """Features (n, d) of moving tokens (n, t, w), not normalised, from the model's own blocks at all positions of its window."""
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


def plain_loop(clip, targets, length, restarts, steps, seed, sampled):
    """The released loop with the model of transformers and nothing else: ids and scores of every step."""
    table = clip.model.text_model.embeddings.token_embedding.weight
    torch.manual_seed(seed)
    x = table[torch.randint(len(table), (restarts, length))].detach().clone().requires_grad_()
    optimiser, out = torch.optim.AdamW([x], lr=0.1, weight_decay=0.1), []

    def cosines(vectors, features):
        text = of_the_model(clip, vectors)
        return (features / features.norm(dim=1, keepdim=True)) @ (text / text.norm(dim=1, keepdim=True)).t()

    for _ in range(steps):
        some = targets if sampled is None else targets[torch.randperm(len(targets))][:sampled]
        unit = torch.nn.functional.normalize(x.detach().flatten(0, 1)) @ torch.nn.functional.normalize(table, dim=1).t()
        ids = unit.argmax(1).view(restarts, length)
        point = table[ids].detach().clone().requires_grad_()
        scores = cosines(point, targets).mean(0).detach()
        x.grad = torch.autograd.grad(1 - cosines(point, some).mean(), point)[0]
        optimiser.step()
        out.append((ids, scores))
    return out


@pytest.mark.parametrize(("restarts", "targets", "sampled"), [(1, 1, None), (3, 4, None), (2, 4, 2)])
def test_strict_is_the_released_loop_bit_for_bit(clip, restarts, targets, sampled):
    rows = torch.randn(targets, clip.width, generator=torch.Generator().manual_seed(1))
    seen = pez.as_targets(clip, [("features", row) for row in rows])
    expected = plain_loop(clip, seen.features, 5, restarts, 60, 7, sampled)
    steps = []
    config = pez.PEZConfig(strict=True, length=5, steps=60, restarts=restarts, seed=7, targets_per_step=sampled)
    found = pez.search(clip, seen, config, on_step=steps.append)
    for step, (ids, scores) in zip(steps, expected, strict=True):
        assert torch.equal(step.ids[0], ids)
        assert torch.equal(step.similarity[0], scores)
    best = max(range(60), key=lambda i: float(expected[i][1].max()))
    assert found.ids == tuple(expected[best][0][expected[best][1].argmax()].tolist())
    assert found.similarity == float(expected[best][1].max())
    assert len({tuple(step.ids.flatten().tolist()) for step in steps}) > 10  # it did move


def test_strict_searches_side_by_side_are_those_made_alone(clip):
    config = pez.PEZConfig(strict=True, length=4, steps=20, restarts=3)
    together = pez.search_many(clip, ["red castle moon", "blue ship sea"], config)
    alone = pez.search(clip, "blue ship sea", config.replace(seed=1))
    assert (together[1].ids, together[1].history) == (alone.ids, alone.history)


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_the_exact_tower_has_the_bits_of_the_model_and_of_its_gradient(act):
    clip = tiny_clip(layers=2, act=act)
    tower = exact.ExactTower(clip, 5, 3)
    vectors, toward = tower.table[torch.arange(15).view(3, 5)], torch.randn(3, clip.width)
    for n in (3, 2):  # of another batch too
        both = []
        for features in (tower.raw, lambda point: of_the_model(clip, point)):
            point = vectors[:n].clone().requires_grad_()
            raw = features(point)
            both.append((raw.detach(), *torch.autograd.grad((raw * toward[:n]).sum(), point)))
        assert all(map(torch.equal, *both))


def test_where_a_bit_would_differ_the_exact_tower_runs_the_model_itself(clip, monkeypatch):
    attend = exact.attend
    monkeypatch.setattr(exact, "attend", lambda *args: attend(*args) * (1 + 1e-6))
    tower = exact.ExactTower(clip, 5, 3)
    vectors = tower.table[torch.arange(15).view(3, 5)]
    assert not tower.shortened and torch.equal(tower.raw(vectors), of_the_model(clip, vectors))


def test_strict_leaves_the_global_draws_alone(clip):
    state = torch.get_rng_state()
    exact.ExactTower(clip, 5, 3)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_adamw_is_that_of_torch(clip):
    class Run:
        searches, restarts, length, device = 1, 2, 3, torch.device("cpu")
        config, table = QUICK, torch.zeros(5, 4)
        objective = type("O", (), {"table": torch.randn(5, 4)})

        def random_ids(self, rows):
            return torch.tensor([[0, 1, 2], [2, 3, 4]])

    ours = moves.Moves(Run())
    theirs = ours.x.clone().requires_grad_()
    optimiser = torch.optim.AdamW([theirs], lr=QUICK.learning_rate, weight_decay=QUICK.weight_decay)
    for _ in range(20):
        theirs.grad = torch.randn(theirs.shape)
        ours._adamw(torch.arange(2), theirs.grad)
        optimiser.step()
    assert torch.equal(ours.x, theirs.detach())


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


def test_the_vocabulary_can_be_narrowed(clip):
    def allowed(**options):
        vocabulary = Vocabulary(clip.tokenizer, 100, QUICK.replace(**options))
        return {clip.tokenizer.convert_ids_to_tokens(int(i)) for i in vocabulary.allowed if i < len(clip.tokenizer)}

    everything = set(clip.tokenizer.get_vocab())
    assert allowed(vocabulary="all") == everything
    assert allowed() == allowed(vocabulary="ascii") == everything - set(clip.tokenizer.all_special_tokens)
    assert allowed(vocabulary="words") == {f"{word}</w>" for word in (*WORDS, *"abcdefghijklmnopqrstuvwxyz")}
    assert not any("as" in token for token in allowed(blocked="As")) and "castle</w>" in allowed(blocked="x")


@pytest.mark.parametrize("method", pez.METHODS)
def test_blocked_words_never_occur_not_even_put_together(clip, method):
    seen = []
    config = QUICK.replace(method=method, steps=20, length=5, blocked=("red", "ca", "oo", "le"))
    found = pez.search(clip, "red castle moon", config, on_step=seen.append)
    for text in (found.text, *(one.text for one in found.restarts)):
        assert not any(word in text for word in config.blocked), text


def test_whether_a_text_is_split_again_is_told_and_can_be_insisted_on(clip):
    vocabulary = Vocabulary(clip.tokenizer, len(clip.tokenizer), QUICK)
    pieces = clip.tokenizer.convert_tokens_to_ids(["c", "a", "t</w>"])
    assert vocabulary.text(pieces) == "cat" and not vocabulary.retokenises(pieces)
    assert vocabulary.retokenises(ids_of(clip, "red cat").tolist())
    for method in ("pez", "hotflip"):
        config = QUICK.replace(method=method, steps=40, length=4, insist=True, restarts=4)
        found = pez.search(clip, "red castle", config)
        assert found.retokenises and found.text_similarity == pytest.approx(found.similarity, abs=1e-4)


def test_fluency_is_what_the_language_model_says_of_the_text(clip, lm):
    nats = Fluency(lm, 2)(["red moon", "sea"])
    ids = torch.tensor([lm.tokenizer("red moon")["input_ids"]])
    with torch.no_grad():
        logits = lm.model(torch.cat([torch.zeros(1, 1, dtype=torch.long), ids], 1)).logits.log_softmax(-1)[0]
    expected = -(logits[0, ids[0, 0]] + logits[1, ids[0, 1]]) / 2
    assert float(nats[0]) == pytest.approx(float(expected), abs=1e-4)
    config = QUICK.replace(vocabulary="words", steps=30, blocked=tuple("xyz"))
    plain = pez.search(clip, "blue cat old", config, lm=lm)
    fluent = pez.search(clip, "blue cat old", config.replace(fluency=1.0), lm=lm)
    assert fluent.nats < plain.nats and fluent.similarity <= plain.similarity + 1e-6
    assert pez.search(clip, "blue cat old", config).nats is None


@pytest.mark.parametrize(
    ("method", "options"), [("pez", {}), ("hotflip", {}), ("gcg", {"polish": 0}), ("pez", {"blocked": ("oo", "ca")})]
)
def test_swaps_that_cannot_win_are_not_shown_to_the_language_model(clip, lm, monkeypatch, method, options):
    config = QUICK.replace(method=method, fluency=0.01, steps=20, **options)
    totals, read, asked = Run.totals, Fluency.__call__, [0]

    def counted(self, texts):
        asked[0] += len(texts)
        return read(self, texts)

    monkeypatch.setattr(Fluency, "__call__", counted)
    few = pez.search(clip, "blue cat old", config, lm=lm)
    shown, asked[0] = asked[0], 0
    monkeypatch.setattr(Run, "totals", lambda self, ids, similarity, least=None: totals(self, ids, similarity))
    whole = pez.search(clip, "blue cat old", config, lm=lm)
    assert dataclasses.replace(few, seconds=0) == dataclasses.replace(whole, seconds=0)
    assert shown == asked[0] if method == "gcg" else shown < asked[0]


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


def test_a_search_ends_early_when_nothing_comes_or_enough_is_reached(clip):
    config = QUICK.replace(steps=300, polish=0)
    patient = pez.search(clip, "red castle moon", config.replace(patience=10))
    assert 10 <= patient.steps < 300
    reached = pez.search_many(clip, ["red castle moon", "blue ship sea"], config.replace(stop_at=-1.0))
    assert all(one.steps == 1 for one in reached)


def test_searches_that_ended_do_not_disturb_the_others(clip):
    texts, config = ["red castle moon", "blue ship sea", "old fog"], QUICK.replace(steps=60, polish=10, patience=8)
    together = pez.search_many(clip, texts, config)
    for i, text in enumerate(texts):
        alone = pez.search(clip, text, config.replace(seed=i))
        assert (alone.ids, alone.steps) == (together[i].ids, together[i].steps)


@pytest.mark.parametrize("method", pez.METHODS)
@pytest.mark.parametrize("cut", [4, 19])
def test_a_search_that_was_cut_off_goes_on_to_the_same_prompt(clip, tmp_path, method, cut):
    config = QUICK.replace(method=method, steps=24, polish=None if method == "pez" else 0, save_every=2)
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
    with pytest.raises(ArtifactError, match="other seed"):
        pez.search(clip, "red castle", QUICK.replace(seed=3), resume=tmp_path)
    with pytest.raises(ArtifactError, match="other targets"):
        pez.search(clip, "blue ship", QUICK, resume=tmp_path)
    with pytest.raises(ArtifactError, match="other model, targets, weights"):
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


# texts of a language model


TEXTS, LABELS = ["red moon", "blue sea", "old fog", "light house", "cat"], ["good", "bad", "good", "bad", "bad"]
VERBALIZERS = {"good": "great", "bad": "awful"}


def by_hand(lm, prompt, ending=""):
    """Log-probability of the right label of each text, one text at a time."""
    words, out = [lm.tokenizer(word)["input_ids"][0] for word in VERBALIZERS.values()], []
    for text, label in zip(TEXTS, LABELS, strict=True):
        ids = lm.tokenizer(f"{prompt} {text}{ending}", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = lm.model(ids).logits[0, -1, words].log_softmax(-1)
        out.append(float(logits[list(VERBALIZERS).index(label)]))
    return out


@pytest.mark.parametrize("method", pez.METHODS)
def test_a_prompt_for_a_language_model_is_worth_what_it_says(lm, method):
    config = QUICK.replace(method=method, prefix="fine", suffix="poor")
    found = pez.search_text(lm, TEXTS, LABELS, VERBALIZERS, config, ending=" ship")
    expected = by_hand(lm, found.text, " ship")
    assert found.text.startswith("fine") and found.text.endswith("poor")
    assert found.target_similarities == pytest.approx(expected, abs=1e-4)
    assert found.similarity == pytest.approx(np.mean(expected), abs=1e-4)
    assert found.accuracy == pytest.approx(np.mean([value > math.log(0.5) for value in expected]))
    assert found.nats > 0


def test_prompts_for_a_language_model_are_better_than_chance_and_repeatable(lm, tmp_path):
    config = QUICK.replace(steps=30, restarts=3)
    found = pez.search_text(lm, TEXTS, LABELS, VERBALIZERS, config, resume=tmp_path)
    rng = np.random.default_rng(0)
    chance = [np.mean(by_hand(lm, " ".join(rng.choice(WORDS, 3)))) for _ in range(30)]
    assert found.similarity >= np.quantile(chance, 0.9)
    again = pez.search_text(lm, TEXTS, LABELS, VERBALIZERS, config, resume=tmp_path)
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(found, seconds=0)
    sampled = pez.search_text(lm, TEXTS, LABELS, VERBALIZERS, config.replace(targets_per_step=2))
    assert sampled.history != found.history


def test_the_gradient_for_a_language_model_is_that_of_its_score(lm):
    from workbench.search.classify import TextObjective

    config = QUICK.replace(fluency=0.1)
    objective = TextObjective(lm, TEXTS, LABELS, VERBALIZERS, config, Vocabulary(lm.tokenizer, 17, config, False), "")
    vectors, rows = objective.table[torch.tensor([[1, 2, 3], [4, 5, 6]])], torch.arange(2)
    score, gradient = objective.gradient(vectors, rows, [torch.Generator()])
    assert torch.allclose(score, objective.score(vectors, rows), atol=1e-5)
    step = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    slope = (objective.score(vectors + 1e-3 * step, rows) - objective.score(vectors - 1e-3 * step, rows)) / 2e-3
    assert torch.allclose(slope, (gradient * step).sum((1, 2)), atol=2e-2)


def test_fluency_makes_a_prompt_for_a_language_model_likelier(lm):
    config, labels = QUICK.replace(steps=24), ["bad", "good", "bad", "good", "good"]
    plain, fluent = (pez.search_text(lm, TEXTS, labels, VERBALIZERS, config.replace(fluency=f)) for f in (0.0, 2.0))
    assert fluent.nats < plain.nats and fluent.similarity <= plain.similarity


# bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "newton"}, "method must be one of pez, "),
        ({"length": 0}, "length must be an int >= 1, got 0"),
        ({"steps": 2.5}, "steps must be an int >= 1"),
        ({"steps": 10, "polish": 10}, "10 of 10 leaves none"),
        ({"blocked": ("red", "")}, "blocked must be texts"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number > 0"),
        ({"fluency": math.nan}, "fluency must be a finite number >= 0, got nan"),
        ({"vocabulary": "german"}, "vocabulary must be one of"),
        ({"dtype": "float16"}, "dtype must be one of float32, bfloat16"),
        ({"strict": True, "method": "gcg"}, "no such method"),
        ({"strict": True, "blocked": "red"}, "no such blocked"),
        ({"stop_at": math.inf}, "stop_at"),
        ({"prefix": None}, "prefix must be a str"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pez.PEZConfig(**options)


def test_what_was_left_open_is_settled_anew():
    config = pez.PEZConfig(steps=100)
    assert [config.replace(**more).polish for more in ({}, {"method": "gcg"}, {"steps": 50}, {"polish": 7})] == [20, 0, 10, 7]
    assert config.replace(polish=7).replace(steps=50).polish == 7
    assert config.replace(polish=0, strict=True).vocabulary == "all" and config == pez.PEZConfig(steps=100)


def test_the_methods_have_their_own_defaults():
    assert pez.PEZConfig().polish == 40 and pez.PEZConfig(method="gcg").polish == 0
    strict = pez.PEZConfig(strict=True)
    assert (strict.vocabulary, strict.polish, strict.learning_rate, strict.weight_decay) == ("all", 0, 0.1, 0.1)


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
        (["red", {"a": 1}], PictureError, "Target 1: Not a picture"),
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
    with pytest.raises(TypeError, match="pez.search_text"):
        pez.search(lm, "red", QUICK)
    with pytest.raises(TypeError, match="load_clip returns, got str"):
        pez.search("world", "red", QUICK)
    with pytest.raises(TypeError, match="load_lm returns, got CLIP"):
        pez.search(clip, "red", QUICK, lm=clip)
    with pytest.raises(TypeError, match="For pictures and a CLIP: pez.search"):
        pez.search_text(clip, TEXTS, LABELS, VERBALIZERS, QUICK)
    with pytest.raises(ValueError, match="all targets weigh the same"):
        pez.search(clip, [("text", "red", 1.0), ("text", "blue", 2.0)], pez.PEZConfig(strict=True))
    with pytest.raises(ValueError, match="There are no targets"):
        pez.search_many(clip, [], QUICK)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"texts": []}, ValueError, "There are no texts"),
        ({"texts": "red moon"}, TypeError, "list of str"),
        ({"labels": ["good"]}, ValueError, "5 texts and 1 labels"),
        ({"labels": ["good", "bad", "ugly", "bad", "bad"]}, ValueError, r"without one: \['ugly'\]"),
        ({"verbalizers": {"good": "great moon", "bad": "awful"}}, ValueError, "not one token"),
        ({"verbalizers": {"good": "unknown", "bad": "awful"}}, ValueError, "not one token"),
        ({"texts": ["sea " * 20] * 5}, ValueError, "more than the 16"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(lm, change, error, message):
    task = {"texts": TEXTS, "labels": LABELS, "verbalizers": VERBALIZERS} | change
    with pytest.raises(error, match=message):
        pez.search_text(lm, **task, config=QUICK)


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


def test_tokens_change_places_with_the_one_at_a_position():
    out = swaps._exchanges(torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([0, 2]))
    assert out.tolist() == [[[1, 2, 3], [2, 1, 3], [3, 2, 1]], [[6, 5, 4], [4, 6, 5], [4, 5, 6]]]


def test_swaps_propose_other_tokens_only():
    class Run:
        config, allowed, table = QUICK.replace(candidates=99), torch.arange(6), torch.randn(6, 4)

    proposed = swaps.Swaps._proposals(type("S", (), {"run": Run()})(), torch.randn(7, 4), torch.arange(7) % 6)
    assert proposed.shape == (7, 5) and not (proposed == (torch.arange(7) % 6)[:, None]).any()
