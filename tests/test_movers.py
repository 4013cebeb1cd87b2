import torch
from tiny_clip import tiny_clip

from workbench import pez
from workbench.search.loop import Mover, loop
from workbench.search.movers import METHODS, swaps
from workbench.search.run import Run, nearest
from workbench.search.vocabulary import Vocabulary

QUICK = pez.PEZConfig(length=3, steps=12, restarts=2, candidates=16, width=16)


def test_tokens_change_places_with_the_one_at_a_position():
    out = swaps.exchanges(torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([0, 2]))
    assert out.tolist() == [[[1, 2, 3], [2, 1, 3], [3, 2, 1]], [[6, 5, 4], [4, 6, 5], [4, 5, 6]]]


def test_swaps_propose_other_tokens_only():
    class Run:
        config, allowed, table = QUICK.replace(candidates=99), torch.arange(6), torch.randn(6, 4)

    proposed = swaps.Swaps.tokens(type("S", (), {"run": Run()})(), torch.randn(7, 4), torch.arange(7) % 6)
    assert proposed.shape == (7, 5) and not (proposed == (torch.arange(7) % 6)[:, None]).any()


def test_the_nearest_token_is_that_of_the_largest_cosine_and_of_equals_the_first():
    table = torch.nn.functional.normalize(torch.randn(300, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    vectors = torch.randn(7, 50, 8, generator=torch.Generator().manual_seed(1))
    cosines = torch.nn.functional.cosine_similarity(vectors[..., None, :].double(), table.double(), dim=-1)
    assert torch.equal(nearest(vectors, table), cosines.argmax(-1))
    assert nearest(torch.eye(4)[[1]], torch.eye(4)[[0, 1, 1, 2]]).tolist() == [1]


class Reds:
    """An objective without a gradient: how many of the tokens have even numbers."""

    def __init__(self, table):
        self.table, self.about = table, {"goal": "even"}

    def score(self, ids, rows):
        return (ids % 2 == 0).float().mean(1)


class Mutation(Mover):
    """A mover that needs no gradient: one random token of the best prompt of each restart becomes another."""

    def __init__(self, run):
        super().__init__(run)
        self.ids = run.random_ids(run.every)

    def step(self, rows, progress):
        run = self.run
        ids = torch.where(run.best_ids[rows] < 0, self.ids[rows], run.best_ids[rows])
        place = run.draw(rows, lambda g: torch.randint(run.length, (run.restarts, 1), generator=g))
        ids = ids.scatter(1, place, run.random_ids(rows)[:, :1])
        return ids, run.score(ids, rows)


def test_another_objective_and_another_mover_take_one_class_each():
    clip = tiny_clip()
    table = clip.model.text_model.embeddings.token_embedding.weight
    run = Run(Reds(table), Vocabulary(clip.tokenizer, len(table), QUICK), QUICK, 1)
    history = loop(run, [(Mutation, 60)])
    assert len(history[0]) == 60 and float(run.best_similarity.min()) == 1.0
    assert issubclass(METHODS["pez"], Mover)
