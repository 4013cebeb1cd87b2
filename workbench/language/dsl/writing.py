"""Writing: what every way of writing needs, prompts from nothing or for a template, and their log-probabilities."""

import difflib

import numpy as np

from workbench import checks
from workbench.language import ngram
from workbench.language.dsl.masks import opened
from workbench.language.writer import Decoding
from workbench.template import Slot, Template
from workbench.values import NotFittedError, Sample, TemplateError

DECODING = Decoding(temperature=0.9, top_p=0.95)
_KEPT = 3.0  # nats a word that reading as the template is worth, beside the decoder
_TURNS = 20  # times that templates are drawn again when some are too long


class Author:
    """A language that writes; `writing`, `varying` and `infilling` take it as an argument.

    Args:
        learned: `Learned`.
        reader: `Reader` of the same language.

    Raises:
        NotFittedError: the language only reads.
    """

    def __init__(self, learned, reader):
        if learned.writer is None:
            raise NotFittedError(
                "This DSL only reads: it was learned with DSLConfig(writer=None). "
                "Fit it again with a writer, DSLConfig(writer=WriterConfig()); what it has learned so far is not learned twice."
            )
        self.learned, self.reader = learned, reader

    def fill(self, templates, content, decoding, seed, blend=1.0, words=()):
        """Fill the masked slots of templates: list of `Sample`; arguments as of `Writer.fill`. Templates without masks stay."""
        rows = [i for i, template in enumerate(templates) if template.masked]
        some = content if content is None or isinstance(content, str) else [content[i] for i in rows]
        found = self.learned.writer.fill([templates[i] for i in rows], some, decoding, blend, seed, words) if rows else []
        left = iter(found)
        return [next(left) if one.masked else Sample(one.prompt, template=one, log_prob=0.0) for one in templates]

    def content(self, texts, spelled=True):
        """Content of fillers, float32 (n, c); with `spelled=False` their meaning alone."""
        vectors = self.reader.tagger.static([text.lower() for text in texts])
        return self.learned.writer.content(texts, vectors, spelled=spelled)

    def content_like(self, source, template):
        """Content for the masked slots of a template from the slots of another, by name and in order.

        Args:
            source: `Template` without masks.
            template: `Template`.

        Returns:
            list with a float32 (c,), or None where `source` has no slot left of that name, for each masked slot.

        Raises:
            TemplateError: `source` has masks.
        """
        if source.masked:
            raise TemplateError(f"content comes from a whole prompt, still open: {source}.")
        by_name = {}
        for slot in source.slots:
            by_name.setdefault(slot.name, []).append(slot.text)
        waiting = [by_name.get(slot.name) for slot in template.slots if slot.text is None]
        return [self.content([texts.pop(0)])[0] if texts else None for texts in waiting]


def sample(author, n, template, lock, content, decoding, seed, tries):
    """See `DeepDSL.sample`; `author` is an `Author`. List of n `Sample`."""
    checks.whole("n", n)
    checks.whole("tries", tries)
    if template is None and lock:
        raise ValueError("lock keeps slots of a template: give template= too.")
    if template is None and content is None and author.learned.decoder is not None:
        return _decoded(author, n, decoding, seed)
    decoding = DECODING if decoding is None else decoding
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
    like, enough = (_liking(author, found) if tries > 1 else np.ones(n)), 1 if author.learned.decoder is None else np.inf
    for turn in range(1, tries):
        rows = np.flatnonzero(like < enough)
        if not len(rows):
            break
        some = [contents[i] for i in rows] if isinstance(contents, list) else contents
        again = author.fill([templates[i] for i in rows], some, decoding, seed + 15_485_863 * turn, words=words)
        for i, one, as_now in zip(rows.tolist(), again, _liking(author, again).tolist(), strict=True):
            if as_now > like[i]:
                found[i], like[i] = one, as_now
    return [Sample(s.text, template=s.template, log_prob=s.log_prob + p) for s, p in zip(found, prior.tolist(), strict=True)]


def _liking(author, samples):
    """Which try is better, float64 (n,): the better it reads as its template, and the likelier a decoder finds its words."""
    like, decoder = kept(author.reader, samples), author.learned.decoder
    if decoder is None:
        return like
    words = [1 + len(ngram.tokens(one.text)) for one in samples]  # with the end
    return _KEPT * like + decoder.log_prob([one.text for one in samples]) / words


def _decoded(author, n, decoding, seed):
    """Prompts that the pretrained decoder writes, cased as in the corpus, with the templates they read as: list of n `Sample`."""
    learned, options = author.learned, {} if decoding is None else {"decoding": decoding}
    found = learned.decoder.sample(n, seed=seed, **options)
    texts = [learned.writer.tokens_.dress(one.text) for one in found]
    read = zip(texts, author.reader.plain(texts), found, strict=True)
    return [Sample(text, template=t, log_prob=one.log_prob, ids=one.ids, kept=one.kept) for text, t, one in read]


def _drawn(author, n, seed):
    """Templates from the prior that fit the writer's window, and their log-probabilities: list of n, float64 (n,)."""
    learned, codes, templates, scores = author.learned, author.learned.codes, [], []
    for turn in range(_TURNS):
        for drawn in learned.prior.sample(n, seed + 104_729 * turn):
            parts = drawn.template.parts  # the prior knows the numbers of codes only
            template = Template.build(Slot(codes[p.code].name, code=p.code) if isinstance(p, Slot) else p for p in parts)
            if not template.masked or learned.writer.fits(template):
                templates.append(template)
                scores.append(drawn.log_prob)
        if len(templates) >= n:
            return templates[:n], np.array(scores[:n])
    raise TemplateError("The prior's templates are too long for the writer's window.")


def kept(reader, samples):
    """How well each sample reads as the template it fills, float64 (n,), 0..1: codes of the slots, by the ratio of difflib."""
    again = reader.plain([one.text for one in samples])
    asked, seen = ([[slot.code for slot in one.slots] for one in some] for some in ([s.template for s in samples], again))
    return np.array([difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in zip(asked, seen, strict=True)])


def log_score(author, samples, template, lock, decoding):
    """See `DeepDSL.log_score`; `author` is an `Author`. float64 (n,), nats."""
    if isinstance(samples, str):
        raise TypeError("log_score takes a list of Sample or of str.")
    reader, writer = author.reader, author.learned.writer
    if template is None and author.learned.decoder is not None:
        return author.learned.decoder.log_score(samples, **({} if decoding is None else {"decoding": decoding}))
    decoding = DECODING if decoding is None else decoding
    filled = [getattr(one, "template", None) or one for one in samples]
    filled = [reader.whole(one) if isinstance(one, str) else reader.template(one) for one in filled]
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
        pairs = [zip(asked[i].slots, filled[i].slots, strict=True) for i in rows]
        fillers = [tuple(full.text for slot, full in slots if slot.text is None) for slots in pairs]
        out[rows] = writer.score([asked[i] for i in rows], fillers, decoding=decoding)
    return out + prior
