"""Vocabulary: the words the tiny CLIP can read, as an ordinary fast tokenizer. One word is one token; the rest is unknown."""

import re
from collections import Counter

from workbench.world import lexicon
from workbench.world.scenes import FORMS, VALUES, caption, scenes

WINDOW = 32  # tokens the text tower reads, begin and end included
PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<begin>", "<end>"
MEANING = frozenset(value.lower() for group in VALUES.values() for value in group)
_FUNCTION = frozenset("a an the of in at on by with and for from s its into over through".split())
_WORD = re.compile(r"\w+")


def words():
    """The words of captions, and those that stand in two or more fillers of the prompt grammar, sorted.

    Returns:
        list of str, lower case, several hundred; all of `MEANING` are among them.
    """
    counts = Counter(
        word for groups in lexicon.SLOTS.values() for group in groups.values() for filler in group for word in split(filler)
    )
    known = {word for word, count in counts.items() if count > 1} | MEANING
    for seed, scene in enumerate(scenes(2000, 0, "any")):
        for form in FORMS:
            known.update(split(caption(scene, form, seed)))
    return sorted(known)


def split(text):
    """`text` -> list of str, its words in lower case."""
    return _WORD.findall(text.lower())


def surplus():
    """List of str, the words of `words()` that say nothing of a scene and are no function words."""
    return [word for word in words() if word not in MEANING | _FUNCTION]


def tokenizer():
    """A new `transformers.PreTrainedTokenizerFast`.

    The end token has the highest id, which is where CLIP looks for it in old and in new versions of transformers, and each
    token but the special ones comes back when its text is read again.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = [PAD, UNKNOWN, ",", ".", "-", "/", "'", *words(), BEGIN, END]
    ids = {token: i for i, token in enumerate(tokens)}
    backend = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "removed", invert=True)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", pair=f"{BEGIN} $A $B {END}", special_tokens=[(BEGIN, ids[BEGIN]), (END, ids[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )
