"""Decode: a critic's chances are the true ones, scoring agrees with drawing, and what cannot be learned from is refused."""

import numpy as np
import pytest
import torch
from tiny_lm import every_text, tiny_lm
from tokenizers import normalizers
from transformers import LogitsProcessorList

from workbench import decode, guide, score
from workbench.control.decode.critic import returns
from workbench.control.proposals import FromDSL, LMProposal, of
from workbench.language.dsl import DeepDSL
from workbench.values import ArtifactError, GuideError, NotFittedError

SIZE = 4
FOX = score.contains("fox")
FAST = decode.CriticConfig(texts=600, steps=120, batch=64)


@pytest.fixture(scope="module")
def source():
    return LMProposal(tiny_lm(), max_tokens=SIZE)


@pytest.fixture(scope="module")
def critic(source):
    return decode.Critic(FAST).fit(source, FOX, progress=False)


@pytest.fixture(scope="module")
def law(source):
    """All texts of the tiny model, their probabilities, and whether they are as wished."""
    texts = every_text(SIZE)
    p = np.exp(source.log_score(texts))
    assert p.sum() == pytest.approx(1, abs=1e-4)
    return texts, p, FOX(texts)


# ---- critic -------------------------------------------------------------------------------------------------------------


def test_returns_are_the_end_alone_with_a_trace_of_one_and_the_next_guess_with_none():
    values, there = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.0]]), torch.tensor([[True, True, True], [True, True, False]])
    ends = torch.tensor([1.0, 0.0])
    assert torch.equal(returns(values, there, ends, 1.0), torch.tensor([[1.0, 1, 1], [0, 0, 0]]))
    assert torch.equal(returns(values, there, ends, 0.0), torch.tensor([[0.2, 0.3, 1], [0.5, 0, 0]]))
    half = returns(values, there, ends, 0.5)
    assert half[0, 1] == pytest.approx(0.5 * 0.3 + 0.5 * 1) and half[0, 0] == pytest.approx(0.5 * 0.2 + 0.5 * half[0, 1].item())


def test_the_chance_is_that_of_the_exact_law(critic, source, law):
    texts, p, wished = law
    begins = [(), (1,), (2,), (4,), (3, 4), (3, 1), (5, 2), (6, 6)]
    true, said = [], []
    for begin in begins:
        rows = np.array([one.ids[: len(begin)] == begin for one in texts])
        true.append((p * wished)[rows].sum() / p[rows].sum())
        said.append(critic.chance(source, [str(texts[int(np.flatnonzero(rows)[-1])])])[0][len(begin)])
    assert np.corrcoef(true, said)[0, 1] > 0.95
    assert critic.base_ == pytest.approx((p * wished).sum(), abs=0.06)


def test_a_steered_model_draws_the_conditional_law(critic, source, law):
    texts, p, wished = law
    steered = critic.steer(source, k=8)
    q = np.exp(steered.log_score(texts))
    assert q.sum() == pytest.approx(1, abs=1e-3)
    assert (q * wished).sum() > 0.9 > 0.4 > (p * wished).sum()
    exact = p * wished / (p * wished).sum()
    assert 0.5 * np.abs(q - exact).sum() < 0.25 < 0.5 < 0.5 * np.abs(p - exact).sum()  # 600 texts are few


def test_scoring_agrees_with_drawing_under_every_cut(critic, source):
    for proposal in (
        critic.steer(source, k=3),
        critic.steer(LMProposal(source.lm, prefix="red old", max_tokens=SIZE, temperature=0.7, top_p=0.9), k=8),
        decode.blocked(source, ["fox", "ship"]),
        decode.lookahead(source, FOX, k=4),
    ):
        drawn = proposal.sample(60, seed=3)
        assert np.abs(proposal.log_score(drawn) - [one.log_prob for one in drawn]).max() < 1e-4
        assert [*map(str, proposal.sample(60, seed=3))] == [*map(str, drawn)]


def test_the_processor_works_in_generate_of_transformers(critic, source):
    begin = torch.tensor([[0], [0], [0]])
    processor = critic.processor(source.lm, k=8)
    options = {"max_new_tokens": SIZE, "top_k": 0, "pad_token_id": 0, "logits_processor": LogitsProcessorList([processor])}
    plain = source.lm.model.generate(begin, do_sample=False, num_beams=3, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = source.lm.model.generate(begin.repeat(20, 1), do_sample=True, **options)
    texts = source.lm.tokenizer.batch_decode(drawn, skip_special_tokens=True)
    assert FOX(texts).mean() > 0.85 and FOX(source.lm.tokenizer.batch_decode(plain, skip_special_tokens=True)).all()
    assert processor.read > 0


def test_reordered_and_dropped_texts_are_read_as_if_anew(critic, source):
    kept, anew = critic.processor(source.lm, 8), critic.processor(source.lm, 8)
    first, scores = torch.tensor([[0], [0], [0]]), torch.zeros(3, 8)
    kept(first, scores)
    kept(torch.tensor([[0, 1], [0, 2], [0, 3]]), scores)
    swapped = torch.tensor([[0, 3, 4], [0, 1, 5]])
    assert torch.allclose(kept(swapped, scores[:2]), anew(swapped, scores[:2]), atol=1e-4)


def test_equal_seeds_learn_equal_critics_and_a_saved_one_says_the_same(critic, source, tmp_path):
    again = decode.Critic(FAST).fit(source, FOX, progress=False)
    critic.save(tmp_path / "critic")
    loaded = decode.Critic.load(tmp_path / "critic")
    for other in (again, loaded):
        assert np.array_equal(other.chance(source, ["red fox"])[0], critic.chance(source, ["red fox"])[0])
    assert loaded.base_ == critic.base_ and loaded.scorer_ == critic.scorer_


def test_a_critic_that_was_stopped_goes_on_bit_equal(source, tmp_path, monkeypatch):
    short = decode.CriticConfig(texts=100, steps=6, batch=16)
    whole = decode.Critic(short).fit(source, FOX, progress=False)
    from workbench.control.decode import critic as module

    real, seen = module.returns, []

    def dies(*args):
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return real(*args)

    train = module.train
    monkeypatch.setattr(module, "train", lambda *a, **k: train(*a, **{**k, "save_every": 2}))
    monkeypatch.setattr(module, "returns", dies)
    with pytest.raises(KeyboardInterrupt):
        decode.Critic(short).fit(source, FOX, folder=tmp_path / "run", progress=False)
    monkeypatch.setattr(module, "returns", real)
    gone_on = decode.Critic(short).fit(source, FOX, folder=tmp_path / "run", progress=False)
    assert all(np.array_equal(a, b) for a, b in zip(gone_on.to_state()[1].values(), whole.to_state()[1].values(), strict=True))
    with pytest.raises(ArtifactError, match="another run"):
        decode.Critic(short.replace(seed=1)).fit(source, FOX, folder=tmp_path / "run", progress=False)


def test_a_critic_of_the_last_state_alone_can_be_learned_and_saved(source, tmp_path):
    critic = decode.Critic(decode.CriticConfig(texts=60, steps=3, batch=8, memory=False)).fit(source, FOX, progress=False)
    critic.save(tmp_path / "critic")
    assert np.array_equal(decode.Critic.load(tmp_path / "critic").chance(source, ["red"])[0], critic.chance(source, ["red"])[0])


def test_scores_beyond_chances_are_scaled(source):
    critic = decode.Critic(decode.CriticConfig(texts=60, steps=3, batch=8)).fit(source, score.n_words(), progress=False)
    assert (critic.low_, critic.high_) == (0, SIZE) and 0 < critic.base_ < 1


def test_a_language_is_steered_through_its_next_piece(minilm):
    dsl = DeepDSL.load("world", minilm)
    source = FromDSL(dsl, template="a painting of a castle at night, highly detailed")
    wish = score.contains(["detailed", "realistic"])
    critic = decode.Critic(decode.CriticConfig(texts=80, steps=30, batch=32)).fit(source, wish, progress=False)
    steered = critic.steer(source, k=8)
    drawn = steered.sample(24, seed=1)
    assert np.abs(steered.log_score(drawn) - [one.log_prob for one in drawn]).max() < 1e-4
    assert wish(drawn).mean() > wish(source.sample(100, seed=1)).mean() + 0.15
    assert source.sample(3, seed=2) == FromDSL(dsl, template=source.template).sample(3, seed=2)


def test_ways_to_steer_go_on_top_of_each_other(critic, source, law):
    texts, p, _ = law
    plain, block = LMProposal(source.lm, max_tokens=SIZE), ["ship", "red"]
    ways = {
        "blocked, then steered": critic.steer(decode.blocked(plain, block), k=8),
        "steered, then blocked": decode.blocked(critic.steer(plain, k=8), block),
        "looked ahead, then blocked": decode.blocked(decode.lookahead(plain, FOX, k=8, strength=8.0), block),
    }
    for name, steered in ways.items():
        drawn = steered.sample(60, seed=1)
        assert FOX(drawn).mean() > FOX(source.sample(200, seed=1)).mean() + 0.2, name
        assert not score.contains(block)(drawn).any(), name
        assert np.abs(steered.log_score(drawn) - [one.log_prob for one in drawn]).max() < 1e-4


def test_a_steered_language_is_steered_on(minilm):
    dsl, asked = DeepDSL.load("world", minilm), []

    def note(mark):
        def steer(scores, ahead):
            asked.append(mark)
            return scores

        return steer

    FromDSL(dsl, template="a <animal:?>").steered(note("first")).steered(note("second")).sample(1, seed=0)
    assert asked[:2] == ["first", "second"]


def test_a_fit_that_fails_leaves_the_critic_as_it_was(source, tmp_path):
    short = decode.CriticConfig(texts=60, steps=3, batch=8)
    decode.Critic(short).fit(source, FOX, folder=tmp_path / "run", progress=False)
    fresh = decode.Critic(short.replace(seed=1))
    with pytest.raises(ArtifactError, match="another run"):
        fresh.fit(source, FOX, folder=tmp_path / "run", progress=False)
    with pytest.raises(NotFittedError):
        fresh.chance(source, ["red"])
    learned = decode.Critic(short.replace(seed=1)).fit(source, FOX, progress=False)
    before = learned.chance(source, ["red fox"])[0]
    with pytest.raises(ArtifactError):
        learned.fit(source, FOX, folder=tmp_path / "run", progress=False)
    assert np.array_equal(learned.chance(source, ["red fox"])[0], before)


def test_chances_go_along_all_tokens_of_a_text_of_any_length(critic, source):
    for text, size in (("", 0), ("red", 1), ("red old blue", 3), ("red old blue fox", 4), ("red old blue fox moon", 5)):
        assert len(critic.chance(source, [text])[0]) == size + 1
    long = critic.chance(LMProposal(source.lm, max_tokens=9), ["red old blue fox"])[0]
    assert np.allclose(critic.chance(source, ["red old blue fox"])[0], long)


def test_a_text_of_another_beginning_has_no_chances(critic, source):
    begun = LMProposal(source.lm, prefix="red", max_tokens=SIZE)
    for text in ("old fox", source.sample(1, seed=0)[0]):
        with pytest.raises(GuideError, match="does not begin with"):
            critic.chance(begun, [text])


def test_texts_that_fill_the_window_are_refused_before_the_last_look_ahead(critic, source):
    wide = LMProposal(source.lm, max_tokens=16)  # the model has 16 positions, and a look ahead reads one more
    wide.sample(1)
    for call in (lambda: critic.steer(wide), lambda: decode.Critic(FAST).fit(wide, FOX, progress=False)):
        with pytest.raises(GuideError, match="max_tokens to 15 or less"):
            call()
    assert len(critic.steer(LMProposal(source.lm, max_tokens=15), k=8).sample(40)) == 40


# ---- what is refused ----------------------------------------------------------------------------------------------------


def test_a_wish_that_never_occurs_a_scorer_that_raises_and_nan_are_refused_before_training(source):
    def broken(texts):
        raise RuntimeError("no reader")

    for scorer, message in (
        (score.contains("dragon"), "gave 0 for each of 40 texts.*never occurs"),
        (broken, "raised RuntimeError: no reader"),
        (lambda texts: [float("nan")] * len(texts), "returned nan for 40 of 40"),
        (lambda texts: [1.0], r"expected \(40,\)"),
    ):
        with pytest.raises(GuideError, match=message):
            decode.Critic(decode.CriticConfig(texts=40)).fit(source, scorer, progress=False)


def test_what_has_no_states_or_other_states_cannot_be_steered(critic, source):
    from scipy import stats

    with pytest.raises(GuideError, match="no states"):
        critic.steer(stats.poisson(3))
    with pytest.raises(NotFittedError, match="call fit"):
        decode.Critic().steer(source).sample(1)
    with pytest.raises(NotFittedError):
        decode.Critic().to_state()
    with pytest.raises(GuideError, match="another"):
        critic.log_chance(torch.zeros(1, 2, 6))
    with pytest.raises(ValueError, match="k must be"):
        critic.steer(source, k=0)
    with pytest.raises(GuideError, match="processor cannot be tuned"):
        guide.tune(critic.steer(source), guide.EBM((source,)), steps=1)
    with pytest.raises(TypeError, match="LogitsProcessor"):
        LMProposal(source.lm, processor=3)


def test_options_out_of_range_are_named():
    for bad in ({"texts": 3}, {"trace": 1.5}, {"steps": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            decode.CriticConfig(**bad)
    for bad in ({"beam": 0}, {"ask": "{text}"}, {"top_p": 0.0}, {"weight": -1}, {"ask": "{prompt} {text}"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            decode.InverseConfig(**bad)


# ---- plain --------------------------------------------------------------------------------------------------------------


def test_blocked_words_never_occur_and_the_rest_keeps_its_odds(source, law):
    texts, p, _ = law
    q = np.exp(decode.blocked(source, ["fox"]).log_score(texts))
    first = np.array([one.ids[0] for one in texts])
    assert q[FOX(texts) == 1].max() == 0 and q.sum() == pytest.approx(1, abs=1e-3)
    odds = [w[first == 1].sum() / w[first == 2].sum() for w in (p, q)]
    assert odds[0] == pytest.approx(odds[1], rel=1e-3)
    with pytest.raises(ValueError, match="needs words"):
        decode.blocked(source, [" "])
    with pytest.raises(GuideError, match="no language model"):
        decode.blocked(decode.Ranked(("a",), np.zeros(1)), ["a"])


def test_a_look_ahead_takes_what_the_scorer_likes_now_and_reports_a_scorer_that_fails(source, law):
    texts, p, wished = law
    q = np.exp(decode.lookahead(source, FOX, k=8, strength=8.0).log_score(texts))
    assert (q * wished).sum() > (p * wished).sum() + 0.3
    with pytest.raises(GuideError, match="raised"):
        decode.lookahead(source, lambda texts: 1 / 0).sample(1)


# ---- inverse ------------------------------------------------------------------------------------------------------------

ASK = decode.InverseConfig(ask="{text} {prompt}", stops="@", max_tokens=SIZE, beam=4, tries=4)


def test_the_judge_gives_the_nats_that_a_text_adds_to_the_prompt():
    lm = tiny_lm()
    judge = decode.Judge(lm, "old fox", "{text} {prompt}")
    long = LMProposal(lm, max_tokens=9)
    with_end = [tuple(lm.tokenizer(text).input_ids) for text in ("red old fox", "red")]
    logits = lm.model(torch.tensor([[0, *with_end[0]]])).logits.log_softmax(-1)
    given = logits[0, 1, with_end[0][1]] + logits[0, 2, with_end[0][2]]
    alone = lm.model(torch.tensor([[0, *with_end[0][1:]]])).logits.log_softmax(-1)
    alone = alone[0, 0, with_end[0][1]] + alone[0, 1, with_end[0][2]]
    assert judge(["red"])[0] == pytest.approx((given - alone).item(), abs=1e-4)
    assert judge([""])[0] == 0 and judge.read > 0 and long.max_tokens == 9


def test_a_judge_reads_a_line_end_before_the_prompt():
    lm = tiny_lm(words=("red", "old", "fox", "(line)"))
    lm.tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\n", " (line) ")
    apart, marked = decode.Judge(lm, "fox", "{text}\n{prompt}"), decode.Judge(lm, "fox", "{text} (line) {prompt}")
    assert np.allclose(apart(["red", "old red"]), marked(["red", "old red"]))


def test_a_judge_says_the_same_of_a_text_alone_and_among_others():
    judge, texts = decode.Judge(tiny_lm(), "old fox", "{text} {prompt}"), ["red", "", "blue ship moon", "old", "red red"]
    assert np.allclose(judge(texts), [judge([text])[0] for text in texts], atol=1e-5)


def test_a_judge_refuses_what_it_cannot_read():
    lm = tiny_lm()
    for prompt, ask, told in ((" ", "{text} {prompt}", "not empty"), ("fox", "{text}", "ask"), ("fox", "{prompt} {text}", "ask")):
        with pytest.raises(ValueError, match=told):
            decode.Judge(lm, prompt, ask)
    with pytest.raises(GuideError, match="16 positions"):
        decode.Judge(lm, "fox", "{text} {prompt}")(["red " * 20])
    with pytest.raises(GuideError, match="16 positions"):
        decode.pmi(lm, "red")(["red " * 20])


def test_texts_read_are_those_of_this_ranking(source):
    judge = decode.Judge(source.lm, "fox", "{text} {prompt}")
    first, second = (decode.rerank(source, judge, n=20).read for _ in range(2))
    assert first == second > 0


def test_pmi_reads_many_texts_in_parts(source, monkeypatch):
    scorer, texts = decode.pmi(source.lm, "red"), ["red fox", "old", "blue ship moon"] * 3
    whole, sizes = scorer(texts), []
    monkeypatch.setattr("workbench.control.proposals.causal._LOGITS", 8 * 5 * 2)
    hook = source.lm.model.register_forward_hook(lambda _, __, out: sizes.append(out.logits.numel()))
    assert np.allclose(scorer(texts), whole, atol=1e-5) and max(sizes) <= 8 * 5 * 2
    hook.remove()


def test_a_model_without_an_end_writes_no_sentences():
    lm = tiny_lm()
    lm.tokenizer.eos_token = None
    lm.model.config.eos_token_id = None
    with pytest.raises(GuideError, match="end of a text"):
        decode.inverse(lm, "fox", ASK)


def test_inverse_prompting_keeps_the_texts_that_give_the_prompt_back_and_without_weight_the_likely_ones():
    lm = tiny_lm()
    judge = decode.Judge(lm, "fox", ASK.ask)
    found, likely = decode.inverse(lm, "fox", ASK), decode.inverse(lm, "fox", ASK.replace(weight=0))
    assert judge(found.texts).mean() > judge(likely.texts).mean()
    assert (
        found.scores.tolist() == sorted(found.scores, reverse=True) and len(set(map(str, found.texts))) == len(found.texts) <= 4
    )
    assert [*map(str, decode.inverse(lm, "fox", ASK).texts)] == [*map(str, found.texts)]
    assert str(found.best) == str(found.texts[0]) and found.read > 0


def test_a_text_goes_on_sentence_by_sentence_until_it_ends():
    lm = tiny_lm()
    one = decode.inverse(lm, "fox", ASK.replace(stops="o", max_tokens=6))  # "old", "fox" and "moon" end a sentence
    more = decode.inverse(lm, "fox", ASK.replace(stops="o", max_tokens=6, sentences=3))
    ends = ("old", "fox", "moon")
    assert all(sum(word in ends for word in text.split()) <= 1 for text in one.texts)
    assert max(sum(word in ends for word in text.split()) for text in more.texts) > 1


def test_a_ranking_is_a_law_that_scores_as_it_draws():
    ranked = decode.Ranked(("a", "b"), np.log([3.0, 1.0]))
    assert np.exp(ranked.log_score(["a", "b", "c"])) == pytest.approx([0.75, 0.25, 0])
    assert np.mean([one == "a" for one in ranked.sample(4000)]) == pytest.approx(0.75, abs=0.03)
    assert of(ranked) is ranked


def test_reranking_by_pmi_puts_texts_first_that_the_beginning_makes_likelier(source):
    scorer = decode.pmi(source.lm, "red")
    found = decode.rerank(source, scorer, n=50)
    assert found.scores.tolist() == sorted(found.scores, reverse=True)
    text = next(one for one in found.texts if one)
    given = LMProposal(source.lm, prefix="red", max_tokens=9).log_score([f"red {text}"])[0]
    assert np.isfinite(given) and scorer([text])[0] == pytest.approx(found.scores[list(found.texts).index(text)], abs=1e-4)


def test_an_empty_prompt_and_a_beam_wider_than_memory_are_refused_at_once():
    lm = tiny_lm()
    with pytest.raises(ValueError, match="not empty"):
        decode.inverse(lm, " ")
    with pytest.raises(ValueError, match="billion numbers.*Take a beam of"):
        decode.inverse(lm, "fox", decode.InverseConfig(beam=10**6, tries=100))
    with pytest.raises(GuideError, match="raised"):
        decode.rerank(LMProposal(lm, max_tokens=3), lambda texts: 1 / 0, n=4)
