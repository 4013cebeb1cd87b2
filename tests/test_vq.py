"""The codes of the method "vq": seeds, gradients, and what the method shares with the default."""

import numpy as np
import pytest
import torch
from sklearn.metrics import v_measure_score
from test_codebook import blobs
from vector_quantize_pytorch import VectorQuantize

from workbench import corpus
from workbench.language.codebook import Codebook, CodebookConfig, vq
from workbench.language.dsl import DeepDSL, DSLConfig
from workbench.language.evaluate import evaluate
from workbench.values import ArtifactError

FOUR = CodebookConfig(n_codes=4, method="vq", epochs=5)


def network(stopped=True, k=6, width=5):
    """A small network, and units to try it on."""
    torch.manual_seed(0)
    x, inside = torch.randn(40, width), torch.ones(40, 4, dtype=torch.bool)
    return vq.Network(x[:k].clone(), torch.full((k,), 40 / k), stopped), x, inside


@pytest.mark.parametrize(("seeded", "moved_at_most"), [(True, 0.2), (False, None)])
def test_seeds_survive_the_first_update_because_the_running_averages_are_set_too(seeded, moved_at_most):
    torch.manual_seed(0)
    seeds = torch.eye(4) * 10
    quantise = VectorQuantize(4, 4, decay=0.9)
    if seeded:
        vq.seed_codes(quantise, seeds, torch.full((4,), 8.0))
    else:
        quantise.codebook = seeds  # what the library offers; it is lost at once
    quantise.train()(seeds.repeat(8, 1) + 0.1 * torch.randn(32, 4))
    moved = float((quantise.codebook - seeds).norm(dim=1).max())
    assert moved < moved_at_most if seeded else moved > 1


@pytest.mark.parametrize("stopped", [True, False])
def test_the_gradient_of_the_reconstruction_reaches_the_codes_only_if_it_is_not_stopped(stopped):
    made, x, inside = network(stopped)
    made.losses(x, inside)["reconstruction"].backward()
    gradient = made.turn.weight.grad
    assert (gradient is None or not gradient.any()) if stopped else gradient.abs().max() > 1e-4
    assert made.decoder[0].weight.grad.any() and made.content[0].weight.grad.any()


@pytest.mark.parametrize("name", ["commitment", "masked"])
def test_commitment_and_masked_prediction_tune_the_codes_in_any_case(name):
    made, x, inside = network()
    made.losses(x, inside)[name].backward()
    assert made.turn.weight.grad.abs().max() > 1e-4


def test_a_masked_unit_is_predicted_from_its_neighbours_and_never_from_itself_or_another_prompt():
    made, x, inside = network()
    for parameter in made.guess.parameters():
        parameter.requires_grad_(False)
    made.eval()
    inside = torch.zeros_like(inside)
    inside[1, 2] = True  # unit 1 sees unit 2, and nothing else is seen
    leaf = x.clone().requires_grad_()
    made.train()
    made.losses(leaf, inside)["masked"].backward()
    assert leaf.grad.any(1).nonzero().flatten().tolist() == [2]


def test_an_unused_code_goes_to_the_unit_that_is_farthest_from_its_code():
    x = torch.tensor([[0.0], [0.1], [1.0], [5.0]])
    assert vq.used(x, torch.tensor([[0.0], [1.0], [99.0]])).flatten().tolist() == [0, 1, 5]
    same = torch.zeros(3, 1)  # nowhere to go
    assert vq.used(same, torch.tensor([[0.0], [7.0]])).flatten().tolist() == [0, 0]


def test_four_groups_are_found_exactly_and_nothing_but_the_vector_counts():
    (layer, static, types, before), truth = blobs(4)
    book = Codebook(FOUR).fit(layer, static, types, before, progress=False)
    codes = book.encode(layer, static, types, before)
    assert codes.dtype == np.int64 and v_measure_score(truth, codes) == pytest.approx(1.0)
    np.testing.assert_allclose(book.usage_, np.bincount(codes) / len(codes), atol=1e-6)
    np.testing.assert_allclose(book.transitions_.sum(2), 1, atol=1e-5)
    x = book.features(layer, static, types)
    np.testing.assert_array_equal(codes, ((x[:, None] - book.vectors_) ** 2).sum(2).argmin(1))
    alone = [int(book.encode(layer[[i]], static, types[[i]], [2])[0]) for i in range(50)]
    assert alone == codes[:50].tolist()


def test_without_epochs_the_codes_are_the_medoids():
    units, _ = blobs(20)
    book = Codebook(CodebookConfig(n_codes=8, method="vq", epochs=0)).fit(*units, progress=False)
    x = book.features(*units[:3])
    np.testing.assert_array_equal(book.vectors_, x[book.medoid_rows_])
    assert book.history_ == []


def test_equal_seeds_give_equal_codebooks():
    units, _ = blobs(20, units=800)
    config = CodebookConfig(n_codes=8, method="vq", epochs=3)
    first, second, other = (Codebook(config).fit(*units, progress=False, seed=seed) for seed in (3, 3, 4))
    for name, tensor in first.to_state()[1].items():
        np.testing.assert_array_equal(tensor, second.to_state()[1][name], err_msg=name)
    assert first.history_ == second.history_ and not np.array_equal(first.vectors_, other.vectors_)


def test_the_losses_fall_and_are_kept():
    units, _ = blobs(20, noise=0.3)
    book = Codebook(CodebookConfig(n_codes=8, method="vq", epochs=40)).fit(*units, progress=False)
    first, last = book.history_[0], book.history_[-1]
    assert list(first) == ["step", "reconstruction", "commitment", "contrast", "masked"] and len(book.history_) == 40
    assert last["reconstruction"] < 0.7 * first["reconstruction"] and last["contrast"] < first["contrast"]


def test_a_loaded_codebook_is_equal_to_the_saved_one(tmp_path):
    units, _ = blobs(6)
    book = Codebook(FOUR).fit(*units, progress=False)
    book.save(tmp_path / "book")
    again = Codebook.load(tmp_path / "book")
    assert again.config == book.config and again.history_ == book.history_
    np.testing.assert_array_equal(again.encode(*units), book.encode(*units))
    assert again.to_state()[0] == book.to_state()[0]


def test_a_damaged_file_is_named(tmp_path):
    Codebook(FOUR).fit(*blobs(6)[0], progress=False).save(tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArtifactError, match=f"{file.name} is damaged"):
        Codebook.load(tmp_path)


def test_a_language_with_vq_codes_has_no_dead_code_and_is_the_same_after_loading(minilm, tmp_path):
    pile = corpus.load("world", n=150, seed=1, progress=False)
    config = DSLConfig(codebook=CodebookConfig(n_codes=32, method="vq", epochs=4), writer=None)
    dsl = DeepDSL.fit(pile, config, encoder=minilm, folder=tmp_path / "work", progress=False)
    assert len(dsl.codes) == 32 and dsl.stats["dead_codes"] == 0
    assert evaluate(dsl, pile)["words"] > 0.3
    dsl.save(tmp_path / "dsl")
    again = DeepDSL.load(tmp_path / "dsl", encoder=minilm)
    assert [str(again.read(p)) for p in pile[:5]] == [str(dsl.read(p)) for p in pile[:5]]


# ---- what cannot be learned from ----------------------------------------------------------------------------------------


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be one of hmm, vq; got 'vqvae'"):
        CodebookConfig(method="vqvae")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    (layer, static, types, before), _ = blobs(4)
    layer[3, 2] = value
    with pytest.raises(ValueError, match="NaN or infinite values. Is the encoder damaged"):
        Codebook(FOUR).fit(layer, static, types, before)


def test_fewer_different_phrases_than_codes_are_refused_with_a_number_that_works():
    with pytest.raises(ValueError, match=r"32 codes need 32 different phrases or more, these prompts have 12\. .*n_codes=4"):
        Codebook(CodebookConfig(n_codes=32, method="vq")).fit(*blobs(4, per_group=3)[0])


def test_given_codes_are_refused_before_any_work():
    (layer, static, types, before), _ = blobs(4)
    given = np.full(len(static), -1)
    Codebook(FOUR).fit(layer, static, types, before, given=given, progress=False)  # none is given
    given[0] = 0
    with pytest.raises(ValueError, match='"vq" learns all of its codes and takes none that are given'):
        Codebook(FOUR).fit(layer, static, types, before, given=given)
    with pytest.raises(ValueError, match='"vq" learns all of its codes'):
        DeepDSL.fit(["a red fox"], DSLConfig(codebook=FOUR), codes={"animal": ["red fox"]})


def test_features_that_are_all_equal_leave_finite_codes():
    tuned = vq.tune(np.ones((40, 3), np.float32), np.ones((2, 3), np.float32), np.tile(np.int8([2, 0]), 20), 2, progress=False)
    assert np.isfinite(tuned.vectors).all() and np.isfinite(tuned.turn).all()
