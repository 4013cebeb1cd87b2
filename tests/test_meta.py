import itertools
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import scipy.special
import torch
from tiny_lm import tiny_lm

from workbench import meta, soft
from workbench.models.lm import fingerprint
from workbench.search.meta import canonical, maker
from workbench.search.meta import tasks as learning
from workbench.search.meta.meta_prompt import maker_of
from workbench.search.soft.frozen import Frozen, frozen
from workbench.values import ArtifactError, ModelError

WORDS = ("red", "blue", "old", "fox", "ship", "castle", "moon", "is", "good", "bad")
PROMPT = soft.SoftConfig(vectors=4, start="is")
CONFIG = meta.MetaConfig(prompt=PROMPT, example="{text} is {label}", examples=4, join="each", steps=12, batch=6, rate=0.05)
FORMS = pytest.mark.parametrize(
    "changes",
    [{}, {"join": "concatenate", "examples": 2}, {"map": "last"}, {"map": "layers"}],
    ids=["each", "together", "map", "layers"],
)


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(words=WORDS)


@pytest.fixture(scope="module")
def wide():
    from workbench.models import LM

    lm = tiny_lm(words=WORDS, seed=5)
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(**lm.model.config.to_diff_dict() | {"n_embd": 48})
    return LM("wide", GPT2LMHeadModel(config).eval(), lm.tokenizer)


def rows(words=("good", "bad"), n=24, seed=0):
    """Texts whose colour says the label."""
    random = np.random.default_rng(seed)
    things = ["fox", "ship", "castle", "moon"]
    colours = [int(i) for i in random.integers(2, size=n)]
    texts = [f"{('red', 'blue')[i]} {things[random.integers(4)]}" for i in colours]
    return texts, [words[i] for i in colours]


def tasks(lm=None, **more):
    found = [
        meta.Task("plain", *rows()),
        meta.Task("turned", *rows(("bad", "good"), seed=1)),
        meta.Task("moon", *rows(("moon", "old"))),
    ]
    if lm is not None:
        tuned = soft.tune_many(lm, [(task.texts, task.labels) for task in found], PROMPT.replace(steps=3), progress=False)
        found = [task._replace(prompt=prompt) for task, prompt in zip(found, tuned, strict=True)]
    return [task._replace(**more) for task in found]


def shown(task, n=4):
    return [(task.texts[i], task.labels[i]) for i in learning.balanced(range(24), task.labels, n)]


# ---- canonical examples -------------------------------------------------------------------------------------------------


def test_rows_nearest_to_known_centres_come_back():
    centres = np.eye(6)[[0, 1, 2, 3]] * 10
    noise = np.random.default_rng(0).normal(scale=0.1, size=(39, 6))
    states = np.concatenate([centres, np.repeat(centres, [10, 10, 10, 9], 0) + noise])
    for at, centre in enumerate(centres):  # the mean of each cluster is its centre
        inside = np.flatnonzero(np.linalg.norm(states - centre, axis=1) < 5)
        states[inside] += centre - states[inside].mean(0)
        states[at] = centre
    labels = ["a", "a", "b", "b", *["a"] * 20, *["b"] * 19]
    assert sorted(canonical.picked(states, None, labels, 4, "kmeans")) == [0, 1, 2, 3]


def test_boundary_rows_have_the_smallest_margins_and_every_label_is_there():
    margins = np.array([5.0, -0.1, 0.2, 3.0, -4.0, 0.3])
    labels = list("aaabbb")
    assert sorted(canonical.picked(None, margins, labels, 2, "boundary")) == [1, 5]
    assert sorted(canonical.picked(None, margins, labels, 3, "boundary")) == [1, 2, 5]
    assert canonical.picked(None, margins, list("abcdef"), 2, "boundary") == [1, 2]  # not enough for all labels


def test_opposite_rows_are_the_nearest_pairs_of_unlike_labels():
    states = np.array([[0.0], [0.1], [0.15], [5.0], [5.3], [9.0], [9.9]])
    labels = list("aabbaab")
    assert canonical.picked(states, None, labels, 4, "opposite") == [1, 2, 3, 4]
    assert set(canonical.picked(states, None, list("aabbaac"), 4, "opposite")) == {1, 2, 5, 6}  # c must be among them
    assert len(set(canonical.picked(states, None, list("aaaaaab"), 5, "opposite"))) == 5


def test_random_rows_have_each_label_and_depend_on_the_seed():
    labels = ["a"] * 30 + ["b"] * 3 + ["c"]
    picks = [canonical.picked(None, None, labels, 8, "random", seed) for seed in (1, 1, 2)]
    assert picks[0] == picks[1] != picks[2] and len(set(picks[0])) == 8
    assert [sum(labels[i] == name for i in picks[0]) for name in "abc"] == [4, 3, 1]


def test_the_choice_is_made_under_the_prompt(lm):
    texts, labels = rows(n=20)
    task = (texts, labels)
    one = soft.tune(lm, *task, PROMPT.replace(steps=0))
    other = replace(one, vectors=np.random.default_rng(0).normal(size=(4, 32)).astype(np.float32))
    states, margins = canonical.seen(lm, one, texts, labels)
    scores = np.log(one.probabilities(lm, texts))
    right = np.array([one.labels.index(label) for label in labels])
    assert margins == pytest.approx(scores[range(20), right] - scores[range(20), 1 - right], abs=1e-4)
    assert not np.allclose(states, canonical.seen(lm, other, texts, labels)[0])
    for how in meta.CHOICES:
        picks = meta.choose(lm, one, texts, labels, 4, how, seed=1)
        assert picks == meta.choose(lm, one, texts, labels, 4, how, seed=1)
        assert len(set(picks)) == 4 and {labels[i] for i in picks} == {"good", "bad"}
    assert meta.choose(lm, one, texts, labels, 4, "boundary") != meta.choose(lm, other, texts, labels, 4, "boundary")
    with pytest.raises(ValueError, match="n must be an int from 1 to 20"):
        meta.choose(lm, one, texts, labels, 21)
    with pytest.raises(ValueError, match="how must be one of kmeans"):
        meta.choose(lm, one, texts, labels, 4, "medoids")


# ---- losses -------------------------------------------------------------------------------------------------------------


def test_distances_are_their_formulas():
    one, other = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[3.0, 0.0], [0.0, -2.0]])
    assert maker.distance("l2", one, other).item() == pytest.approx((16 + 9) / 2)
    assert maker.distance("cosine", one, other).item() == pytest.approx((0.4 + 2) / 2)


@pytest.mark.parametrize("m", [8, 32, 128, 576])
def test_the_constant_of_von_mises_and_fisher_is_right_and_finite(m):
    lengths = torch.logspace(-3, 4, 29, dtype=torch.float64, requires_grad=True)
    found = maker.log_vmf(lengths, m)
    assert torch.isfinite(found).all()
    x, v = lengths.detach().numpy(), m / 2 - 1
    with np.errstate(divide="ignore"):
        bessel = np.log(scipy.special.ive(v, x)) + x
    known = np.isfinite(bessel)  # scipy's is 0 where the order is large and x small
    expected = v * np.log(x) - m / 2 * np.log(2 * np.pi) - bessel
    assert known.sum() >= 5 and found.detach().numpy()[known] == pytest.approx(expected[known], rel=1e-5, abs=2e-3)
    (slope,) = torch.autograd.grad(found.sum(), lengths)
    step = 1e-4 * lengths.detach()
    higher, lower = (maker.log_vmf(lengths.detach() + s, m) for s in (step, -step))
    assert slope.numpy() == pytest.approx(((higher - lower) / (2 * step)).numpy(), rel=1e-4, abs=1e-4)


def test_the_von_mises_fisher_loss_is_least_in_the_direction_of_the_mean_target():
    targets = torch.nn.functional.normalize(torch.randn(5, 1, 24, generator=torch.Generator().manual_seed(0)) + 2, dim=-1)
    point = torch.randn(1, 24, generator=torch.Generator().manual_seed(1)).requires_grad_()
    optimizer = torch.optim.Adam([point], lr=0.3)
    for _ in range(150):
        optimizer.zero_grad()
        torch.stack([maker.distance("vmf", point, target) for target in targets]).mean().backward()
        optimizer.step()
    assert torch.nn.functional.cosine_similarity(point.detach(), targets.mean(0)).item() > 0.999


# ---- the maker ----------------------------------------------------------------------------------------------------------


def set_up(lm, config, reading=None):
    """A maker away from its beginning, readers, and the tasks as rows."""
    network = maker_of(lm, reading or lm, config)
    with torch.no_grad():
        random = torch.Generator().manual_seed(3)
        for weight in network.state_dict().values():
            weight += 0.2 * torch.randn(weight.shape, generator=random)
    data = [learning.read_rows(lm, task.texts, task.labels, PROMPT, 4) for task in tasks()]
    return network, Frozen(lm, PROMPT, data), Frozen(reading or lm, PROMPT, [])


@FORMS
def test_the_gradient_through_both_models_is_a_finite_difference(lm, changes):
    config = CONFIG.replace(**changes)
    network, reader, far = set_up(lm, config)
    before = fingerprint(lm)
    examples = [maker.spelled(lm, config, shown(task, config.examples)) for task in tasks()]
    items = [(j, i) for j in (0, 2) for i in range(8, 16)]

    def value(backward=False):
        made = dict(zip((0, 2), network(far, [examples[0], examples[2]]), strict=True))
        if backward:
            return learning.end_to_end(reader, made, items)["loss"]
        losses, _ = reader.losses([made[0].detach(), None, made[2].detach()], items)
        return (losses[0] + losses[2]) / 2

    with frozen(lm):
        assert value(True) == pytest.approx(value(), abs=1e-6)
        for weight in network.parameters():
            direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
            direction /= direction.norm()
            slope, size = (weight.grad * direction).sum().item(), 1e-2
            with torch.no_grad():
                weight += size * direction
                higher = value()
                weight -= 2 * size * direction
                lower = value()
                weight += size * direction
            # along a random direction the slope is small beside the norm of the gradient
            assert (higher - lower) / (2 * size) == pytest.approx(slope, abs=2e-3 * weight.grad.norm().item() + 1e-4)
        assert fingerprint(lm) == before and all(weight.grad is None for weight in lm.model.parameters())


@FORMS
def test_what_is_made_is_read_off_the_places_behind_the_examples(lm, changes):
    config = CONFIG.replace(**changes)
    network, _, far = set_up(lm, config)
    examples = shown(tasks()[0], config.examples)
    begin, table = [lm.tokenizer.bos_token_id], lm.model.get_input_embeddings().weight
    ordered = examples if config.map == "none" else sorted(examples, key=lambda one: one[::-1])
    written = [f"{text} is {label}" for text, label in ordered]
    written = ["\n".join(written)] if config.join == "concatenate" else written
    with frozen(lm), torch.no_grad():
        (made,) = network(far, [maker.spelled(lm, config, examples)])
        states = []
        for text in written:  # by hand: no cache, no padding
            ids = begin + lm.tokenizer(text, add_special_tokens=False)["input_ids"]
            variable = network.begun + network.variable * (1 if config.map == "none" else 0.02)
            whole = torch.cat([table[torch.tensor(ids)], variable])[None]
            found = lm.model.base_model(inputs_embeds=whole, output_hidden_states=True)
            layers = found.hidden_states if config.map == "layers" else [found.last_hidden_state]
            states.append(torch.cat([torch.nn.functional.layer_norm(x[0, len(ids) :], (32,)) for x in layers], 1))
        states = torch.cat(states)
        scale = table.square().mean().sqrt()
        expected = states * scale
        if config.map != "none":
            seen = ((states - network.centre) @ network.read.T).flatten() / 64**0.5
            expected = network.base + (network.map @ seen).view(4, 32)
    assert made.shape == (4, 32) and made == pytest.approx(expected, abs=1e-4)
    turned = maker.spelled(lm, config, [("old moon", examples[0][1]), *examples[1:]])
    with frozen(lm), torch.no_grad():
        moved = (network(far, [turned])[0] - made).abs().amax(1) > 1e-5
    assert moved.tolist() == ([True, False, False, False] if config.join == "each" and config.map == "none" else [True] * 4)


@FORMS
def test_the_order_of_examples_counts_without_a_map_and_not_with_one(lm, changes):
    config = CONFIG.replace(**changes)
    made, examples = meta.learn(lm, tasks(), config.replace(steps=2), progress=False), shown(tasks()[0], config.examples)
    orders = [made.make(lm, list(order)).vectors for order in itertools.permutations(examples)]
    spread = np.std(orders, 0).max()
    assert spread < 1e-6 if config.map != "none" else spread > 1e-3


def test_a_made_prompt_is_the_same_for_all_rows_of_a_batch_and_made_once(lm, monkeypatch):
    found = meta.learn(lm, tasks(), CONFIG.replace(steps=2), progress=False)
    made = found.make(lm, shown(tasks()[0]))
    texts = tasks()[0].texts
    alone = np.concatenate([made.probabilities(lm, [text]) for text in texts])
    assert made.probabilities(lm, texts) == pytest.approx(alone, abs=1e-5)
    calls, forward = [], maker.Maker.forward
    monkeypatch.setattr(maker.Maker, "forward", lambda *args: calls.append(1) or forward(*args))
    assert found.classify(lm, shown(tasks()[0]), texts) == made.classify(lm, texts)
    assert calls == [1]
    meta.learn(lm, tasks(), CONFIG.replace(steps=2, tasks=3), progress=False)
    assert len(calls) == 1 + 2


def test_with_a_meta_prompt_or_without_answers_are_of_one_kind_and_can_be_had_again(lm):
    texts, labels = rows(n=8)
    found = meta.learn(lm, tasks(), CONFIG.replace(steps=1), progress=False)
    made = found.make(lm, shown(tasks()[0]))
    for prompt in (soft.from_words(lm, "is", labels, PROMPT), soft.tune(lm, texts, labels, PROMPT.replace(steps=1)), made):
        assert isinstance(prompt, soft.SoftPrompt) and set(prompt.classify(lm, texts)) <= {"good", "bad"}
        assert prompt.probabilities(lm, texts).sum(1) == pytest.approx(1, abs=1e-6)
        assert prompt.features(lm, texts).shape == (8, 32)
    again = soft.SoftPrompt(made.vectors.copy(), made.labels, made.config, made.model, made.sha256)
    assert again.classify(lm, texts) == found.classify(lm, shown(tasks()[0]), texts)


def test_rows_are_shown_by_label_equally_often_and_equal_rows_make_equal_prompts(lm):
    found = meta.learn(lm, tasks(), CONFIG.replace(steps=1), progress=False)
    texts, labels = rows(n=20)
    seen, make = [], meta.MetaPrompt.make
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            meta.MetaPrompt,
            "make",
            lambda self, lm, pairs, *args, **more: seen.append(pairs) or make(self, lm, pairs, *args, **more),
        )
        one, other = found.from_rows(lm, texts, labels), found.from_rows(lm, texts, labels)
    assert np.array_equal(one.vectors, other.vectors) and seen[0] == seen[1]
    assert sorted(label for _, label in seen[0]) == ["bad", "bad", "good", "good"]
    assert set(seen[0]) <= set(zip(texts, labels, strict=True))
    with pytest.raises(ValueError, match="20 texts and 1 labels"):
        found.from_rows(lm, texts, labels[:1])


def test_a_map_begins_at_the_start_and_only_the_asked_weights_are_learned(lm):
    start = soft.tune(lm, *rows(), PROMPT.replace(steps=2), progress=False)
    mapped = meta.learn(lm, tasks(), CONFIG.replace(map="layers", steps=0), start=start)
    assert np.array_equal(mapped.make(lm, shown(tasks()[1])).vectors, start.vectors)
    shapes = {name: array.shape for name, array in mapped.weights.items()}
    assert {shapes.pop(name) for name in ("variable", "begun")} == {(1, 32)}
    assert shapes == {"base": (4, 32), "centre": (4, 96), "read": (16, 96), "map": (128, 64)}
    plain = meta.learn(lm, tasks(), CONFIG.replace(steps=0))
    assert {name: array.shape for name, array in plain.weights.items()} == {"variable": (1, 32), "begun": (1, 32)}
    length = np.linalg.norm(plain.make(lm, shown(tasks()[1])).vectors, axis=1).mean()
    assert length == pytest.approx(np.sqrt(32 * (lm.model.get_input_embeddings().weight.detach().numpy() ** 2).mean()), rel=1e-3)
    with pytest.raises(ValueError, match="Without a map a prompt has no start"):
        meta.learn(lm, tasks(), CONFIG, start=start)


# ---- learning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", meta.LOSSES)
def test_each_loss_falls_and_the_model_stays(lm, loss):
    before = fingerprint(lm)
    config = CONFIG.replace(map="layers", loss=loss, steps=40, tasks=3, rate=0.005)
    found = meta.learn(lm, tasks(lm), config, progress=False)
    first, last = found.history[0]["loss"], found.history[-1]["loss"]
    assert last < first and fingerprint(lm) == before
    assert found.history[-1].keys() == {"step", "loss"} | ({"accuracy"} if loss == "end to end" else set())


def test_one_variable_is_learned_from_all_tasks(lm, monkeypatch):
    seen, forward = set(), maker.Maker.forward
    monkeypatch.setattr(maker.Maker, "forward", lambda self, *args: seen.add(id(self.variable)) or forward(self, *args))
    found = meta.learn(lm, tasks(), CONFIG, progress=False)
    assert len(seen) == 1 and [name for name, _ in found.tasks] == ["plain", "turned", "moon"]


def test_tasks_are_taken_equally_often_or_as_weighted():
    config = CONFIG.replace(tasks=2)
    counts = np.bincount(sum((learning.task_of(step, 5, config) for step in range(1000)), []), minlength=5)
    assert counts.min() >= 0.95 * counts.max()
    drawn = [learning.task_of(step, 3, CONFIG, [1, 0, 3])[0] for step in range(1000)]
    assert np.bincount(drawn, minlength=3) == pytest.approx([250, 0, 750], abs=55)


def test_sampled_examples_differ_from_step_to_step_and_are_no_rows_of_the_batch():
    task, texts = tasks()[0], [str(i) for i in range(24)]
    task = task._replace(texts=texts)
    drawn = [learning._draw(0, step, task, None, CONFIG) for step in range(20)]
    assert len({tuple(examples) for examples, _ in drawn}) == 20
    for examples, batch in drawn:
        assert {label for _, label in examples} == {"good", "bad"} and len(batch) == 6
        assert not {text for text, _ in examples} & {texts[i] for i in batch}
    still = [learning._draw(0, step, task, [1, 2, 3, 4], CONFIG)[0] for step in range(3)]
    assert still == [[(str(i), task.labels[i]) for i in (1, 2, 3, 4)]] * 3


def test_a_run_that_was_interrupted_goes_on_bit_equal(lm, tmp_path, monkeypatch):
    config = CONFIG.replace(map="layers")
    whole, draw = meta.learn(lm, tasks(), config, progress=False), learning._draw

    def pressed(j, step, *args):
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(j, step, *args)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(learning, "_draw", pressed)
            part = meta.learn(lm, tasks(), config, folder=tmp_path / "run", progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert part.stopped == "interrupted" and whole.stopped == "steps"
    again = meta.learn(lm, tasks(), config, folder=tmp_path / "run", progress=False)
    assert again.history == whole.history
    for name, array in whole.weights.items():
        assert np.array_equal(again.weights[name], array)
    assert not np.array_equal(part.weights["map"], whole.weights["map"])
    with pytest.raises(ArtifactError, match="another run: options.rate differs"):
        meta.learn(lm, tasks(), config.replace(rate=0.1), folder=tmp_path / "run", progress=False)


def test_chosen_examples_need_the_prompt_of_the_task_and_are_used(lm):
    with pytest.raises(ValueError, match="To choose by 'boundary', the task 'plain' needs its own prompt"):
        meta.learn(lm, tasks(), CONFIG.replace(choose="boundary"))
    with pytest.raises(ValueError, match="With the loss 'vmf' the task 'plain' needs its tuned prompt"):
        meta.learn(lm, tasks(), CONFIG.replace(loss="vmf"))
    found = meta.learn(lm, tasks(lm), CONFIG.replace(choose="boundary", steps=2), progress=False)
    sampled = meta.learn(lm, tasks(lm), CONFIG.replace(steps=2), progress=False)
    assert not np.array_equal(found.weights["variable"], sampled.weights["variable"])


def test_a_description_makes_a_prompt(lm):
    config = CONFIG.replace(join="concatenate")
    described = [
        task._replace(examples=text) for task, text in zip(tasks(), ["good is red", "bad is red", "moon is old"], strict=True)
    ]
    found = meta.learn(lm, described, config.replace(steps=2), progress=False)
    one, other = (found.make(lm, text, labels=["good", "bad"]) for text in ("good is red", "bad is blue"))
    assert one.labels == ("bad", "good") and one.vectors.shape == (4, 32) and not np.array_equal(one.vectors, other.vectors)
    with pytest.raises(ValueError, match="two or more different labels, these are"):
        found.make(lm, "good is red", labels=["good"])
    with pytest.raises(ValueError, match="The description is empty"):
        found.make(lm, " ", labels=["good", "bad"])
    with pytest.raises(ValueError, match="A description is one text"):
        meta.learn(lm, described, CONFIG)


# ---- whose, and of which model ------------------------------------------------------------------------------------------


def test_a_meta_prompt_of_a_user_is_learned_from_that_user_s_rows_and_for_that_user(lm):
    mixed = [task._replace(user=user) for task, user in zip(tasks(), ["ann", None, "bob"], strict=True)]
    ann = meta.learn(lm, mixed, CONFIG.replace(steps=2), user="ann", progress=False)
    other = [mixed[0], *(task._replace(texts=[f"{text} old" for text in task.texts]) for task in mixed[1:])]
    again = meta.learn(lm, other, CONFIG.replace(steps=2), user="ann", progress=False)
    assert ann.tasks == again.tasks == (("plain", learning._digest(mixed[0])),)
    assert np.array_equal(ann.weights["variable"], again.weights["variable"])
    examples = shown(mixed[0])
    assert ann.make(lm, examples, user="ann").vectors.shape == (4, 32)
    for user in (None, "bob"):
        with pytest.raises(ValueError, match="for one user only"):
            ann.make(lm, examples, user=user)
    assert [name for name, _ in meta.learn(lm, mixed, CONFIG.replace(steps=0)).tasks] == ["turned"]
    with pytest.raises(ValueError, match="no tasks of 'eve'"):
        meta.learn(lm, mixed, CONFIG, user="eve")


def test_another_model_may_read_the_examples_and_needs_a_map_if_its_width_is_another(lm, wide):
    before = fingerprint(lm), fingerprint(wide)
    with pytest.raises(ValueError, match=r"states of width 48 and tiny embeddings of width 32.*need a map"):
        meta.learn(lm, tasks(), CONFIG, maker=wide)
    found = meta.learn(lm, tasks(), CONFIG.replace(map="last", steps=3), maker=wide, progress=False)
    assert found.weights["variable"].shape == (1, 48) and found.weights["read"].shape == (16, 48)
    assert (fingerprint(lm), fingerprint(wide)) == before and (found.sha256, found.maker_sha256) == before
    examples = shown(tasks()[0])
    assert found.make(lm, examples, maker=wide).vectors.shape == (4, 32)
    with pytest.raises(ModelError, match="is read by wide: give that model too"):
        found.make(lm, examples)
    with pytest.raises(ModelError, match="wide is another model"):
        found.make(wide, examples, maker=wide)
    shared = meta.learn(lm, tasks(), CONFIG.replace(steps=1), progress=False)
    equal = meta.learn(lm, tasks(), CONFIG.replace(steps=1), maker=tiny_lm(words=WORDS), progress=False)
    assert np.array_equal(shared.weights["variable"], equal.weights["variable"])  # two copies of a model do what one does


@pytest.mark.parametrize("changes", [{}, {"map": "layers"}])
def test_a_meta_prompt_is_kept_and_makes_equal_prompts(lm, changes, tmp_path):
    found = meta.learn(lm, tasks(), CONFIG.replace(steps=2, **changes), progress=False)
    found.save(tmp_path / "kept")
    again = meta.MetaPrompt.load(tmp_path / "kept")
    for name in ("config", "model", "sha256", "maker", "tasks", "user", "history", "stopped"):
        assert getattr(again, name) == getattr(found, name)
    made = [one.make(lm, shown(tasks()[0])) for one in (found, again, again)]
    assert made[0].vectors.tobytes() == made[1].vectors.tobytes() == made[2].vectors.tobytes()
    config, tensors = found.to_state()
    for wrong in ({"variable": np.zeros((3, 32), np.float32)}, {"more": tensors["variable"]}):
        with pytest.raises(ValueError, match=r"do not fit|expected \["):
            meta.MetaPrompt.from_state(config, tensors | wrong)


# ---- one step -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", soft.LAYOUTS)
def test_one_step_goes_against_the_sign_of_the_gradient(lm, layout):
    texts, labels = rows()
    config = PROMPT.replace(layout=layout)
    start = soft.tune(lm, texts, labels, config.replace(steps=0))
    found = meta.sign_step(lm, texts, labels, config, step=0.01)
    loss, slope, _ = soft.gradient(lm, start.vectors, texts, labels, config)
    assert found.vectors == pytest.approx(start.vectors - 0.01 * np.sign(slope), abs=1e-7)
    assert soft.gradient(lm, found.vectors, texts, labels, config)[0] < loss and found.labels == ("bad", "good")
    assert np.array_equal(meta.sign_step(lm, texts, labels, config, start=start, step=0.01).vectors, found.vectors)
    with pytest.raises(ValueError, match="step must be a number above 0"):
        meta.sign_step(lm, texts, labels, config, step=0)


# ---- bad input ----------------------------------------------------------------------------------------------------------


def test_what_cannot_work_is_refused_before_any_forward(lm, monkeypatch):
    found = meta.learn(lm, tasks(), CONFIG.replace(steps=0))
    monkeypatch.setattr(Frozen, "_base", None)
    good = shown(tasks()[0])
    for examples, message in [
        (good[:3], "makes prompts from 4 examples, got 3"),
        ([], "one or more pairs"),
        ([("red fox", "good", "bad")] * 4, "one or more pairs"),
        ([("red fox", 1)] * 4, "one or more pairs"),
        ([*good[:3], ("red old " * 8, "good")], "more than the 16 positions"),
        ([("red", "good")] * 4, "two or more different labels"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            found.make(lm, examples)
    with pytest.raises(ValueError, match=r"Labels \['bad'\] of examples are not among"):
        found.make(lm, good, labels=["good", "moon"])
    with pytest.raises(TypeError, match="a list of Task, got tuple"):
        meta.learn(lm, [rows()])
    with pytest.raises(ValueError, match="There are no tasks"):
        meta.learn(lm, [])
    with pytest.raises(ValueError, match="has 4 rows: to show 4 it must have more"):
        meta.learn(lm, [meta.Task("few", *rows(n=4))], CONFIG)
    with pytest.raises(ValueError, match="weights are 3 numbers"):
        meta.learn(lm, tasks(), CONFIG, weights=[1, 2])
    with pytest.raises(TypeError, match="what models.load_lm returns"):
        meta.learn("world", tasks(), CONFIG)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "mse"}, "loss must be one of end to end, l2"),
        ({"choose": "medoids"}, "choose must be one of sample, kmeans"),
        ({"join": "add"}, "join must be one of concatenate, each"),
        ({"map": True}, "map must be one of none"),
        ({"examples": 3}, "3 examples cannot make 4 vectors in equal parts"),
        ({"steps": -1}, "steps"),
        ({"rate": 0}, "rate must be a number above 0"),
        ({"example": "{text}"}, "example must be a str with {text} and {label} once each"),
        ({"prompt": None}, "prompt is a SoftConfig"),
    ],
)
def test_options_out_of_range_are_refused(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        CONFIG.replace(**changes)
