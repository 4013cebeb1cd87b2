import importlib
import pkgutil

import numpy as np
import pytest
import torch

import workbench
from workbench import checks


@pytest.mark.parametrize("value", [True, 1.0, "3", None, 0, -1])
def test_a_whole_number_is_no_bool_and_in_range(value):
    with pytest.raises(ValueError, match=r"n must be an int of 1 or more, got "):
        checks.whole("n", value)


def test_whole_numbers_come_back_as_int():
    assert type(checks.whole("n", np.int64(4))) is int and checks.whole("n", 0, 0) == 0
    with pytest.raises(ValueError, match="length must be an int from 1 to 5, got 6"):
        checks.whole("length", 6, 1, 5)


@pytest.mark.parametrize(
    "value", [0, 3, np.int64(3), np.uint8(9), np.array(3), 2**32, 2**60, -1, -(2**63), 2**61, 2**70, 10**400]
)
def test_any_integer_is_a_seed_that_numpy_and_torch_take(value):
    seed = checks.seed(value)
    assert type(seed) is int and (seed == value or not 0 <= value < 2**61 - 1)
    assert torch.Generator().manual_seed(seed + 10**6).initial_seed() == seed + 10**6
    assert np.random.default_rng([seed, 1]).random() < 1


def test_seeds_near_each_other_stay_apart():
    assert len({checks.seed(value) for value in (*range(-50, 50), *(2**power for power in range(6, 61)))}) == 155


@pytest.mark.parametrize("value", [None, 3.0, "3", True, np.bool_(True), [3], np.array([3, 4]), float("nan"), b"3", 3j])
def test_what_is_no_integer_is_no_seed(value):
    with pytest.raises(ValueError, match="^the seed must be an int, got .* Any will do"):
        checks.seed(value, "the seed")


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), -0.1, 1.1])
def test_a_share_is_a_number_from_0_to_1(value):
    with pytest.raises(ValueError, match=r"proximity must be a number from 0 to 1, got"):
        checks.share("proximity", value)


def test_numbers_have_bounds_that_the_error_names():
    assert checks.number("rate", np.float32(0.5), 0, above=True) == 0.5 and checks.share("x", 1) == 1.0
    for bounds, said in (
        ((0, float("inf"), True), "above 0,"),
        ((0,), "of 0 or more"),
        ((), "that is finite"),
        ((0, 1, True), "above 0 and at most 1"),
    ):
        with pytest.raises(ValueError, match=f"rate must be a number {said}"):
            checks.number("rate", float("nan"), *bounds)
    with pytest.raises(ValueError, match="above 0"):
        checks.number("rate", 0, 0, above=True)


def test_a_choice_is_one_of_those_there_are():
    assert checks.one_of("by", "noise", ("slots", "noise")) == "noise"
    with pytest.raises(ValueError, match=r"by must be one of slots, noise; got 'slot'. Did you mean 'slots'\?"):
        checks.one_of("by", "slot", ("slots", "noise"))


def test_texts_are_a_list_of_str_with_something_in_it():
    assert checks.texts(("a", "b"), "phrases") == ["a", "b"]
    for wrong, error, message in (
        ("a", TypeError, "phrases is a list of str, got str"),
        (None, TypeError, "got NoneType"),
        (["a", 3], TypeError, "row 1 is int"),
        ([], ValueError, "There are no phrases"),
    ):
        with pytest.raises(error, match=message):
            checks.texts(wrong, "phrases")


def test_hints_are_given_only_where_a_name_is_near():
    assert checks.did_you_mean("artits", ["artist", None, "medium"]) == " Did you mean 'artist'?"
    assert checks.did_you_mean("zzz", ["artist"]) == ""


def test_unit_rows_have_length_one_and_zeros_stay():
    out = checks.unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    assert out.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]] and out.dtype == np.float32


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), "fast", True, None])
def test_a_rate_is_above_0_in_all_options_that_have_one(rate):
    names = [one.name for one in pkgutil.walk_packages(workbench.__path__, "workbench.")]
    modules = [importlib.import_module(name) for name in names if name.endswith(("config", "tuning"))]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    found = [kind for kind in kinds if issubclass(kind, checks.Options) and "rate" in kind.__annotations__]
    assert len(found) > 10
    for kind in found:
        if rate is None and kind.rate is None:
            continue  # means the usual one
        with pytest.raises(ValueError, match=f"{kind.__name__}: rate must be a number above 0"):
            kind(rate=rate)
