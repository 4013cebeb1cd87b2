"""Coarse to fine: many gaps of a prompt are filled at once, the surest are kept, the others follow in a few passes."""

from dataclasses import replace

import numpy as np

_TRIED = 104_729  # between the seeds of two passes
_READ = 256  # kept fillers read again at once, each in a prompt of its own


def fillers(writer, templates, decoding, seed=0):
    """What is written into the masked slots of templates, in `decoding.passes` passes.

    In each pass all open gaps are filled side by side, each as if it were the only one, and those are kept of whose words the
    writer is surest; the last pass keeps all. Before it, what was kept is read again: a filler that has become less likely than
    the average, now that more is known, is opened once more and stays only if nothing likelier is found.

    Args:
        writer: `Writer`.
        templates: list of b `Template`.
        decoding: `Decoding`.
        seed: int.

    Returns:
        (list of b tuples of str, float64 (b,): their log-probabilities as if written from left to right, nothing cut off).

    Source:
        Fei et al., arXiv:2210.02291, sections 3.2 and 3.3, for pictures; keeping the surest: Chang et al., arXiv:2202.04200.
    """
    passes, plain = decoding.passes, replace(decoding, passes=0)
    filled = [[None] * sum(slot.text is None for slot in template.slots) for template in templates]
    for turn in range(passes):
        last, before = turn == passes - 1, {}
        if last and turn:
            for (i, j), nats in zip(*_reread(writer, templates, filled, plain), strict=True):
                before[i, j] = (filled[i][j], nats)
            written = [nats for _, nats in before.values() if np.isfinite(nats)]  # not what is cut off by now
            usual = np.mean(written) if written else 0.0
            for (i, j), (_, nats) in before.items():
                if nats < usual:
                    filled[i][j] = None
        share = (turn + 1) / passes
        wanted = [max(0, round(share * len(one)) - sum(text is not None for text in one)) for one in filled]
        found = _at_once(writer, templates, filled, plain, seed + _TRIED * turn, None if last else wanted)
        for i, one in enumerate(filled):
            mine = sorted((nats, j, text) for (at, j), (text, nats) in found.items() if at == i)
            keep = len(mine) if last else wanted[i]
            for nats, j, text in mine[len(mine) - keep :]:
                old = before.get((i, j))
                one[j] = old[0] if old is not None and old[1] >= nats else text
    texts = [tuple(one) for one in filled]
    return texts, writer.score(templates, texts, decoding=replace(plain, temperature=1.0, top_k=0, top_p=1.0))


def _open(template, filled, but=None):
    """A template with what is filled, and the gaps that are still open: (template, list of numbers of gaps)."""
    at, parts, gaps = 0, [], []
    for part in template.parts:
        if getattr(part, "text", "") is None:
            if filled[at] is None or at == but:
                gaps.append(at)
            else:
                part = replace(part, text=filled[at])
            at += 1
        parts.append(part)
    return type(template).build(parts), gaps


def _alone(layout, gap):
    """A layout in which one gap is filled and the marks of the others stay."""
    return layout._replace(marks=[layout.marks[gap]], gaps=[layout.gaps[gap]], neighbours=[layout.neighbours[gap]])


def _at_once(writer, templates, filled, decoding, seed, wanted=None):
    """Open gaps filled as if each were the only one: dict of (template, gap) -> (text, nats a piece).

    With `wanted`, list of b int, it ends when so many of each template are filled: long fillers wait for the last pass.
    """
    where, layouts = [], []
    for i, template in enumerate(templates):
        now, gaps = _open(template, filled[i])
        if gaps:
            layout = writer.layout(now)
            where += [(i, gap) for gap in gaps]
            layouts += [_alone(layout, at) for at in range(len(gaps))]
    if not layouts:
        return {}
    owners, over = np.array([i for i, _ in where]), np.ones(len(where), bool)

    def enough(done):
        over[:] = done
        return (np.bincount(owners[done], minlength=len(templates)) >= wanted).all()

    done = writer.filler(decoding).fill(layouts, seed=seed, enough=None if wanted is None else enough)
    texts = [writer.dressed(fill[0], layout.gaps[0]) for fill, layout in zip(done.fills, layouts, strict=True)]
    sizes = [len(fill[0]) + 1 for fill in done.fills]
    rows = zip(where, texts, done.log_probs.tolist(), sizes, over.tolist(), strict=True)
    return {at: (text, nats / size) for at, text, nats, size, whole in rows if whole}


def _reread(writer, templates, filled, decoding):
    """How likely each kept filler is beside all others: list of (template, gap), list of float, nats a piece."""
    where, layouts, pieces = [], [], []
    for i, template in enumerate(templates):
        for j, text in enumerate(filled[i]):
            if text is not None:
                now, gaps = _open(template, filled[i], but=j)
                layout = writer.layout(now)
                layouts.append(_alone(layout, gaps.index(j)))
                pieces.append([writer.spelled(text, layouts[-1].gaps[0])])
                where.append((i, j))
    filler, parts = writer.filler(decoding), [slice(at, at + _READ) for at in range(0, len(where), _READ)]
    found = [nats for part in parts for nats in filler.score(layouts[part], pieces[part])]
    return where, [nats / (len(one[0]) + 1) for nats, one in zip(found, pieces, strict=True)]
