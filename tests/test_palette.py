"""The palette: which look each code has, and how far apart looks are for each kind of colour vision."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.chips import CHIPS, DOTS, PATTERNS, ground
from workbench.language.dsl import Code
from workbench.show import palette

# Machado, Oliveira & Fernandes 2009, severity 1, of linear RGB
VISION = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# OKLab (Ottosson 2020)
LMS = np.array([[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696], [0.08830246, 0.28171884, 0.6299787]])
LAB = np.array(
    [[0.21045426, 0.79361779, -0.00407205], [1.9779985, -2.42859221, 0.45059371], [0.02590404, 0.78277177, -0.80867577]]
)


def seen(colour, vision):
    shares = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return LAB @ np.cbrt(LMS @ np.clip(np.array(VISION[vision]) @ linear, 0, 1))


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("hues", [CHIPS, DOTS])
def test_hues_are_apart_for_each_kind_of_colour_vision(hues, vision):
    far = [np.linalg.norm(seen(one, vision) - seen(other, vision)) for one, other in combinations(hues, 2)]
    assert len(hues) == 8 and min(far) > (0.09 if vision == "all cones" else 0.035)  # .02 can be seen side by side


def test_48_looks_differ_as_chips():
    assert len({ground(look) for look in range(48)}) == 48 and len(PATTERNS) == 6
    assert not any("(0deg" in pattern for pattern in PATTERNS)  # lines across a text strike it out


def language(shares, counts, literal=()):
    codes = tuple(Code(i, f"c{i}", count, 0.0, (), i in literal) for i, count in enumerate(counts))
    return SimpleNamespace(codes=codes, transitions=np.array(shares, np.float32))


def test_codes_that_follow_each_other_differ_in_hue_also_through_function_words():
    shares = np.zeros((18, 18))
    shares[0, 16] = shares[16, 8] = 1  # c0, then a function word, then c8
    looks = palette.looks(language(shares, [100 - i for i in range(17)], literal={16}))
    assert sorted(looks.values()) == list(range(17)) and looks["c16"] == 16
    assert [looks[f"c{i}"] for i in range(8)] == list(range(8))  # the most used have the plain hues
    assert looks["c8"] % 8 != looks["c0"] % 8

    shares = np.zeros((10, 10))
    shares[0, 8] = shares[8, 0] = 1
    looks = palette.looks(language(shares, [100 - i for i in range(9)]))
    assert looks["c8"] // 8 == 1 and looks["c8"] % 8 != looks["c0"] % 8


def test_a_language_of_function_words_and_one_without_order_have_looks():
    assert palette.looks(language(np.zeros((3, 3)), [2, 1], literal={0, 1})) == {"c0": 0, "c1": 1}
    dsl = language(np.zeros((3, 3)), [1, 2])
    del dsl.transitions
    assert palette.looks(dsl) == {"c1": 0, "c0": 1}
    assert len(set(palette.looks(language(np.full((61, 61), 1 / 61), range(60))).values())) == 48
