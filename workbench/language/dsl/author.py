"""Author: what every way of writing needs. `writing`, `varying` and `infilling` take it as an argument."""

from workbench.values import NotFittedError, Sample, TemplateError


class Author:
    """A language that writes.

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
        by_row = dict(zip(rows, found, strict=True))
        whole = (None if one.masked else Sample(one.prompt, template=one, log_prob=0.0) for one in templates)
        return [by_row[i] if one is None else one for i, one in enumerate(whole)]

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
