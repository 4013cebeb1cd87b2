import pytest
from tiny_clip import WORDS, tiny_clip

from workbench import pez
from workbench.search.vocabulary import Vocabulary

QUICK = pez.PEZConfig(length=3, steps=12, restarts=2, candidates=16, width=16)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


def test_the_vocabulary_can_be_narrowed(clip):
    def allowed(**options):
        vocabulary = Vocabulary(clip.tokenizer, 100, QUICK.replace(**options))
        return {clip.tokenizer.convert_ids_to_tokens(int(i)) for i in vocabulary.allowed if i < len(clip.tokenizer)}

    everything = set(clip.tokenizer.get_vocab())
    assert allowed(vocabulary="all") == everything
    assert allowed() == allowed(vocabulary="ascii") == everything - set(clip.tokenizer.all_special_tokens)
    assert allowed(vocabulary="words") == {f"{word}</w>" for word in (*WORDS, *"abcdefghijklmnopqrstuvwxyz")}
    assert not any("as" in token for token in allowed(blocked="As")) and "castle</w>" in allowed(blocked="x")


def test_whether_a_text_is_split_again_is_known(clip):
    vocabulary = Vocabulary(clip.tokenizer, len(clip.tokenizer), QUICK)
    pieces = clip.tokenizer.convert_tokens_to_ids(["c", "a", "t</w>"])
    assert vocabulary.text(pieces) == "cat" and not vocabulary.retokenises(pieces)
    assert vocabulary.retokenises(clip.tokenizer("red cat", add_special_tokens=False)["input_ids"])
