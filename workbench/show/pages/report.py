"""Report: what a fitted `DeepDSL` has learned, as one HTML page that needs no network, and as text for a terminal."""

import re
import textwrap

import numpy as np
from markupsafe import Markup

from workbench import files
from workbench.files import atomic_path
from workbench.lesson import iframe
from workbench.show import atlas, palette, presentable
from workbench.show.pages.code_facts import END, code_rows, gather
from workbench.show.rendering import line, percent, render
from workbench.template import MASK, escape, parse

_OPENING, _EXAMPLES, _SAMPLES, _FOLLOWING = 3, 3, 6, 4
_MAP_HEIGHT = 600  # pixels


def write(dsl, path, title="The grammar of these prompts", note=None, mapped=True):
    """Write the report: prompts as they are read and written, the map, codes and their fillers, templates, figures of the run.

    The page makes no request and treats every prompt as text, never as HTML: its content security policy allows the one
    script of the map and nothing else. Takes about 15 seconds, most of them for the map; about 1 MB.

    Args:
        dsl: `DeepDSL`, fitted or loaded.
        path: str or Path of the HTML file; its folder is made. An older file is replaced only when the new one is complete.
        title: str, heading of the page.
        note: str, a line below it, or None.
        mapped: bool; without the map the page is there within a second or two.

    Returns:
        Path of the page.

    Raises:
        ArtifactError: `path` is a folder, or the disk is full.
    """
    looks, codes = palette.looks(dsl), gather(dsl, {})
    path = files.path(path)
    drawn, program = _map(dsl, looks) if mapped else (None, "")
    opening = presentable.prompts(dsl, _OPENING)
    page = render(
        "report.html",
        head=title,
        title=title,
        note=note,
        program=program,
        stats=dsl.stats,
        source=(dsl.stats.get("corpus") or {}).get("source"),
        opening=_chips(opening, looks),
        written=_written(dsl, opening, looks) if dsl.writer_ is not None else None,
        map=drawn,
        rows=code_rows(codes, looks, pages=False),
        after=_after(codes),
        templates=[_shape(found, looks) for found in dsl.templates],
        segments=[_shape(found, looks) for found in dsl.segments],
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


def _chips(templates, looks):
    return [Markup(template.html(looks)) for template in templates]


def _shape(found, looks):
    examples = _chips(map(parse, found.examples[:_EXAMPLES]), looks)
    return {"skeleton": found.skeleton, "count": found.count, "examples": examples}


def _written(dsl, opening, looks):
    """Prompts that this language writes: on the template of a prompt, into a gap, and from nothing."""
    made = {"new": _chips((sample.template for sample in dsl.sample(_SAMPLES, seed=0)), looks), "start": None}
    start = next((template for template in opening if len(template.slots) > 2), None)
    if start is not None:
        gap = _with_gap(start)
        again = [sample.template for sample in dsl.sample(_SAMPLES, template=start, seed=0)]
        filled = dsl.read([sample.text for sample in dsl.infill(gap, _SAMPLES, seed=0)])
        made |= {"start": Markup(start.html(looks)), "again": _chips(again, looks), "gap": gap, "filled": _chips(filled, looks)}
    return made


def _with_gap(template):
    """The prompt with its last slot but one replaced by <?>, printed."""
    slots = [part for part in template.parts if not isinstance(part, str)]
    return "".join(escape(p) if isinstance(p, str) else MASK if p is slots[-2] else escape(p.text) for p in template.parts)


def _after(codes):
    """What follows each of `CodeFacts` most often: dicts of name and steps, pairs (name, share in words)."""
    names = {code.id: line(code.name, 60) for code in codes} | {END: "end of the prompt"}
    return [
        {"name": names[code.id], "steps": [(names[step], percent(share)) for step, share in code.after[:_FOLLOWING]]}
        for code in codes
    ]


def to_map(dsl):
    """The fillers that a map shows: without function words, which stand near nothing, and without misspelt and rare ones.

    Args:
        dsl: `DeepDSL`, fitted or loaded.

    Returns:
        (vectors float32 (n, d), codes int64 (n,), k names, n texts): only codes with such fillers, numbered anew.
    """
    names, rows = {code.id: code.name for code in dsl.codes}, presentable.rows(dsl)
    there, codes = np.unique(dsl.fillers.codes[rows], return_inverse=True)
    texts = [dsl.fillers.texts[row] for row in rows]
    return np.asarray(dsl.fillers.vectors)[rows], codes, [names[code] for code in there], texts


def _map(dsl, looks):
    """The map as values for the template, and the script of its frame, which the security policy of the page must allow."""
    vectors, codes, names, texts = to_map(dsl)
    if not atlas.can_map(vectors):
        return {"frame": None, "fillers": len(texts), "least": atlas.LEAST}, ""
    placed, given = atlas.fit(vectors, seed=0), [looks[name] for name in names]
    page = atlas.hover_map(placed.xy, codes, names, texts, title="Fillers", height=_MAP_HEIGHT, looks=given)
    drawn = {"frame": Markup(iframe(page, "Interactive map of fillers", _MAP_HEIGHT)), "fillers": len(texts)}
    return drawn, re.search("<script>(.*?)</script>", page, re.DOTALL)[1]


def _plain(text):
    """Any text as one line without control characters: a prompt must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "▫" for sign in " ".join(str(text).split()))


def _cut(text, width):
    return text if len(text) <= width else text[: width - 1].rstrip(" ,") + "…"
