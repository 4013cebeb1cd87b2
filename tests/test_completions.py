"""Short prompts of the world and all that may be added: what they say is read back, and their numbers are known."""

import pytest

from workbench.world import completions, scenes


def test_each_prompt_says_what_it_asks_for_and_nothing_else():
    seen, unseen = completions.prompts("train"), completions.prompts("held_out")
    assert len(seen) == 40 * 7 and len(unseen) == 8 * 7 and len(completions.prompts("any", background=False)) == 48
    for one in seen + unseen:
        said = scenes.read(one.words)
        assert (said["object"], said["color"], said["background"], said["style"]) == (one.object, one.color, one.background, None)
    assert {(one.color, one.object) for one in unseen} == scenes.HELD_OUT
    assert completions.typed("triangle", "orange", "snow").words == "an orange triangle in the snow"
    assert all(one.background for one in completions.prompts("train", background=True))


def test_endings_are_all_different_and_make_captions_of_the_world():
    for background, count in ((None, 144), ("sea", 24)):
        start, ends = completions.typed("star", "pink", background).words, completions.endings(background)
        assert len(set(ends)) == len(ends) == count
        assert all(None not in (scenes.read(start + end)[name] for name in scenes.ATTRIBUTES) for end in ends)


def test_pairs_begin_as_typed_and_half_of_them_have_a_background():
    found = completions.pairs(60, seed=3)
    assert found == completions.pairs(60, seed=3) != completions.pairs(60, seed=4)
    assert all(
        whole.startswith(start) and whole[len(start) :] in completions.endings(scenes.read(start)["background"])
        for start, whole in found
    )
    assert sum(scenes.read(start)["background"] is not None for start, _ in found) == 30


def test_values_of_no_world_are_refused():
    with pytest.raises(ValueError, match="no object 'cow'"):
        completions.typed("cow", "red")
    for call in (completions.endings, lambda place: completions.typed("star", "red", place)):
        for place in ("moon", ""):
            with pytest.raises(ValueError, match="background"):
                call(place)
    with pytest.raises(ValueError, match="split"):
        completions.prompts("test")
