"""Gaps: words, slots and segments of real prompts left open, with candidates, to learn a `Ranking` on."""

import numpy as np

from workbench.language import ngram
from workbench.language.dsl.weighing import softmax
from workbench.template import Slot, Template
from workbench.words import WORD, split

_KNOWN = 2000  # words, slots and segments each that candidates are drawn from, the most common ones
_READ = 3000  # templates that are counted, at most, spread evenly over all
_DRAWN = 24  # candidates that the truth is compared with
_EVEN = 0.5  # share drawn uniformly; the others are drawn by the n-grams, since good candidates tell most about the weights
_SOFT = 0.7  # power of the n-grams' probability that they are drawn with
_LONGEST = 6  # words of a gap


class Inventory:
    """The most common words, slots and segments of templates, as lists of plain texts."""

    def __init__(self, templates):
        counts = [{}, {}, {}]
        for template in templates[:: 1 + len(templates) // _READ]:
            for kind, _, _, text in stretches(template):
                counts[kind][text] = counts[kind].get(text, 0) + 1
        self.texts = [sorted(some, key=lambda text: (-some[text], text))[:_KNOWN] for some in counts]


def stretches(template):
    """Words (kind 0), slots (1) and segments (2) of a prompt that could be a gap: (kind, start, end, plain text), in order."""
    prompt, found = template.prompt, []
    found += [(0, w.start, w.end) for w in split(prompt) if w.kind == WORD]
    found += [(1, slot.start, slot.end) for slot in template.slots]
    at = 0
    for segment in template.segments():
        text = "".join(part.text if isinstance(part, Slot) else part for part in segment)
        words = [w for w in split(text) if w.kind == WORD]
        if words:
            found.append((2, at + words[0].start, at + words[-1].end))
        at += len(text)
    texts = [(kind, start, end, " ".join(prompt[start:end].lower().split())) for kind, start, end in found]
    return [each for each in texts if len(ngram.tokens(each[3])) <= _LONGEST and each[3] != prompt.lower()]


def gap(template, inventory, model, rng):
    """One gap of a prompt with candidates drawn for it.

    Args:
        template: `Template`, all slots filled.
        inventory: `Inventory`.
        model: `KneserNey` that has not seen the prompt.
        rng: numpy generator.

    Returns:
        (`Template` with `<?>`, list of str, the candidates; int, the place of the truth among them; float64, their offsets for
        `weighing.learn`), or None if nothing in the prompt is common enough.
    """
    kinds = rng.permutation(3)
    there = stretches(template)
    for kind in kinds.tolist():
        known = inventory.texts[kind]
        place = {text: i for i, text in enumerate(known)}
        some = [each for each in there if each[0] == kind and each[3] in place]
        if some:
            break
    else:
        return None
    _, start, end, text = some[int(rng.integers(len(some)))]
    prompt, truth = template.prompt, place[text]
    left, right = ngram.tokens(prompt[:start]), ngram.tokens(prompt[end:])
    spoken = model.fill_log_prob(left, [ngram.tokens(each) for each in known], right)
    q = (1 - _EVEN) * softmax(_SOFT * spoken) + _EVEN / len(known)
    drawn, times = np.unique(np.append(rng.choice(len(known), _DRAWN, p=q), truth), return_counts=True)
    offset = np.log(times / ((_DRAWN + 1) * q[drawn]))
    hole = Template.build([prompt[:start], Slot(None), prompt[end:]])
    return hole, [known[i] for i in drawn], int(np.searchsorted(drawn, truth)), offset
