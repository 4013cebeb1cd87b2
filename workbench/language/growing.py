"""Growing: lists of fillers reach further, to other spellings of their phrases, and to phrases that are used like them."""

import unicodedata

import numpy as np
import regex

from workbench.checks import unit_rows
from workbench.words import is_function

_PARTS = regex.compile(r"[\p{L}\p{M}]+|\p{N}")  # digits one by one: bots part them, "1 9 8 0 s"
_ACCENTS = dict.fromkeys(range(0x300, 0x370))
_PLURAL = 3  # letters that a word has before the s of a plural
_SURE = 0.7  # probability from which a phrase in no list is taken for one of a list
_LOOSE = 3.0  # the larger, the closer the classifier follows the lists (C of scikit-learn)
_BLOCK = 20_000  # rows summed at a time, to bound memory


def spelling(phrase):
    """What spellings of a phrase have in common: "8k" and "8 k", "sci-fi" and "Sci - Fi", "dürer" and "durer", "cat" and "cats".

    Args:
        phrase: str.

    Returns:
        str, only for comparisons; "" for a phrase without letters and digits.
    """
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFKD", phrase.lower()).translate(_ACCENTS))
    parts = _PARTS.findall(plain)
    if parts and len(parts[-1]) > _PLURAL and parts[-1].endswith("s") and not parts[-1].endswith("ss"):
        parts[-1] = parts[-1][:-1]
    return " ".join(parts)


def respelled(types, codes):
    """The phrases of a corpus that are fillers of given codes, however they are written.

    Args:
        types: iterable of str, phrases.
        codes: dict of name to fillers.

    Returns:
        dict of phrase to number of the (first) code.
    """
    known = {}
    for code, fillers in enumerate(codes.values()):
        for filler in fillers:
            known.setdefault(spelling(filler), code)
    known.pop("", None)
    found = {text: known.get(spelling(text)) for text in types if not is_function(text)} if known else {}
    return {text: code for text, code in found.items() if code is not None}


def grown(types, ids, layer, static, given):
    """Codes for phrases in no list that are surely like those of one list.

    A linear classifier learns the lists from what their phrases mean alone and from where they stand in the corpus; phrases that
    it is sure of join the list. That needs lists of most kinds that prompts have, such as the lexicon's: from the lists of two
    kinds it would learn that everything is one or the other.

    Args:
        types: list of t str.
        ids: int64 (n,), the type of each unit of the corpus.
        layer: float (n, d), contextual vector of each unit.
        static: float32 (t, d2), context-free vector of each type.
        given: sequence of t int, the code of a type, -1 for none.

    Returns:
        int64 (t,), codes with those added.

    Source:
        Self-training: Yarowsky 1995, "Unsupervised word sense disambiguation rivaling supervised methods", one round.
    """
    given, times = np.array(given, np.int64), np.bincount(ids, minlength=len(types))
    listed = np.flatnonzero((times > 0) & (given >= 0))
    content = np.array([not is_function(text) for text in types], bool)
    others = np.flatnonzero((times > 0) & (given < 0) & content)
    if len(np.unique(given[listed])) < 2 or not len(others):
        return given
    from sklearn.linear_model import LogisticRegression

    context = np.zeros((len(types), layer.shape[1]), np.float32)
    for at in range(0, len(ids), _BLOCK):
        np.add.at(context, ids[at : at + _BLOCK], layer[at : at + _BLOCK].astype(np.float32))
    centre = context.sum(0) / len(ids)
    context /= np.maximum(times, 1)[:, None]
    x = np.hstack([unit_rows(static - (times @ static / len(ids)).astype(np.float32)), unit_rows(context - centre)])
    model = LogisticRegression(C=_LOOSE, max_iter=100).fit(x[listed], given[listed])
    p = model.predict_proba(x[others])
    sure = p.max(1) >= _SURE
    given[others[sure]] = model.classes_[p[sure].argmax(1)]
    return given
