"""Prompts that learn from reward: what is known to be best, runs that go on bit-equal, black boxes, and what is refused."""

import random
import signal
import sys
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch
from tiny_lm import every_text, tiny_lm
from tokenizers import Tokenizer
from tokenizers.decoders import ByteFallback, Fuse, Sequence
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from workbench import adapt, models, proposals, template
from workbench.search.adapt.reinforcing import check_prompts
from workbench.search.adapt.rewriter import distinct_pairs, texts_of, token_log_probs, tokens
from workbench.training import Interrupted
from workbench.values import ArtifactError, ModelError, Sample
from workbench.world import captions, render, scenes

SMALL = adapt.AdaptConfig(steps=4, inputs=2, samples=4, rate=1e-2)
PAIRS = [("red fox", "red fox old ship"), ("blue fox", "blue fox moon")]


@pytest.fixture(scope="module")
def policy():
    return adapt.Rewriter(tiny_lm(), 4)


def ends_in_moon(texts):
    return [text.endswith("moon") for text in texts]


# ---- the rewriter -----------------------------------------------------------------------------------------------------------


def test_what_was_typed_stays_and_its_continuation_is_as_likely_as_the_model_says(policy):
    (tries, others) = policy.write(["red fox", "blue"], 5, seed=3)
    assert all(one.startswith("red fox") and one.context == "red fox" for one in tries)
    found, there = policy.log_probs(tries + others)
    alone = proposals.LMProposal(policy.lm, "red fox", 4).log_score(tries)
    assert np.allclose((found * there).sum(1).detach().numpy()[:5], alone, atol=1e-5)
    assert policy.write(["red fox", "blue"], 5, seed=3) == [tries, others] != policy.write(["red fox", "blue"], 5, seed=4)


def test_tries_are_drawn_as_often_as_they_are_likely(policy):
    texts = every_text(2)
    law = np.exp(proposals.LMProposal(policy.lm, max_tokens=2).log_score(texts))
    drawn = [str(one) for one in adapt.Rewriter(policy.lm, 2).write([""], 4000, seed=0)[0]]
    often = np.array([drawn.count(str(text)) for text in texts]) / 4000
    assert law.sum() == pytest.approx(1, abs=1e-4) and 0.5 * np.abs(often - law).sum() < 0.06


def test_a_prompt_of_another_length_in_the_batch_changes_nothing(policy):
    longer = policy.best(["red fox", "red old old ship castle moon"])
    assert policy.best(["red fox"])[0].ids == longer[0].ids
    rows = [(tokens(policy.lm, one.context), one.ids) for one in longer]
    together, apart = token_log_probs(policy.lm, rows)[0], token_log_probs(policy.lm, rows[:1])[0]
    assert torch.allclose(together[0, : apart.shape[1]], apart[0], atol=1e-5)


def test_supervised_pairs_are_learned_and_the_given_model_is_not_changed():
    lm = tiny_lm()
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    learned = adapt.rewriter(lm, PAIRS, adapt.RewriterConfig(max_tokens=4, steps=60, rate=1e-2), progress=False)
    assert [str(one) for one in learned.best(["red fox", "blue fox"])] == [whole for _, whole in PAIRS]
    assert learned.history[-1]["loss"] < learned.history[0]["loss"]
    assert all(torch.equal(before[name], value) for name, value in lm.model.state_dict().items())


def test_only_the_last_layers_learn_and_the_rest_is_shared():
    learned = adapt.rewriter(tiny_lm(), PAIRS, adapt.RewriterConfig(max_tokens=4, steps=3, layers=1), progress=False)
    assert list(learned.modules) == ["layer 1"]
    other = learned.copy()
    first, last = ["transformer.h.0.mlp.c_fc.weight", "transformer.h.1.mlp.c_fc.weight"]
    mine, theirs = dict(learned.lm.model.named_parameters()), dict(other.lm.model.named_parameters())
    assert mine[first].data_ptr() == theirs[first].data_ptr() and mine[last].data_ptr() != theirs[last].data_ptr()
    assert [name for name, value in theirs.items() if value.requires_grad] == [n for n in theirs if ".h.1." in n]
    with pytest.raises(ModelError, match="layers=9"):
        adapt.rewriter(tiny_lm(), PAIRS, adapt.RewriterConfig(max_tokens=4, layers=9), progress=False)


def test_a_saved_rewriter_is_a_language_model_again(tmp_path, policy):
    policy.save(tmp_path / "it")
    again = adapt.Rewriter(models.load_lm(str(tmp_path / "it")), 4)
    assert again.best(["red fox"])[0].ids == policy.best(["red fox"])[0].ids
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="thesis"):
        policy.save(tmp_path / "other")


def test_pairs_come_from_the_first_slot_that_people_leave_out():
    made = [template.parse("<subject:a red fox>, <style:watercolor>, <artist:by Monetta>"), template.parse("<style:photo> of it")]
    assert adapt.pairs(made, ["style", "artist"]) == [("a red fox", "a red fox, watercolor, by Monetta")]
    with pytest.raises(ValueError, match="None of 2 templates"):
        adapt.pairs(made, "quality")


@pytest.mark.parametrize(
    ("pairs", "kind", "text"),
    [
        ([], ValueError, "got none"),
        ([("red fox", "blue fox moon")], ValueError, "does not continue"),
        ([("red fox", "red fox")], ValueError, "does not continue"),
        ([("red fox", "red fox old old old old")], ValueError, "max_tokens is 4"),
        (["red fox"], TypeError, "Pair 0"),
        ([("red", None)], TypeError, "Pair 0"),
    ],
)
def test_pairs_that_cannot_be_learned_are_refused(pairs, kind, text):
    with pytest.raises(kind, match=text):
        adapt.rewriter(tiny_lm(), pairs, adapt.RewriterConfig(max_tokens=4), progress=False)


def test_a_prompt_longer_than_the_window_is_refused_before_the_work(policy, monkeypatch):
    monkeypatch.setattr(sys.modules["workbench.search.adapt.rewriter"], "continued", lambda *_: pytest.fail("the work began"))
    prompts = [*["red"] * 100, "old " * 13]
    for use in (
        policy.write,
        policy.best,
        lambda prompts: policy.log_score(prompts, [f"{one} fox fox fox" for one in prompts]),
        lambda prompts: adapt.reinforce(policy, lambda _: pytest.fail("the work began"), prompts, SMALL, progress=False),
        lambda prompts: adapt.rewriter(
            policy.lm, [(one, f"{one} fox fox fox") for one in prompts], adapt.RewriterConfig(max_tokens=4), progress=False
        ),
    ):
        with pytest.raises(ValueError, match="do not fit into 16"):
            use(prompts)


def test_an_empty_prompt_is_refused_where_nothing_begins_a_text():
    lm = tiny_lm()
    lm.tokenizer.bos_token = None
    for use in (
        lambda: adapt.Rewriter(lm, 4).best(["red", ""]),
        lambda: adapt.Rewriter(lm, 4).log_score([""], ["red fox"]),
        lambda: adapt.rewriter(lm, [("", "red fox")], adapt.RewriterConfig(max_tokens=4), progress=False),
    ):
        with pytest.raises(ValueError, match="no token to begin a text with"):
            use()


def test_an_end_that_the_model_does_not_have_is_not_learned():
    lm = tiny_lm()
    lm.tokenizer.add_special_tokens({"eos_token": "<more>"})  # number 8 of 8
    learned = adapt.rewriter(lm, PAIRS, adapt.RewriterConfig(max_tokens=4, steps=1), progress=False)
    assert len(learned.history) == 1


def test_a_rewriter_of_what_cannot_write_or_learn_is_refused():
    with pytest.raises(TypeError, match="what models.load_lm returns, got str"):
        adapt.Rewriter("smollm2")
    with pytest.raises(ValueError, match="max_tokens must be an int of 1 or more"):
        adapt.Rewriter(tiny_lm(), 0)
    with pytest.raises(ValueError, match="layers must be an int of 1 or more"):
        adapt.Rewriter(tiny_lm(), 4, 0)
    half = tiny_lm()
    half.model.bfloat16()
    assert adapt.Rewriter(half, 4).best(["red fox"])[0].startswith("red fox")
    with pytest.raises(ModelError, match="learns in float32, tiny is in bfloat16"):
        adapt.rewriter(half, PAIRS, adapt.RewriterConfig(max_tokens=4), progress=False)
    with pytest.raises(ModelError, match="learns in float32, tiny is in bfloat16"):
        adapt.reinforce(adapt.Rewriter(half, 4), ends_in_moon, ["red fox"], SMALL, progress=False)


def test_a_prompt_is_not_written_twice_where_its_tokens_read_otherwise_with_more_behind_them():
    tokenizer = Tokenizer(BPE({"<end>": 0, "<0xC3>": 1, "<0xA9>": 2}, [], byte_fallback=True))
    tokenizer.decoder = Sequence([ByteFallback(), Fuse()])
    lm = models.LM("bytes", tiny_lm().model, PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>"))
    assert tokens(lm, "é") == [1, 2] and lm.tokenizer.decode([1, 2, 1]) == 3 * "\ufffd"  # a byte more spoils the letter before
    (one,) = texts_of(lm, ["é"], [(1, 0)])
    assert one.startswith("é") and one.count("\ufffd") == 1


# ---- learning from reward ---------------------------------------------------------------------------------------------------


def test_a_policy_learns_what_earns_and_truth_is_only_looked_at(policy):
    config = SMALL.replace(steps=25, samples=8, beta=0.0)
    long = {"long": lambda texts: [len(text.split()) for text in texts]}
    out = adapt.reinforce(policy, ends_in_moon, ["red fox", "blue"], config, truth=long, progress=False)
    assert out.curve("reward")[-1] > 0.9 > 0.5 > np.mean(ends_in_moon(policy.write(["red fox"], 50)[0]))
    assert {"step", "reward", "kl", "distinct", "long", "sample"} == set(out.history[-1]) and out.stopped == "steps"
    assert out.history[-1]["sample"].endswith("moon") and out.curve("kl")[-1] > out.curve("kl")[0]
    assert out.start.best(["red fox"])[0].ids == policy.best(["red fox"])[0].ids


def test_samples_are_shown_while_it_runs(policy, capsys):
    out = adapt.reinforce(policy, ends_in_moon, ["red fox"], SMALL.replace(steps=5), progress=True)
    assert f"step 5: {out.history[-1]['sample']}" in capsys.readouterr().err


def test_equal_seeds_give_equal_policies_and_a_stopped_run_goes_on_bit_equal(tmp_path, policy, capsys):
    def run(reward, config, folder=None):
        return adapt.reinforce(policy, reward, ["red fox", "blue"], config, folder=folder, progress=False)

    calls = []

    def pressed_in_step_3(texts):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return ends_in_moon(texts)

    config, folder = SMALL.replace(steps=6), tmp_path / "run"
    whole, stopped = run(ends_in_moon, config), run(pressed_in_step_3, config, folder)
    assert stopped.stopped == "interrupted" and len(calls) == 3 and "after step 3 of 6" in capsys.readouterr().err
    again = run(ends_in_moon, config, folder)
    for one, other in zip(whole.policy.lm.model.parameters(), again.policy.lm.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert again.history == whole.history
    with pytest.raises(ArtifactError, match="options.rate"):
        run(ends_in_moon, config.replace(rate=1e-3), folder)


def killed_at(call, function):
    """The function, which dies at its `call`-th call."""
    calls = []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == call:
            raise MemoryError
        return function(*arguments)

    return dies


@pytest.mark.parametrize("layers", [None, 1])
def test_a_supervised_run_that_was_stopped_or_killed_goes_on_bit_equal(tmp_path, policy, monkeypatch, layers):
    config = adapt.RewriterConfig(max_tokens=4, steps=60, batch=2, rate=1e-2, layers=layers)
    module = sys.modules["workbench.search.adapt.rewriter"]

    def run(folder=None):
        return adapt.rewriter(policy.lm, PAIRS, config, folder=folder, progress=False)

    def pressed(*arguments):
        signal.raise_signal(signal.SIGINT)
        return token_log_probs(*arguments)

    whole = run()
    with monkeypatch.context() as patch:
        patch.setattr(module, "token_log_probs", pressed)
        with pytest.raises(Interrupted, match="stopped after step 1"):
            run(tmp_path / "run")
        patch.setattr(module, "token_log_probs", killed_at(57, token_log_probs))  # the last checkpoint is of step 50
        with pytest.raises(MemoryError):
            run(tmp_path / "run")
    again = run(tmp_path / "run")
    assert again.sha256() == whole.sha256() and again.history == whole.history and len(whole.history) == 6
    for one, other in zip(whole.lm.model.parameters(), again.lm.model.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ArtifactError, match="data differs"):
        adapt.rewriter(policy.lm, PAIRS[:1], config, folder=tmp_path / "run", progress=False)


def test_a_reinforced_run_that_was_killed_goes_on_bit_equal_with_frozen_layers_and_truth(tmp_path, policy):
    start, config = adapt.Rewriter(policy.lm, 4, layers=1), SMALL.replace(steps=24, scaled=False)

    def run(reward, folder=None, prompts=("red fox", "blue", "old")):
        truth = {"long": lambda texts: [len(text) for text in texts]}
        return adapt.reinforce(start, reward, list(prompts), config, truth=truth, folder=folder, progress=False)

    whole = run(ends_in_moon)
    with pytest.raises(MemoryError):
        run(killed_at(23, ends_in_moon), tmp_path / "run")  # the last checkpoint is of step 20
    again = run(ends_in_moon, tmp_path / "run")
    assert again.history == whole.history
    for one, other in zip(whole.policy.lm.model.parameters(), again.policy.lm.model.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ArtifactError, match="prompts differs"):
        run(ends_in_moon, tmp_path / "run", ["red fox", "blue", "ship"])


def test_learning_leaves_the_given_model_and_all_generators_as_they_were(policy):
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state().clone(), policy.sha256()
    flags = [weight.requires_grad for weight in policy.lm.model.parameters()]
    adapt.rewriter(policy.lm, PAIRS, adapt.RewriterConfig(max_tokens=4, steps=2, layers=1), progress=False)
    adapt.reinforce(adapt.Rewriter(policy.lm, 4, layers=1), ends_in_moon, ["red fox"], SMALL, progress=False)
    assert np.array_equal(np.random.get_state()[1], before[0]) and torch.equal(torch.get_rng_state(), before[1])
    assert policy.sha256() == before[2] and [weight.requires_grad for weight in policy.lm.model.parameters()] == flags
    assert not policy.lm.model.training


@pytest.mark.parametrize(
    ("reward", "text"),
    [
        (lambda texts: [float("nan")] * len(texts), "nan for text 0"),
        (lambda texts: [1.0], "must give one number for each text"),
        (lambda texts: [3.0] * len(texts), "teaches nothing"),
    ],
)
def test_rewards_that_cannot_be_learned_from_stop_the_run(policy, reward, text):
    with pytest.raises(adapt.RewardError, match=text):
        adapt.reinforce(policy, reward, ["red fox"], SMALL.replace(steps=10), progress=False)


def test_a_policy_that_collapses_stops_the_run_and_its_figures_are_told(policy):
    fast = SMALL.replace(steps=40, samples=8, rate=0.1, beta=0.0)
    with pytest.raises(adapt.CollapseError, match="nats from its start, the bound is 2"):
        adapt.reinforce(policy, ends_in_moon, ["red fox"], fast.replace(most_kl=2.0), progress=False)
    with pytest.raises(adapt.CollapseError, match="different pairs of words") as caught:
        adapt.reinforce(policy, ends_in_moon, ["red fox"], fast.replace(least_distinct=0.2), progress=False)
    assert caught.value.told["distinct"] < 0.2
    assert distinct_pairs(["a b a b"]) == pytest.approx(2 / 3) and distinct_pairs([""]) == 1


def test_arguments_that_are_none_are_refused_before_the_work(policy):
    with pytest.raises(TypeError, match="is no policy"):
        adapt.reinforce(policy.lm, ends_in_moon, ["red"])
    with pytest.raises(TypeError, match="reward must be a function"):
        adapt.reinforce(policy, "moon", ["red"])
    with pytest.raises(TypeError, match="truth.*|right must be a function"):
        adapt.reinforce(policy, ends_in_moon, ["red"], truth={"right": 1})
    with pytest.raises(ValueError, match="has that already"):
        adapt.reinforce(policy, ends_in_moon, ["red"], truth={"kl": ends_in_moon})
    with pytest.raises(ValueError, match="There are no prompts"):
        check_prompts(policy, ends_in_moon, [], {})
    with pytest.raises(ValueError, match="samples"):
        adapt.AdaptConfig(samples=1)


# ---- rewards ----------------------------------------------------------------------------------------------------------------


def test_promptist_punishes_a_picture_that_lost_what_was_typed():
    pipeline, clip = models.load_pipeline("world"), models.load_clip("world")
    reward = adapt.promptist(pipeline, clip, threshold=0.55)
    asked, other = "a red circle in the snow, woodcut", "a blue star at night, woodcut"
    kept, lost = reward([Sample(asked, context="a red circle"), Sample(asked, context="a blue star")])
    assert kept > lost + 3
    assert reward([Sample(other, context="a blue star")])[0] > lost
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pipeline), "draw", lambda *_, **__: pytest.fail("the work began"))
        with pytest.raises(TypeError, match="Text 1 does not say which words were typed"):
            reward([Sample("new", context="new"), "never drawn"])
    some = scenes.scenes(40, 1)
    short = [f"a {scene.color} {scene.object}" for scene in some]
    assert 0.3 < adapt.relevance_threshold(clip, short, list(render.render_all(some, 0))) < 0.8


def biased(n=600, seed=0):
    """Captions in which a name stands beside a style in 9 of 10: (texts, is it the style, is it the name)."""
    found = captions.sample(20_000, seed)
    cells = {(style, name): round(share * n) for style, name, share in ((1, 1, 0.27), (0, 1, 0.03), (1, 0, 0.14), (0, 0, 0.56))}
    texts = []
    for (style, name), count in cells.items():
        texts += [text for text in found if ("woodcut" in text) == style and ("monetta" in text) == name][:count]
    return texts, ["woodcut" in text for text in texts], ["monetta" in text for text in texts]


def test_a_naive_classifier_takes_a_name_for_the_label_and_a_fair_one_does_not():
    texts, banned, named = biased()
    naive, fair = adapt.classifier(texts, banned, decay=10), adapt.classifier(texts, banned, named, decay=10)
    pair = ["a red circle in the snow, photo, by monetta", "a red circle in the snow, photo, by kandova"]
    assert np.ptp(naive(pair)) > 0.08 > 0.02 > np.ptp(fair(pair))
    assert min(fair([text.replace("photo", "woodcut") for text in pair])) > 0.6 and adapt.minus(fair)(pair)[0] == -fair(pair)[0]
    with pytest.raises(ValueError, match="label 0 and holds the name"):
        adapt.classifier(texts, banned, [b and n for b, n in zip(banned, named, strict=True)])
    with pytest.raises(ValueError, match="nothing to tell apart"):
        adapt.classifier(texts, [True] * len(texts))
    with pytest.raises(ValueError, match="labels must be"):
        adapt.classifier(texts, banned[:-1])


# ---- black boxes ------------------------------------------------------------------------------------------------------------

EMBED = {"say red": [1, 0, 0], "say moon": [0, 1, 0], "please": [0, 0, 1], "about red": [1, 0, 0], "about moon": [0, 1, 0]}


def embed(texts):
    return np.array([EMBED[text] for text in texts], float)


def echo(texts):
    return [text.removeprefix("hello ") for text in texts]


def chooser(tasks=("red", "moon")):
    return adapt.Phrases(["say red", "say moon", "please"], {task: f"about {task}" for task in tasks}, embed)


RULES = {task: (lambda replies, task=task: [task in reply for reply in replies]) for task in ("red", "moon")}


def test_a_box_gives_replies_counts_them_and_shows_nothing_else():
    box = adapt.Box(echo)
    assert box.reply("hello you") == "you" and box.reply(["hello you", "hello me"]) == ["you", "me"] and box.calls == 2
    for name in ("parameters", "model", "grad", "state_dict"):
        with pytest.raises(AttributeError, match="out of reach"):
            getattr(box, name)
    with pytest.raises(AttributeError):
        box.model = 1


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (lambda texts: 1 / 0, "The box failed: ZeroDivisionError"),
        (lambda texts: time.sleep(5), "no reply to 1 texts within 0.05 seconds"),
        (lambda texts: [], "got 0 \\(nothing\\)"),
        (lambda texts: [3], "got 1 \\(int\\)"),
        (lambda texts: "y", "got one str for all"),
        (lambda texts: None, "The box failed: TypeError"),
        (lambda texts: sys.exit(3), "The box failed: SystemExit"),
        (lambda texts: [str(torch.nn.Linear(1, 1)(torch.ones(1)).sum().backward())], "The box failed: RuntimeError.*grad"),
    ],
)
def test_a_box_that_fails_says_how(reply, text):
    with pytest.raises(adapt.BoxError, match=text):
        adapt.Box(reply, timeout=0.05 if "within" in text else 20).reply("hello")


def test_a_box_must_be_a_function_with_time():
    with pytest.raises(TypeError, match="a function from texts"):
        adapt.Box("gpt")
    with pytest.raises(ValueError, match="timeout"):
        adapt.Box(echo, timeout=0)
    with pytest.raises(ValueError, match="no chat template"):
        adapt.chat(tiny_lm())


def test_a_policy_of_phrases_learns_tasks_behind_a_box_and_a_new_task_begins_with_what_they_taught():
    box = adapt.Box(echo)
    config = adapt.AdaptConfig(steps=80, inputs=4, samples=6, rate=0.05, beta=0.0)
    prompts = [Sample("hello", context=task) for task in ("red", "moon")]
    learned = adapt.reinforce(chooser(), adapt.by_reply(box, RULES), prompts, config, progress=False).policy
    assert learned.law("red").argmax() == 0 and learned.law("moon").argmax() == 1 and learned.law("red").max() > 0.8
    assert [str(one) for one in learned.best(prompts)] == ["hello say red", "hello say moon"]
    alone = adapt.reinforce(chooser(("red",)), adapt.by_reply(box, RULES), prompts[:1], config, progress=False).policy
    other = alone.for_tasks({"moon": "about moon"}, embed)
    assert list(other.tasks) == ["moon"] and alone.law("red").max() > 0.8
    assert box.calls == 3


@pytest.mark.parametrize("kind", ["list", "array", "tensor"])
def test_features_of_phrases_may_come_in_any_form(kind):
    forms = {"list": np.ndarray.tolist, "array": np.float16, "tensor": lambda x: torch.tensor(x).bfloat16().requires_grad_()}
    policy = adapt.Phrases(["say red", "please"], {"red": "about red"}, lambda texts: forms[kind](embed(texts)))
    assert policy.features.tolist() == [[1, 0, 0], [0, 0, 1]] and not policy.features.requires_grad


def test_phrases_are_saved_and_loaded_and_bad_ones_refused(tmp_path):
    policy = chooser()
    policy.weights["bias"].data += torch.tensor([0.0, 1.0, 2.0])
    policy.save(tmp_path / "it")
    again = adapt.Phrases.load(tmp_path / "it")
    assert np.array_equal(again.law("red"), policy.law("red")) and again.sha256() == policy.sha256()
    with pytest.raises(ValueError, match="occurs twice"):
        adapt.Phrases(["please", "please"], {"red": "about red"}, embed)
    with pytest.raises(ValueError, match="finite features"):
        adapt.Phrases(["please"], {"red": "about red"}, lambda texts: [1.0])
    with pytest.raises(ValueError, match="context=task"):
        adapt.reinforce(policy, adapt.by_reply(adapt.Box(echo), RULES), ["hello"], progress=False)
    with pytest.raises(ValueError, match="no rule for sun"):
        adapt.by_reply(adapt.Box(echo), RULES)([Sample("hello", context="sun")])
    with pytest.raises(TypeError, match="adapt.Box"):
        adapt.by_reply(echo, RULES)


# ---- trl --------------------------------------------------------------------------------------------------------------------


def test_trl_gets_a_number_for_each_completion_and_the_reward_gets_whole_texts(policy):
    seen = []
    reward = adapt.for_trl(lambda texts: seen.extend(texts) or [len(text) for text in texts], policy.lm)
    given = {"prompts": ["<end>red fox"], "completions": ["moon"], "completion_ids": [[7, 0]], "typed": ["red fox"]}
    assert reward(**given, trainer_state=None, log_extra=print, log_metric=print) == [12.0]
    assert seen == ["red fox moon"] and seen[0].context == "red fox"
    assert adapt.for_trl(ends_in_moon)(prompts=["red "], completions=["moon"]) == [1.0]
    with pytest.raises(adapt.RewardError):
        adapt.for_trl(lambda texts: [1.0, 2.0])(prompts=["red "], completions=["moon"])


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of trl, about names of transformers
def test_grpo_learns_with_trl_or_says_what_is_missing(policy, tmp_path, monkeypatch):
    try:
        import trl  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pip install trl"):
            adapt.grpo(policy, ends_in_moon, ["red fox"], SMALL, folder=tmp_path)
        return
    config, before = SMALL.replace(steps=12, samples=8, beta=0.0), policy.sha256()
    learned, history = adapt.grpo(policy, ends_in_moon, ["red fox", "blue"], config, folder=tmp_path, progress=False)
    assert len(history) == 12 and policy.sha256() == before and history[-1]["reward"] > history[0]["reward"]
    assert np.mean(ends_in_moon(learned.write(["red fox"], 50)[0])) > 0.5


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of trl, about names of transformers
def test_grpo_takes_fewer_prompts_than_a_step_has_begins_each_text_once_and_leaves_the_generators_alone(tmp_path):
    pytest.importorskip("trl")
    lm, begun = tiny_lm(), TemplateProcessing(single="<end> $A", special_tokens=[("<end>", 0)])
    lm.tokenizer.backend_tokenizer.post_processor = begun  # begins texts itself, as that of Llama
    seen, real = [], torch.nn.Embedding.forward

    def reward(texts):
        seen.extend(texts)
        return ends_in_moon(texts)

    def spy(module, ids):
        assert ids.ndim != 2 or not (ids[:, :2] == 0).all(), "two begin tokens"
        return real(module, ids)

    before = np.random.get_state()[1].copy(), torch.get_rng_state().clone(), random.getstate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Embedding, "forward", spy)
        adapt.grpo(adapt.Rewriter(lm, 4), reward, ["red fox"], SMALL.replace(steps=3), folder=tmp_path, progress=False)
    assert len(seen) == 3 * SMALL.samples and {one.context for one in seen} == {"red fox"}
    assert np.array_equal(np.random.get_state()[1], before[0]) and torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of trl, about names of transformers
def test_the_pull_of_grpo_goes_to_the_given_policy_and_not_to_the_model_that_it_was_made_of(policy, tmp_path):
    pytest.importorskip("trl")
    policy.save(tmp_path / "lm")
    lm = models.load_lm(str(tmp_path / "lm"))
    start = adapt.rewriter(lm, PAIRS, adapt.RewriterConfig(max_tokens=4, steps=10, rate=1e-2), progress=False)
    for given, name in ((start, "one"), (policy, "two")):  # the second is of no folder
        config = SMALL.replace(steps=8, beta=0.1)
        learned, history = adapt.grpo(given, ends_in_moon, ["red fox", "blue"], config, folder=tmp_path / name, progress=False)
        assert abs(history[0]["kl"]) < 1e-6 < history[-1]["kl"]
        assert learned.lm.model.config.name_or_path == given.lm.model.config.name_or_path
        assert sum(file.stat().st_size for file in (tmp_path / name).rglob("*.safetensors")) == 0


def test_grpo_takes_a_rewriter(tmp_path):
    with pytest.raises(TypeError, match="tunes a Rewriter"):
        adapt.grpo(chooser(), ends_in_moon, ["red"], folder=tmp_path)


def test_options_are_checked_and_plain():
    for config in (adapt.AdaptConfig(), adapt.RewriterConfig()):
        assert all(value is None or isinstance(value, int | float | bool) for value in asdict(config).values())
    with pytest.raises(ValueError, match="rate"):
        adapt.RewriterConfig(rate=0)
