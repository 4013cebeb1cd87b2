"""Reader: prompts -> tagged units and templates."""

from workbench.data.corpus import Corpus
from workbench.language.dsl import masks
from workbench.language.dsl.tagger import Tagger
from workbench.template import Slot, Template
from workbench.values import Unit
from workbench.words import is_function


class Reader:
    """Reads with a learned language.

    Args:
        learned: `Learned`.
    """

    def __init__(self, learned):
        self.learned, self.tagger = learned, Tagger(learned.encoder, learned.units, learned.codebook)

    def tag(self, prompt):
        """See `DeepDSL.tag`."""
        prompts, names = _listed(prompt), [code.name for code in self.learned.codes]
        found = []
        for text, (spans, codes) in zip(prompts, self.tagger.tag(prompts), strict=True):
            pairs = zip(spans, codes.tolist(), strict=True)
            found.append([Unit(text[s.start : s.end], s.start, s.end, code, names[code]) for s, code in pairs])
        return found[0] if isinstance(prompt, str) else found

    def read(self, prompt):
        """See `DeepDSL.read`."""
        some = _listed(prompt, Template)
        templates = [masks.typed(one) if isinstance(one, str) else one for one in some]
        found = [None if _has_filler(one) else masks.holed(one, self.learned.codes) for one in templates]
        seen = iter(self.plain([text for text, _ in filter(None, found)]))
        out = [
            masks.restored(next(seen), pair[1]) if pair else masks.coded(one, self.learned.codes)
            for one, pair in zip(templates, found, strict=True)
        ]
        return out[0] if isinstance(prompt, str | Template) else out

    def plain(self, texts):
        """Templates of a list of str in which `<?>` is plain text, too."""
        tagged = zip(texts, self.tagger.tag(texts), strict=True)
        return [template_of(text, spans, codes, self.learned.codes) for text, (spans, codes) in tagged]

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


def _has_filler(template):
    return any(slot.text is not None for slot in template.slots)


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
