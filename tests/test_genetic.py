"""Search by votes: on tastes that are known, by made-up voters, and by a person who clicks, undoes and leaves."""

import numpy as np
import pytest
from PIL import Image

from workbench import genetic, widgets
from workbench.search.genetic import Genes, Taste, Turn, VoteConfig, VoteError, Voter, Voting, simulate
from workbench.search.genetic.genes import crossed, mutated
from workbench.search.genetic.proposers import taste_of
from workbench.show.widgets.vote_view import VoteView
from workbench.template import parse
from workbench.values import ArtifactError, PictureError

PHRASES = [f"p{i}" for i in range(12)]
WEIGHTS = {"p0": 0.9, "p1": -0.6, "p2": 0.7, "p3": 0.5, "p4": -0.8, "p5": 0.6, "p6": -0.4, "p7": 0.8, "p8": -0.7, "p9": 0.4}


def liking(texts):
    """A taste that is a sum over phrases."""
    return [sum(WEIGHTS.get(phrase, -0.5) for phrase in text.split(", ")) for text in texts]


def voting(method="genetic", folder=None, **options):
    return Voting(Genes.mask(PHRASES, "x"), VoteConfig(method=method, **options), folder)


# ---- genes ---------------------------------------------------------------------------------------------------------------


def test_a_mask_switches_phrases_on_and_off_and_leaves_no_comma_behind():
    genes = Genes.mask(["8k", "oil painting", "by Goya"], "a cat")
    assert len(genes) == 8 and genes.text((0, 0, 0)) == "a cat" and genes.text((0, 1, 1)) == "a cat, oil painting, by Goya"
    assert Genes.mask(["8k", "fog"]).texts([(0, 0), (0, 1), (1, 1)]) == ["", "fog", "8k, fog"]
    assert len({genes.text(row) for row in genes.all()}) == 8


def test_slots_of_a_template_are_genes_and_the_rest_stays():
    genes = Genes(parse("a <color:?> <subject:fox> in <place:?>"), (("red", "blue"), ("snow", "rain", "fog")))
    assert len(genes) == 6 and genes.text((1, 2)) == "a blue fox in fog" and genes.names == ("color", "place")
    assert genes.one_hot([(1, 2)]).tolist() == [[0, 1, 0, 0, 1]] and genes.best([0, 3, 1, 2, 0]).tolist() == [1, 1]


def test_children_have_the_values_of_their_parents_and_mutations_are_as_many_as_asked_for():
    rng, genes = np.random.default_rng(0), Genes.mask(PHRASES)
    mothers, fathers = np.zeros((4000, 12), int), np.ones((4000, 12), int)
    for how in ("uniform", "two-point"):
        assert abs(crossed(mothers, fathers, how, rng).mean() - (0.5 if how == "uniform" else 1 / 3)) < 0.05
    assert (np.abs(np.diff(crossed(mothers, fathers, "two-point", rng), axis=1)).sum(1) <= 2).all()
    assert abs((mutated(genes, mothers, 1.2, rng) != mothers).sum(1).mean() - 1.2) < 0.05
    assert (mutated(genes, mothers, 0, rng) == mothers).all()


@pytest.mark.parametrize(
    ("template", "options", "told"),
    [("a cat", (), "0 masked slots"), ("a <x:?>", (("a",),), "two or more"), ("<x:?>", (("a", "a"),), "two or more")],
)
def test_a_space_without_a_choice_is_refused(template, options, told):
    with pytest.raises(ValueError, match=told):
        Genes(parse(template), options)


# ---- the search ----------------------------------------------------------------------------------------------------------


def share(found):
    """How much of the way from the mean of all 4,096 masks to the best one a voting went."""
    values = np.array(liking(found.genes.texts(found.genes.all())))
    return (liking([found.best()])[0] - values.mean()) / (values.max() - values.mean())


@pytest.mark.parametrize("method", ["genetic", "thompson"])
def test_votes_with_noise_lead_to_the_best_of_4096_masks(method):
    assert share(simulate(voting(method), Voter(liking, 0.5), 300)) > 0.9


def test_both_ways_are_better_than_random_pages_at_equal_votes():
    found = {m: [share(simulate(voting(m, seed=s), Voter(liking, 0.7, s), 60)) for s in range(4)] for m in genetic.METHODS}
    assert min(np.mean(found["genetic"]), np.mean(found["thompson"])) > np.mean(found["random"]) + 0.1


def test_a_made_up_voter_votes_as_bradley_and_terry_say():
    voter, texts = Voter(liking, 1.0), ["p0", "p1"]
    wins = np.mean([voter.marks(texts, 1, turn) == (0,) for turn in range(4000)])
    assert abs(wins - voter.chance(*texts)) < 0.02 and 0.6 < wins < 0.95
    assert Voter(liking, 0).marks(["p1", "p0", "p9"], 2, 3) == (1, 2)
    with pytest.raises(ValueError, match="2 finite numbers"):
        Voter(lambda texts: [np.nan] * len(texts)).marks(texts, 1, 0)


def test_equal_seeds_give_equal_pages_and_others_do_not():
    a, b, c = (simulate(voting(seed=seed), Voter(liking), 30) for seed in (1, 1, 2))
    assert a.turns == b.turns != c.turns and (a.page == b.page).all()


def test_pages_of_eight_with_three_marks_are_fifteen_comparisons():
    found = voting(page=8, marks=3, looks=1)
    found.vote(0, 3, 5)
    assert found.pairs == 15 and len(found.texts) == 8
    assert {found.genes.text(row) for row in found.turns[0].page} >= {text for text, _ in found.ranking()[:3]}


@pytest.mark.parametrize("method", genetic.METHODS)
def test_a_page_never_shows_the_same_prompt_twice_while_there_are_others(method):
    small = Genes(parse("<size:?> <color:?> <animal:?>"), (("big", "small"), ("red", "blue", "grey"), ("fox", "owl", "cat")))
    for seed in range(8):
        found = Voting(small, VoteConfig(method=method, page=3, generation=6, seed=seed))
        for _ in range(10):
            assert len(set(found.texts)) == 3
            found.vote(0)


@pytest.mark.parametrize("method", genetic.METHODS)
def test_a_space_smaller_than_a_page_can_be_voted_on(method):
    found = Voting(Genes(parse("a <x:?>"), (("red", "blue"),)), VoteConfig(method=method, page=4))
    for _ in range(8):
        found.vote(0)
        assert found.best() in ("a red", "a blue") and 0 <= found.agreement() <= 1


def test_votes_among_equal_prompts_compare_nothing():
    found = voting()
    found.turns = [Turn(((0,) * 12, (0,) * 12), (0,))]
    for question in (found.best, found.ranking, found.taste, found.agreement):
        with pytest.raises(VoteError, match="no vote yet"):
            question()
    assert "No vote yet" in widgets.votes(found).best.value


def test_a_vote_that_is_interrupted_is_not_half_counted(monkeypatch):
    found = simulate(voting(), Voter(liking), 5)
    page, turns = found.page.copy(), list(found.turns)

    def stopped(*args):
        raise KeyboardInterrupt

    monkeypatch.setitem(genetic.METHODS, "genetic", stopped)
    for verb in (lambda: found.vote(0), found.undo):
        with pytest.raises(KeyboardInterrupt):
            verb()
        assert found.turns == turns and (found.page == page).all()


# ---- a person ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", genetic.METHODS)
def test_a_vote_that_is_undone_was_never_given(method):
    found = simulate(voting(method), Voter(liking), 13)
    page, turns = found.page.copy(), list(found.turns)
    found.vote(0), found.vote(1), found.vote()
    assert found.undo() and found.undo() and found.undo()
    assert (found.page == page).all() and found.turns == turns
    empty = voting(method)
    assert not empty.undo()


@pytest.mark.parametrize("method", ["genetic", "thompson"])
def test_a_person_who_leaves_in_the_middle_comes_back_to_the_same_page(method, tmp_path):
    whole = simulate(voting(method), Voter(liking), 40)
    simulate(voting(method, tmp_path / "votes"), Voter(liking), 17)
    back = voting(method, tmp_path / "votes")
    assert len(back.turns) == 17
    assert simulate(back, Voter(liking), 40).turns == whole.turns and (back.page == whole.page).all()
    with pytest.raises(ArtifactError, match=r"options\.seed differs"):
        voting(method, tmp_path / "votes", seed=5)
    whole.save(tmp_path / "saved")
    assert Voting.load(tmp_path / "saved").best() == whole.best()


def test_without_votes_there_is_no_best_and_the_error_says_what_to_do():
    found = voting()
    for question in (found.best, found.ranking, found.taste, found.agreement):
        with pytest.raises(VoteError, match="There is no vote yet"):
            question()
    found.vote()
    with pytest.raises(VoteError, match="1 pages were skipped"):
        found.best()


@pytest.mark.parametrize("marks", [(2,), (-1,), (0, 0), (0, 1), ("0",), (True,)])
def test_marks_that_are_not_on_the_page_are_refused_and_nothing_is_counted(marks):
    found = voting()
    with pytest.raises(VoteError, match="Mark"):
        found.vote(*marks)
    assert not found.turns


def test_votes_that_contradict_each_other_cancel_and_are_told():
    found = voting(page=2)
    one, other = map(tuple, np.eye(12, dtype=int)[:2].tolist())
    found.turns = [Turn((one, other), (i % 2,)) for i in range(10)]
    assert max(abs(strength) for _, strength in found.ranking()) < 1e-3 and found.agreement() == 0.5
    assert found.best() in ("x, p0", "x, p1")
    of_one_mind = simulate(voting(), Voter(liking, 0), 60)
    assert of_one_mind.agreement() > 0.8 > 0.65 > simulate(voting(), Voter(liking, 30), 60).agreement() > 0.3


def test_a_saved_voting_that_was_tampered_with_is_refused(tmp_path):
    found = simulate(voting(), Voter(liking), 3)
    found.turns[1] = Turn(((7,) * 12, (0,) * 12), (0,))
    found.save(tmp_path / "v")
    with pytest.raises(ArtifactError, match="cannot say"):
        Voting.load(tmp_path / "v")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"marks": 2}, "tell nothing apart"),
        ({"generation": 7}, "multiple of page"),
        ({"method": "magic"}, "one of"),
        ({"page": 1}, "page"),
    ],
)
def test_options_out_of_range_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        VoteConfig(**options)


# ---- a taste for a language ----------------------------------------------------------------------------------------------


class Reads:
    """A language of two slots that reads by rule."""

    def read(self, texts):
        if isinstance(texts, str):
            return parse(texts)
        return [parse(f"a <color:{text.split()[1]}> <subject:{text.split()[2]}>") for text in texts]


def test_a_taste_ranks_what_a_language_writes(tmp_path):
    genes = Genes(parse("a <color:?> <subject:?>"), (("red", "blue", "grey"), ("fox", "ship")))
    likes = {"red": 2.0, "blue": 0.0, "grey": -2.0, "fox": 1.0, "ship": -1.0}
    voter = Voter(lambda texts: [sum(likes.get(word, 0) for word in text.split()) for text in texts], 0.5)
    taste = simulate(Voting(genes, VoteConfig(method="thompson")), voter, 80).taste()
    assert taste.favourites(1)["color"][0][0] == "red" and taste.favourites(1)["subject"][0][0] == "fox"
    written = ["a grey ship", "a red owl", "a blue fox", "a red fox"]
    assert taste.rank(Reads(), written)[0] == "a red fox" and taste.rank(Reads(), written)[-1] == "a grey ship"
    taste.save(tmp_path / "taste")
    again = Taste.load(tmp_path / "taste")
    assert again.scorer(Reads())(written).tolist() == taste.scorer(Reads())(written).tolist()


def test_two_slots_of_one_name_share_a_taste():
    genes = Genes(parse("<artist:?> and <artist:?>"), (("goya", "monet"), ("goya", "monet")))
    found = Voting(genes)
    found.turns = [Turn(((0, 1), (1, 1)), (0,))] * 9 + [Turn(((0, 0), (0, 1)), (1,))]  # goya first, and monet behind him
    first, second = np.split(taste_of(genes, found.turns)[0], 2)
    assert first[0] > 0 > second[0]
    weights = found.taste().weights["artist"]
    assert weights == pytest.approx({"goya": (first[0] + second[0]) / 2, "monet": (first[1] + second[1]) / 2})


# ---- the widget ----------------------------------------------------------------------------------------------------------


def squares(texts):
    return [Image.new("RGB", (8, 8), (len(text) % 255, 0, 0)) for text in texts]


def test_two_pictures_a_vote_an_undo_and_a_stop():
    view = widgets.votes(voting(), squares)
    first = [card.value for card in view.cards]
    assert all("<img alt=" in value and "data:image/png" in value for value in first) and view.undo.disabled
    view.better[1].click()
    assert view.voting.turns[0].marked == (1,) and "Vote 1" in view.status.value and "Best after 1 vote:" in view.best.value
    view.undo.click()
    assert not view.voting.turns and [card.value for card in view.cards] == first
    view.skip.click()
    assert view.voting.turns[0].marked == () and "No vote yet" in view.best.value
    view.stop.click()
    assert view.stop.description == "Go on" and all(one.disabled for one in (*view.better, view.skip))
    view.stop.click()
    assert view.stop.description == "Stop" and not view.better[0].disabled
    assert view.to_html().count("<img") == 2 and "<script" not in view.to_html()


def test_pictures_that_cannot_be_drawn_lose_no_vote():
    def broken(texts):
        raise PictureError("no disk.")

    view = widgets.votes(voting(), broken)
    assert "could not be drawn: no disk" in view.status.value and "<img" not in view.cards[0].value
    view.better[0].click()
    assert len(view.voting.turns) == 1
    with pytest.raises(ValueError, match="Set marks=1"):
        widgets.votes(voting(page=8, marks=3, looks=1))


def test_the_cards_are_those_of_the_page_whatever_goes_wrong(tmp_path, monkeypatch):
    calls = []

    def tired(texts):
        calls.append(texts)
        if len(calls) > 1:
            raise RuntimeError("out of memory")
        return squares(texts)

    view = widgets.votes(voting(), tired)
    view.better[0].click()
    assert len(view.voting.turns) == 1 and "out of memory" in view.status.value
    assert all(text in card.value for card, text in zip(view.cards, view.voting.texts, strict=True))

    view = widgets.votes(voting(folder=tmp_path / "votes"), squares)
    full = ArtifactError("the disk is full.")
    monkeypatch.setattr(view.voting._checkpoint, "save", lambda *_: (_ for _ in ()).throw(full))
    view.better[0].click()
    assert "disk is full" in view.status.value and len(view.voting.turns) == 1
    assert all(text in card.value for card, text in zip(view.cards, view.voting.texts, strict=True))
    assert "Best after 1 vote" in view.best.value


def test_two_quick_clicks_are_one_vote():
    now = [0.0]
    view = VoteView(voting(), squares, lambda: now[0])
    for seconds, votes in ((0, 1), (0.1, 1), (0.5, 2), (0.6, 2)):
        now[0] = seconds
        view.better[0].click()
        assert len(view.voting.turns) == votes
    view.better[1].click()  # another one
    assert len(view.voting.turns) == 3


def test_prompts_are_shown_as_text_and_never_as_html():
    genes = Genes(parse("a <x:?>"), (('<b>"bold"', "<script>"),))
    view = widgets.votes(Voting(genes), squares)
    assert not any("<script>" in card.value or "<b>" in card.value for card in view.cards)


@pytest.mark.parametrize("relatives", [True, False])
@pytest.mark.parametrize("phrases", [("a", "b"), ("a", "b", "c")])
def test_no_page_shows_a_prompt_twice_where_there_are_few(phrases, relatives):
    found = Voting(Genes.mask(phrases, "x"), VoteConfig(relatives=relatives))
    for turn in range(30):
        assert len(set(found.texts)) == 2, turn
        found.vote(turn % 2)
