"""Writing: prompts from nothing or for a template, and their log-probabilities."""

import difflib

import numpy as np

from workbench import checks
from workbench.language.dsl.masks import opened
from workbench.language.writer import Decoding
from workbench.template import Slot, Template
from workbench.values import Sample, TemplateError

DECODING = Decoding(temperature=0.9, top_p=0.95)
_TURNS = 20  # times that templates are drawn again when some are too long


def sample(author, n, template, lock, content, decoding, seed, tries):
    """See `DeepDSL.sample`; `author` is an `Author`. List of n `Sample`."""
    checks.whole("n", n)
    checks.whole("tries", tries)
    if template is None and lock:
        raise ValueError("lock keeps slots of a template: give template= too.")
    if template is None:
        templates, prior = _drawn(author, n, seed)
    else:
        templates, prior = [opened(author.reader.template(template), lock)] * n, np.zeros(n)
    contents, words = content, ()
    if content is not None and not (isinstance(content, str) and content == "noise"):
        source = author.reader.template(content)
        contents = [author.content_like(source, one) for one in templates]
        words = [slot.text for slot in source.slots]
    found = author.fill(templates, contents, decoding, seed, words=words)
    like = kept(author.reader, found) if tries > 1 else np.ones(n)
    for turn in range(1, tries):
        rows = np.flatnonzero(like < 1)
        if not len(rows):
            break
        some = [contents[i] for i in rows] if isinstance(contents, list) else contents
        again = author.fill([templates[i] for i in rows], some, decoding, seed + 15_485_863 * turn, words=words)
        for i, one, as_now in zip(rows.tolist(), again, kept(author.reader, again).tolist(), strict=True):
            if as_now > like[i]:
                found[i], like[i] = one, as_now
    return [Sample(s.text, template=s.template, log_prob=s.log_prob + p) for s, p in zip(found, prior.tolist(), strict=True)]


def _drawn(author, n, seed):
    """Templates from the prior that fit the writer's window, and their log-probabilities: list of n, float64 (n,)."""
    learned, templates, scores = author.learned, [], []
    for turn in range(_TURNS):
        for drawn in learned.prior.sample(n, seed + 104_729 * turn):
            template = _named(drawn.template, learned.codes)
            if not template.masked or learned.writer.fits(template):
                templates.append(template)
                scores.append(drawn.log_prob)
        if len(templates) >= n:
            return templates[:n], np.array(scores[:n])
    raise TemplateError("The prior's templates are too long for the writer's window.")


def _named(template, codes):
    """A template of the prior, whose slots have numbers only, with the names of the codes."""
    return Template.build(Slot(codes[p.code].name, code=p.code) if isinstance(p, Slot) else p for p in template.parts)


def kept(reader, samples):
    """How well each sample reads as the template it fills, float64 (n,), 0..1: codes of the slots, by the ratio of difflib."""
    again = reader.plain([one.text for one in samples])
    runs = [
        [[slot.code for slot in one.slots] for one in pair] for pair in zip((s.template for s in samples), again, strict=True)
    ]
    return np.array([difflib.SequenceMatcher(None, *pair, autojunk=False).ratio() for pair in runs])


def log_score(author, samples, template, lock, decoding):
    """See `DeepDSL.log_score`; `author` is an `Author`. float64 (n,), nats."""
    if isinstance(samples, str):
        raise TypeError("log_score takes a list of Sample or of str.")
    reader, writer = author.reader, author.learned.writer
    filled = [getattr(one, "template", None) or one for one in samples]
    filled = [reader.plain([one])[0] if isinstance(one, str) else reader.template(one) for one in filled]
    if template is None:
        prior = author.learned.prior.log_score(filled)
        asked = [opened(one, ()) if one.slots else one for one in filled]
    else:
        wanted = opened(reader.template(template), lock)
        if any(slot.name is None for slot in wanted.slots):
            raise TemplateError("log_score cannot tell what stands for <?> in a prompt: name the slot, as in <artist:?>.")
        prior = np.array([0.0 if opened(one, lock).same_shape(wanted) else -np.inf for one in filled])
        asked = [wanted] * len(filled)
    out = np.zeros(len(filled))
    rows = [i for i, one in enumerate(asked) if np.isfinite(prior[i]) and one.masked]
    if rows:
        fillers = [_fillers(asked[i], filled[i]) for i in rows]
        out[rows] = writer.score([asked[i] for i in rows], fillers, decoding=decoding)
    return out + prior


def _fillers(asked, filled):
    """Texts of the slots of `filled` that are masked in `asked`."""
    pairs = zip(asked.slots, filled.slots, strict=True)
    return tuple(full.text for slot, full in pairs if slot.text is None)
