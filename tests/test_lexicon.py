from workbench.language import lexicon


def test_each_kind_has_different_phrases_with_text():
    kinds = lexicon.phrases()
    assert {"subject", "medium", "artist", "lighting", "quality"} <= set(kinds)
    for kind, listed in kinds.items():
        assert kind == kind.strip().lower() and len(listed) >= 10
        assert len(set(listed)) == len(listed) and all(phrase == phrase.strip() != "" for phrase in listed)


def test_it_is_read_once():
    assert lexicon.phrases() is lexicon.phrases()
