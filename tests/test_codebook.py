import itertools
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import v_measure_score

from workbench import artifacts, codebook
from workbench.language import lexicon
from workbench.language.codebook import Codebook, CodebookConfig, distinctive, suggest_names
from workbench.language.codebook.context import learn_context
from workbench.language.codebook.memory import identities, recall, remember
from workbench.language.codebook.sequence import forward_backward
from workbench.values import ArtifactError, NotFittedError
from workbench.words import is_function

# ---- the sequence: forward-backward -------------------------------------------------------------------------------------


def chain(k, lengths, seed):
    """A random small model and the emissions of prompts of the given lengths."""
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    before = rng.integers(0, 2, n).astype(np.int8)
    before[np.cumsum([0, *lengths[:-1]])] = 2
    return rng.normal(0, 2, (n, k)), before, rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k), (2, k))


def by_enumeration(log_emissions, before, start, transitions):
    """The same as `forward_backward`, summed over every possible path of codes."""
    n, k = log_emissions.shape
    begins = [*np.flatnonzero(before == 2), n]
    codes, pairs, starts, total = np.zeros((n, k)), np.zeros((2, k, k)), np.zeros(k), 0.0
    for first, last in itertools.pairwise(begins):
        weights = {}
        for path in itertools.product(range(k), repeat=last - first):
            weight = start[path[0]] * np.exp(log_emissions[first, path[0]])
            for row, (a, b) in enumerate(itertools.pairwise(path), first + 1):
                weight *= transitions[before[row], a, b] * np.exp(log_emissions[row, b])
            weights[path] = weight
        evidence = sum(weights.values())
        total += np.log(evidence)
        for path, weight in weights.items():
            starts[path[0]] += weight / evidence
            for row, code in enumerate(path, first):
                codes[row, code] += weight / evidence
            for row, (a, b) in enumerate(itertools.pairwise(path), first + 1):
                pairs[before[row], a, b] += weight / evidence
    return codes, pairs, starts, total


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("lengths", [[1], [5], [2, 5, 1, 3, 3], [1, 4, 2]])
def test_forward_backward_equals_the_sum_over_all_paths(k, lengths):
    given = chain(k, lengths, seed=k + len(lengths))
    found, (codes, pairs, starts, total) = forward_backward(*given), by_enumeration(*given)
    np.testing.assert_allclose(found.codes, codes, atol=1e-5)
    np.testing.assert_allclose(found.pairs, pairs, atol=1e-5)
    np.testing.assert_allclose(found.starts, starts, atol=1e-5)
    assert found.log_likelihood == pytest.approx(total, abs=1e-4)


def test_every_step_of_a_prompt_is_counted_as_one_pair_of_its_kind():
    given = chain(3, [4, 1, 5], seed=0)
    found = forward_backward(*given)
    assert found.pairs.sum((1, 2)) == pytest.approx([(given[1] == 0).sum(), (given[1] == 1).sum()], abs=1e-4)
    assert found.starts.sum() == pytest.approx(3, abs=1e-5)
    np.testing.assert_allclose(found.codes.sum(1), 1, atol=1e-5)


def test_emissions_far_below_what_a_float_holds_leave_finite_posteriors():
    emissions, before, start, transitions = chain(3, [5, 4], seed=1)
    found = forward_backward(emissions * 1000, before, start, transitions)
    assert np.isfinite(found.codes).all() and np.isfinite(found.pairs).all() and np.isfinite(found.log_likelihood)
    np.testing.assert_allclose(found.codes.sum(1), 1, atol=1e-5)


# ---- the memory of types ------------------------------------------------------------------------------------------------


def test_what_is_remembered_is_the_smoothed_share_of_each_code_over_the_average():
    codes = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    found = remember(codes, np.array([1, 0, 1, 1]), smoothing=2.0)
    average = np.array([0.75, 0.25])
    expected = [(np.array([1, 0]) + 2 * average) / 3 / average, (np.array([2, 1]) + 2 * average) / 5 / average]
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, np.log(expected), atol=2e-3)


def test_a_code_that_nothing_has_leaves_finite_memories():
    found = remember(np.array([[1, 0], [1, 0]], np.float32), np.array([0, 1]), smoothing=1.0)
    assert np.isfinite(found).all()


def test_only_types_seen_before_are_recalled():
    static = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    keys = identities(static)
    known, memory = np.sort(keys[:3]), np.arange(6, dtype=np.float16).reshape(3, 2) + 1
    found = recall(known, memory, keys[[4, 2, 3, 0]])
    assert not found[[0, 2]].any()
    np.testing.assert_array_equal(found[[1, 3]], memory[np.searchsorted(known, keys[[2, 0]])])


def test_equal_vectors_are_one_type_whatever_the_sign_of_zero():
    first, again, other = identities(np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0000001]], np.float32))
    assert first == again != other


# ---- the codebook -------------------------------------------------------------------------------------------------------


def blobs(groups, per_group=12, units=600, width=8, noise=0.02, seed=0, length=5):
    """Units of types that lie in tight groups, in prompts of random order: (layer, static, types, before), group of each unit."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, width)) if groups > width else np.eye(groups, width) * 2
    group = np.repeat(np.arange(groups), per_group)
    static = (centres[group] + rng.normal(0, noise, (len(group), width))).astype(np.float32)
    types = np.concatenate([np.arange(len(group)), rng.integers(0, len(group), units - len(group))])
    layer = (centres[group[types]] + rng.normal(0, noise, (units, width))).astype(np.float32)
    before = rng.integers(0, 2, units).astype(np.int8)
    before[::length] = 2
    return (layer, static, types, before), group[types]


FOUR = CodebookConfig(n_codes=4)


@pytest.fixture
def no_context(monkeypatch):
    """Features without eigenwords."""
    monkeypatch.setattr(codebook, "learn_context", lambda static, *_: np.zeros((static.shape[1], 0), np.float32))


def test_four_groups_are_found_exactly():
    units, truth = blobs(4)
    book = Codebook(FOUR).fit(*units, progress=False)
    codes = book.encode(*units)
    assert codes.dtype == np.int64 and v_measure_score(truth, codes) == pytest.approx(1.0)
    np.testing.assert_allclose(book.usage_, np.bincount(codes) / len(codes), atol=1e-6)


def test_new_units_get_the_codes_of_their_groups():
    units, truth = blobs(4)
    book = Codebook(FOUR).fit(*units, progress=False)
    others, also = blobs(4, seed=7, units=100)
    assert v_measure_score(np.append(truth, also), np.append(book.encode(*units), book.encode(*others))) == pytest.approx(1.0)


def test_without_tuning_the_code_vectors_are_the_medoids():
    units, _ = blobs(4)
    book = Codebook(CodebookConfig(n_codes=4, epochs=0)).fit(*units, progress=False)
    np.testing.assert_array_equal(book.vectors_, book.features(*units[:3])[book.medoid_rows_])
    assert book.history_ == []


def test_the_seeds_are_not_lost_at_the_first_update():
    units, truth = blobs(4)
    book = Codebook(CodebookConfig(n_codes=4, epochs=1)).fit(*units, progress=False)
    features = book.features(*units[:3])
    assert sorted(truth[book.medoid_rows_]) == [0, 1, 2, 3]
    for code, row in enumerate(book.medoid_rows_):
        own = features[truth == truth[row]].mean(0)
        assert np.linalg.norm(book.vectors_[code] - features[row]) < 0.1
        assert np.linalg.norm(book.vectors_[code] - own) < 0.01


@pytest.mark.parametrize("k", [32, 64])
def test_no_code_goes_unused(k):
    units, _ = blobs(100, per_group=6, units=3000, width=16, noise=0.15)
    book = Codebook(CodebookConfig(n_codes=k)).fit(*units, progress=False)
    assert len(np.unique(book.encode(*units))) == k
    assert book.usage_.min() > 0 and book.usage_.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(book.transitions_.sum(2), 1, atol=1e-5)
    assert book.start_.sum() == pytest.approx(1.0)


def test_more_epochs_explain_the_units_better_once_the_context_counts_in_full():
    units, _ = blobs(40, units=1500, width=16, noise=0.3)
    book = Codebook(CodebookConfig(n_codes=16, epochs=20)).fit(*units, progress=False)
    assert len(book.history_) == 20 and book.history_[-1] > book.history_[11]


def ambiguous(after_comma=False):
    """Code A is followed by C and B by D; a last type, number 32, lies half-way between C and D.

    B and D mirror A and C, so that half-way is meant to the letter.
    """
    rng = np.random.default_rng(0)
    one = np.repeat(np.eye(4, 6)[[0, 2]] * 2, 8, 0) + rng.normal(0, 0.2, (16, 6))
    other = one[:, [1, 0, 3, 2, 4, 5]]
    static = np.concatenate([one[:8], other[:8], one[8:], other[8:], [[0, 0, 1, 1, 0, 0]]])
    types = []
    for _ in range(100):
        first, second = rng.integers(0, 8, 2)
        types += [first, second + 16, first + 8, second + 24]
    return static.astype(np.float32), np.array(types), np.tile([2, int(after_comma)], 200).astype(np.int8)


@pytest.mark.parametrize("after_comma", [False, True])
def test_neighbours_settle_what_a_units_own_vector_leaves_open(after_comma, no_context):
    static, types, before = ambiguous(after_comma)
    book = Codebook(CodebookConfig(n_codes=4)).fit(static[types], static, types, before, progress=False)
    a, b, c, d = (int(book.encode(static[[i]], static, [i], [2])[0]) for i in (0, 8, 16, 24))
    assert len({a, b, c, d}) == 4
    pair = np.array([0, 32, 8, 32])
    assert book.encode(static[pair], static, pair, [2, int(after_comma)] * 2).tolist() == [a, c, b, d]
    assert len(np.unique(book.features(static[pair], static, pair)[[1, 3]], axis=0)) == 1


def test_a_phrase_seen_often_keeps_its_code_and_a_new_one_follows_its_neighbours(no_context):
    static, types, before = ambiguous()
    often = np.array([[8 + i % 8, 32] for i in range(200)]).ravel()  # the half-way type always followed B
    static = np.concatenate([static, static[[32]] + np.float32(1e-4)])  # number 33: as half-way, but never seen
    types, before = np.append(types, often), np.append(before, np.tile([2, 0], 200)).astype(np.int8)
    after_a = {}
    for weight in (0.0, 1.0):
        config = CodebookConfig(n_codes=4, type_weight=weight)
        book = Codebook(config).fit(static[types], static, types, before, progress=False)
        c, d = (int(book.encode(static[pair], static, pair, [2, 0])[1]) for pair in ([0, 16], [8, 24]))
        found = [int(book.encode(static[pair], static, pair, [2, 0])[1]) for pair in ([8, 32], [0, 32], [0, 33])]
        after_a[weight] = ["CD"[[c, d].index(code)] for code in found]
    assert after_a == {0.0: ["D", "C", "C"], 1.0: ["D", "D", "C"]}


def test_types_are_recognised_by_their_vectors_not_by_their_numbers():
    (layer, static, types, before), _ = blobs(20, width=16, noise=0.3)
    book = Codebook(CodebookConfig(n_codes=8)).fit(layer, static, types, before, progress=False)
    order = np.random.default_rng(0).permutation(len(static))
    again = book.encode(layer, static[order], np.argsort(order)[types], before)
    np.testing.assert_array_equal(again, book.encode(layer, static, types, before))


def test_neighbours_do_not_overrule_a_clear_vector(no_context):
    static, types, before = ambiguous()
    config = CodebookConfig(n_codes=4, emission_weight=1.0)
    book = Codebook(config).fit(static[types], static, types, before, progress=False)
    alone = book.encode(static[[24]], static, [24], [2])
    unusual = np.array([0, 24])  # A before D, which never happened
    assert book.encode(static[unusual], static, unusual, [2, 0])[1] == alone[0]


def test_a_prompt_is_encoded_the_same_whatever_stands_around_it(no_context):
    static, types, before = ambiguous()
    book = Codebook(CodebookConfig(n_codes=4)).fit(static[types], static, types, before, progress=False)
    together = book.encode(static[types], static, types, before)
    for at in range(0, 40, 2):
        one = slice(at, at + 2)
        np.testing.assert_array_equal(book.encode(static[types[one]], static, types[one], before[one]), together[one])


def test_equal_seeds_give_equal_codebooks():
    units, _ = blobs(20, units=800)
    config = CodebookConfig(n_codes=8)
    first, second = (Codebook(config).fit(*units, progress=False, seed=3) for _ in range(2))
    for name, tensor in first.to_state()[1].items():
        np.testing.assert_array_equal(tensor, second.to_state()[1][name], err_msg=name)
    other = Codebook(config).fit(*units, progress=False, seed=4)
    assert not np.array_equal(first.vectors_, other.vectors_)


def test_a_loaded_codebook_is_equal_to_the_saved_one(tmp_path):
    units, _ = blobs(6)
    book = Codebook(CodebookConfig(n_codes=6)).fit(*units, progress=False)
    book.save(tmp_path / "book")
    again = Codebook.load(tmp_path / "book")
    assert again.config == book.config and again.history_ == book.history_ and again.variance_ == book.variance_
    np.testing.assert_array_equal(again.encode(*units), book.encode(*units))
    assert again.to_state()[0] == book.to_state()[0]


def test_a_state_with_a_part_missing_is_refused(tmp_path):
    units, _ = blobs(4)
    config, tensors = Codebook(FOUR).fit(*units, progress=False).to_state()
    less = {name: tensor for name, tensor in tensors.items() if name != "start"}
    others = ({"n_codes": 4, "depth": 3}, {"n_codes": 0})
    for broken in (({}, tensors), (config, less), *(({**config, "options": options}, tensors) for options in others)):
        artifacts.save(tmp_path, "codebook", *broken)
        with pytest.raises(ArtifactError, match="is not a 'codebook' that this workbench .* can read"):
            Codebook.load(tmp_path)


def test_without_units_there_are_no_codes():
    units, _ = blobs(4)
    book = Codebook(FOUR).fit(*units, progress=False)
    assert book.encode(units[0][:0], units[1], units[2][:0], units[3][:0]).tolist() == []


def test_eigenwords_stand_beside_the_vector(monkeypatch):
    units, _ = blobs(4, width=8)
    for directions, width in ((0, 8), (3, 11)):
        monkeypatch.setattr(codebook, "_N_CONTEXT", directions)
        assert Codebook(FOUR).fit(*units, progress=False).vectors_.shape == (4, width)


# ---- what cannot be learned from ----------------------------------------------------------------------------------------


def test_a_codebook_without_codes_says_so():
    units, _ = blobs(4)
    for use in (Codebook().to_state, lambda: Codebook().encode(*units), lambda: Codebook().features(*units[:3])):
        with pytest.raises(NotFittedError, match="call fit first"):
            use()


def test_vectors_of_another_encoder_are_refused():
    (layer, static, types, before), _ = blobs(4)
    book = Codebook(FOUR).fit(layer, static, types, before, progress=False)
    with pytest.raises(ValueError, match=r"fitted on layer vectors of width 8, got 5\. Was another encoder used\?"):
        book.encode(layer[:, :5], static, types, before)
    with pytest.raises(ValueError, match="fitted on static vectors of width 8, got 3"):
        book.encode(layer, static[:, :3], types, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    (layer, static, types, before), _ = blobs(4)
    layer[3, 2] = value
    with pytest.raises(ValueError, match="NaN or infinite values. Is the encoder damaged"):
        Codebook(FOUR).fit(layer, static, types, before)


def test_fewer_different_phrases_than_codes_are_refused_with_a_number_that_works():
    units, _ = blobs(4, per_group=3)
    with pytest.raises(ValueError, match=r"32 codes need 32 different phrases or more, these prompts have 12\. .*n_codes=4"):
        Codebook(CodebookConfig(n_codes=32)).fit(*units)


def test_rows_that_do_not_fit_together_are_refused():
    (layer, static, types, before), _ = blobs(4)
    with pytest.raises(ValueError, match=r"Expected layer \(n, d\).*got \(600, 8\), \(48, 8\), \(599,\) and \(600,\)"):
        Codebook(FOUR).fit(layer, static, types[1:], before)
    with pytest.raises(ValueError, match=r"types must be rows of static, 0\.\.47, got 0\.\.48"):
        Codebook(FOUR).fit(layer, static, np.where(types == 5, 48, types), before)
    with pytest.raises(ValueError, match="before must start with 2"):
        Codebook(FOUR).fit(layer, static, types, np.zeros_like(before))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_codes": 1}, "n_codes must be an int of 2 or more, got 1"),
        ({"n_codes": 8.0}, "n_codes must be an int"),
        ({"n_codes": 4001}, "n_codes can be 4,000 at most, .* got 4001"),
        ({"epochs": -1}, "epochs must be an int of 0 or more, got -1"),
        ({"emission_weight": 0.0}, "emission_weight must be a number above 0 and at most 1, got 0.0"),
        ({"emission_weight": 1.1}, "emission_weight must be a number above 0 and at most 1, got 1.1"),
        ({"type_weight": -1.0}, "type_weight must be a number of 0 or more, got -1.0"),
        ({"type_weight": float("nan")}, "type_weight must be a number of 0 or more, got nan"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CodebookConfig(**options)


def test_phrases_with_one_vector_between_them_cause_no_warning():
    (layer, static, types, before), truth = blobs(4)
    book = Codebook(FOUR).fit(layer, static[truth_of_types(static)], types, before, progress=False)
    assert v_measure_score(truth, book.encode(layer, static[truth_of_types(static)], types, before)) == pytest.approx(1.0)


def truth_of_types(static):
    """For each type the first type of its group, so that all of a group share one static vector."""
    return np.arange(len(static)) // 12 * 12


# ---- eigenwords ---------------------------------------------------------------------------------------------------------


def test_eigenwords_part_words_by_their_contexts_where_their_variance_does_not():
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], 100)
    static = np.zeros((202, 10), np.float32)
    static[:200] = rng.normal(size=(200, 10))
    static[:200, 0] = np.where(kind == 0, 0.25, -0.25) + rng.normal(0, 0.02, 200)  # the least of the ten directions
    static[:200] -= static[:200].mean(0)
    types = []
    for _ in range(3000):
        word = int(rng.integers(200))
        types += [200 + kind[word], word]  # word 200 announces the first kind, word 201 the second
    before = np.tile([2, 0], 3000).astype(np.int8)

    def gap(axis):
        first, second = (static[:200][kind == k] @ axis for k in (0, 1))
        return abs(first.mean() - second.mean()) / max(first.std(), second.std())

    assert gap(learn_context(static, np.array(types), before, 1, seed=0)[:, 0]) > 3
    assert gap(np.linalg.svd(static)[2][0]) < 0.5  # the direction of most variance knows nothing of it


def test_eigenwords_do_not_look_beyond_the_prompt():
    rng = np.random.default_rng(0)
    static, types = rng.normal(size=(30, 6)).astype(np.float32), rng.integers(0, 30, 300)
    alone = learn_context(static, types, np.full(300, 2, np.int8), 3, seed=0)
    # every unit is its own prompt: all see the same nothing, so their order says nothing
    order = rng.permutation(300)
    np.testing.assert_allclose(alone, learn_context(static, types[order], np.full(300, 2, np.int8), 3, seed=0), atol=1e-5)


# ---- names --------------------------------------------------------------------------------------------------------------

KINDS = list(lexicon.phrases())
LISTED = {phrase: kind for kind, listed in lexicon.phrases().items() for phrase in listed}
NEAR = {"oak throne": "material", "brass throne": "material", "hilma": "artist", "stoneglow": "material"}


def embed(phrases):
    """A vector per phrase that says its kind, for the fillers of these tests and for the examples of the lexicon."""
    out = np.zeros((len(phrases), len(KINDS)), np.float32)
    for row, phrase in enumerate(phrases):
        kind = NEAR.get(phrase) or LISTED.get(phrase)
        if kind:
            out[row, KINDS.index(kind)] = 1
    return out


def test_distinctive_fillers_are_frequent_here_and_rare_elsewhere():
    counts = [Counter(castle=50, tower=20, **{"8k": 30}), Counter(goya=40, **{"8k": 60}), Counter()]
    first, second, empty = distinctive(counts)
    assert [filler for filler, _ in first] == ["castle", "tower", "8k"]
    assert first[0] == ("castle", 50)
    assert second[0][0] == "goya" and empty == ()


def test_what_mostly_stands_elsewhere_is_not_typical_even_if_it_is_frequent():
    counts = [Counter({"8k": 60, "castle": 300}), Counter({"8k": 60, "goya": 25})]
    assert [filler for filler, _ in distinctive(counts)[1]] == ["goya", "8k"]


def test_no_more_fillers_than_asked_for_and_ties_by_alphabet():
    counts = [Counter({name: 3 for name in "dbca"})]
    assert distinctive(counts, 3) == [(("a", 3), ("b", 3), ("c", 3))]


def test_names_are_the_kind_and_then_a_filler():
    counts = [
        Counter({"goya": 9, "hokusai": 8, "of the": 1}),
        Counter({"oak throne": 5, "brass throne": 4}),
        Counter({"hilma": 3}),
        Counter({"stoneglow": 3}),
        Counter(),
    ]
    assert suggest_names(counts, embed) == ["artist", "material", "artist 2", "material-stoneglow", "4"]


def test_codes_of_function_words_say_so():
    counts = [Counter({"of a": 30, "in a": 20}), Counter({"of": 4, "with": 7, "fox": 5}), Counter({"a": 3})]
    assert suggest_names(counts, embed) == ["function", "function-with", "function-a"]


def test_a_code_of_many_kinds_is_called_after_its_most_distinctive_filler_but_no_proper_name():
    counts = [Counter({"behance": 9, "greg rutkowski": 9, "fox": 4, "oak throne": 3, "8k": 3})]
    assert suggest_names(counts, embed) == ["fox"]
    counts = [Counter({"portrait": 9, "shot": 8}), Counter({"rutkowski portrait": 5, "portrait": 3, "shot": 1})]
    assert suggest_names(counts, embed) == ["composition", "composition-portrait"]
    assert suggest_names([Counter({"behance": 9, "artstation": 8, "goya": 9, "hokusai": 8})], embed)[0] in ("site", "artist")
    assert suggest_names([Counter({"behance": 9}), Counter({"artstation": 8})], embed) == ["site", "site 2"]


def test_a_code_of_figures_is_called_number():
    assert suggest_names([Counter({"3": 9, "1 9": 5, "8k": 1})], embed) == ["number"]


def test_what_is_near_no_list_has_no_kind():
    assert suggest_names([Counter({"flurb": 9, "grokk": 5})], embed) == ["flurb"]


def test_codes_of_another_script_are_called_after_their_commonest_filler():
    counts = [Counter({"замок": 5, "лес": 9, "goya": 2}), Counter({"城堡": 3}), Counter({"castle": 3, "forêt": 1})]
    assert suggest_names(counts, lambda phrases: np.ones((len(phrases), 2), np.float32) * len(phrases)) == [
        "лес",
        "城堡",
        "place",
    ]


def test_names_are_different_even_where_codes_share_all_fillers():
    names = suggest_names([Counter({"fox": 5})] * 5, embed)
    assert names == ["animal", "animal-fox", "animal 2", "animal 3", "animal 4"]


def test_function_phrases_begin_and_end_with_function_words():
    assert is_function("of") and is_function("of a") and is_function("in the style of")
    assert not is_function("of gold") and not is_function("castle") and not is_function("")
