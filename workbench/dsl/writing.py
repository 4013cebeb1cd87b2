"""Writing with a learned language: samples, variations, infill, and their log-probabilities."""

import difflib
import numbers
import re
from collections import Counter
from dataclasses import replace

import numpy as np

from workbench import ngram
from workbench.template import Slot, Template, parse
from workbench.values import NotFittedError, Sample, TemplateError
from workbench.writer import Decoding

DECODING = Decoding(temperature=0.9, top_p=0.95)
_BLEND = 0.9  # share of the wanted filler's content in guided infill
_PULL = 5.0  # nats that a candidate for a guided mask gains with the cosine to the wanted filler
_TURNS = 20  # times that templates are drawn anew when some are too long
_CANDIDATES = 64  # fillings drawn from the writer, and as many from the n-grams, before they are ranked
_HOLE = "\n"  # stands for a mask while the text round it is read: it parts segments and is no word
_MASK = re.compile(r"<\?>|<[^<>]*:\s*\?>")
_CLOSE = re.compile(r" ([,;.!?:])")
_NEAR = 24  # known fillers near the wanted one that guided infill considers


class Writing:
    """The writing half of `DeepDSL`; its attributes are set there: `writer_`, `prior_`, `ngram_`."""

    def sample(self, n, template=None, *, lock=(), content=None, decoding=DECODING, seed=0):
        """Write prompts: from nothing, or new fillers for a template.

        Args:
            n: int, prompts to write.
            template: `Template` or prompt whose slots are filled anew; masked slots too. None draws a template from the prior
                for each.
            lock: names of slots of the template that keep their text.
            content: None leaves content absent; "noise" draws a content vector for each slot; a prompt or `Template` gives the
                content of its slots, by name and in order.
            decoding: `Decoding`, how words are chosen.
            seed: int.

        Returns:
            list of n `Sample`; the same for the same seed. Their `log_prob` is exact for absent content: that of the fillers,
            and of the template if it was drawn. With content it is that of the fillers given the content.

        Raises:
            NotFittedError: this DSL only reads.
            ValueError: n below 1, or content of another kind.
            TemplateError: a slot name that is not there, or a template of another DSL.
        """
        self._check_writes(n)
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
        return [Sample(f.template.prompt, f.template, f.log_prob + p) for f, p in zip(found, prior.tolist(), strict=True)]

    def vary(self, prompt, n, proximity=0.8, *, by="slots", decoding=DECODING, seed=0):
        """Write prompts near a prompt.

        Args:
            prompt: str or `Template` without masks.
            n: int.
            proximity: float 0..1. 0 keeps the template only, 1 changes one slot to something near.
            by: "slots" keeps a share `proximity` of the slots as text and re-rolls the others near their meaning; "noise"
                re-rolls all slots with content between that of the prompt and noise.
            decoding: `Decoding`.
            seed: int.

        Returns:
            list of n `Sample`, other than the prompt and each other where the language has that many.

        Raises:
            ValueError: n below 1, proximity outside 0..1, or an unknown `by`.
            TemplateError: no slot to vary, or a masked one.
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
        vectors = self._content_of([slot.text for slot in slots])
        rng, out, seen = np.random.default_rng(seed), [], {template.prompt.lower()}
        spare = []
        for turn in range(4):
            templates, contents = [], []
            for _ in range(n):
                kept = int(round(proximity * (len(slots) - 1))) if by == "slots" else 0
                open_ = np.sort(rng.permutation(len(slots))[kept:])
                templates.append(_masked(template, set(open_.tolist())))
                contents.append([vectors[i] if proximity else None for i in open_])
            blend, words = float(proximity), [slot.text for slot in slots]
            found = self._fill(templates, contents, decoding, seed + 7919 * turn, blend, words)
            for filling in found:
                sample = Sample(filling.template.prompt, filling.template, filling.log_prob)
                if sample.text.lower() in seen:
                    spare.append(sample)
                    continue
                seen.add(sample.text.lower())
                out.append(sample)
            if len(out) >= n:
                break
        return (out + spare)[:n]

    def infill(self, prompt, n, *, like=None, decoding=DECODING, seed=0):
        """Fill the masks of a prompt.

        `<?>` stands for anything of any length, `<artist:?>` for a filler of that code. Candidates come from the writer and
        from the n-grams of the corpus, and are ranked by the mean of both log-probabilities of the whole prompt.

        Args:
            prompt: str with masks, or `Template` with masked slots.
            n: int, prompts to return.
            like: dict of slot name -> filler: masks of that name are filled with something near it. "?" names the masks `<?>`.
            decoding: `Decoding` that candidates are drawn with.
            seed: int.

        Returns:
            list of at most n `Sample`, the best first, all different. Text that was given stays to the letter. Their `log_prob`
            is the writer's alone, without any cut of `decoding`, so that fillers can be compared.

        Raises:
            TemplateError: no mask, nothing but a mask, an unknown slot name, or `like` for a name without a mask.
            ValueError: n below 1.
        """
        self._check_writes(n)
        template = self._read_masked(prompt)
        masks = [slot for slot in template.slots if slot.text is None]
        like = self._check_like(like or {}, masks)
        wide = max(_CANDIDATES, 2 * n)
        content, given = None, [like.get(slot.name or "?") for slot in masks]
        if like:
            wanted = sorted(set(like.values()))
            vectors = dict(zip(wanted, self._content_of(wanted), strict=True))
            content = [None if filler is None else vectors[filler] for filler in given]
        blend, words = _BLEND if like else 1.0, list(like.values())
        found = self._fill([template] * wide, content and [content] * wide, decoding, seed, blend, words)
        drawn = [filling.fillers for filling in found]
        # by text, as neighbouring masks may share the same words in several ways
        candidates = {}
        for fillers in (*drawn, *self._proposed(template, masks, given, drawn, wide, seed)):
            candidates.setdefault(template.fill(list(fillers)).prompt, fillers)
        candidates = list(candidates.values())
        ranked, written = self._ranked(template, candidates, content)
        for number, filler in enumerate(given):
            if filler is not None:
                ranked += _PULL * self._nearness([fillers[number] for fillers in candidates], filler)
        order = np.argsort(-ranked, kind="stable")[:n]
        out = []
        for i in order:
            filled = template.fill(list(candidates[i]))
            out.append(Sample(filled.prompt, filled, float(written[i])))
        return out

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
        if isinstance(samples, (str, Sample)):
            raise TypeError("log_score takes a list of Sample or of str.")
        filled = [self.read(s) if isinstance(s, str) else self._understood(getattr(s, "template", s)) for s in samples]
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

    def _check_writes(self, n):
        if not hasattr(self, "codes"):
            raise NotFittedError("This DeepDSL has learned nothing yet: use DeepDSL.fit(prompts) or DeepDSL.load(folder).")
        if self.writer_ is None:
            raise NotFittedError(
                "This DSL only reads: it was learned with DSLConfig(writer=None). "
                "Fit it again with a writer, DSLConfig(writer=WriterConfig()); what it has learned so far is not learned twice."
            )
        if isinstance(n, bool) or not isinstance(n, numbers.Integral) or n < 1:
            raise ValueError(f"n is how many prompts you want, an int of 1 or more, got {n!r}.")

    def _fill(self, templates, content, decoding, seed, blend=1.0, words=()):
        """As `Writer.fill`, but templates without masks pass through."""
        rows = [i for i, template in enumerate(templates) if template.masked]
        some = content if content is None or isinstance(content, str) else [content[i] for i in rows]
        found = self.writer_.fill([templates[i] for i in rows], some, decoding, blend, seed, words) if rows else []
        by_row = dict(zip(rows, found, strict=True))
        return [by_row.get(i) or _Nothing(template) for i, template in enumerate(templates)]

    def _drawn(self, n, seed):
        """So many templates from the prior that the writer has room for, and their log-probabilities."""
        names, templates, scores = [code.name for code in self.codes], [], []
        for turn in range(_TURNS):
            for one, score in zip(*self.prior_.sample(n, seed + 104_729 * turn), strict=True):
                template = Template.build(p if isinstance(p, str) else Slot(names[p], code=int(p)) for p in one)
                if not template.masked or self.writer_.fits(template):
                    templates.append(template)
                    scores.append(score)
            if len(templates) >= n:
                return templates[:n], np.array(scores[:n])
        raise TemplateError(f"The prior's templates are too long for the writer's window of {self.writer_.config.window}.")

    def _understood(self, template):
        """A `Template` whose slots have codes of this DSL; a str is read, with its masks if it has any."""
        if isinstance(template, str):
            return self._read_masked(template) if _MASK.search(template) else self.read(template)
        if not isinstance(template, Template):
            raise TypeError(f"Expected a prompt (str) or a Template, got {type(template).__name__}.")
        return Template.build(replace(p, code=self._code(p)) if isinstance(p, Slot) else p for p in template.parts)

    def _code(self, slot):
        if slot.name is None:
            return None
        known = {code.name: code.id for code in self.codes}
        if slot.name not in known:
            near = difflib.get_close_matches(slot.name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TemplateError(f"This language has no slot {slot.name!r}.{hint} It has: {', '.join(known)}.")
        if slot.code is not None and slot.code != known[slot.name]:
            raise TemplateError(
                f"{slot} has code {slot.code}, but here {slot.name!r} is code {known[slot.name]}: the template comes from "
                "another DSL. Read its prompt with this one."
            )
        return known[slot.name]

    def _opened(self, template, lock):
        lock = {lock} if isinstance(lock, str) else set(lock)
        there = {slot.name for slot in template.slots}
        for name in sorted(lock - there):
            near = difflib.get_close_matches(str(name), [t for t in there if t], 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            listed = ", ".join(sorted(map(str, there)))
            raise TemplateError(f"There is no slot {name!r} to lock.{hint} The template has: {listed}.")
        if not template.slots:
            raise TemplateError(f"There is nothing to re-roll in {template.prompt!r}: it holds no slot.")
        return Template.build(
            replace(p, text=None) if isinstance(p, Slot) and p.name not in lock else p for p in template.parts
        )

    def _read_masked(self, prompt):
        """A prompt with masks as a template: what is visible is read, each mask stays where it is."""
        template = parse(prompt) if isinstance(prompt, str) else prompt
        if not isinstance(template, Template):
            raise TypeError(f"Expected a prompt (str) or a Template, got {type(prompt).__name__}.")
        masks = [p for p in template.parts if isinstance(p, Slot) and p.text is None]
        if not masks:
            raise TemplateError(
                "This prompt holds no mask. Write <?> for anything or, say, <artist:?> for a slot; or use sample or vary."
            )
        masks = [replace(mask, code=self._code(mask)) for mask in masks]
        if any(isinstance(p, Slot) and p.text is not None for p in template.parts):
            return Template.build(replace(p, code=self._code(p)) if isinstance(p, Slot) else p for p in template.parts)
        texts = [""]
        for part in template.parts:
            if isinstance(part, Slot):
                texts.append("")
            else:
                texts[-1] += part
        if not any(text.strip() for text in texts):
            raise TemplateError("There is nothing but masks in this prompt: sample(n) writes from nothing.")
        holes = np.cumsum([len(text) + 1 for text in texts])[:-1] - 1
        seen, parts, at, left = self.read(_HOLE.join(texts)), [], 0, list(zip(holes.tolist(), masks, strict=True))
        for part in seen.parts:
            if isinstance(part, Slot):
                parts.append(part)
                at += len(part.text)
                continue
            begin = at
            while left and left[0][0] < at + len(part):
                where, mask = left.pop(0)
                parts += [part[begin - at : where - at], mask]
                begin = where + 1
            parts.append(part[begin - at :])
            at += len(part)
        return Template.build(parts)

    def _check_like(self, like, masks):
        if not isinstance(like, dict):
            raise TypeError(f"like is a dict of slot name to filler, got {type(like).__name__}.")
        names = {slot.name or "?" for slot in masks}
        for name, filler in like.items():
            if name not in names:
                near = difflib.get_close_matches(str(name), names, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                listed = ", ".join(sorted(names))
                raise TemplateError(f"like names {name!r}, but no mask has that name.{hint} Masks here: {listed}.")
            if not isinstance(filler, str) or not ngram.tokens(filler):
                raise TemplateError(f"like={{{name!r}: ...}} needs a filler with a word in it, got {filler!r}.")
        return dict(like)

    def _content_of(self, texts):
        return self.writer_.content(texts, self._vectors_of([text.lower() for text in texts]))

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

    def _proposed(self, template, masks, given, drawn, n, seed):
        """Tuples of fillers that the n-grams, and for guided masks the map of fillers, propose."""
        options = []
        for number, (slot, wanted) in enumerate(zip(masks, given, strict=True)):
            # other masks hold what the writer put there most often
            rest = Counter(drawn).most_common(1)[0][0]
            left, right = _sides(template, number, rest)
            found = [(self._joined(words), score) for words, score in self.ngram_.propose(left, right, n, seed=seed)]
            if wanted is not None:
                found = [(text, 0.0) for text in self._neighbours(wanted, slot.code)] + found[: n // 4]
            options.append([(text, score) for text, score in found if text] or [(rest[number], 0.0)])
        if len(masks) == 1:
            return [(text,) for text, _ in options[0]]
        rng = np.random.default_rng(seed)
        weights = []
        for found in options:
            scores = np.array([score for _, score in found])
            p = np.exp(scores - scores.max())
            weights.append(p / p.sum())
        picks = [rng.choice(len(found), size=n, p=w) for found, w in zip(options, weights, strict=True)]
        mixed = [tuple(options[m][picks[m][i]][0] for m in range(len(masks))) for i in range(n)]
        # and the writer's own fillings with one mask exchanged
        for i, base in enumerate(drawn[:n]):
            m = i % len(masks)
            mixed.append((*base[:m], options[m][picks[m][i % n]][0], *base[m + 1 :]))
        return mixed

    def _joined(self, words):
        """Words of the n-grams as text: separators stand close, the rest after a blank; each word in its usual casing."""
        return self.writer_.tokens_.dress(_CLOSE.sub(r"\1", " ".join(words)))

    def _neighbours(self, filler, code):
        """Known fillers near one, of a code if it is given; the filler itself among them."""
        texts = self.fillers.texts
        rows = np.arange(len(texts)) if code is None else np.flatnonzero(self.fillers.codes == code)
        if not len(rows):
            return []
        near = self._nearness([texts[i] for i in rows], filler)
        return [self.writer_.tokens_.dress(texts[rows[i]]) for i in np.argsort(-near, kind="stable")[:_NEAR]]

    def _nearness(self, texts, filler):
        """Cosine of the static vectors of texts to that of a filler, both less the mean of known fillers: float32 (n,)."""
        if self._middle is None:
            self._middle = self.encoder.embed_words(list(self.fillers.texts)).mean(0)
        vectors = _unit(self.encoder.embed_words([text.lower() for text in (*texts, filler)]) - self._middle)
        return vectors[:-1] @ vectors[-1]

    def _ranked(self, template, candidates, content):
        """Mean of the writer's and the n-grams' log-probability of each candidate, and the writer's alone: two float64 (c,).

        The mean, not the sum: both have seen the same evidence, which a sum would count twice.
        """
        plain = Decoding(known=False)
        owner = np.zeros(len(candidates), np.int64)
        written = self.writer_.score([template], candidates, owner, content and [content], plain)
        if len(candidates[0]) == 1:  # the same up to a constant
            left, right = _sides(template, 0, ())
            spoken = self.ngram_.fill_log_prob(left, [ngram.tokens(filler) for (filler,) in candidates], right)
        else:
            texts = [template.fill(list(fillers)).prompt for fillers in candidates]
            spoken = np.array([p.sum() for p in self.ngram_.log_prob([ngram.tokens(text) for text in texts])])
        return (written + spoken) / 2, written


class _Nothing:
    """A template that needed no filling."""

    def __init__(self, template):
        self.template, self.fillers, self.log_prob = template, (), 0.0


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


def _sides(template, number, fillers):
    """Words to the left and to the right of a mask, the other masks filled."""
    sides, side, mask = ["", ""], 0, 0
    for part in template.parts:
        if isinstance(part, Slot) and part.text is None:
            if mask == number:
                side = 1
            else:
                sides[side] += fillers[mask]
            mask += 1
        else:
            sides[side] += part.text if isinstance(part, Slot) else part
    return ngram.tokens(sides[0]), ngram.tokens(sides[1])


def _unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
