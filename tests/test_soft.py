import math
import os
import signal
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from tiny_llama import tiny_llama
from tiny_lm import tiny_lm

from workbench import lesson, models, soft
from workbench.models import LM, load_lm
from workbench.models.cut import Cut
from workbench.models.lm import fingerprint
from workbench.search.soft import frozen, learning, rows, soft_prompt
from workbench.values import ArtifactError, ModelError

ROOT = Path(__file__).parents[1]
TEXTS = ["a red fox in the snow", "an old ship", "the blue castle on a hill at night", "a moon", "two red boats, one blue sea"]
LABELS = ["animal", "sea and ships", "building", "sky", "sea and ships"]
CLASSES = ["animal", "building", "sea and ships", "sky"]
START = soft.SoftConfig(vectors=5, start=" the label is:", steps=0)
LAYOUTS = pytest.mark.parametrize("layout", soft.LAYOUTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_llama(tmp_path_factory.mktemp("base"), [*TEXTS, *LABELS])


@pytest.fixture(scope="module")
def lm(folder):
    return load_lm(folder)


@pytest.fixture(scope="module")
def gpt2():
    return tiny_lm(words=("red", "blue", "old", "fox", "ship", "castle", "moon", "is", "good", "bad"))


def ids(lm, text):
    return lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def embedded(lm, tokens):
    return lm.model.get_input_embeddings().weight[torch.tensor(tokens, dtype=torch.long)]


def by_hand(lm, before, label, between=None):
    """Log-probability of the tokens of a label after tokens and vectors: one forward, no cache, no padding."""
    parts = [embedded(lm, before)] if between is None else between
    rest = ids(lm, f" {label}")
    rows = torch.cat([*parts, embedded(lm, rest[:-1])])
    law = lm.model(inputs_embeds=rows[None]).logits[0, -len(rest) :].log_softmax(-1)
    return law.gather(1, torch.tensor(rest)[:, None]).sum()


def placed(lm, vectors, text, layout):
    """The vectors and a text, as the layout wants them."""
    if layout == "prefix":
        return [vectors, embedded(lm, ids(lm, text))]
    return [embedded(lm, [lm.tokenizer.bos_token_id, *ids(lm, text)]), vectors]


def numbers(lm, k=5, seed=0):
    width = lm.model.get_input_embeddings().weight.shape[1]
    return np.random.default_rng(seed).normal(scale=0.3, size=(k, width)).astype(np.float32)


# ---- what the model says ------------------------------------------------------------------------------------------------


@LAYOUTS
@pytest.mark.parametrize("model", ["lm", "gpt2"])
def test_vectors_that_are_embeddings_of_words_do_what_the_words_do(model, layout, request):
    lm = request.getfixturevalue(model)
    texts, labels, start = TEXTS, LABELS, " the label is:"
    if model == "gpt2":
        texts, labels, start = ["old fox", "red ship moon castle", "moon"], ["good red", "bad", "good blue moon"], "is old is"
    words = ids(lm, start)
    prompt = soft.tune(lm, texts, labels, START.replace(layout=layout, start=start, vectors=len(words)))
    begin = [lm.tokenizer.bos_token_id]
    for text, found in zip(texts, prompt.probabilities(lm, texts), strict=True):
        typed = words + ids(lm, text) if layout == "prefix" else begin + ids(lm, text) + words
        with torch.no_grad():
            expected = torch.stack([by_hand(lm, typed, label) for label in prompt.labels]).softmax(0)
        assert found == pytest.approx(expected.numpy(), abs=1e-4)
        assert found.sum() == pytest.approx(1, abs=1e-6)
    assert prompt.labels == tuple(sorted(set(labels))) and set(prompt.classify(lm, texts)) <= set(labels)


def test_words_around_the_text_are_read_and_without_vectors_they_are_all(lm):
    config = soft.SoftConfig(layout="prefix", template="Look: {text}. It was", loss="likelihood")
    loss, gradient, _ = soft.gradient(lm, numbers(lm, 0), TEXTS, LABELS, config)
    with torch.no_grad():
        total = sum(by_hand(lm, ids(lm, f"Look: {text}. It was"), label) for text, label in zip(TEXTS, LABELS, strict=True))
    assert loss == pytest.approx(-float(total) / sum(len(ids(lm, f" {label}")) for label in LABELS), abs=1e-5)
    assert gradient.shape == (0, 32)


@LAYOUTS
def test_a_text_is_answered_alike_alone_and_in_a_batch_and_twice(lm, layout):
    prompt = soft.tune(lm, TEXTS, LABELS, START.replace(layout=layout))
    together = prompt.probabilities(lm, TEXTS)
    assert together == pytest.approx(np.concatenate([prompt.probabilities(lm, [text]) for text in TEXTS]), abs=1e-5)
    assert np.array_equal(together, prompt.probabilities(lm, TEXTS))


def test_many_labels_of_several_tokens_are_read_in_parts(lm, monkeypatch):
    prompt = soft.tune(lm, TEXTS, LABELS, START)
    whole = prompt.probabilities(lm, TEXTS)
    monkeypatch.setattr(frozen, "_SEQUENCES", 1)
    assert len(frozen.Frozen(lm, START, [rows.read_rows(lm, TEXTS, LABELS, START, 5)]).parts([(0, i) for i in range(5)])) == 5
    assert prompt.probabilities(lm, TEXTS) == pytest.approx(whole, abs=1e-5)


# ---- losses and gradients -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", soft.LOSSES)
def test_a_loss_is_its_closed_form_and_its_gradient_a_finite_difference(loss):
    a, b = 0.3, -0.4
    p = math.exp(a) / (math.exp(a) + math.exp(b))
    expected = {"cross_entropy": -math.log(1 - p), "likelihood": -b, "mse": p**2, "hinge": (1 - b + a) / 2}[loss]
    scores = torch.tensor([[a, b]], dtype=torch.float64, requires_grad=True)
    right = torch.tensor([1])
    value = frozen.loss_sum(loss, scores, right)
    assert value.item() == pytest.approx(expected, abs=1e-6)
    value.backward()
    for at in range(2):
        step = torch.zeros(1, 2, dtype=torch.float64)
        step[0, at] = 1e-5
        slope = frozen.loss_sum(loss, scores.detach() + step, right) - frozen.loss_sum(loss, scores.detach() - step, right)
        assert scores.grad[0, at].item() == pytest.approx(slope.item() / 2e-5, abs=1e-3)


@LAYOUTS
@pytest.mark.parametrize("loss", soft.LOSSES)
def test_loss_and_gradient_are_those_of_a_plain_forward(lm, layout, loss):
    vectors = numbers(lm)
    found, gradient, predictions = soft.gradient(lm, vectors, TEXTS, LABELS, soft.SoftConfig(layout=layout, loss=loss))
    point = torch.from_numpy(vectors).requires_grad_()
    rows = [torch.stack([by_hand(lm, None, label, placed(lm, point, text, layout)) for label in CLASSES]) for text in TEXTS]
    scores, right = torch.stack(rows), torch.tensor([CLASSES.index(label) for label in LABELS])
    tokens = sum(len(ids(lm, f" {label}")) for label in LABELS)
    value = {
        "cross_entropy": lambda: torch.nn.functional.cross_entropy(scores, right),
        "likelihood": lambda: -scores[range(len(TEXTS)), right].sum() / tokens,
        "mse": lambda: torch.nn.functional.mse_loss(scores.softmax(1), torch.eye(4)[right]),
        "hinge": lambda: torch.nn.functional.multi_margin_loss(scores, right),
    }[loss]()
    (expected,) = torch.autograd.grad(value, point)
    assert found == pytest.approx(value.item(), abs=1e-5)
    assert gradient.dtype == np.float32 and np.abs(gradient - expected.numpy()).max() < 1e-5 * max(1, np.abs(gradient).max())
    assert predictions == [CLASSES[i] for i in scores.argmax(1)]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by a name that will go
def test_the_loss_before_a_text_is_that_of_peft(lm, folder):
    peft = pytest.importorskip("peft")
    vectors, labels = numbers(lm), ["sky", "sea", "sky", "sea", "animal"]
    found, gradient, _ = soft.gradient(lm, vectors, TEXTS, labels, soft.SoftConfig(layout="prefix", loss="likelihood"))
    options = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
    theirs = peft.get_peft_model(load_lm(folder).model, options)
    (weights,) = [weight for weight in theirs.parameters() if weight.requires_grad]
    weights.data = torch.from_numpy(vectors)
    rows = [(ids(lm, text), ids(lm, f" {label}")) for text, label in zip(TEXTS, labels, strict=True)]
    longest = max(len(text) + len(label) for text, label in rows)

    def padded(pieces, filler):
        return torch.tensor([row + [filler] * (longest - len(row)) for row in pieces])

    loss = theirs(
        input_ids=padded([text + label for text, label in rows], 0),
        attention_mask=padded([[1] * len(text + label) for text, label in rows], 0),
        labels=padded([[-100] * len(text) + label for text, label in rows], -100),
    ).loss
    loss.backward()
    assert found == pytest.approx(loss.item(), abs=1e-5)
    assert gradient == pytest.approx(weights.grad.numpy(), abs=1e-5)


def test_without_labels_the_loss_is_the_model_s_own(lm):
    config = soft.SoftConfig(layout="prefix")
    rows = [[*ids(lm, text), lm.tokenizer.eos_token_id] for text in TEXTS]
    for words in ("", " the label is:"):
        tokens = ids(lm, words)
        with torch.no_grad():
            vectors = embedded(lm, tokens).numpy()
            own = [
                lm.model(torch.tensor([tokens + row]), labels=torch.tensor([[-100] * len(tokens) + row])).loss.item()
                for row in rows
            ]
        sizes = [len(row) - (not tokens) for row in rows]
        loss, gradient, predictions = soft.gradient(lm, vectors, TEXTS, None, config)
        assert loss == pytest.approx(np.average(own, weights=sizes), abs=1e-5)
        assert gradient.shape == vectors.shape and predictions is None


@LAYOUTS
def test_several_prompts_in_a_batch_have_the_gradients_they_have_alone(lm, layout):
    config = soft.SoftConfig(layout=layout)
    vectors = [numbers(lm, k, seed=k) for k in (3, 6, 1)]
    tasks = [(TEXTS, LABELS), (TEXTS[:3], ["yes", "no", "yes"]), (TEXTS[2:], ["red or blue", "green", "green"])]
    together = soft.gradient_many(lm, vectors, tasks, config)
    for one, task, (loss, gradient, predictions) in zip(vectors, tasks, together, strict=True):
        alone = soft.gradient(lm, one, *task, config)
        assert loss == pytest.approx(alone[0], abs=1e-5)
        assert np.abs(gradient - alone[1]).max() < 1e-5 * max(1, np.abs(gradient).max())
        assert predictions == alone[2]
    noise = [numbers(lm, 9, seed=9), *vectors[1:]]
    other = soft.gradient_many(lm, noise, [(["noise"] * 4, ["yes", "no", "no", "no"]), *tasks[1:]], config)
    assert other[1][1] == pytest.approx(together[1][1], abs=1e-5)


def test_a_batch_may_lack_a_label_if_the_classes_are_said(lm):
    loss, gradient, predictions = soft.gradient(lm, numbers(lm), TEXTS[:1], ["sky"], classes=CLASSES)
    assert loss > 0 and np.abs(gradient).max() > 0 and predictions[0] in CLASSES


def test_a_model_in_bfloat16_gives_nearly_the_same_gradient(lm, folder):
    half = load_lm(folder, dtype="bfloat16")
    half.model.set_attn_implementation("eager")
    for layout in soft.LAYOUTS:
        config = soft.SoftConfig(layout=layout)
        loss, one, _ = soft.gradient(lm, numbers(lm), TEXTS, LABELS, config)
        other_loss, other, _ = soft.gradient(half, numbers(lm), TEXTS, LABELS, config)
        assert other.dtype == np.float32 and other_loss == pytest.approx(loss, rel=0.05)
        assert (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other) > 0.98


# ---- learning -----------------------------------------------------------------------------------------------------------


def colours(n=24):
    """Texts whose label is said in them."""
    words = ["fox", "ship", "castle", "moon"]
    rows = [(f"{colour} {words[i % 4]} {words[i // 4 % 4]}", colour) for i in range(n // 2) for colour in ("red", "blue")]
    return [text for text, _ in rows], ["good" if colour == "red" else "bad" for _, colour in rows]


QUICK = soft.SoftConfig(vectors=4, start="is", steps=60, rate=0.1)


@pytest.fixture(scope="module")
def learned(gpt2):
    return soft.tune(gpt2, *colours(), QUICK, progress=False)


@LAYOUTS
def test_a_prompt_learns_a_task_and_the_model_stays(gpt2, layout):
    texts, labels = colours()
    before, needed = fingerprint(gpt2), [weight.requires_grad for weight in gpt2.model.parameters()]
    prompt = soft.tune(gpt2, texts, labels, QUICK.replace(layout=layout), progress=False)
    first, last = prompt.history[0], prompt.history[-1]
    assert first["step"] == 10 and last["step"] == 60 and prompt.stopped == "steps"
    assert last["loss"] < 0.6 * first["loss"] and prompt.classify(gpt2, texts) == labels
    assert fingerprint(gpt2) == before and prompt.sha256 == before and prompt.vectors.shape == (4, 32)
    assert all(weight.grad is None for weight in gpt2.model.parameters()) and not gpt2.model.training
    assert [weight.requires_grad for weight in gpt2.model.parameters()] == needed


def test_equal_seeds_learn_equal_prompts(gpt2, learned):
    assert np.array_equal(soft.tune(gpt2, *colours(), QUICK, progress=False).vectors, learned.vectors)
    other = soft.tune(gpt2, *colours(), QUICK.replace(seed=1, steps=2), progress=False)
    assert not np.array_equal(other.vectors, soft.tune(gpt2, *colours(), QUICK.replace(steps=2), progress=False).vectors)


def test_dropout_is_off_while_a_prompt_learns_and_is_as_before_afterwards(gpt2):
    texts, labels = colours(8)
    expected = soft.gradient(gpt2, numbers(gpt2), texts, labels)[0]
    gpt2.model.train()
    try:
        assert soft.gradient(gpt2, numbers(gpt2), texts, labels)[0] == expected
        assert gpt2.model.training
    finally:
        gpt2.model.eval()


@LAYOUTS
def test_prompts_learned_together_follow_those_learned_alone(gpt2, layout):
    texts, labels = colours()
    tasks = [(texts, labels), (texts[:10], ["old moon" if text.split()[1] == "fox" else "castle" for text in texts[:10]])]
    config = QUICK.replace(layout=layout, steps=20, batch=8)
    together = soft.tune_many(gpt2, tasks, config, progress=False)
    for prompt, task in zip(together, tasks, strict=True):
        alone = soft.tune(gpt2, *task, config, progress=False)
        assert [row["loss"] for row in prompt.history] == pytest.approx([row["loss"] for row in alone.history], abs=2e-5)
        assert prompt.labels == alone.labels


@LAYOUTS
def test_a_prompt_that_was_interrupted_comes_back_and_goes_on_bit_equal(gpt2, layout, tmp_path, monkeypatch):
    texts, labels = colours()
    config = QUICK.replace(layout=layout, steps=30, held_out=0.25)
    whole, batch = soft.tune(gpt2, texts, labels, config, progress=False), learning.batch

    def pressed(rows, size, step, seed):
        if step == 13:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(rows, size, step, seed)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start a test with it ignored
    try:
        with monkeypatch.context() as patch:
            patch.setattr(learning, "batch", pressed)
            part = soft.tune(gpt2, texts, labels, config, folder=tmp_path / "run", progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert part.stopped == "interrupted" and not np.array_equal(part.vectors, whole.vectors)
    at_ten = whole.history[0]["held_out"]
    assert part.history[0]["held_out"] == at_ten and part.classify(gpt2, texts[:2])
    again = soft.tune(gpt2, texts, labels, config, folder=tmp_path / "run", progress=False)
    assert np.array_equal(again.vectors, whole.vectors) and again.history == whole.history
    with pytest.raises(ArtifactError, match="another run: options.rate differs"):
        soft.tune(gpt2, texts, labels, config.replace(rate=0.2), folder=tmp_path / "run", progress=False)


def test_a_prompt_without_gain_on_held_out_rows_stops_and_says_so(gpt2):
    texts, labels = colours()
    flipped = ["good" if i % 2 else "bad" for i in np.random.default_rng(0).permutation(len(labels))]  # nothing to learn
    config = QUICK.replace(steps=400, held_out=0.3, patience=20)
    prompt = soft.tune(gpt2, texts, flipped, config, progress=False)
    held = [row["held_out"] for row in prompt.history]
    assert prompt.stopped == "patience" and len(held) == 3 + int(np.argmin(held))
    assert prompt.history[-1]["step"] == 10 * len(held) < 400


def test_weight_decay_alone_shrinks_the_vectors_by_rate_times_decay(gpt2, learned):
    config = QUICK.replace(loss="hinge", steps=1, weight_decay=0.5)
    texts, labels = colours()
    loss, gradient, _ = soft.gradient(gpt2, learned.vectors, texts, labels, config)
    assert loss == 0 and not gradient.any()  # all rows are right by more than the margin
    prompt = soft.tune(gpt2, texts, labels, config, start=learned, progress=False)
    assert prompt.vectors == pytest.approx(learned.vectors * (1 - 0.1 * 0.5), abs=1e-6)


@LAYOUTS
def test_numbers_that_drop_out_are_0_in_a_step_and_never_while_the_prompt_is_used(gpt2, layout):
    texts, labels = colours()
    config = QUICK.replace(layout=layout, batch=len(texts), steps=1, dropout=0.4)
    prompt = soft.tune(gpt2, texts, labels, config, progress=False)
    start = soft.tune(gpt2, texts, labels, config.replace(steps=0))
    mask = learning._mask(torch.zeros(4, 32), config, 0).numpy()
    assert np.unique(mask) == pytest.approx([0, 1 / 0.6])
    zeros = [(learning._mask(torch.zeros(4, 32), config, step) == 0).float().mean().item() for step in range(200)]
    assert np.mean(zeros) == pytest.approx(0.4, abs=0.01) and len(set(zeros)) > 10
    loss, slope, _ = soft.gradient(gpt2, start.vectors * mask, texts, labels, config)
    assert prompt.history[0]["loss"] == pytest.approx(loss, abs=1e-4)
    slope *= mask
    slope *= min(1, 1 / np.linalg.norm(slope))
    step = -0.1 * slope / (np.abs(slope) + 1e-8)  # the first step of Adam, at a rate of .1
    assert prompt.vectors - start.vectors == pytest.approx(step, abs=2e-3)
    assert ((prompt.vectors == start.vectors) >= (mask == 0)).all()
    assert np.array_equal(prompt.probabilities(gpt2, texts), prompt.probabilities(gpt2, texts))
    together = soft.tune_many(gpt2, [(texts, labels), (texts, labels[::-1])], config.replace(steps=5), progress=False)
    alone = soft.tune(gpt2, texts, labels[::-1], config.replace(steps=5), progress=False)
    assert together[1].vectors == pytest.approx(alone.vectors, abs=1e-4)
    with pytest.raises(ValueError, match="dropout must be a number from 0 to 0.9"):
        QUICK.replace(dropout=1)


def test_rows_with_and_without_labels_teach_one_prompt(gpt2):
    texts, labels = colours()
    some = [label if i % 3 else None for i, label in enumerate(labels)]
    config = QUICK.replace(layout="prefix", batch=len(texts), steps=1)
    parts = [([t for t, y in zip(texts, some, strict=True) if (y is None) == bare]) for bare in (False, True)]
    named = [y for y in some if y is not None]
    start = soft.tune(gpt2, texts, labels, config.replace(steps=0))
    prompt = soft.tune(gpt2, texts, some, config, progress=False)
    answers, words = (soft.gradient(gpt2, start.vectors, t, y, config) for t, y in zip(parts, (named, None), strict=True))
    assert prompt.history[0]["loss"] == pytest.approx(answers[0], abs=1e-4)
    assert prompt.history[0]["texts"] == pytest.approx(words[0], abs=1e-4) and 0 <= prompt.history[0]["accuracy"] <= 1
    slope = answers[1] + words[1]
    assert (np.sign(start.vectors - prompt.vectors) == np.sign(slope))[np.abs(slope) > 1e-3].all()
    assert prompt.labels == ("bad", "good") and prompt.vectors.shape == (4, 32)
    again = soft.tune(gpt2, texts, some, config.replace(steps=40, batch=8, held_out=0.2), progress=False)
    assert again.history[-1]["loss"] < again.history[0]["loss"] and again.history[-1]["texts"] < again.history[0]["texts"]
    bare = soft.tune(gpt2, texts, [None] * len(texts), config.replace(steps=0))
    assert bare.labels == ()
    with pytest.raises(ValueError, match="behind a text cannot help to write it"):
        soft.tune(gpt2, texts, some, QUICK)


def test_a_prompt_begins_as_another_one(lm):
    begun = soft.tune(lm, TEXTS, LABELS, START.replace(steps=3), progress=False)
    same = soft.tune(lm, TEXTS, LABELS, START, start=begun)
    assert np.array_equal(same.vectors, begun.vectors) and same.vectors is not begun.vectors
    with pytest.raises(ValueError, match="layout 'suffix', this prompt in 'prefix'"):
        soft.tune(lm, TEXTS, LABELS, START.replace(layout="prefix"), start=begun)
    with pytest.raises(TypeError, match=r"start is a SoftPrompt, got str.*SoftConfig\(start="):
        soft.tune(lm, TEXTS, LABELS, START, start="the label")


def test_words_to_begin_with_are_repeated_or_cut_so_that_the_last_one_stays(lm):
    table = lm.model.get_input_embeddings().weight.detach().numpy()
    words = ids(lm, " the label is:")
    for k in (1, len(words), 2 * len(words) + 1):
        prompt = soft.tune(lm, TEXTS, LABELS, START.replace(vectors=k))
        assert np.array_equal(prompt.vectors, table[(words * 3)[-k:]])
    nearest = prompt.nearest_words(lm, 2)
    assert [word for (word, _), _ in nearest] == [lm.tokenizer.decode([i]) for i in (words * 3)[-k:]]
    assert all(first[1] == pytest.approx(1) and second[1] < 1 for first, second in nearest)
    one, other = (soft.tune(lm, TEXTS, LABELS, START.replace(start=None, seed=seed)).vectors for seed in (1, 2))
    assert not np.array_equal(one, other) and all((row == table).all(1).any() for row in one)


def test_texts_that_are_too_many_to_keep_are_read_again_in_each_step(gpt2, monkeypatch):
    texts, labels = colours()
    kept = soft.tune(gpt2, texts, labels, QUICK.replace(steps=10), progress=False)
    monkeypatch.setattr(frozen, "_KEPT", 0)
    assert not frozen.Frozen(gpt2, QUICK, [rows.read_rows(gpt2, texts, labels, QUICK, 4)], keep=True)._kept
    again = soft.tune(gpt2, texts, labels, QUICK.replace(steps=10), progress=False)
    assert again.vectors == pytest.approx(kept.vectors, abs=1e-4)


# ---- what is used and not learned ---------------------------------------------------------------------------------------


@LAYOUTS
def test_features_are_the_unit_states_in_which_answers_begin(lm, layout):
    prompt = soft.tune(lm, TEXTS, LABELS, START.replace(layout=layout))
    found = prompt.features(lm, TEXTS)
    assert found.dtype == np.float32 and found.shape == (5, 32) and np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    for text, row in zip(TEXTS, found, strict=True):
        whole = torch.cat(placed(lm, torch.from_numpy(prompt.vectors), text, layout))[None]
        with torch.no_grad():
            state = lm.model.base_model(inputs_embeds=whole).last_hidden_state[0, -1]
        assert row == pytest.approx((state / state.norm()).numpy(), abs=1e-4)


@LAYOUTS
def test_use_leaves_no_gradient_and_does_not_depend_on_the_batch(lm, layout):
    prompt = soft.tune(lm, TEXTS, LABELS, START.replace(layout=layout))
    texts = TEXTS * 4
    for verb in (prompt.probabilities, prompt.features):
        found = verb(lm, texts[:16])
        assert np.array_equal(found, verb(lm, texts[:16]))
        assert found == pytest.approx(np.concatenate([verb(lm, [text]) for text in texts[:16]]), abs=1e-5)
    assert torch.is_grad_enabled() and all(weight.grad is None for weight in lm.model.parameters())


def test_pictures_and_sounds_are_refused_by_name(lm):
    from PIL import Image

    prompt, sound = soft.tune(lm, TEXTS, LABELS, START), np.zeros(16_000, np.float32)
    for call in (
        lambda rows: soft.tune(lm, rows, LABELS[:2]),
        lambda rows: soft.gradient(lm, numbers(lm), rows, LABELS[:2]),
        lambda rows: prompt.classify(lm, rows),
    ):
        for given, name in (([Image.new("RGB", (8, 8))] * 2, "Image"), ([sound] * 2, "ndarray"), (sound, "float32")):
            with pytest.raises(TypeError, match=f"row 0 is {name}. A soft prompt is for text; pictures and audio are not"):
                call(given)


# ---- writing ------------------------------------------------------------------------------------------------------------


def test_a_prompt_of_texts_without_labels_writes_like_them(gpt2):
    config = QUICK.replace(layout="prefix", steps=80)
    texts = ["red moon is old", "red moon is good"] * 4
    prompt = soft.tune(gpt2, texts, None, config, progress=False)
    assert prompt.labels == () and prompt.history[-1]["loss"] < 0.7 * prompt.history[0]["loss"]
    start = soft.tune(gpt2, texts, None, config.replace(steps=0))
    written, before = prompt.sample(gpt2, 40, seed=1, max_tokens=12), start.sample(gpt2, 40, seed=1, max_tokens=12)
    assert sum(text.startswith("red") for text in written) >= 20 + sum(text.startswith("red") for text in before)
    assert written == prompt.sample(gpt2, 40, seed=1, max_tokens=12) != prompt.sample(gpt2, 40, seed=2, max_tokens=12)
    for text in written[:5]:
        rows = torch.cat([torch.from_numpy(prompt.vectors), embedded(gpt2, text.ids[:-1])])
        with torch.no_grad():
            law, _ = Cut(top_p=0.95).log_law(gpt2.model(inputs_embeds=rows[None]).logits[0, -len(text.ids) :])
        assert law.gather(1, torch.tensor(text.ids)[:, None]).sum().item() == pytest.approx(text.log_prob, abs=1e-3)
        assert text.ids[-1] == 0 or len(text.ids) == 12
    with pytest.raises(ValueError, match="it can write .sample., not classify"):
        prompt.classify(gpt2, texts)


def test_a_prompt_with_labels_does_not_write(lm):
    with pytest.raises(ValueError, match="learned to label texts, not to write"):
        soft.tune(lm, TEXTS, LABELS, START).sample(lm, 1)


# ---- ensembles ----------------------------------------------------------------------------------------------------------


def test_an_ensemble_is_the_mean_of_log_probabilities_and_of_one_that_one(lm):
    prompts = [soft.tune(lm, TEXTS, LABELS, START.replace(start=None, seed=seed)) for seed in range(3)]
    assert soft.Ensemble(prompts[:1]).probabilities(lm, TEXTS) == pytest.approx(prompts[0].probabilities(lm, TEXTS), abs=1e-12)
    votes = np.prod([prompt.probabilities(lm, TEXTS) for prompt in prompts], 0) ** (1 / 3)
    found = soft.Ensemble(prompts)
    assert found.probabilities(lm, TEXTS) == pytest.approx(votes / votes.sum(1, keepdims=True))
    assert found.classify(lm, TEXTS) == [prompts[0].labels[i] for i in votes.argmax(1)]
    for layout, template in (("prefix", "{text}"), ("suffix", "Look: {text}")):  # not of one kind: each reads for itself
        mixed = [*prompts, soft.tune(lm, TEXTS, LABELS, START.replace(layout=layout, template=template))]
        votes = np.mean([prompt._log_probabilities(lm, TEXTS) for prompt in mixed], 0)
        expected = np.exp(votes) / np.exp(votes).sum(1, keepdims=True)
        assert soft.Ensemble(mixed).probabilities(lm, TEXTS) == pytest.approx(expected, abs=1e-5)
    other = soft.tune(lm, TEXTS[:2], ["yes", "no"], START)
    for wrong in ([], [*prompts, other]):
        with pytest.raises(ValueError, match="prompts with the same labels"):
            soft.Ensemble(wrong)


# ---- simpler ways -------------------------------------------------------------------------------------------------------


@LAYOUTS
def test_a_prompt_of_words_answers_as_the_words_that_are_typed(lm, layout):
    config = soft.SoftConfig(layout=layout, template="Look: {text}")
    prompt = soft.from_words(lm, " the label is:", [*LABELS, *LABELS], config)
    assert prompt.labels == tuple(CLASSES) and prompt.vectors.shape == (len(ids(lm, " the label is:")), 32)
    same = soft.tune(lm, TEXTS, LABELS, config.replace(start=" the label is:", vectors=len(prompt.vectors), steps=0))
    assert np.array_equal(same.vectors, prompt.vectors) and prompt.config == same.config.replace(steps=60)
    assert np.array_equal(prompt.probabilities(lm, TEXTS), same.probabilities(lm, TEXTS))


def test_few_shot_shows_examples_of_each_label_in_turn_and_asks_alike(lm):
    texts, labels = ["a red fox", "an old ship", "a moon", "two boats"], ["sky", "sea", "sky", "sea"]
    prompt = soft.few_shot(lm, texts, labels, 3, soft.SoftConfig(start=" the label is:", template="Look: {text}"))
    shown = "Look: an old ship the label is: sea\n\nLook: a red fox the label is: sky\n\nLook: two boats the label is: sea\n\n"
    assert np.array_equal(prompt.vectors, embedded(lm, ids(lm, shown)).detach().numpy())
    with torch.no_grad():
        asked = ids(lm, shown) + ids(lm, "Look: a moon the label is:")
        expected = torch.stack([by_hand(lm, asked, label) for label in ("sea", "sky")]).softmax(0)
    assert prompt.probabilities(lm, ["a moon"])[0] == pytest.approx(expected.numpy(), abs=1e-4)


def test_features_are_the_mean_of_what_the_model_makes_of_each_token(lm):
    found = soft.features(lm, TEXTS)
    for text, row in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            states = lm.model.base_model(torch.tensor([ids(lm, text)])).last_hidden_state[0]
        assert row == pytest.approx(states.mean(0).numpy(), abs=1e-5)
    assert found.dtype == np.float32 and found.shape == (5, 32)


def test_what_simpler_ways_cannot_do_is_refused(gpt2):
    for call, message in [
        (lambda: soft.from_words(gpt2, " ", ["good", "bad"]), "Text 0 is empty"),
        (lambda: soft.from_words(gpt2, "is", ["good", "good"]), "two or more different labels"),
        (lambda: soft.from_words(gpt2, "is " * 20, ["good", "bad"]), "too long: .* the 16 positions"),
        (lambda: soft.few_shot(gpt2, ["red", "old"], ["good", "bad"], 3), "3 shots need 2 texts of 'bad', there are 1"),
        (lambda: soft.few_shot(gpt2, ["red", "old"], ["good", "bad"], 0), "shots must be an int of 1 or more"),
        (lambda: soft.few_shot(gpt2, ["red", "old"], ["good", "bad"], 2, QUICK.replace(start=None)), "words that ask"),
        (lambda: soft.features(gpt2, ["red", "old " * 17]), "Text 1 is too long: 17 tokens are more than the 16"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_attention_that_takes_no_free_mask_is_refused_before_any_work(lm, monkeypatch):
    prompt = soft.tune(lm, TEXTS, LABELS, START)
    monkeypatch.setattr(lm.model.config, "_attn_implementation_internal", "flash_attention_2")
    monkeypatch.setattr(frozen.Frozen, "_forward", None)
    for call in (lambda: soft.tune(lm, TEXTS, LABELS), lambda: prompt.classify(lm, TEXTS), lambda: soft.features(lm, TEXTS)):
        with pytest.raises(ModelError, match=r"'flash_attention_2'. Call lm.model.set_attn_implementation\('sdpa'\) first"):
            call()


def test_prompts_that_vote_read_each_text_once(lm, monkeypatch):
    prompts = [soft.tune(lm, TEXTS, LABELS, START.replace(start=None, vectors=k)) for k in (3, 5)]
    expected = [prompt.probabilities(lm, [*TEXTS, TEXTS[0]]) for prompt in prompts]
    read, forward = [], frozen.Frozen._forward

    def counted(self, embeds, mask, positions, pairs):
        read.append(0 if pairs else len(embeds))
        return forward(self, embeds, mask, positions, pairs)

    monkeypatch.setattr(frozen.Frozen, "_forward", counted)
    found = soft.Ensemble(prompts).probabilities(lm, [*TEXTS, TEXTS[0]])
    votes = np.sqrt(expected[0] * expected[1])
    assert sum(read) == len(set(TEXTS)) and found == pytest.approx(votes / votes.sum(1, keepdims=True), abs=1e-5)


# ---- keeping ------------------------------------------------------------------------------------------------------------


def test_a_prompt_is_kept_alone_and_small_and_reads_equal(gpt2, learned, tmp_path):
    prompt = learned
    prompt.save(tmp_path / "kept")
    again = soft.SoftPrompt.load(tmp_path / "kept")
    assert np.array_equal(again.vectors, prompt.vectors)
    for name in ("labels", "config", "model", "sha256", "history", "stopped"):
        assert getattr(again, name) == getattr(prompt, name)
    assert sum(file.stat().st_size for file in (tmp_path / "kept").iterdir()) <= 4 * prompt.vectors.size + 4000
    assert {file.suffix for file in (tmp_path / "kept").iterdir() if file.name[0] != "."} == {".json", ".safetensors"}
    texts = colours()[0]
    assert np.array_equal(again.probabilities(gpt2, texts), prompt.probabilities(gpt2, texts))


def test_a_saved_prompt_that_does_not_fit_together_is_refused(lm, tmp_path):
    prompt = soft.tune(lm, TEXTS, LABELS, START)
    good = prompt.to_state()

    def other(**changes):
        config, tensors = good
        tensors = {"vectors": changes.pop("vectors", tensors["vectors"])}
        object.__setattr__(prompt, "to_state", lambda: ({**config, **changes}, tensors))
        prompt.save(tmp_path / "kept")
        with pytest.raises(ArtifactError, match="soft prompt"):
            soft.SoftPrompt.load(tmp_path / "kept")

    broken = prompt.vectors.copy()
    broken[1, 2] = np.nan
    other(vectors=broken)
    other(vectors=prompt.vectors.astype(np.float64))
    other(stopped="never")
    other(labels=[1])
    other(options={"rate": -1})


def test_another_model_is_refused_before_any_forward(lm, gpt2, tmp_path, monkeypatch):
    prompt = soft.tune(lm, TEXTS, LABELS, START)
    other = load_lm(tiny_llama(tmp_path / "other", [*TEXTS, *LABELS], seed=1))
    monkeypatch.setattr(frozen.Frozen, "_forward", None)
    for call in (prompt.probabilities, prompt.classify):
        with pytest.raises(ModelError, match="is another model: the sha256 of its weights is .* expected"):
            call(other, TEXTS)
    with pytest.raises(ModelError, match="is another model"):
        prompt.nearest_words(other)
    with pytest.raises(ModelError, match="is another model"):
        soft.tune(other, TEXTS, LABELS, START, start=prompt)
    wide = soft.SoftPrompt(np.zeros((2, 48), np.float32), prompt.labels, START, "wide", "0")
    with pytest.raises(ModelError, match="vectors of width 48; .* has 32"):
        wide.classify(lm, TEXTS)


def test_a_model_that_was_changed_since_is_another_one(folder):
    own = load_lm(folder)
    prompt = soft.tune(own, TEXTS, LABELS, START)
    assert soft_prompt.sha256(own) == fingerprint(own)
    with torch.no_grad():
        own.model.get_input_embeddings().weight[3] += 1
    with pytest.raises(ModelError, match="is another model"):
        prompt.classify(own, TEXTS)


def test_the_same_weights_with_another_tokenizer_are_another_model(gpt2, learned):
    words = [token for token, _ in sorted(gpt2.tokenizer.get_vocab().items(), key=lambda pair: pair[1])][1:]
    same, other = (
        LM(name, gpt2.model, tiny_lm(words=some).tokenizer) for name, some in (("same", words), ("other", words[::-1]))
    )
    assert learned.classify(same, ["red fox"]) == learned.classify(gpt2, ["red fox"])
    with pytest.raises(ModelError, match="is another model"):
        learned.classify(other, ["red fox"])


def test_a_call_of_the_tokenizer_makes_no_other_model_of_it(folder):
    own = load_lm(folder)
    own.tokenizer.pad_token = own.tokenizer.eos_token
    before = fingerprint(own)
    own.tokenizer(TEXTS, padding=True, truncation=True, max_length=3)
    assert own.tokenizer.backend_tokenizer.padding and fingerprint(own) == before


# ---- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([], [], "There are no texts"),
        ("red fox", ["good"], "texts is a list of str, got str"),
        (["red", b"sound"], ["good", "bad"], "row 1 is bytes"),
        (["red", "  "], ["good", "bad"], "Text 1 is empty"),
        (["red", "old"], ["good"], "2 texts and 1 labels"),
        (["red", "old"], ["good", 1], "labels is a list of str, but row 1 is int"),
        (["red", "old"], ["good", "good"], r"two or more different labels, these are \['good'\]"),
        (["red", "old"], ["good", " "], "A label is empty"),
        (["red", "old"], ["good", "good moon"], "'good' is the beginning of 'good moon'"),
        (["red", "old"], ["who", "knows"], "is the beginning of"),  # neither is a word of this model
        (["red", "old " * 12], ["good", "bad"], "Text 1 is too long: 13 tokens, 4 vectors and 1 of a label are more than the 16"),
        (["red", "old"], None, "behind a text cannot help to write it"),
    ],
)
def test_texts_and_labels_that_cannot_work_are_refused_before_any_forward(gpt2, texts, labels, message, monkeypatch):
    monkeypatch.setattr(frozen.Frozen, "_forward", None)
    with pytest.raises((ValueError, TypeError), match=message):
        soft.tune(gpt2, texts, labels, QUICK)
    with pytest.raises((ValueError, TypeError), match=message):
        soft.gradient(gpt2, np.zeros((4, 32), np.float32), texts, labels)


def test_vectors_that_cannot_work_are_refused_before_any_forward(gpt2, monkeypatch):
    monkeypatch.setattr(frozen.Frozen, "_forward", None)
    texts, labels = colours(4)
    with pytest.raises(ValueError, match="16 vectors and 1 tokens of a label are more than the 16 positions"):
        soft.tune(gpt2, texts, labels, QUICK.replace(vectors=16))
    nan = np.full((4, 32), np.nan, np.float32)
    for vectors, message in [
        (nan, "hold NaN or infinity"),
        (np.zeros((4, 32)), "float32 array .*got float64"),
        (np.zeros(32, np.float32), r"got float32 \(32,\)"),
        ([[0.0]], "got list"),
        (np.zeros((4, 31), np.float32), "width 31, the embeddings of tiny 32"),
        (np.zeros((0, 32), np.float32), "behind the text needs one vector"),
        (np.zeros((16, 32), np.float32), "more than the 16 positions"),
    ]:
        with pytest.raises(ValueError, match=message):
            soft.gradient(gpt2, vectors, texts, labels)
    with pytest.raises(ValueError, match="NaN"):
        soft.SoftPrompt(nan, ("a", "b"), QUICK, "tiny", "0")
    with pytest.raises(TypeError, match="what models.load_lm returns, got str"):
        soft.tune("smollm2", texts, labels)
    with pytest.raises(ValueError, match="no token of tiny"):
        soft.tune(LM("tiny", gpt2.model, _Silent(gpt2.tokenizer)), texts, labels)
    with pytest.raises(ValueError, match="all tasks have labels or none"):
        soft.tune_many(gpt2, [(texts, labels), (texts, None)], QUICK.replace(layout="prefix"))
    with pytest.raises(ValueError, match=r"\['fine'\] are not among the classes"):
        soft.gradient(gpt2, np.zeros((4, 32), np.float32), ["red"], ["fine"], classes=["good", "bad"])
    for call in (lambda: soft.tune_many(gpt2, []), lambda: soft.gradient_many(gpt2, [], [(texts, labels)])):
        with pytest.raises(ValueError, match=r"0 (tasks|prompts)"):
            call()


class _Silent:
    """A tokenizer that has no tokens for the words that vectors begin as."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, text, **options):
        found = self.tokenizer(text, **options)
        return {"input_ids": []} if text == soft.SoftConfig().start else found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "infix"}, "layout must be one of suffix, prefix"),
        ({"loss": "cross-entropy"}, "Did you mean 'cross_entropy'"),
        ({"vectors": 0}, "vectors must be an int of 1 or more"),
        ({"steps": -1}, "steps"),
        ({"rate": 0}, "rate must be a number above 0"),
        ({"held_out": 0.9}, "held_out must be a number from 0 to 0.5"),
        ({"patience": 10}, "patience needs rows to look at"),
        ({"start": " "}, "start must be words"),
        ({"template": "It was"}, "template must be a str with {text} once"),
        ({"template": "{text} {text}"}, "template must be a str with {text} once"),
    ],
)
def test_options_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        soft.SoftConfig(**changes)


# ---- the real model -----------------------------------------------------------------------------------------------------


def test_the_real_model_learns_to_label(smollm2):
    texts = ["a warm and funny film", "a dull, lifeless mess", "i loved every minute", "a waste of time and money"]
    labels = ["positive", "negative"] * 2
    config = soft.SoftConfig(vectors=5, steps=6, batch=4)
    prompt = soft.tune(smollm2, texts, labels, config, progress=False)
    start = soft.tune(smollm2, texts, labels, config.replace(steps=0))
    losses = [soft.gradient(smollm2, one.vectors, texts, labels, config)[0] for one in (start, prompt)]
    assert losses[1] < 0.8 * losses[0]
    assert [word for ((word, _),) in start.nearest_words(smollm2)] == [" .", " The", " label", " is", ":"]


def test_the_lesson_runs_on_the_real_model_with_one_line_changed(smollm2, monkeypatch):
    """The half of it that trains, compares and keeps, at a tiny size: what is exact must hold, the rest must run."""
    cells = nbformat.read(ROOT / "notebooks" / "09_soft_prompts.ipynb", as_version=4).cells
    end = next(i for i, cell in enumerate(cells) if "## Two in one batch" in cell.source)
    code = [cell.source for cell in cells[:end] if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])]
    assert sum(source.count('LM = "world"') for source in code) == 1
    monkeypatch.setattr(models, "load_lm", lambda name: {"smollm2": smollm2}[name])
    monkeypatch.setattr(lesson, "show", lambda figure, alt, numbers: figure.canvas.draw())
    exact, claims, space = lesson.check, [], {}

    def check(what, value, low=None, high=None, **rule):
        claims.append(what)
        if low is None and high is None:
            exact(what, value, **rule)
        assert np.isfinite(value) if isinstance(value, float) else value is not None

    monkeypatch.setattr(lesson, "check", check)
    for source in code:
        exec(compile(source.replace('LM = "world"', 'LM = "smollm2"'), "lesson", "exec"), space)
        if "ROWS, TEST" in source:
            space |= {"ROWS": 12, "TEST": 4, "config": space["config"].replace(steps=2, vectors=2, batch=2)}
    space["folder"].cleanup()
    assert len(claims) >= 14 and space["again"].model == "smollm2"


def test_steps_take_one_random_order_of_all_rows_after_another_and_make_it_once(monkeypatch):
    steps = [learning.batch("abcdefg".encode(), 3, step, 5) for step in range(7)]
    found = bytes(sum(steps, [])).decode()
    assert [sorted(found[at : at + 7]) for at in (0, 7, 14)] == [list("abcdefg")] * 3
    assert len({found[:7], found[7:14], found[14:]}) == 3
    made, real = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: made.append(seed) or real(seed))
    assert learning.batch(range(1000), 64, 15, 0) and len(made) == 2
    assert learning.batch(range(3), 8, 0, 0) and learning.batch([], 8, 0, 0) == []
