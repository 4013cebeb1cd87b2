"""Presentable: what is misspelt or rare is not shown first."""

from types import SimpleNamespace

import numpy as np

from workbench.language.dsl import Code, Fillers, TemplateCount
from workbench.show import presentable


def language(fillers, examples=()):
    """A language of one kind of chip and of function words; `fillers` are triples of text, code and count."""
    texts, codes, counts = zip(*fillers, strict=True)
    return SimpleNamespace(
        codes=(Code(0, "thing", 9, 0.9, (), False), Code(1, "a", 1, 0.1, (), True)),
        fillers=Fillers(texts, np.array(codes), np.array(counts), np.zeros((len(texts), 2), np.float32)),
        templates=(TemplateCount("", 1, tuple(examples)),),
    )


def shown(dsl):
    return [dsl.fillers.texts[row] for row in presentable.rows(dsl)]


def test_slips_of_the_hand_are_left_out_and_rare_words_that_are_none_stay():
    slips = [("best quailty", 0, 4), ("single lmp", 0, 4), ("paintnig", 0, 4), ("highyl detailed", 0, 4), ("nigght", 0, 4)]
    sound = [("best quality", 0, 99), ("lamp", 0, 99), ("painting", 0, 99), ("highly detailed", 0, 99), ("night", 0, 99)]
    rare = [("knight", 0, 4), ("lamps", 0, 4), ("zorbing", 0, 4), ("写真", 0, 4), ("8k", 0, 4)]
    assert shown(language([*slips, *sound, *rare, ("a", 1, 500)])) == [text for text, _, _ in sound + rare]


def test_a_word_that_is_not_much_rarer_than_its_neighbour_is_a_word():
    assert shown(language([("blorb", 0, 10), ("blorbs", 0, 1), ("blurb", 0, 60)])) == ["blorb", "blorbs", "blurb"]


def test_what_occurs_once_or_twice_is_left_out_where_there_is_enough_else():
    common = [(f"thing {chr(97 + i)}", 0, 3) for i in range(12)]
    assert len(shown(language([*common, ("once", 0, 1)]))) == 12
    assert len(shown(language([*common[:11], ("once", 0, 1)]))) == 12


def test_the_first_prompts_have_about_five_chips_and_many_kinds_and_nothing_misspelt():
    five = ["<a:1> <b:2> <c:3> <d:4> <e:5>", "<a:9> <b:2> <c:3> <d:4> <e:5>", "<f:1> <g:2> <h:3> <i:4>"]
    others = ["<a:x>", "plain", "<a:?> <b:x>", "<a:paintnig> <b:2> <c:3> <d:4> <f:1>"]
    dsl = language([("painting", 0, 99), ("paintnig", 0, 1)], [*others, *five])
    assert [str(one) for one in presentable.prompts(dsl, 2)] == [five[0], five[2]]
    assert len(presentable.prompts(dsl, 9)) == 4 and presentable.prompts(language([("x", 0, 1)]), 3) == []


def test_prompts_with_words_that_nothing_knows_come_last():
    strange, known = "<a:knighht> <b:2> <c:3> <d:4> <e:5>", "<f:lamp> <g:2> <h:3> <i:4>"
    assert [str(one) for one in presentable.prompts(language([("lamp", 0, 9)], [strange, known]), 2)] == [known, strange]
