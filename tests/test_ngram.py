import itertools
import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from workbench import artifacts
from workbench.language import ngram as ngrams
from workbench.language.ngram import KneserNey, NgramConfig, tokens
from workbench.values import ArtifactError, NotFittedError

TOY = [["a", "b"], ["a", "b"], ["a", "c"]]
BEGIN, END = "<begin>", "<end>"


@pytest.fixture(scope="module")
def texts():
    """300 texts of 12 words that follow each other in a random but uneven way: all counts of counts occur."""
    rng = np.random.default_rng(0)
    names, follow = [f"w{k}" for k in range(12)], rng.dirichlet(np.full(12, 0.4), 12)
    found = []
    for _ in range(300):
        text = [int(rng.integers(12))]
        while rng.random() < 0.85:
            text.append(int(rng.choice(12, p=follow[text[-1]])))
        found.append([names[k] for k in text])
    return found


@pytest.fixture(scope="module")
def trigram(texts):
    return KneserNey().fit(texts)


def slow(texts, order):
    """Modified Kneser-Ney as the paper writes it, with dictionaries and recursion: a function p(word, context)."""
    grams = [Counter() for _ in range(order + 1)]  # of n words, of which only the first can be the mark
    for text in texts:
        marked = [BEGIN, *text, END]
        for n in range(1, order + 1):
            for at in range(max(1, n - 1), len(marked)):
                grams[n][tuple(marked[at - n + 1 : at + 1])] += 1
    for n in range(1, order):
        before = defaultdict(set)
        for gram in grams[n + 1]:
            before[gram[1:]].add(gram[0])
        grams[n] = Counter({g: c if g[0] == BEGIN else len(before[g]) for g, c in grams[n].items()})
    outcomes = len({word for text in texts for word in text}) + 2

    def discounts(n):
        of = Counter(grams[n].values())
        if not (of[1] and of[2] and of[3] and of[4]):
            return 0.5, 1.0, 1.5
        y = of[1] / (of[1] + 2 * of[2])
        found = 1 - 2 * y * of[2] / of[1], 2 - 3 * y * of[3] / of[2], 3 - 4 * y * of[4] / of[3]
        return found if min(found) > 0 else (0.5, 1.0, 1.5)

    def p(word, context):
        if context is None:
            return 1 / outcomes
        n = len(context) + 1
        d, after = discounts(n), {g[-1]: c for g, c in grams[n].items() if g[:-1] == context}
        shorter = p(word, context[1:] if context else None)
        if not after:
            return shorter
        total, kept = sum(after.values()), sum(d[min(c, 3) - 1] for c in after.values())
        c = after.get(word, 0)
        return (c - d[min(c, 3) - 1] if c else 0) / total + kept / total * shorter

    return p


def lines(text, order):
    """(word, context) of every word and the end."""
    marked = [BEGIN, *text, END]
    for at in range(1, len(marked)):
        yield marked[at], tuple(marked[max(0, at - order + 1) : at])


# ---- probabilities ------------------------------------------------------------------------------------------------------


def test_tokens_are_all_that_can_be_seen_in_lower_case():
    assert tokens("A Cat, (by H. R. Giger:1.2) --ar 16:9") == [
        "a", "cat", ",", "(", "by", "h.", "r.", "giger", ":1.2", ")", "--ar 16:9",
    ]  # fmt: skip
    assert tokens(" ") == []


def test_probabilities_worked_out_by_hand():
    # Single words, by the number of different words before them: a 1 (the mark), b 1, c 1, end 2. Counts of counts are too few,
    # so D = (.5, 1, 1.5). Of 5 in all a, b and c keep .5, the end keeps 1; .5 of the mass is left for 5 outcomes: .1 each.
    # So p(a) = p(b) = p(c) = .2, p(end) = .3, p(unknown) = .1.
    model = KneserNey(NgramConfig(order=2)).fit(TOY)
    assert model.vocabulary_ == ("a", "b", "c")
    found = np.exp(np.concatenate(model.log_prob([["a", "b"], ["a", "c"], ["a", "x"], []])))
    a = 1.5 / 3 + 1.5 / 3 * 0.2  # seen 3 times in 3 texts
    b, c, x = 1 / 3 + 0.5 * 0.2, 0.5 / 3 + 0.5 * 0.2, 0.5 * 0.1  # after "a": (1 + .5) / 3 is taken off
    end_b, end_c, end_x = 0.5 + 0.5 * 0.3, 0.5 + 0.5 * 0.3, 0.3
    np.testing.assert_allclose(found, [a, b, end_b, a, c, end_c, a, x, end_x, 0.5 * 0.3], rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [3, 300])
def test_probabilities_equal_those_of_a_slow_and_plain_implementation(texts, order, size):
    given = texts[:size]
    model, p = KneserNey(NgramConfig(order=order)).fit(given), slow(given, order)
    asked = [*texts[:5], ["w1", "new", "w2", "w2"], [], ["w3"] * 6]
    for text, found in zip(asked, model.log_prob(asked), strict=True):
        expected = [np.log(p(word, context)) for word, context in lines(text, order)]
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert size == 3 or order == 1 or any(level.discounts != (0.5, 1.0, 1.5) for level in model._tables.levels)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("min_count", [1, 3])
def test_the_probabilities_of_the_vocabulary_the_unknown_word_and_the_end_sum_to_1(texts, order, min_count):
    model = KneserNey(NgramConfig(order=order, min_count=min_count)).fit(texts)
    for before in ([], ["w1"], ["w1", "w2", "w1"], ["new"], ["w5", "new", "w4"]):
        found = model.log_prob([[*before, word] for word in (*model.vocabulary_, "unknown")])
        words = sum(np.exp(each[len(before)]) for each in found)
        end = np.exp(model.log_prob([before])[0][len(before)])
        assert words + end == pytest.approx(1, abs=1e-12)


def test_perplexity_is_that_of_all_words_and_ends(trigram, texts):
    found = np.concatenate(trigram.log_prob(texts[:20]))
    assert len(found) == sum(len(text) + 1 for text in texts[:20])
    assert trigram.perplexity(texts[:20]) == pytest.approx(np.exp(-found.mean()))
    assert KneserNey(NgramConfig(order=1)).fit(texts).perplexity(texts) > trigram.perplexity(texts)


def test_probabilities_do_not_depend_on_the_size_of_a_batch(trigram, texts, monkeypatch):
    whole = trigram.log_prob(texts[:40])
    monkeypatch.setattr("workbench.language.ngram._ROWS", 7)
    for a, b in zip(whole, trigram.log_prob(texts[:40]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert trigram.log_prob([]) == []


def test_pruning_forgets_rare_trigrams_and_nothing_else(texts):
    whole, pruned = (KneserNey(NgramConfig(min_count=count)).fit(texts) for count in (1, 2))
    assert pruned._tables.levels[2].counts.min() == 2
    assert len(pruned._tables.levels[2].counts) == (whole._tables.levels[2].counts > 1).sum()
    np.testing.assert_array_equal(whole._tables.levels[1].counts, pruned._tables.levels[1].counts)
    (kept,), (all_,) = (model.log_prob([texts[0]]) for model in (pruned, whole))
    assert kept[0] == all_[0]


def test_the_vocabulary_is_sorted_by_frequency_whatever_the_order_of_texts(texts):
    counts = Counter(word for text in texts for word in text)
    expected = tuple(sorted(counts, key=lambda word: (-counts[word], word)))
    assert KneserNey().fit(texts).vocabulary_ == KneserNey().fit(iter(texts[::-1])).vocabulary_ == expected


# ---- gaps ---------------------------------------------------------------------------------------------------------------

GAPS = [([], []), (["w1"], []), ([], ["w2"]), (["w1", "w2", "w3"], ["w4", "w5", "w6"]), (["new"], ["w1", "new"])]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize(("left", "right"), GAPS)
def test_scores_of_candidates_differ_as_those_of_whole_texts(texts, order, left, right):
    model = KneserNey(NgramConfig(order=order)).fit(texts)
    for candidates in (None, ["w3", "new", "w0"], []):
        found = model.candidates_log_prob(left, right, candidates)
        asked = model.vocabulary_ if candidates is None else candidates
        whole = np.array([each.sum() for each in model.log_prob([[*left, word, *right] for word in asked])])
        assert found.shape == (len(asked),)
        np.testing.assert_allclose(found - found[:1], whole - whole[:1], atol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize(("left", "right"), GAPS)
def test_scores_of_fillers_of_any_length_differ_as_those_of_whole_texts(texts, order, left, right):
    model = KneserNey(NgramConfig(order=order)).fit(texts)
    fillers = [["w3"], ["w1", "w2"], [], ["new"], ["w1", "w1", "w1", "w4", "w2"], ["w0", "w9"]]
    found = model.fill_log_prob(left, fillers, right)
    whole = np.array([each.sum() for each in model.log_prob([[*left, *filler, *right] for filler in fillers])])
    np.testing.assert_allclose(found - found[0], whole - whole[0], atol=1e-10)
    np.testing.assert_allclose(found[0], model.candidates_log_prob(left, right, ["w3"])[0], atol=1e-10)


def test_proposals_close_a_gap_with_what_stood_there():
    scenes = [("cat", "roof", "vermeer"), ("dog", "lawn", "hals"), ("hen", "farm", "leyster")]
    texts = [tokens(f"a {animal} on a {place} , by {artist}") for animal, place, artist in scenes * 5]
    model = KneserNey().fit(texts)
    assert model.propose(tokens("a dog on"), tokens("lawn , by hals"), 5)[0][0] == ("a",)
    assert model.propose(tokens("a dog"), tokens("lawn , by hals"), 5, length=2)[0][0] == ("on", "a")
    # a trigram does not see from the animal to the artist: what was seen equally often is equally good
    begins, ends = model.propose([], tokens("on a farm"), 3, length=2), model.propose(tokens("a farm ,"), [], 3, length=2)
    assert {filler for filler, _ in begins} == {("a", animal) for animal, _, _ in scenes}
    assert {filler for filler, _ in ends} == {("by", artist) for _, _, artist in scenes}
    assert begins[0][1] == pytest.approx(begins[2][1]) and ends[0][1] == pytest.approx(ends[2][1])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("left", "right"), GAPS)
def test_proposals_are_different_known_and_sorted_by_their_score(texts, order, left, right):
    model = KneserNey(NgramConfig(order=order)).fit(texts)
    for length in (None, 1, 3):
        found = model.propose(left, right, 30, seed=1, max_words=4, length=length)
        fillers = [filler for filler, _ in found]
        assert found and len(set(fillers)) == len(found) <= 30
        assert {word for filler in fillers for word in filler} <= set(model.vocabulary_)
        assert {len(filler) for filler in fillers} <= ({length} if length else {1, 2, 3, 4})
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True)
        np.testing.assert_allclose(scores, model.fill_log_prob(left, fillers, right), atol=1e-10)


def test_proposals_find_nearly_the_best_of_all_fillers(trigram):
    left, right = ["w1", "w2"], ["w4"]
    every = [[a, b] for a in trigram.vocabulary_ for b in trigram.vocabulary_]
    best = np.sort(trigram.fill_log_prob(left, every, right))[::-1]
    found = [score for _, score in trigram.propose(left, right, 10, length=2)]
    np.testing.assert_allclose(found[:5], best[:5], atol=1e-10)


def test_equal_seeds_give_equal_proposals_and_samples(trigram):
    assert trigram.propose(["w1"], ["w2"], 20, seed=3) == trigram.propose(["w1"], ["w2"], 20, seed=3)
    assert trigram.sample(20, seed=3) == trigram.sample(20, seed=3) != trigram.sample(20, seed=4)


# ---- samples ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(ngrams, "MAX_WORDS", 3)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_samples_are_as_frequent_as_probable(order, short):
    model, n = KneserNey(NgramConfig(order=order)).fit(TOY), 20_000
    counts = Counter(tuple(text.split()) for text in model.sample(n, seed=0))

    def next_word(before):
        """Probability of every known word and the end, without the unknown word."""
        p = [np.exp(model.log_prob([[*before, word]])[0][len(before)]) for word in model.vocabulary_]
        unknown = np.exp(model.log_prob([[*before, "unknown"]])[0][len(before)])
        p = np.array([*p, 1 - sum(p) - unknown])
        return dict(zip((*model.vocabulary_, END), p / p.sum(), strict=True))

    for text in [(), ("a",), ("b",), ("a", "b"), ("a", "c"), ("a", "a", "b"), ("c", "c", "c")]:
        p = np.prod([next_word(text[:at])[word] for at, word in enumerate(text)])
        p *= next_word(text)[END] if len(text) < 3 else 1
        assert abs(counts[text] / n - p) < 4.5 * np.sqrt(p * (1 - p) / n) + 1e-9, text
        assert np.exp(model.log_score([" ".join(text)])[0]) == pytest.approx(p)


def test_samples_end_at_the_most_words_and_hold_known_words_only(trigram, short):
    found = trigram.sample(200, seed=0)
    assert len(found) == 200 and max(len(text.split()) for text in found) == 3
    assert {word for text in found for word in text.split()} <= set(trigram.vocabulary_)


@pytest.mark.parametrize("order", [1, 3])
def test_log_score_sums_to_one_over_all_texts_that_can_be_drawn(order, short):
    model = KneserNey(NgramConfig(order=order)).fit(TOY)
    every = [" ".join(text) for n in range(4) for text in itertools.product(model.vocabulary_, repeat=n)]
    assert np.exp(model.log_score(every)).sum() == pytest.approx(1)
    assert np.isneginf(model.log_score(["a unknown", "a a a a"])).all()
    with pytest.raises(TypeError, match="log_score takes a list of texts, got one str"):
        model.log_score("a b")


def test_a_sample_is_scored_by_its_words_whatever_they_hold():
    model = KneserNey().fit([["--ar 16:9", "a", "\n"], ["a", "--ar 16:9"]] * 4)
    drawn = model.sample(50)
    np.testing.assert_allclose(model.log_score(drawn), [sample.log_prob for sample in drawn])
    assert np.isfinite(model.log_score(drawn)).all()


# ---- state and errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [NgramConfig(), NgramConfig(order=1), NgramConfig(order=4, min_count=2)])
def test_a_saved_model_is_the_same_model(texts, config):
    model = KneserNey(config).fit([*texts, ["\n", "naïve", "🎨", ""]])
    state, tensors = model.to_state()
    again = KneserNey.from_state(json.loads(json.dumps(state)), {name: array.copy() for name, array in tensors.items()})
    assert again.config == config and again.vocabulary_ == model.vocabulary_
    for a, b in zip(model.log_prob(texts), again.log_prob(texts), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.sample(10, seed=1) == model.sample(10, seed=1)
    assert again.propose(["w1"], [], 10) == model.propose(["w1"], [], 10)
    assert all(array.dtype.kind == "u" for array in tensors.values())


def test_a_damaged_state_is_an_artifact_error(trigram, tmp_path):
    state, tensors = trigram.to_state()
    changed = [
        ({}, tensors),
        ({**state, "options": {"order": 2}}, tensors),
        ({**state, "options": {"depth": 2}}, tensors),
        (state, {name: array for name, array in tensors.items() if name != "words_2"}),
        (state, {**tensors, "counts_3": tensors["counts_3"][:-1]}),
        (state, {**tensors, "counts_3": tensors["counts_3"] * 0}),
        (state, {**tensors, "keys_3": tensors["keys_3"][::-1]}),
        (state, {**tensors, "words_1": tensors["words_1"] + 100}),
        (state, {**tensors, "spelling": tensors["spelling"][:-1]}),
    ]
    for config, arrays in changed:
        artifacts.save(tmp_path / "ngram", "ngram", config, {name: np.ascontiguousarray(a) for name, a in arrays.items()})
        with pytest.raises(ArtifactError, match="is not a 'ngram' that this workbench"):
            KneserNey.load(tmp_path / "ngram")


def test_nothing_works_before_fit():
    model = KneserNey()
    for call in (
        lambda: model.log_prob(TOY),
        lambda: model.perplexity(TOY),
        lambda: model.candidates_log_prob([], []),
        lambda: model.fill_log_prob([], [["a"]], []),
        lambda: model.sample(1),
        lambda: model.propose([], [], 1),
        model.to_state,
    ):
        with pytest.raises(NotFittedError, match="call fit first"):
            call()


def test_texts_must_be_lists_of_words_with_a_word():
    for empty in ([], [[]], iter([[], []])):
        with pytest.raises(ValueError, match="no word in these"):
            KneserNey().fit(empty)
    for wrong in ("a cat", ["a cat"], [["a"], "cat"], 3, [3]):
        with pytest.raises(TypeError, match="tokens\\(text\\)"):
            KneserNey().fit(wrong)
    with pytest.raises(TypeError, match="A word must be a str, got 3"):
        KneserNey().fit([["a", 3]])
    model = KneserNey().fit(TOY)
    for left, right, candidates in (("a", [], None), ([], "a", None), ([], [], "a")):
        with pytest.raises(TypeError, match="Expected a list of words"):
            model.candidates_log_prob(left, right, candidates)


def test_other_arguments_out_of_range_are_named(trigram):
    with pytest.raises(TypeError, match="list of words"):
        trigram.log_prob(["a cat"])
    with pytest.raises(TypeError, match="list of words"):
        trigram.fill_log_prob([], ["a cat"], [])
    with pytest.raises(ValueError, match="perplexity of no text"):
        trigram.perplexity([])
    for n in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="n must be an int of 1 or more"):
            trigram.sample(n)
        with pytest.raises(ValueError, match="n must be an int of 1 or more"):
            trigram.propose([], [], n)
    with pytest.raises(ValueError, match="length must be an int of 1 or more, got 0"):
        trigram.propose([], [], 1, length=0)
    for name in ("order", "min_count"):
        with pytest.raises(ValueError, match=f"{name} must be an int of 1 or more, got 0"):
            NgramConfig(**{name: 0})
