"""The lists of the prompt grammar, and which of their fillers are held out."""

import pytest

from workbench.world import grammar


@pytest.mark.parametrize("label", grammar.OPEN_SLOTS)
def test_open_slots_have_50_to_200_fillers_and_hold_out_a_fifth(label):
    kept, held_out = grammar.fillers(label), grammar.fillers(label, "test")
    assert 50 <= len(kept) + len(held_out) <= 200
    assert len(set(kept + held_out)) == len(kept) + len(held_out)
    assert 0.18 <= len(held_out) / (len(kept) + len(held_out)) <= 0.22


def test_closed_slots_hold_out_nothing():
    assert grammar.fillers("quality", "test") == grammar.fillers("site", "test") == ()
    assert "8k" in grammar.fillers("quality") and "trending on artstation" in grammar.fillers("site")
