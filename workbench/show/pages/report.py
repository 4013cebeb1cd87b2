"""Report: what a fitted `DeepDSL` has learned, as one HTML page that needs no network, and as text for a terminal."""

import re
import textwrap

import numpy as np
from markupsafe import Markup

from workbench import files
from workbench.files import atomic_path
from workbench.lesson import figure_html, iframe
from workbench.show import atlas
from workbench.show.pages.language_map import spoken
from workbench.show.rendering import render
from workbench.template import MASK, escape, parse

_EXAMPLES, _SAMPLES = 3, 12
_MAP_HEIGHT = 600  # pixels


def write(dsl, path, title="The grammar of these prompts", note=None):
    """Write the report: figures of the run, templates, codes and their fillers, the map.

    The page makes no request and treats every prompt as text, never as HTML: its content security policy allows the one
    script of the map and nothing else. Takes about 15 seconds, most of them for the map; about 1 MB.

    Args:
        dsl: `DeepDSL`, fitted or loaded.
        path: str or Path of the HTML file; its folder is made. An older file is replaced only when the new one is complete.
        title: str, heading of the page.
        note: str, a line below it, or None.

    Returns:
        Path of the page.

    Raises:
        ArtifactError: `path` is a folder, or the disk is full.
    """
    by_use = sorted(dsl.codes, key=lambda code: -code.count)
    order = [code.name for code in by_use if not code.literal]  # of the chips: the order in which they get their colours
    path = files.path(path)
    drawn, program = _map(dsl)
    page = render(
        "report.html",
        head=title,
        title=title,
        note=note,
        program=program,
        stats=dsl.stats,
        source=(dsl.stats.get("corpus") or {}).get("source"),
        templates=[_shape(found, order) for found in dsl.templates],
        segments=[_shape(found, order) for found in dsl.segments],
        written=_written(dsl, order) if dsl.writer_ is not None else None,
        rows=_rows(by_use),
        map=drawn,
        order=_order(dsl),
        facts=_facts(dsl),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


def summary(dsl, width=100):
    """Say the same for a terminal: codes with their fillers, the most common templates, the figures of the run.

    Args:
        dsl: `DeepDSL`, fitted or loaded.
        width: int, characters a line, 60 or more.

    Returns:
        str, lines without control characters, whatever the prompts hold.
    """
    codes = sorted(dsl.codes, key=lambda code: -code.count)
    space = min(max((len(_plain(code.name)) for code in codes), default=4), 24)
    lines = [f"{len(codes)} codes, most used first (* function words, kept as they are in templates):"]
    for code in codes:
        name = textwrap.shorten(_plain(code.name), space, placeholder="…") or _plain(code.name)[:space]
        fillers = ", ".join(_plain(text) for text, _ in code.fillers) or "(unused)"
        head = f"  {code.usage:6.1%} {'*' if code.literal else ' '} {name:<{space}}  "
        lines.append(head + _cut(fillers, max(width, 60) - len(head)))
    for heading, counted in (("Segments", dsl.segments), ("Templates", dsl.templates)):
        lines += ["", f"{heading}, most common first:"]
        lines += [f"  {found.count:>7,}  {_cut(_plain(found.skeleton), max(width, 60) - 11)}" for found in counted[:12]]
        if not counted:
            lines.append("  none")
    if dsl.writer_ is not None:
        lines += ["", samples(dsl, width)]
    lines += ["", "This run:"]
    facts = _facts(dsl)
    space = max(len(label) for label, _ in facts)
    lines += [f"  {label:<{space}}  {_plain(value)}" for label, value in facts]
    return "\n".join(lines)


def samples(dsl, width=100):
    """Six prompts that a language writes, for a terminal: str, lines as of `summary`."""
    lines = [f"  {_cut(_plain(sample.text), max(width, 60) - 2)}" for sample in dsl.sample(6, seed=0)]
    return "\n".join(["Written from nothing, unselected:", *lines])


def _facts(dsl):
    """Pairs (label, text) of what the run counted and measured."""
    stats, rows = dsl.stats, dsl.stats.get("corpus") or {}
    dropped = {rule: count for rule, count in (rows.get("dropped") or {}).items() if count}
    why = f": {', '.join(f'{rule} {count:,}' for rule, count in dropped.items())}" if dropped else ""
    seconds = stats["seconds"]
    facts = [("Source of the prompts", rows["source"])] if rows.get("source") else []
    if "read" in rows:
        facts += [
            ("Rows read", f"{rows['read']:,}"),
            ("Rows dropped", f"{sum(dropped.values()):,}{why}"),
            ("Rows changed by cleaning", f"{rows.get('changed', 0):,}"),
        ]
    return facts + [
        ("Prompts", f"{stats['prompts']:,}"),
        ("Words", f"{stats['words']:,}"),
        ("Units (phrases)", f"{stats['units']:,}"),
        ("Codes", f"{len(dsl.codes)}, of which {sum(code.literal for code in dsl.codes)} for function words"),
        ("Dead codes", f"{stats['dead_codes']}"),
        ("Perplexity of code usage", f"{stats['perplexity']:.1f} of {len(dsl.codes)} (as many codes used alike)"),
        *_truth_facts(stats.get("v_measure"), rows.get("source") == "world"),
        ("Encoder", f"{stats.get('encoder', 'unknown')}"),
        ("Seconds", f"{sum(seconds.values()):,.1f}: {', '.join(f'{stage} {took:,.1f}' for stage, took in seconds.items())}"),
    ]


def _truth_facts(measured, labelled):
    """How well codes agree with labels they never saw, where there are labels."""
    if not measured:
        why = "too few words to measure it" if labelled else "only the built-in corpus comes with labels"
        return [("V-measure", f"unknown: {why}")]
    said = {
        "words": "V-measure, all words",
        "open_slots": "V-measure, open slots",
        "unseen": "V-measure, fillers never seen in training",
    }
    return [(label, f"{measured[key]:.3f} of 1") for key, label in said.items() if measured.get(key) is not None]


def _shape(found, order):
    examples = [Markup(parse(text).html(order)) for text in found.examples[:_EXAMPLES]]
    return {"skeleton": found.skeleton, "count": found.count, "examples": examples}


def _written(dsl, order):
    """Prompts that this language writes: from nothing, on the template of a prompt, and into a gap."""
    found = {"new": [Markup(sample.template.html(order)) for sample in dsl.sample(_SAMPLES, seed=0)], "start": None}
    examples = (parse(text) for count in dsl.templates for text in count.examples)
    start = next((template for template in examples if len(template.slots) > 2), None)
    if start is not None:
        gap, half = _with_gap(start), _SAMPLES // 2
        again = [Markup(sample.template.html(order)) for sample in dsl.sample(half, template=start, seed=0)]
        filled = [sample.text for sample in dsl.infill(gap, half, seed=0)]
        found |= {"start": Markup(start.html(order)), "again": again, "gap": gap, "filled": filled}
    return found


def _with_gap(template):
    """The prompt with its last slot but one replaced by <?>, printed."""
    slots = [part for part in template.parts if not isinstance(part, str)]
    return "".join(escape(p) if isinstance(p, str) else MASK if p is slots[-2] else escape(p.text) for p in template.parts)


def _rows(by_use):
    """Rows of the table of codes."""
    top = max((code.usage for code in by_use), default=0) or 1
    shown = [{"page": "", "colour": None, "width": 100 * code.usage / top, "share": f"{code.usage:.1%}"} for code in by_use]
    return [code._asdict() | row for code, row in zip(by_use, shown, strict=True)]


def to_map(dsl):
    """The fillers that a map shows, without function words, which stand in every prompt and near nothing.

    Args:
        dsl: `DeepDSL`, fitted or loaded.

    Returns:
        (vectors float32 (n, d), codes int64 (n,), k names, n texts): only codes with such fillers, numbered anew.
    """
    names, rows = {code.id: code.name for code in dsl.codes}, spoken(dsl)
    there, codes = np.unique(dsl.fillers.codes[rows], return_inverse=True)
    texts = [dsl.fillers.texts[row] for row in rows]
    return np.asarray(dsl.fillers.vectors)[rows], codes, [names[code] for code in there], texts


def _map(dsl):
    """The map as values for the template, and the script of its frame, which the security policy of the page must allow."""
    vectors, codes, names, texts = to_map(dsl)
    if not atlas.can_map(vectors):
        return {"frame": None, "fillers": len(texts), "least": atlas.LEAST}, ""
    placed = atlas.fit(vectors, seed=0)
    page = atlas.hover_map(placed.xy, codes, names, texts, title="Fillers", height=_MAP_HEIGHT)
    drawn = {
        "frame": Markup(iframe(page, "Interactive map of fillers", _MAP_HEIGHT)),
        "figure": Markup(figure_html(*atlas.plot_map(placed.xy, codes, names, texts))),
        "fillers": len(texts),
        "trust": placed.trustworthiness,
    }
    return drawn, re.search("<script>(.*?)</script>", page, re.DOTALL)[1]


def _order(dsl):
    """Figures of how often codes are used, and which follows which."""
    codes = sorted(dsl.codes, key=lambda code: code.id)
    names = [code.name for code in codes]
    matrix = np.asarray(dsl.transitions, dtype=np.float64)
    # float32 shares do not sum to 1 exactly
    totals = matrix.sum(axis=1, keepdims=True)
    matrix = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    pictures = [atlas.plot_usage([code.count for code in codes], names), atlas.plot_transitions(matrix, names)]
    return [Markup(figure_html(*picture)) for picture in pictures]


def _plain(text):
    """Any text as one line without control characters: a prompt must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "▫" for sign in " ".join(str(text).split()))


def _cut(text, width):
    return text if len(text) <= width else text[: width - 1].rstrip(" ,") + "…"
