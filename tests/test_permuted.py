import collections

import pytest

from workbench.world import permuted, scenes


def test_orders_differ_and_depend_on_the_seed():
    orders = permuted.orders(120, seed=1)
    assert len(set(orders)) == 120 and all(sorted(order) == sorted(permuted.LABELS) for order in orders)
    assert orders[:5] == permuted.orders(5, seed=1) != permuted.orders(5, seed=2)
    with pytest.raises(ValueError, match="n must be an int from 1 to 120"):
        permuted.orders(121)


@pytest.mark.parametrize("words", [1, 3])
def test_the_label_is_that_of_the_kind_of_the_last_word(words):
    order = permuted.orders(1, seed=3)[0]
    texts, labels = permuted.rows(400, order, seed=4, words=words)
    for text, label in zip(texts, labels, strict=True):
        said = scenes.read(text)
        last = next(name for name, value in scenes.read(text.split(", ")[-1]).items() if value)
        assert sum(value is not None for value in said.values()) == words
        assert label == order[permuted.KINDS.index(last)]
    assert min(collections.Counter(labels).values()) > 50
    assert (texts, labels) == permuted.rows(400, order, seed=4, words=words)
    assert [[name for name, value in scenes.read(label).items() if value] for label in permuted.LABELS] == [
        [kind] for kind in permuted.KINDS
    ]
