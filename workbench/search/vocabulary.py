"""Which tokens a prompt may be made of, and the text that their ids stand for."""

import torch

VOCABULARIES = ("all", "printable", "ascii", "words")
_AS_IS = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}


class Vocabulary:
    """The tokens to choose from, and the fixed text around them.

    Args:
        tokenizer: fast tokenizer of the model.
        size: int v, rows of its table of token vectors.
        config: `PEZConfig`, for vocabulary, blocked, prefix and suffix.
        ignore_space: bool, whether spaces between tokens mean nothing to the tokenizer, as with CLIP's.

    Attributes:
        allowed: int64 tensor (a,), ids to choose from, rising.
        prefix: tuple of int, ids of the prefix; `suffix` likewise.

    Raises:
        ValueError: no token is left.
    """

    def __init__(self, tokenizer, size, config, ignore_space=True):
        self.tokenizer, self.ignore_space = tokenizer, ignore_space
        self.before, self.after = config.prefix, config.suffix
        self.prefix, self.suffix = self.ids(config.prefix), self.ids(config.suffix)
        self.blocked = tuple(text.lower() for text in config.blocked)
        self.allowed = torch.arange(size)
        if config.vocabulary != "all" or self.blocked:
            self.allowed = self.allowed[self._fits(size, config.vocabulary)]
        if not len(self.allowed):
            raise ValueError(f"No token is left: none of {size} is {config.vocabulary} and free of {', '.join(config.blocked)}.")

    def _fits(self, size, kind):
        texts = self.tokenizer.batch_decode([[i] for i in range(min(size, len(self.tokenizer)))], **_AS_IS)
        special, out = set(self.tokenizer.all_special_ids), torch.zeros(size, dtype=torch.bool)
        for i, text in enumerate(texts):
            bare = text.strip()
            fits = kind == "all" or (i not in special and bare != "" and bare.isprintable() and "\ufffd" not in bare)
            if kind == "ascii":
                fits = fits and bare.isascii()
            out[i] = fits and not any(word in text.lower() for word in self.blocked)
        if kind == "all":
            out[len(texts) :] = True
        if kind == "words":
            kept = out.nonzero()[:, 0].tolist()
            again = self.tokenizer([texts[i] for i in kept], add_special_tokens=False)["input_ids"] if kept else []
            out[[i for i, ids in zip(kept, again, strict=True) if ids != [i]]] = False
        return out

    def ids(self, text):
        """The tokens of a text without special ones: tuple of int."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()

    def text(self, ids):
        """The full text of moving tokens `ids`, a list of int: prefix, what they decode to, suffix."""
        if not self.ignore_space:
            return self.tokenizer.decode([*self.prefix, *ids, *self.suffix], **_AS_IS)
        middle = self.tokenizer.decode(ids, **_AS_IS)
        return " ".join(part for part in (self.before.strip(), middle.strip(), self.after.strip()) if part)

    def retokenises(self, ids):
        """Whether the text of `ids` is split into exactly these tokens again."""
        return self.ids(self.text(ids)) == (*self.prefix, *ids, *self.suffix)

    def clean(self, ids):
        """Whether the text is free of what is blocked; tokens that are free of it can still spell it together."""
        if not self.blocked:
            return True
        text = self.tokenizer.decode(ids, **_AS_IS).lower()
        return not any(word in text for word in self.blocked)
