"""Drafts of prompts of the built-in world."""

import re

from workbench.world import drafting, grammar


def test_articles_fit_the_word_after_them():
    assert [drafting._article(w) for w in ("owl", "unicorn", "hourglass", "samurai")] == ["an", "a", "an", "a"]
    corpus = "\n".join(prompt.text for prompt in grammar.generate(1500, seed=1, noise=False))
    assert not re.search(r"\ban [^aeiouh\W]", corpus) and not re.search(r"\ba [aeio]", corpus)
    assert "penguins" in corpus and not re.search(r"\ban? (\w+ )?(penguins|robots|mushrooms|tea cups)\b", corpus)
