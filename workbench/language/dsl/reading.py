"""Reading with a learned language: tags, templates, how well codes agree with the truth, and other names for codes."""

import copy
from collections import Counter

import numpy as np
from sklearn.metrics import v_measure_score

from workbench.data.corpus import OPEN_SLOTS, Corpus
from workbench.language import encode
from workbench.language.dsl.learning import means, renamed
from workbench.template import Slot, Template
from workbench.values import NotFittedError, TemplateError, Unit
from workbench.words import WORD, is_function
from workbench.words import split as split_words


class Reading:
    """The reading half of `DeepDSL`; its attributes are set there: `codes`, `encoder`, `_units`, `_codebook`, `_static`."""

    def tag(self, prompt):
        """The units of a prompt with their codes, like a part-of-speech tagger.

        Args:
            prompt: str, or a list of str.

        Returns:
            list of `Unit` (text, start, end, code, name); a list of such lists for a list. `[]` for a prompt without words.

        Raises:
            TypeError: not a str or list of str.
        """
        prompts = _prompts(prompt)
        found = [
            [
                Unit(text[s.start : s.end], s.start, s.end, int(code), self.codes[code].name)
                for s, code in zip(spans, codes, strict=True)
            ]
            for text, (spans, codes) in zip(prompts, self._tagged(prompts), strict=True)
        ]
        return found[0] if isinstance(prompt, str) else found

    def read(self, prompt):
        """The template of a prompt: runs of equal codes as slots; function words and separators stay plain text.

        A function word between two units of one code in the same segment belongs to the slot ("castle on a hill").

        Args:
            prompt: str, or a list of str.

        Returns:
            `Template`, whose `prompt` is the given text to the letter; a list of them for a list.

        Raises:
            TypeError: not a str or list of str.
        """
        prompts = _prompts(prompt)
        found = [self._template(text, *tagged) for text, tagged in zip(prompts, self._tagged(prompts), strict=True)]
        return found[0] if isinstance(prompt, str) else found

    def evaluate(self, corpus, n=2000):
        """How well the codes agree with the built-in grammar's labels, which they never saw.

        Args:
            corpus: `Corpus` of the built-in world.
            n: int, prompts at most, from the start.

        Returns:
            dict of V-measures (0..1) over words: `words`, `open_slots` (those with many fillers), and `unseen` (words of fillers
            that no training prompt holds; None where there are none).

        Source:
            V-measure: Rosenberg and Hirschberg 2007, "V-measure: a conditional entropy-based external cluster evaluation".
        """
        prompts = corpus[: min(n, len(corpus))]
        labels, codes, unseen = [], [], []
        for i, (text, (spans, found)) in enumerate(zip(prompts, self._tagged(prompts), strict=True)):
            truth = corpus.truth(i)
            words = [(w, label) for w, label in zip(split_words(text), truth.labels, strict=True) if w.kind == WORD]
            held_out = [(f.start, f.end) for f in truth.fillers if f.unseen]
            for span, code in zip(spans, found, strict=True):
                for word, label in words[span.first : span.last]:
                    labels.append(label)
                    codes.append(int(code))
                    unseen.append(label in OPEN_SLOTS and any(a <= word.start < b for a, b in held_out))
        labels, codes, unseen = np.array(labels), np.array(codes), np.array(unseen, bool)
        opened = np.isin(labels, list(OPEN_SLOTS))
        return {
            "words": float(v_measure_score(labels, codes)),
            "open_slots": float(v_measure_score(labels[opened], codes[opened])),
            "unseen": float(v_measure_score(labels[unseen], codes[unseen])) if unseen.any() else None,
        }

    def rename(self, names):
        """Give codes other names.

        Args:
            names: dict of code number or present name -> new name, a str.

        Returns:
            a `DeepDSL` that shares all else with this one.

        Raises:
            TypeError: not a dict.
            TemplateError: unknown code (it lists those there are), or a name that two codes would have.
        """
        if not isinstance(names, dict):
            example = {self.codes[0].name: "subject"}
            raise TypeError(f"rename needs a dict such as {example}, got {type(names).__name__}.")
        known = {code.name: code.id for code in self.codes} | {code.id: code.id for code in self.codes}
        new = [code.name for code in self.codes]
        for old, name in names.items():
            if old not in known:
                raise TemplateError(
                    f"{old!r} is neither a code (0..{len(new) - 1}) nor a name of this language: {', '.join(new)}."
                )
            if not isinstance(name, str) or not name:
                raise TemplateError(f"The new name of {old!r} must be a str that is not empty, got {name!r}.")
            new[known[old]] = name
        twice = [name for name, times in Counter(new).items() if times > 1]
        if twice:
            raise TemplateError(f"Two codes would be called {twice[0]!r}. Give one of them another name.")
        other = copy.copy(self)  # the writing half knows codes by number
        other._static = {}
        other.codes = tuple(code._replace(name=name) for code, name in zip(self.codes, new, strict=True))
        changed = {code.name: name for code, name in zip(self.codes, new, strict=True)}
        other.templates, other.segments = renamed(self.templates, changed), renamed(self.segments, changed)
        return other

    # ---- how -------------------------------------------------------------------------------------------------------------

    def _tagged(self, prompts):
        """Pairs of (list of Span, int64 codes) for each prompt."""
        if not hasattr(self, "codes"):
            raise NotFittedError("This DeepDSL has learned nothing yet: use DeepDSL.fit(prompts) or DeepDSL.load(folder).")
        spans = [self._units.split(text) for text in prompts]
        return list(zip(spans, self._encode(spans, encode.words(prompts, self.encoder)), strict=True))

    def _encode(self, spans, words):
        """Codes of prompts: list of int64 (u,); `words` are the word vectors of each prompt."""
        flat = [span for found in spans for span in found]
        if not flat:
            return [np.zeros(0, np.int64) for _ in spans]
        types = list(dict.fromkeys(span.text for span in flat))
        number = {text: i for i, text in enumerate(types)}
        layer = np.concatenate([means(w, s) for w, s in zip(words, spans, strict=True) if s])
        ids = np.array([number[span.text] for span in flat])
        codes = self._codebook.encode(layer, self._vectors_of(types), ids, np.array([span.before for span in flat], np.int8))
        return np.split(codes, np.cumsum([len(found) for found in spans])[:-1])

    def _vectors_of(self, types):
        """Static vectors (t, d) of unit types; the latest stay in memory, since a corpus repeats itself."""
        if len(self._static) > 20_000:
            self._static = {}
        missing = [text for text in types if text not in self._static]
        if missing:
            self._static.update(zip(missing, self.encoder.embed_words(missing), strict=True))
        return np.stack([self._static[text] for text in types])

    def _template(self, text, spans, codes):
        parts, at, n = [], 0, len(spans)
        plain = [self.codes[c].literal or is_function(s.text) for s, c in zip(spans, codes, strict=True)]
        i = 0
        while i < n:
            if plain[i]:
                i += 1
                continue
            last, j = i, i + 1
            # the run goes on over function words, but not over a separator
            while j < n and spans[j].before == 0 and (plain[j] or codes[j] == codes[i]):
                if not plain[j]:
                    last = j
                j += 1
            start, end = spans[i].start, spans[last].end
            code = int(codes[i])
            parts += [text[at:start], Slot(self.codes[code].name, text[start:end], code=code)]
            at, i = end, last + 1
        return Template.build([*parts, text[at:]])


def _prompts(prompt):
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if isinstance(prompts, (list, tuple, Corpus)) and all(isinstance(text, str) for text in prompts):
        return list(prompts)
    came = type(prompt).__name__
    if isinstance(prompts, (list, tuple)):
        row, text = next((row, text) for row, text in enumerate(prompts) if not isinstance(text, str))
        came += f" whose row {row} is {type(text).__name__}"
    raise TypeError(f"Expected a prompt (str) or a list of prompts, got {came}.")
