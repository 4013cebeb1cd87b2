"""Reader: prompts -> tagged units and templates."""

import numpy as np

from workbench.data.corpus import Corpus
from workbench.language import encode
from workbench.language.dsl import masks
from workbench.template import Slot, Template
from workbench.values import TemplateError, Unit
from workbench.words import is_function

LONGEST = 10_000  # characters that are read, in seconds: what is longer is a file, not a prompt
_REMEMBERED = 20_000  # unit types whose static vectors stay in memory, since a corpus repeats itself


class Tagger:
    """Cuts prompts into units and finds the code of each. It needs no names, so `fit` uses it before they are known.

    Args:
        encoder: `models.Encoder`.
        units: `Units`.
        codebook: `Codebook`.
    """

    def __init__(self, encoder, units, codebook):
        self.encoder, self.units, self.codebook = encoder, units, codebook
        self._vectors = {}

    def tag(self, prompts):
        """Pairs (list of u `Span`, int64 (u,) codes), one for each of a list of prompts."""
        spans = [self.units.split(text) for text in prompts]
        return list(zip(spans, self.codes(spans, encode.words(prompts, self.encoder)), strict=True))

    def codes(self, spans, words):
        """Codes of prompts whose word vectors are known.

        Args:
            spans: list of n lists of `Span`.
            words: list of n float (w_i, d), see `encode.words`.

        Returns:
            list of n int64 (u_i,).
        """
        flat = [span for found in spans for span in found]
        if not flat:
            return [np.zeros(0, np.int64) for _ in spans]
        number = {text: i for i, text in enumerate(dict.fromkeys(span.text for span in flat))}
        layer = np.concatenate([means(w, s) for w, s in zip(words, spans, strict=True) if s])
        ids, before = np.array([number[span.text] for span in flat]), np.array([span.before for span in flat], np.int8)
        codes = self.codebook.encode(layer, self.static(list(number)), ids, before)
        return np.split(codes, np.cumsum([len(found) for found in spans])[:-1])

    def static(self, types):
        """Vectors of unit types that know nothing of any context: float32 (t, d)."""
        if len(self._vectors) > _REMEMBERED:
            self._vectors = {}
        missing = [text for text in types if text not in self._vectors]
        if missing:
            self._vectors.update(zip(missing, self.encoder.embed_words(missing), strict=True))
        return np.stack([self._vectors[text] for text in types])


def means(words, spans):
    """Mean of the word vectors of each span: float32 (u, d)."""
    words = words.astype(np.float32)
    if not spans:
        return words[:0]
    sums = np.add.reduceat(words, [span.first for span in spans])  # spans follow each other without a gap
    return sums / np.array([[span.last - span.first] for span in spans], np.float32)


class Reader:
    """Reads with a learned language.

    Args:
        learned: `Learned`.
    """

    def __init__(self, learned):
        self.learned, self.tagger = learned, Tagger(learned.encoder, learned.units, learned.codebook)

    def tag(self, prompt):
        """See `DeepDSL.tag`."""
        prompts, names = _short(_listed(prompt)), [code.name for code in self.learned.codes]
        found = []
        for text, (spans, codes) in zip(prompts, self.tagger.tag(prompts), strict=True):
            pairs = zip(spans, codes.tolist(), strict=True)
            found.append([Unit(text[s.start : s.end], s.start, s.end, code, names[code]) for s, code in pairs])
        return found[0] if isinstance(prompt, str) else found

    def read(self, prompt):
        """See `DeepDSL.read`."""
        some = _listed(prompt, Template)
        templates = [masks.typed(one, self.learned.codes) if isinstance(one, str) else one for one in some]
        empty = [all(slot.text is None for slot in one.slots) for one in templates]
        found = [masks.holed(one, self.learned.codes) if e else None for one, e in zip(templates, empty, strict=True)]
        seen = iter(self.plain([text for text, _ in filter(None, found)]))
        out = [
            masks.restored(next(seen), pair[1]) if pair else masks.coded(one, self.learned.codes)
            for one, pair in zip(templates, found, strict=True)
        ]
        return out[0] if isinstance(prompt, str | Template) else out

    def plain(self, texts):
        """Templates of a list of str in which `<?>` is plain text, too."""
        tagged = zip(texts, self.tagger.tag(_short(texts)), strict=True)
        return [template_of(text, spans, codes, self.learned.codes) for text, (spans, codes) in tagged]

    def whole(self, text):
        """The template of a prompt without masks, printed or plain; `<?>` is plain text."""
        try:
            template = masks.typed(text, self.learned.codes)
        except TemplateError:
            return self.plain([text])[0]
        return self.plain([text])[0] if template.masked or not template.slots else masks.coded(template, self.learned.codes)

    def template(self, prompt):
        """A prompt (str) as `read` reads it; a `Template` as it is, its slots with the codes of this language.

        Raises:
            TypeError: neither.
            TemplateError: a name that this language does not have, a template of another DSL, or nothing but masks.
        """
        if isinstance(prompt, str):
            return self.read(prompt)
        if not isinstance(prompt, Template):
            raise TypeError(f"Expected a prompt (str) or a Template, got {type(prompt).__name__}.")
        return masks.coded(prompt, self.learned.codes)


def template_of(text, spans, codes, known):
    """The template of a tagged prompt.

    Args:
        text: str.
        spans: list of u `Span`.
        codes: int (u,).
        known: sequence of k `Code`.

    Returns:
        `Template`. Runs of equal codes are slots; they go on over function words, but not over a separator.
    """
    parts, at, i = [], 0, 0
    plain = [known[c].literal or is_function(s.text) for s, c in zip(spans, codes, strict=True)]
    while i < len(spans):
        if plain[i]:
            i += 1
            continue
        last, j = i, i + 1
        while j < len(spans) and spans[j].before == 0 and (plain[j] or codes[j] == codes[i]):
            if not plain[j]:
                last = j
            j += 1
        start, end, code = spans[i].start, spans[last].end, int(codes[i])
        parts += [text[at:start], Slot(known[code].name, text[start:end], code=code)]
        at, i = end, last + 1
    return Template.build([*parts, text[at:]])


def _short(texts):
    """The texts, a list of str, unless one is too long to be read."""
    for text in texts:
        if len(text) > LONGEST:
            raise ValueError(
                f"A prompt may have {LONGEST:,} characters, got {len(text):,}: {text[:40]!r}... Cut it; for a file with many "
                "prompts, use corpus.load(file)."
            )
    return texts


def _listed(prompt, *more):
    """A list of prompts, from one or several; `more` are other types than str that count as a prompt."""
    kinds = (str, *more)
    prompts = [prompt] if isinstance(prompt, kinds) else prompt
    if isinstance(prompts, (list, tuple, Corpus)) and all(isinstance(one, kinds) for one in prompts):
        return list(prompts)
    came = type(prompt).__name__
    if isinstance(prompts, (list, tuple)):
        row, one = next((row, one) for row, one in enumerate(prompts) if not isinstance(one, kinds))
        came += f" whose row {row} is {type(one).__name__}"
    what = "a prompt (str) or a Template, or a list of them" if more else "a prompt (str) or a list of prompts"
    raise TypeError(f"Expected {what}, got {came}.")
