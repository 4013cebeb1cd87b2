"""Steps: a template as the sequence of choices that wrote it, and the way back. No torch.

    A <subject>, by <artist>.   ->   (subject, "A ")  (artist, ", by ")  (end, ".")

Each slot and the end is one step: its code, and the literal before it ("" where there is none). So a template of s slots has
s + 1 steps, two literals never follow each other, and the literal is chosen when the slots on both sides are known.
"""

from collections import Counter

from workbench import words
from workbench.template import Slot, Template


class Alphabet:
    """The symbols of templates: `codes`, ascending ints, whose place after the last is the end; `literals`, str, "" first."""

    def __init__(self, codes, literals):
        self.codes, self.literals = tuple(codes), tuple(literals)
        self.end = len(self.codes)
        self._code = {code: i for i, code in enumerate(self.codes)}
        self._literal = {text: i for i, text in enumerate(self.literals)}
        self._known = [(text, *_traits(text)) for text in self.literals[1:]]
        self._nearest = {}

    @classmethod
    def learn(cls, templates, most):
        """The codes of `templates` and their `most` most common literals; what stands there only once is not kept."""
        codes = {int(slot.code) for template in templates for slot in template.slots}
        counts = Counter(part for template in templates for part in template.parts if isinstance(part, str))
        common = sorted((text for text, n in counts.items() if n > 1), key=lambda text: (-counts[text], text))
        return cls(sorted(codes), ("", *common[:most]))

    def exact(self, parts):
        """The steps of a template's parts, (code, literal) as places in the alphabet: a list; None if they hold other symbols."""
        steps, literal = [], 0
        for part in parts:
            if isinstance(part, str):
                literal = self._literal.get(part)
            else:
                steps.append((self._code.get(part.code), literal))
                literal = 0
        steps.append((self.end, literal))
        return None if len(parts) == 0 or any(code is None or text is None for code, text in steps) else steps

    def nearest(self, literal):
        """The literal of the alphabet that is most like another one; None if no one has its separators.

        Alike are literals with the same separators in the same order; of these, one that begins with white space if this one
        does; then the one that shares most words and marks, whatever the case (Dice coefficient of the sets); then one that ends
        with white space if this one does; then the most common.
        """
        if literal not in self._nearest:
            separators, tokens, edges = _traits(literal)
            found = []
            for rank, (text, its_separators, its_tokens, its_edges) in enumerate(self._known):
                if its_separators == separators:
                    shared = 2 * len(tokens & its_tokens) / max(1, len(tokens) + len(its_tokens))
                    found.append((edges[0] == its_edges[0], shared, edges[1] == its_edges[1], -rank, text))
            self._nearest[literal] = literal if literal in self._literal else max(found)[-1] if found else None
        return self._nearest[literal]

    def simplest(self, template, max_parts):
        """The steps of the closest template that this alphabet can write, and what had to be changed.

        Rare literals give way to the `nearest` one. Of more than `max_parts` parts the first are kept, up to a slot after which
        a segment ends, if there is one.

        Returns:
            steps, without the end where the template was cut; and the set of changes: "replaced", "cut". Or None and a set that
            says why it is left out: "empty", "unknown literal", "unknown code".
        """
        if not template.parts:
            return None, {"empty"}
        parts, changes = list(template.parts), set()
        for i, part in enumerate(parts):
            if isinstance(part, str) and part not in self._literal:
                parts[i] = self.nearest(part)
                changes.add("replaced")
                if parts[i] is None:
                    return None, {"unknown literal"}
        if len(parts) > max_parts:
            slots = [i for i in range(max_parts) if isinstance(parts[i], Slot)]
            ends = [i for i in slots if isinstance(parts[i + 1], str) and _traits(parts[i + 1])[0]]
            parts = parts[: (ends or slots or [0])[-1] + 1]
            changes.add("cut")
        steps = self.exact(parts)
        if steps is None:
            return None, {"unknown code"}
        return (steps[:-1] if "cut" in changes else steps), changes

    def template(self, steps):
        """The `Template` that `steps` wrote; its slots are open and have a code and no name."""
        parts = []
        for code, literal in steps:
            parts.append(self.literals[literal])
            parts += [Slot(None, code=self.codes[code])] if code < self.end else []
        return Template.build(parts)


def check_templates(templates, owner):
    """A list of the templates, those of samples among them; refuses what is no template and slots without a code.

    Raises:
        TypeError: not a list of `Template`.
        ValueError: a slot without a code.
    """
    if isinstance(templates, str | Template) or not hasattr(templates, "__iter__"):
        raise TypeError(f"{owner} needs a list of Template, got {type(templates).__name__}. Use dsl.read(prompts).")
    templates = [getattr(one, "template", None) or one for one in templates]
    for row, template in enumerate(templates):
        if not isinstance(template, Template):
            raise TypeError(f"{owner} needs a list of Template, got {type(template).__name__} in row {row}.")
        for slot in template.slots:
            if slot.code is None:
                raise ValueError(
                    f"{owner}: the slot {slot} of template {row} has no code. Take templates as dsl.read gives them, or tell "
                    "parse the codes: template.parse(text, names)."
                )
    return templates


def _traits(literal):
    """Separators in order; the set of words, lower-cased, and of marks ("((" is two, weights leave ":"); blank edges."""
    tokens = [(literal[w.start : w.end].lower(), w.kind) for w in words.split(literal)]
    separators = tuple(text for text, kind in tokens if kind == words.SEPARATOR)
    marks = {mark for text, kind in tokens if kind == words.MARKUP for mark in text if not mark.isalnum()}
    return (
        separators,
        marks | {text for text, kind in tokens if kind != words.MARKUP},
        (literal[:1].isspace(), literal[-1:].isspace()),
    )
