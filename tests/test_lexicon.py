import unicodedata
from collections import Counter

from workbench.language import lexicon


def test_each_kind_has_different_phrases_with_text():
    kinds = lexicon.phrases()
    assert {"person", "animal", "place", "medium", "artist", "lighting", "quality"} <= set(kinds)
    for kind, listed in kinds.items():
        assert kind == kind.strip().lower() and len(listed) >= 50
        assert listed == tuple(sorted(listed)), kind
        assert all(phrase == " ".join(phrase.split()).lower() != "" and "," not in phrase for phrase in listed)


def test_no_phrase_has_two_kinds():
    counts = Counter(phrase for listed in lexicon.phrases().values() for phrase in listed)
    assert len(counts) >= 3000
    assert [phrase for phrase, n in counts.items() if n > 1] == []


def test_an_artist_can_be_typed_without_accents():
    artists, plain = set(lexicon.phrases()["artist"]), str.maketrans("øłð", "old")
    typed = {name: unicodedata.normalize("NFD", name).translate(plain).encode("ascii", "ignore").decode() for name in artists}
    assert typed["paul cézanne"] == "paul cezanne"
    assert sorted(set(typed.values()) - artists) == []


def test_phrases_have_the_kind_that_people_expect():
    kinds = {phrase: kind for kind, listed in lexicon.phrases().items() for phrase in listed}
    expected = {
        "samurai": "person",
        "fox": "animal",
        "dragon": "creature",
        "castle": "place",
        "greg rutkowski": "artist",
        "octane render": "renderer",
        "8k": "quality",
        "artstation": "site",
        "oil painting": "medium",
        "art nouveau": "movement",
        "cyberpunk": "aesthetic",
        "golden hour": "lighting",
        "close up": "composition",
        "35mm": "camera",
        "beautiful": "adjective",
    }
    assert {phrase: kinds[phrase] for phrase in expected} == expected


def test_it_is_read_once():
    assert lexicon.phrases() is lexicon.phrases()
