"""Coarse to fine: slots that are filled side by side hold what left to right could have written, in fewer steps."""

import numpy as np
import pytest

from workbench.language.dsl import DeepDSL
from workbench.language.writer import Decoding, coarse

PROMPT = "a painting of a castle in a forest at night, by claude monet, oil on canvas, soft lighting, highly detailed"


@pytest.fixture(scope="module")
def dsl(minilm):
    return DeepDSL.load("world", minilm)


@pytest.fixture(scope="module")
def template(dsl):
    return dsl.read(PROMPT).open()


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_all_slots_are_filled_and_the_text_between_them_stays(dsl, template, passes):
    for one in dsl.sample(3, template, decoding=Decoding(passes=passes), seed=1):
        assert not one.template.masked and one.template.same_shape(template) and np.isfinite(one.log_prob)
        literals = [part for part in template.parts if isinstance(part, str)]
        assert [part for part in one.template.parts if isinstance(part, str)] == literals


def test_a_single_slot_is_filled_in_passes_too(dsl):
    for passes in (1, 2, 3):
        (found,) = dsl.sample(1, "a <place:?>", decoding=Decoding(passes=passes), seed=1)
        assert found.text.startswith("a ") and np.isfinite(found.log_prob)


def test_a_filler_that_can_no_longer_be_written_is_opened_again_and_so_are_the_unlikely_ones(dsl, template, monkeypatch):
    writer, reread, opened = dsl.writer_, coarse._reread, []

    def one_cut_off(*args):
        where, nats = reread(*args)
        return where, [-np.inf, *nats[1:]]

    def counted(writer, templates, filled, *args):
        opened.append(sum(text is None for text in filled[0]))
        return at_once(writer, templates, filled, *args)

    at_once = coarse._at_once
    monkeypatch.setattr(coarse, "_at_once", counted)
    writer.fill([template], decoding=Decoding(passes=2), seed=0)
    monkeypatch.setattr(coarse, "_reread", one_cut_off)
    writer.fill([template], decoding=Decoding(passes=2), seed=0)
    usual, with_one = opened[1], opened[3]
    assert with_one >= max(usual, 1 + sum(slot.text is None for slot in template.slots) // 2)


def test_equal_seeds_give_equal_prompts_and_others_other_ones(dsl, template):
    own = Decoding(passes=2)
    assert dsl.sample(2, template, decoding=own, seed=3) == dsl.sample(2, template, decoding=own, seed=3)
    assert dsl.sample(2, template, decoding=own, seed=3) != dsl.sample(2, template, decoding=own, seed=4)


def test_passes_take_fewer_steps_of_the_network(dsl, template):
    steps = []
    hook = dsl.writer_.network_.decoder.register_forward_hook(lambda *_: steps.append(1))
    taken = []
    for passes in (0, 1, 2):
        steps.clear()
        dsl.writer_.fill([template], decoding=Decoding(passes=passes), seed=0)
        taken.append(len(steps))
    hook.remove()
    assert taken[0] > 1.5 * taken[2] > 1.5 * taken[1]  # seven slots; with more the ratio grows


def test_what_is_said_of_a_prompt_is_its_probability_from_left_to_right(dsl, template):
    found = dsl.writer_.fill([template], decoding=Decoding(passes=2), seed=0)[0]
    fillers = [tuple(slot.text for slot in found.template.slots)]
    assert found.log_prob == pytest.approx(dsl.writer_.score([template], fillers, decoding=Decoding())[0])


def test_content_and_scores_under_passes_are_refused(dsl, template):
    with pytest.raises(ValueError, match="without content"):
        dsl.sample(1, template, content="noise", decoding=Decoding(passes=2))
    with pytest.raises(ValueError, match="words="):
        dsl.writer_.fill([template], words=["zyx"], decoding=Decoding(passes=2))
    with pytest.raises(ValueError, match="passes=0"):
        dsl.log_score([PROMPT], template, decoding=Decoding(passes=2))
    with pytest.raises(ValueError, match="passes"):
        Decoding(passes=-1)
