"""Infill with a learned language: candidates for the masks of a prompt, from the writer and the n-grams, and their ranking."""

import copy
import re
from collections import Counter

import numpy as np

from workbench.language import ngram
from workbench.language.dsl import ranking
from workbench.language.dsl.gaps import Inventory, gap
from workbench.language.dsl.writing import DECODING
from workbench.language.writer import Decoding
from workbench.template import Slot
from workbench.values import Sample

_BLEND = 0.9  # share of the wanted filler's content in guided infill
_PULL = 5.0  # nats that a candidate for a guided mask gains with the cosine to the wanted filler
HELD_OUT = 240  # prompts that a ranking is learned on, at most
_FEWEST = 20  # and at least
_CANDIDATES = 64  # fillings drawn from the writer, and as many from the n-grams, before they are ranked
_SCORED = Decoding(known=False)  # nothing that was proposed or given is cut
_CLOSE = re.compile(r" ([,;.!?:])")
_NEAR = 24  # known fillers near the wanted one that guided infill considers


class Infilling:
    """Infill of `DeepDSL`; its attributes are set there: `writer_`, `ngram_`, `ranking_`, `fillers`, `encoder`."""

    def infill(self, prompt, n, *, like=None, decoding=DECODING, seed=0):
        """Fill the masks of a prompt.

        `<?>` stands for anything of any length, `<artist:?>` for a filler of that code. Candidates come from the writer and
        from the n-grams of the corpus. They are ranked by both log-probabilities of the whole prompt, by length, and by what
        the prompt has already; how much each counts was learned with the language (`ranking_`).

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
            vectors = dict(zip(wanted, self._content_of(wanted, spelled=False), strict=True))
            content = [None if filler is None else vectors[filler] for filler in given]
        blend, words = _BLEND if like else 1.0, list(like.values())
        drawn, _ = self.writer_.fillers([template] * wide, content and [content] * wide, decoding, blend, seed, words)
        proposed = self._proposed(template, masks, given, drawn, wide, seed)
        return self._best(template, (*drawn, *proposed), content, given)[:n]

    def rank(self, prompt, fillers):
        """Rank your own fillers for the masks of a prompt, as `infill` ranks its candidates.

        Args:
            prompt: str with masks, or `Template` with masked slots.
            fillers: list of str for one mask; for several masks a list of tuples with a str for each. A filler may hold words
                that the corpus has not.

        Returns:
            list of `Sample`, the best first: one for each different text. Their `log_prob` is the writer's alone (nats),
            which need not fall in this order.

        Raises:
            NotFittedError: this DSL only reads.
            TemplateError: no mask, nothing but a mask, an unknown slot name, a filler without a word, or another number of
                fillers than of masks.
            ValueError: no filler.
            TypeError: a str instead of a list, or fillers that are not str.
        """
        self._check_writes(1)
        template = self._read_masked(prompt)
        masks = [slot for slot in template.slots if slot.text is None]
        return self._best(template, self._check_fillers(fillers, masks), None, [None] * len(masks))

    def tune(self, prompts, seed=0):
        """Learn anew how much the writer, the n-grams, length and repetition count when fillers are ranked.

        `fit` does so on prompts that it keeps apart. This is for languages saved before it did, and for other prompts.

        Args:
            prompts: list of str that this language has not learned: what a model has seen it would be trusted with too much.
                At most 240 are used, drawn by seed; takes some 10 seconds.
            seed: int.

        Returns:
            a `DeepDSL` that shares all else with this one.

        Raises:
            NotFittedError: this DSL only reads.
            ValueError: fewer than 20 prompts.
            TypeError: not a list of str.
        """
        self._check_writes(1)
        templates = self.read(list(prompts) if not isinstance(prompts, str) else prompts)
        if not isinstance(templates, list) or len(templates) < _FEWEST:
            raise ValueError(f"tune needs a list of {_FEWEST} prompts or more that this language has not learned.")
        chosen = np.random.default_rng(seed).permutation(len(templates))[:HELD_OUT]
        other = copy.copy(self)
        other.ranking_ = self._weights([templates[i] for i in chosen], templates, seed, 0)
        return other

    # ---- how -------------------------------------------------------------------------------------------------------------

    def _best(self, template, candidates, content, given):
        """`Sample` of tuples of fillers, the best first; `given` are the fillers that masks should be near, or None."""
        # by text, as neighbouring masks may share the same words in several ways
        known = {}
        for fillers in candidates:
            filled = template.fill(list(fillers))
            known.setdefault(filled.prompt, (fillers, filled))
        candidates, filled = zip(*known.values(), strict=True)
        ranked, written = self._ranked(template, candidates, content)
        for number, wanted in enumerate(given):
            if wanted is not None:
                ranked += _PULL * self._nearness([fillers[number] for fillers in candidates], wanted)
        return [
            Sample(filled[i].prompt, template=filled[i], log_prob=float(written[i])) for i in np.argsort(-ranked, kind="stable")
        ]

    def _weights(self, held, templates, seed, held_out):
        """`Ranking` learned on gaps of the templates `held`; what is common in `templates` are the candidates."""
        inventory, rng = Inventory(templates), np.random.default_rng(seed)
        found = (gap(template, inventory, self.ngram_, rng) for template in held)
        gaps = []
        for hole, candidates, truth, offset in filter(None, found):
            hole = self._read_masked(hole)
            if self.writer_.fits(hole):
                values, _ = self._features(hole, [(text,) for text in candidates], None)
                gaps.append((values, truth, offset))
        return ranking.learn(gaps, held_out)

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
        """Score of each candidate, the higher the better, and the writer's log-probability alone: two float64 (c,)."""
        values, written = self._features(template, candidates, content)
        return self.ranking_(values), written

    def _features(self, template, candidates, content):
        """What `ranking_` weighs of each candidate, float64 (c, 4), and the writer's log-probability, float64 (c,)."""
        owner = np.zeros(len(candidates), np.int64)
        written = self.writer_.score([template], candidates, owner, content and [content], _SCORED)
        words = [[ngram.tokens(filler) for filler in fillers] for fillers in candidates]
        left, right = _sides(template, 0, [""] * len(candidates[0]))
        if len(candidates[0]) == 1:  # the same up to a constant
            spoken = self.ngram_.fill_log_prob(left, [filler for (filler,) in words], right)
        else:
            texts = [template.fill(list(fillers)).prompt for fillers in candidates]
            spoken = np.array([p.sum() for p in self.ngram_.log_prob([ngram.tokens(text) for text in texts])])
        return ranking.features(written, spoken, left + right, [sum(fillers, []) for fillers in words]), written


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
