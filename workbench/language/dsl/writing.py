"""Writing with a learned language: samples, variations, and their log-probabilities."""

import difflib
import math
import numbers
import re
from dataclasses import replace

import numpy as np

from workbench.language.writer import Decoding
from workbench.language.writer.config import WINDOW
from workbench.template import Slot, Template
from workbench.values import Sample, TemplateError

DECODING = Decoding(temperature=0.9, top_p=0.95)
_TURNS = 20  # times that templates are drawn anew when some are too long
# What a reader trips over: "an watercolor", "a engraving", "by Monet and Monet". Words such as "hour" and "unicorn" are neither.
_SLIPS = re.compile(
    r"\ban (?=[bcdfgjklmnpqrstvwyz])|\ba (?=[aei]|o(?!n[ce]\b)|u(?!ni|s[eu]))|\b(\w.{3,}?)(?:,| and|, and)? \1\b", re.IGNORECASE
)
_VARYING = 7  # rounds in which `vary` looks for prompts that differ


class Writing:
    """The writing half of `DeepDSL`; its attributes are set there: `writer_`, `prior_`, `ngram_`."""

    def sample(self, n, template=None, *, lock=(), content=None, decoding=DECODING, seed=0, tries=1):
        """Write prompts: from nothing, or new fillers for a template.

        Args:
            n: int, prompts to write.
            template: `Template` or prompt whose slots are filled anew; masked slots too. None draws a template from the prior
                for each.
            lock: slots of the template that keep their text, by name or by number: 0 is the first slot.
            content: None leaves content absent; "noise" draws a content vector for each slot; a prompt or `Template` gives the
                content of its slots, by name and in order.
            decoding: `Decoding`, how words are chosen.
            seed: int.
            tries: int, times a prompt is written at most until it reads as its template; the one that comes nearest is kept.
                What is written need not: "neon" may be read as a colour where lighting was meant.

        Returns:
            list of n `Sample`; the same for the same seed. Their `log_prob` is exact for absent content: that of the fillers,
            and of the template if it was drawn. With content it is that of the fillers given the content. With `tries` above 1
            it is still that of the writing alone, not of the choice.

        Raises:
            NotFittedError: this DSL only reads.
            ValueError: n or tries below 1, or content of another kind.
            TemplateError: a slot name that is not there, or a template of another DSL.
        """
        self._check_writes(n)
        if not isinstance(tries, numbers.Integral) or isinstance(tries, bool) or tries < 1:
            raise ValueError(f"tries must be an int of 1 or more, got {tries!r}.")
        if template is None:
            if lock:
                raise ValueError("lock keeps slots of a template: give template= too.")
            templates, prior = self._drawn(n, seed)
        else:
            opened = self._opened(self._understood(template), lock)
            templates, prior = [opened] * n, np.zeros(n)
        given, words = None, ()
        if isinstance(content, str) and content == "noise":
            given = "noise"
        elif content is not None:
            source = self._understood(content)
            given = [self._content_like(source, one) for one in templates]
            words = [slot.text for slot in source.slots]
        found = self._fill(templates, given, decoding, seed, words=words)
        kept = self._kept(found) if tries > 1 else np.ones(n)
        for turn in range(1, tries):
            rows = np.flatnonzero(kept < 1)
            if not len(rows):
                break
            content_of = [given[i] for i in rows] if isinstance(given, list) else given
            again = self._fill([templates[i] for i in rows], content_of, decoding, seed + 15_485_863 * turn, words=words)
            for i, one, like in zip(rows.tolist(), again, self._kept(again).tolist(), strict=True):
                if like > kept[i]:
                    found[i], kept[i] = one, like
        return [
            Sample(one.text, template=one.template, log_prob=one.log_prob + p)
            for one, p in zip(found, prior.tolist(), strict=True)
        ]

    def vary(self, prompt, n, proximity=0.8, *, by="slots", lock=(), decoding=DECODING, seed=0):
        """Write prompts near a prompt.

        Args:
            prompt: str or `Template` without masks.
            n: int.
            proximity: float 0..1. 0 keeps the template only, 1 changes one slot to something near.
            by: "slots" keeps a share `proximity` of the slots as text and re-rolls the others near their meaning; "noise"
                re-rolls all slots with content between that of the prompt and noise: such a share, by lot, has the content of
                the prompt, the others a meaning near it.
            lock: slots that keep their text whatever the proximity, as in `sample`.
            decoding: `Decoding`.
            seed: int.

        Returns:
            list of n `Sample`, other than the prompt and each other where the language has that many.

        Raises:
            ValueError: n below 1, proximity outside 0..1, or an unknown `by`.
            TemplateError: no slot to vary, a masked one, or a slot to lock that is not there.
        """
        self._check_writes(n)
        if isinstance(proximity, bool) or not isinstance(proximity, numbers.Real) or not 0 <= proximity <= 1:
            raise ValueError(
                f"proximity must be a number from 0 (only the template stays) to 1 (nearly the same), got {proximity!r}."
            )
        if by not in ("slots", "noise"):
            raise ValueError(f"by must be 'slots' or 'noise', got {by!r}.")
        template = self._understood(prompt)
        if template.masked:
            raise TemplateError(f"vary needs a whole prompt, still open: {template}. Use infill for masks.")
        slots = template.slots
        if not slots:
            raise TemplateError(f"There is nothing to vary in {template.prompt!r}: it holds no slot.")
        free = np.array([i for i, slot in enumerate(self._opened(template, lock).slots) if slot.text is None], np.int64)
        if not len(free):
            raise TemplateError(f"There is nothing to vary in {template.prompt!r}: all its slots are locked.")
        told, meant = (self._content_of([slot.text for slot in slots], spelled) for spelled in (True, False))
        rng, found, seen = np.random.default_rng(seed), [], {template.prompt.lower(): None}
        slips = len(_SLIPS.findall(template.prompt))
        wanted = math.ceil(n * (1 + 3 * proximity))  # the nearer, the more there are to choose from
        for turn in range(_VARYING):
            templates, contents = [], []
            for _ in range(wanted):
                kept = int(round(proximity * (len(free) - 1))) if by == "slots" else 0
                open_ = np.sort(free[rng.permutation(len(free))[kept:]])
                templates.append(_masked(template, set(open_.tolist())))
                again = np.zeros(len(open_), bool)
                if by == "noise":
                    again = rng.random(len(open_)) < proximity
                    again[rng.integers(len(open_))] = False  # one at least is to be another
                given = np.where(again[:, None], told[open_], meant[open_])
                contents.append(list(given) if proximity else [None] * len(open_))
            # Content near that of a filler mostly says the filler again: what is still missing is looked for further away.
            blend, words = float(proximity) * 0.7 ** max(0, turn - 1), [slot.text for slot in slots]
            filled = self._fill(templates, contents, decoding, seed + 7919 * turn, blend, words)
            found += filled
            for sample in found[-wanted:]:
                if len(_SLIPS.findall(sample.text)) <= slips:
                    seen.setdefault(sample.text.lower(), sample)
            if len(seen) > wanted:
                break
        new = [sample for sample in seen.values() if sample is not None]
        if len(new) > n:
            near = self._likeness(new, template)
            new = [new[i] for i in np.sort(np.argsort(-near, kind="stable")[:n])]
        clumsy = {sample.text.lower(): sample for sample in found if sample.text.lower() not in seen}
        return (new + list(clumsy.values()) + found)[:n]  # better a slip than the same prompt twice

    def _kept(self, filled):
        """How like what is read is to the templates that were filled, 0..1: codes of the slots, by the ratio of difflib."""
        again = self.read([one.template.prompt for one in filled])
        pairs = zip((one.template for one in filled), again, strict=True)
        runs = ([[slot.code for slot in template.slots] for template in pair] for pair in pairs)
        return np.array([difflib.SequenceMatcher(None, *pair, autojunk=False).ratio() for pair in runs])

    def _likeness(self, samples, template):
        """How like the fillers of each sample are to those of a template of the same shape: mean cosine, float (n,)."""
        texts = [slot.text.lower() for one in (template, *(sample.template for sample in samples)) for slot in one.slots]
        vectors = self._vectors_of(texts)
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)).reshape(len(samples) + 1, -1)
        return vectors[1:] @ vectors[0] / len(template.slots)

    def log_score(self, samples, template=None, *, lock=(), decoding=DECODING):
        """Log-probability of prompts under this language, as `sample` with absent content draws them.

        Args:
            samples: list of `Sample`, or of str, which are read first.
            template: as it was given to `sample`; None if templates were drawn.
            lock: as it was given to `sample`.
            decoding: `Decoding`.

        Returns:
            float64 (n,), nats: of template and fillers together; -inf for what could not have been written.

        Raises:
            NotFittedError: this DSL only reads.
            TypeError: neither samples nor texts.
        """
        self._check_writes(1)
        if isinstance(samples, str):
            raise TypeError("log_score takes a list of Sample or of str.")
        filled = [getattr(s, "template", None) or s for s in samples]
        filled = [self.read(s) if isinstance(s, str) else self._understood(s) for s in filled]
        out = np.zeros(len(filled))
        if template is None:
            prior = self.prior_.log_score(filled)
            opened = [self._opened(one, ()) if one.slots else one for one in filled]
        else:
            wanted = self._opened(self._understood(template), lock)
            if any(slot.name is None for slot in wanted.slots):
                raise TemplateError("log_score cannot tell what stands for <?> in a prompt: name the slot, as in <artist:?>.")
            prior = np.array([0.0 if self._opened(one, lock).same_shape(wanted) else -np.inf for one in filled])
            opened = [wanted] * len(filled)
        rows = [i for i, one in enumerate(opened) if np.isfinite(prior[i]) and one.masked]
        fillers = [_fillers(opened[i], filled[i]) for i in rows]
        if rows:
            out[rows] = self.writer_.score([opened[i] for i in rows], fillers, decoding=decoding)
        return out + prior

    # ---- how -------------------------------------------------------------------------------------------------------------

    def _fill(self, templates, content, decoding, seed, blend=1.0, words=()):
        """As `Writer.fill`, but templates without masks pass through."""
        rows = [i for i, template in enumerate(templates) if template.masked]
        some = content if content is None or isinstance(content, str) else [content[i] for i in rows]
        found = self.writer_.fill([templates[i] for i in rows], some, decoding, blend, seed, words) if rows else []
        by_row = dict(zip(rows, found, strict=True))
        return [
            by_row[i] if i in by_row else Sample(template.prompt, template=template, log_prob=0.0)
            for i, template in enumerate(templates)
        ]

    def _drawn(self, n, seed):
        """So many templates from the prior that the writer has room for, and their log-probabilities."""
        names, templates, scores = [code.name for code in self.codes], [], []
        for turn in range(_TURNS):
            for one in self.prior_.sample(n, seed + 104_729 * turn):
                parts = one.template.parts
                template = Template.build(p if isinstance(p, str) else replace(p, name=names[p.code]) for p in parts)
                if not template.masked or self.writer_.fits(template):
                    templates.append(template)
                    scores.append(one.log_prob)
            if len(templates) >= n:
                return templates[:n], np.array(scores[:n])
        raise TemplateError(f"The prior's templates are too long for the writer's window of {WINDOW} positions.")

    def _content_of(self, texts, spelled=True):
        return self.writer_.content(texts, self._vectors_of([text.lower() for text in texts]), spelled=spelled)

    def _content_like(self, source, template):
        """Content for the masked slots of a template from the slots of another, by name and in order."""
        if source.masked:
            raise TemplateError(f"content comes from a whole prompt, still open: {source}.")
        by_name = {}
        for slot in source.slots:
            by_name.setdefault(slot.name, []).append(slot.text)
        out = []
        for slot in template.slots:
            if slot.text is None:
                waiting = by_name.get(slot.name)
                out.append(self._content_of([waiting.pop(0)])[0] if waiting else None)
        return out


def _masked(template, numbers):
    """The template with the slots of these numbers masked."""
    parts, at = [], 0
    for part in template.parts:
        if isinstance(part, Slot):
            parts.append(replace(part, text=None) if at in numbers else part)
            at += 1
        else:
            parts.append(part)
    return Template.build(parts)


def _fillers(opened, filled):
    """Texts of the slots of `filled` that are masked in `opened`."""
    pairs = zip(opened.slots, filled.slots, strict=True)
    return tuple(full.text for slot, full in pairs if slot.text is None)
