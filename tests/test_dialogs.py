import numpy as np
import pytest
import torch
from tiny_lm import tiny_lm

from workbench import meta, soft
from workbench.models.lm import fingerprint
from workbench.search.meta import dialogs as module
from workbench.values import ModelError

WORDS = ("red", "blue", "old", "fox", "ship", "castle", "moon", "is", "good", "bad")
PROMPT = soft.SoftConfig(layout="prefix", vectors=3, start="is")
CONFIG = meta.MetaConfig(prompt=PROMPT, map="last", batch=8, steps=60, rate=0.15)


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(words=WORDS)


def told(n, seed=0):
    """Dialogs whose colour, in the first or the second turn, says the reply."""
    draw = np.random.default_rng(seed)
    kinds, things = draw.integers(2, size=n), ("fox", "ship", "castle", "moon")
    colours = [("red", "blue")[k] for k in kinds]
    turned = draw.integers(2, size=n)
    pairs = [(f"{colour} {things[draw.integers(4)]}", things[draw.integers(4)]) for colour in colours]
    dialogs = [list(pair[::-1] if turn else pair) for pair, turn in zip(pairs, turned, strict=True)]
    return dialogs, [("good", "bad")[k] for k in kinds]


def shuffled(dialogs):
    """Each dialog in another's place."""
    return dialogs[1:] + dialogs[:1]


@pytest.fixture(scope="module")
def learned(lm):
    return meta.learn_replies(lm, *told(48), CONFIG, progress=False)


def test_the_loss_is_that_of_the_words_of_the_reply_after_prompt_and_dialog(lm):
    dialogs, replies = told(4, seed=5)
    made = meta.learn_replies(lm, dialogs, replies, CONFIG.replace(steps=0))
    total, table = 0.0, lm.model.get_input_embeddings().weight
    for dialog, reply in zip(dialogs, replies, strict=True):
        vectors = made.make(lm, "\n".join(dialog), ()).vectors
        ids = lm.tokenizer("\n".join(dialog), add_special_tokens=False)["input_ids"]
        said = [*lm.tokenizer(reply, add_special_tokens=False)["input_ids"], lm.tokenizer.eos_token_id]
        with torch.no_grad():
            whole = torch.cat([torch.from_numpy(vectors), table[torch.tensor(ids + said[:-1])]])
            law = lm.model(inputs_embeds=whole[None]).logits[0, -len(said) :].log_softmax(-1)
        total -= law.gather(1, torch.tensor(said)[:, None]).sum().item()
    assert meta.nats_of_replies(lm, made, dialogs, replies) == pytest.approx(total / 8, abs=1e-5)
    first = meta.learn_replies(lm, dialogs, replies, CONFIG.replace(steps=1, batch=4), progress=False)
    assert first.history[0]["loss"] == pytest.approx(total / 8, abs=1e-4)


def test_a_maker_that_reads_the_dialog_beats_one_prompt_for_all_and_falls_to_it_when_it_reads_another(lm, learned):
    before, (dialogs, replies) = fingerprint(lm), told(48)
    unseen, right = told(60, seed=1)
    one = meta.learn_replies(lm, dialogs, replies, CONFIG, seen=[["moon"]] * 48, progress=False)
    lost = meta.learn_replies(lm, dialogs, replies, CONFIG, seen=shuffled(dialogs), progress=False)
    static = meta.nats_of_replies(lm, one, unseen, right, seen=[["moon"]] * 60)
    own = meta.nats_of_replies(lm, learned, unseen, right)
    assert own < 0.8 * static
    assert meta.nats_of_replies(lm, learned, unseen, right, seen=shuffled(unseen)) > static
    assert meta.nats_of_replies(lm, lost, unseen, right, seen=shuffled(unseen)) > 0.95 * static
    assert learned.history[-1]["loss"] < learned.history[0]["loss"] and fingerprint(lm) == before
    vectors = [learned.make(lm, f"{colour} fox", ()).vectors for colour in ("red", "blue")]
    assert not np.array_equal(*vectors) and vectors[0].shape == (3, 32)


def test_it_replies_to_a_dialog_and_to_equal_seeds_alike(lm, learned, tmp_path):
    said = {colour: meta.reply(lm, learned, ["moon", f"{colour} ship"], 20, seed=1, max_tokens=3) for colour in ("red", "blue")}
    counts = {colour: sum(one.text.startswith("good") for one in found) for colour, found in said.items()}
    assert counts["red"] > counts["blue"]
    assert said["red"] == meta.reply(lm, learned, ["moon", "red ship"], 20, seed=1, max_tokens=3)
    learned.save(tmp_path / "kept")
    assert meta.reply(lm, meta.MetaPrompt.load(tmp_path / "kept"), ["moon", "red ship"], 20, seed=1, max_tokens=3) == said["red"]


def test_what_was_learned_is_equal_for_equal_seeds_and_from_its_folder(lm, learned, tmp_path):
    short = CONFIG.replace(steps=20)
    whole = meta.learn_replies(lm, *told(48), short, progress=False)
    meta.learn_replies(lm, *told(48), short, folder=tmp_path / "run", progress=False)
    again = meta.learn_replies(lm, *told(48), short, folder=tmp_path / "run", progress=False)
    assert all(np.array_equal(array, again.weights[name]) for name, array in whole.weights.items())
    assert again.tasks == whole.tasks == learned.tasks


def test_what_cannot_work_is_refused_before_any_work(lm, learned, monkeypatch):
    monkeypatch.setattr(module.Frozen, "_base", None)
    dialogs, replies = told(4)
    for given, message in [
        (([], []), "There are no replies"),
        ((dialogs, replies[:2]), "4 dialogs, 2 replies and 4 to be seen"),
        (([["red"], []], ["good", "bad"]), "no turns of a dialog"),
        (([["red", " "]], ["good"]), "A turn of a dialog is empty"),
        (([["red fox"]], [" "]), "Reply 0 has no token"),
        (([["old " * 12]], ["good"]), "Dialog 0 is too long: 12 tokens, 2 of the reply and 3 vectors"),
    ]:
        with pytest.raises(ValueError, match=message):
            meta.learn_replies(lm, *given, CONFIG)
    for wrong in (CONFIG.replace(prompt=soft.SoftConfig()), CONFIG.replace(join="each", examples=3)):
        with pytest.raises(ValueError, match="Replies need MetaConfig"):
            meta.learn_replies(lm, dialogs, replies, wrong)
    with pytest.raises(TypeError, match="turns of a dialog is a list of str, got str"):
        meta.reply(lm, learned, "red fox")
    with pytest.raises(ModelError, match="is another model"):
        meta.nats_of_replies(tiny_lm(words=WORDS, seed=9), learned, dialogs, replies)
