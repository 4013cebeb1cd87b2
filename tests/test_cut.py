import math

import pytest
import torch

from workbench.models.cut import CLOSE, Cut


def test_a_cut_keeps_the_fewest_tokens_that_hold_the_share():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    for options, kept in (({}, 4), ({"top_k": 2}, 2), ({"top_p": 0.7}, 2), ({"top_p": 0.9}, 3), ({"top_k": 3, "top_p": 0.99}, 3)):
        law, size = Cut(**options).log_law(logits)
        assert int(torch.isfinite(law).sum()) == kept and float(law.exp().sum()) == pytest.approx(1)
        assert int(size) in (kept, 0)
    assert torch.allclose(Cut(0.5).log_law(logits)[0].exp()[0, :2], torch.tensor([0.25, 0.09]) / 0.365, atol=1e-6)


def test_tokens_that_tie_stay_together():
    logits = torch.tensor([[1.0, 0.0, 0.0, 0.0, -1.0]])
    assert int(Cut(top_k=2).log_law(logits)[1]) == 4
    assert int(Cut(top_p=0.6).log_law(logits)[1]) == 4


def test_a_cut_within_rounding_is_the_one_that_was_drawn_with():
    # the first two hold .9 but for rounding: drawing kept two, scoring alone would keep three
    p = torch.tensor([[0.6, 0.3 - 1e-6, 0.1 + 1e-6]])
    cut = Cut(top_p=0.9)
    assert int(cut.log_law(p.log())[1]) == 3
    law, size = cut.log_law(p.log(), kept=torch.tensor([2]))
    assert int(size) == 2 and float(law[0, 0].exp()) == pytest.approx(2 / 3, abs=1e-4)
    # but not what no rounding explains
    assert int(cut.log_law(p.log(), kept=torch.tensor([1]))[1]) == 3
    assert CLOSE <= 1e-4


def test_probabilities_are_cut_by_top_k_then_top_p():
    logits = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]]))
    allowed = torch.tensor([[True, True, True, True]])

    def p(allowed=allowed, **options):
        return Cut(**options).log_law(logits, allowed)[0].exp()[0].tolist()

    assert p() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert p(top_k=2) == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert p(top_p=0.4) == pytest.approx([1, 0, 0, 0])
    assert p(top_p=0.41) == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert p(top_k=3, top_p=0.7) == pytest.approx([4 / 7, 3 / 7, 0, 0])  # of the best three, .44 and .33 are enough
    assert p(temperature=0.5) == pytest.approx([16 / 30, 9 / 30, 4 / 30, 1 / 30])
    assert p(torch.tensor([[False, True, True, False]])) == pytest.approx([0, 0.6, 0.4, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_temperature_overflows_and_what_is_not_allowed_never_comes(dtype):
    logits = torch.tensor([[5.0, 3.0, 9.0]], dtype=dtype)
    allowed = torch.tensor([[True, True, False]])
    for options in ({"temperature": 1e-300}, {"temperature": 1e-30, "top_p": 0.9}, {"temperature": 0.01, "top_k": 2}):
        law, _ = Cut(**options).log_law(logits, allowed)
        assert law.exp()[0].tolist() == pytest.approx([1, 0, 0]) and law[0, 2] == -math.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be above 0, got 0. Near 0 the best symbol always wins"),
        ({"temperature": math.inf}, "temperature must be above 0, got inf"),
        ({"top_k": -1}, "top_k must be an int, 0 for all"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1, got 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Cut(**options)
