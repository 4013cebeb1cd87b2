"""Infilling: candidates for the masks of a prompt, from the writer and the n-grams, and their ranking."""

from collections import Counter

import numpy as np

from workbench import checks
from workbench.checks import did_you_mean, unit_rows
from workbench.language import ngram
from workbench.language.dsl import weighing
from workbench.language.dsl.masks import without_syntax
from workbench.language.writer.trie import writable
from workbench.template import Slot, Template
from workbench.values import Sample, TemplateError

_BLEND = 0.9  # share of the wanted filler's content in guided infill
_PULL = 5.0  # nats that a candidate for a guided mask gains with the cosine to the wanted filler
_CANDIDATES = 64  # fillings drawn from the writer, and as many from the n-grams, before they are ranked
_NEAR = 24  # known fillers near the wanted one that guided infill considers
_FEWEST, HELD_OUT = 20, 240  # prompts that a ranking is learned on, at least and at most


def infill(author, prompt, n, like, decoding, seed):
    """See `DeepDSL.infill`; `author` is an `Author`. List of at most n `Sample`, best first."""
    checks.whole("n", n)
    template, masks = _with_masks(author.reader, prompt)
    like = _check_like(like or {}, masks)
    wide = max(_CANDIDATES, 2 * n)
    wishes = [like.get(slot.name or "?") for slot in masks]
    content = _wished_content(author, wishes) if like else None
    contents = content and [content] * wide
    blend = _BLEND if like else 1.0
    drawn, _ = author.learned.writer.fillers([template] * wide, contents, decoding, blend, seed, list(like.values()))
    others = proposed(author, template, wishes, drawn, wide, seed)
    return _best(author, template, (*drawn, *others), content, wishes)[:n]


def rank_fillers(author, prompt, fillers):
    """See `DeepDSL.rank_fillers`; `author` is an `Author`. List of `Sample`, best first."""
    template, masks = _with_masks(author.reader, prompt)
    return _best(author, template, _check_fillers(fillers, masks), None, [None] * len(masks))


def fit_ranking(author, prompts, seed):
    """See `DeepDSL.fit_ranking`; `author` is an `Author`. `weighing.Ranking`."""
    prompts = [] if isinstance(prompts, str) else list(prompts)
    if len(prompts) < _FEWEST:
        raise ValueError(f"fit_ranking needs a list of {_FEWEST} prompts or more that this language has not learned.")
    templates = [without_syntax(one) for one in author.reader.plain(checks.texts(prompts, "prompts"))]
    chosen = np.random.default_rng(seed).permutation(len(templates))[:HELD_OUT]
    return learned_ranking(author, [templates[i] for i in chosen], templates, seed)


def learned_ranking(author, held, templates, seed, held_out=0):
    """The `Ranking` that finds words, slots and segments taken out of templates again.

    Args:
        author: `Author`, which has not learned the prompts of `held`.
        held: list of `Template`.
        templates: list of `Template`, in which the candidates are common.
        seed: int.
        held_out: int, noted in the result.
    """
    inventory, rng, gaps = weighing.Inventory(templates), np.random.default_rng(seed), []
    for found in (weighing.gap(template, inventory, author.learned.ngram, rng) for template in held):
        if found is None:
            continue
        hole, candidates, truth, offset = found
        hole = author.reader.read(hole)
        if author.learned.writer.fits(hole):
            values, _ = features(author.learned, hole, [(text,) for text in candidates], None)
            gaps.append((values, truth, offset))
    return weighing.learn(gaps, held_out)


# ---- what was asked for -------------------------------------------------------------------------------------------------


def _with_masks(reader, prompt):
    """The template of a prompt and its masked slots."""
    template = reader.read(prompt) if isinstance(prompt, Template) else reader.template(prompt)
    masks = [slot for slot in template.slots if slot.text is None]
    if not masks:
        raise TemplateError(
            "This prompt holds no mask. Write <?> for anything or, say, <artist:?> for a slot; or use sample or vary."
        )
    return template, masks


def _check_like(like, masks):
    if not isinstance(like, dict):
        raise TypeError(f"like is a dict of slot name to filler, got {type(like).__name__}.")
    names = sorted({slot.name or "?" for slot in masks})
    for name, filler in like.items():
        if name not in names:
            hint = did_you_mean(name, names)
            raise TemplateError(f"like names {name!r}, but no mask has that name.{hint} Masks here: {', '.join(names)}.")
        if not isinstance(filler, str) or not ngram.tokens(filler):
            raise TemplateError(f"like={{{name!r}: ...}} needs a filler with a word in it, got {filler!r}.")
    return dict(like)


def _check_fillers(fillers, masks):
    """A list of tuples of str, one for each mask."""
    if isinstance(fillers, str) or not hasattr(fillers, "__iter__"):
        raise TypeError(f"fillers is a list of str, or of tuples of str for several masks, got {type(fillers).__name__}.")
    found = [(filler,) if isinstance(filler, str) else filler for filler in fillers]
    if not found:
        raise ValueError("There is no filler to rank: give one or more.")
    for filler in found:
        if not isinstance(filler, list | tuple) or not all(isinstance(text, str) for text in filler):
            raise TypeError(f"A filler is a str, or a tuple of str for several masks, got {filler!r}.")
        if len(filler) != len(masks):
            raise TemplateError(f"This prompt has {len(masks)} masks, but {filler!r} holds {len(filler)} fillers.")
        if not all(ngram.tokens(text) for text in filler):
            raise TemplateError(f"A filler needs a word in it, got {filler!r}.")
    return [tuple(filler) for filler in found]


# ---- candidates ---------------------------------------------------------------------------------------------------------


def _wished_content(author, wishes):
    """The meaning of the wished fillers: a list of float32 (c,), or None where a mask has no wish."""
    texts = sorted({filler for filler in wishes if filler is not None})
    vectors = dict(zip(texts, author.content(texts, spelled=False), strict=True))
    return [None if filler is None else vectors[filler] for filler in wishes]


def proposed(author, template, wishes, drawn, n, seed):
    """Candidates from the n-grams, and near a wish from the map of fillers.

    Args:
        author: `Author`.
        template: `Template` with m masked slots.
        wishes: list of m fillers (str), or None.
        drawn: list of tuples of m str, fillings from the writer.
        n: int, proposals for a mask.
        seed: int.

    Returns:
        list of tuples of m str.
    """
    learned, options = author.learned, []
    masks = [slot for slot in template.slots if slot.text is None]
    rest = Counter(drawn).most_common(1)[0][0]  # the other masks hold what the writer put there most often
    blanks = [" " if gap.apart else "" for gap in learned.writer.gaps(template)]
    for number, (slot, wish) in enumerate(zip(masks, wishes, strict=True)):
        left, right = _sides(template, number, rest)
        spoken = learned.ngram.propose(left, right, n, seed=seed, only=writable)
        found = [(learned.writer.tokens_.dress(" ".join(words)), score) for words, score in spoken]
        if wish is not None:
            found = [(text, 0.0) for text in neighbours(learned, wish, slot.code)] + found[: n // 4]
        options.append([(blanks[number] + text, score) for text, score in found] or [(rest[number], 0.0)])
    if len(masks) == 1:
        return [(text,) for text, _ in options[0]]
    rng = np.random.default_rng(seed)
    weights = [weighing.softmax(np.array([score for _, score in found])) for found in options]
    picks = [rng.choice(len(found), size=n, p=w) for found, w in zip(options, weights, strict=True)]
    mixed = [tuple(options[m][picks[m][i]][0] for m in range(len(masks))) for i in range(n)]
    for i, base in enumerate(drawn[:n]):  # and the writer's own fillings with one mask exchanged
        m = i % len(masks)
        mixed.append((*base[:m], options[m][picks[m][i % n]][0], *base[m + 1 :]))
    return mixed


def neighbours(learned, filler, code):
    """Known fillers near one that may be written, of a code if it is given; the filler itself may be among them."""
    known = learned.fillers
    rows = np.arange(len(known.texts)) if code is None else np.flatnonzero(known.codes == code)
    rows = [row for row in rows.tolist() if writable(known.texts[row])]
    if not rows:
        return []
    near = _nearness(learned, [known.texts[i] for i in rows], filler)
    return [learned.writer.tokens_.dress(known.texts[rows[i]]) for i in np.argsort(-near, kind="stable")[:_NEAR]]


def _nearness(learned, texts, filler):
    """Cosine of the static vectors of texts to that of a filler, all minus the mean of known fillers: float32 (n,)."""
    vectors = unit_rows(learned.encoder.embed_words([text.lower() for text in (*texts, filler)]) - learned.centre)
    return vectors[:-1] @ vectors[-1]


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


# ---- ranking ------------------------------------------------------------------------------------------------------------


def _best(author, template, candidates, content, wishes):
    """`Sample`s of tuples of fillers, best first."""
    known = {}
    for fillers in candidates:  # by text: neighbouring masks may share the same words in several ways
        filled = template.fill(list(fillers))
        known.setdefault(filled.prompt, (fillers, filled))
    candidates, filled = zip(*known.values(), strict=True)
    scores, written = ranked(author.learned, template, candidates, content)
    for number, wish in enumerate(wishes):
        if wish is not None:
            scores += _PULL * _nearness(author.learned, [fillers[number] for fillers in candidates], wish)
    order = np.argsort(-scores, kind="stable")
    return [Sample(filled[i].prompt, template=filled[i], log_prob=float(written[i])) for i in order]


def ranked(learned, template, candidates, content):
    """Score of each candidate, higher is better, and the log-probability of the writer alone: two float64 (c,)."""
    values, written = features(learned, template, candidates, content)
    return learned.ranking(values), written


def features(learned, template, candidates, content):
    """What a `Ranking` weighs of each candidate, float64 (c, 4), and the log-probability of the writer, float64 (c,).

    Args:
        learned: `Learned`.
        template: `Template` with m masked slots.
        candidates: list of c tuples of m str.
        content: list of m float32 vectors or None, as for `Writer.score`; None for no content.
    """
    owner = np.zeros(len(candidates), np.int64)
    written = learned.writer.score([template], candidates, owner, content and [content], None)  # people may give any text
    words = [[ngram.tokens(filler) for filler in fillers] for fillers in candidates]
    left, right = _sides(template, 0, [""] * len(candidates[0]))
    if len(candidates[0]) == 1:  # the same up to a constant
        spoken = learned.ngram.fill_log_prob(left, [filler for (filler,) in words], right)
    else:
        texts = [template.fill(list(fillers)).prompt for fillers in candidates]
        spoken = np.array([p.sum() for p in learned.ngram.log_prob([ngram.tokens(text) for text in texts])])
    return weighing.features(written, spoken, left + right, [sum(fillers, []) for fillers in words]), written
