"""Report: what a fitted `DeepDSL` has learned, as one HTML page that needs no network, and as text for a terminal."""

import base64
import hashlib
import html
import re
import textwrap

import numpy as np

from workbench.artifacts import atomic_path
from workbench.lesson import figure_html
from workbench.show import atlas
from workbench.template import MASK, escape, parse

_SHOWN_TEMPLATES, _SHOWN_EXAMPLES, _SHOWN_SAMPLES = 10, 3, 12
_MAP_ROWS = 5  # fewer points are no map
_MAP_HEIGHT = 600  # pixels


def write(dsl, path, title="The grammar of these prompts"):
    """Write the report: figures of the run, templates, codes and their fillers, the map.

    The page makes no request and treats every prompt as text, never as HTML: its content security policy allows the one
    script of the map and nothing else. Takes about 15 seconds, most of them for the map; about 1 MB.

    Args:
        dsl: `DeepDSL`, fitted or loaded.
        path: str or Path of the HTML file; its folder is made. An older file is replaced only when the new one is whole.
        title: str, heading of the page.

    Returns:
        `path` as it was given.

    Raises:
        ArtifactError: `path` is a folder, or the disk is full.
    """
    sections = [
        ("templates", "Templates", _templates_html(dsl)),
        *([("written", "Written", _written_html(dsl))] if dsl.writer_ is not None else []),
        ("codes", "Codes", _codes_html(dsl)),
        ("map", "Map of the language", _map_html(dsl)),
        ("use", "Usage and order", _order_html(dsl)),
        ("run", "Figures of the run", _run_html(dsl)),
    ]
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in sections)
    body = "".join(f'<section id="{name}"><h2>{heading}</h2>{inner}</section>' for name, heading, inner in sections)
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {_map_script(body)}"
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>\n<body><main>"
        f'<header><h1>{_text(title)}</h1>{_lead_html(dsl)}<nav aria-label="Sections">{links}</nav></header>\n{body}'
        "<footer>Made by the Deep DSL workbench. This file is complete: it opens without a network.</footer>"
        "</main></body></html>\n"
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
        lines += ["", "Written from nothing, unselected:"]
        lines += [f"  {_cut(_plain(sample.text), max(width, 60) - 2)}" for sample in dsl.sample(6, seed=0)]
    lines += ["", "This run:"]
    facts = _facts(dsl)
    space = max(len(label) for label, _ in facts)
    lines += [f"  {label:<{space}}  {_plain(value)}" for label, value in facts]
    return "\n".join(lines)


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
        *_truth_facts(stats.get("v_measure")),
        ("Encoder", f"{stats.get('encoder', 'unknown')}"),
        ("Seconds", f"{sum(seconds.values()):,.1f}: {', '.join(f'{stage} {took:,.1f}' for stage, took in seconds.items())}"),
    ]


def _truth_facts(measured):
    """How well codes agree with labels they never saw, where there are labels."""
    if not measured:
        return [("V-measure", "unknown: only the built-in corpus comes with labels")]
    said = {
        "words": "V-measure, all words",
        "open_slots": "V-measure, open slots",
        "unseen": "V-measure, fillers never seen in training",
    }
    return [(label, f"{measured[key]:.3f} of 1") for key, label in said.items() if measured.get(key) is not None]


def _lead_html(dsl):
    source = (dsl.stats.get("corpus") or {}).get("source")
    came = "the built-in corpus" if source == "world" else f"<b>{_text(source)}</b>" if source else "your collection"
    cards = [
        (f"{dsl.stats['prompts']:,}", "prompts"),
        (f"{dsl.stats['units']:,}", "phrases"),
        (f"{len(dsl.codes) - dsl.stats['dead_codes']} / {len(dsl.codes)}", "codes in use"),
        (f"{dsl.stats['perplexity']:.1f}", "perplexity of usage"),
        (f"{sum(dsl.stats['seconds'].values()):,.0f} s", "of work in this run"),
    ]
    shown = "".join(f"<li><b>{value}</b>{label}</li>" for value, label in cards)
    return (
        f'<p class="lead">{dsl.stats["prompts"]:,} prompts of {came} were read without labels. They were cut into phrases, and '
        f"the phrases sorted into {len(dsl.codes)} codes: the parts of speech of a prompt. A code was named after what is in it; "
        "a prompt written in codes is a template. All of it was learned, so read it as a guess: "
        f'<code>dsl.rename</code> gives a code a better name.</p><ul class="cards">{shown}</ul>'
    )


def _run_html(dsl):
    rows = "".join(f'<tr><th scope="row">{_text(label)}</th><td>{_text(value)}</td></tr>' for label, value in _facts(dsl))
    note = "<p>Seconds are those of this run: a stage that an earlier run had finished takes almost none.</p>"
    return f'{note}<div class="panel"><table class="facts"><tbody>{rows}</tbody></table></div>'


def _by_use(dsl):
    """Names of the codes that become chips, most used first: the order in which they get their colours."""
    return [code.name for code in sorted(dsl.codes, key=lambda code: -code.count) if not code.literal]


def _templates_html(dsl):
    if not dsl.templates:
        return "<p>No template was counted.</p>"
    order = _by_use(dsl)
    return (
        "<p>Each coloured chip is a phrase, the small word in it the name of its code; function words stand between them as "
        "typed. Whole prompts rarely have the same shape, their segments (what stands between commas) often do.</p>"
        f"<h3>Segments, most common first</h3>{_shapes_html(dsl.segments, 'segment', order)}"
        f"<h3>Whole prompts, most common first</h3>{_shapes_html(dsl.templates, 'prompt', order)}"
    )


def _shapes_html(counted, what, order):
    items = [_template_html(found, what, order) for found in counted]
    rest = items[_SHOWN_TEMPLATES:]
    more = f"<details><summary>{len(rest)} more</summary>{''.join(rest)}</details>" if rest else ""
    return "".join(items[:_SHOWN_TEMPLATES]) + more


def _template_html(found, what, order):
    examples = "".join(f"<li>{parse(text).html(order)}</li>" for text in found.examples[:_SHOWN_EXAMPLES])
    times = f"{found.count:,} {what if found.count == 1 else what + 's'}"
    return (
        f'<article class="panel"><h4 dir="auto"><code>{_text(found.skeleton)}</code> <small>{times}</small></h4>'
        f"{f'<ul>{examples}</ul>' if examples else ''}</article>"
    )


def _written_html(dsl):
    """Prompts that this language writes: from nothing, on the template of a prompt, and into a gap."""
    whole, order = _example(dsl), _by_use(dsl)
    new = "".join(f"<li>{sample.template.html(order)}</li>" for sample in dsl.sample(_SHOWN_SAMPLES, seed=0))
    parts = [f"<p>Unselected, by seed 0.</p><h3>From nothing</h3><div class='panel'><ul>{new}</ul></div>"]
    if whole is not None:
        again = dsl.sample(_SHOWN_SAMPLES // 2, template=whole, seed=0)
        rolled = "".join(f"<li>{sample.template.html(order)}</li>" for sample in again)
        parts.append("<h3>The template of a prompt, filled anew</h3>")
        parts.append(f"<div class='panel'><p>{whole.html(order)}</p><ul>{rolled}</ul></div>")
        gap = _with_gap(whole)
        filled = "".join(f"<li>{_text(s.text)}</li>" for s in dsl.infill(gap, _SHOWN_SAMPLES // 2, seed=0))
        parts.append(f"<h3>A gap, filled</h3><div class='panel'><p><code>{_text(gap)}</code></p><ul>{filled}</ul></div>")
    return "".join(parts)


def _example(dsl):
    """A prompt of the corpus with three slots or more, the first of the most common templates; None if there is none."""
    found = (parse(text) for count in dsl.templates for text in count.examples)
    return next((template for template in found if len(template.slots) > 2), None)


def _with_gap(template):
    """The prompt with its last slot but one replaced by <?>, printed."""
    slots = [part for part in template.parts if not isinstance(part, str)]
    return "".join(escape(p) if isinstance(p, str) else MASK if p is slots[-2] else escape(p.text) for p in template.parts)


def _codes_html(dsl):
    top = max((code.usage for code in dsl.codes), default=0) or 1
    rows = "".join(_code_row(code, top) for code in sorted(dsl.codes, key=lambda code: -code.count))
    return (
        "<p>Most used first, with the phrases that are most typical of each; the small number says how often a phrase occurs.</p>"
        '<div class="panel"><table class="codes"><thead><tr><th scope="col">Code</th><th scope="col">Share of phrases</th>'
        f'<th scope="col">Typical fillers</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _code_row(code, top):
    fillers = "".join(f"<li><bdi>{_text(text)}</bdi> <small>{count:,}</small></li>" for text, count in code.fillers)
    kind = '<span class="tag">function words</span>' if code.literal else ""
    return (
        f'<tr><th scope="row"><bdi>{_text(code.name)}</bdi> <small>#{code.id}</small>{kind}</th>'
        f'<td><span class="bar" aria-hidden="true"><i style="width:{100 * code.usage / top:.1f}%"></i></span>'
        f"{code.usage:.1%} <small>{code.count:,}</small></td>"
        f"<td>{f'<ul>{fillers}</ul>' if fillers else '<em>unused</em>'}</td></tr>"
    )


def to_map(dsl):
    """The fillers that a map shows, without function words, which stand in every prompt and near nothing.

    Args:
        dsl: `DeepDSL`, fitted or loaded.

    Returns:
        (vectors float32 (n, d), codes int64 (n,), k names, n texts): only codes with such fillers, numbered anew.
    """
    names = {code.id: code.name for code in dsl.codes}
    spoken = np.isin(dsl.fillers.codes, [code.id for code in dsl.codes if not code.literal])
    present, codes = np.unique(dsl.fillers.codes[spoken], return_inverse=True)
    texts = [text for text, keep in zip(dsl.fillers.texts, spoken, strict=True) if keep]
    return np.asarray(dsl.fillers.vectors)[spoken], codes, [names[code] for code in present], texts


def _map_html(dsl):
    vectors, codes, names, texts = to_map(dsl)
    if len(vectors) < _MAP_ROWS or (vectors == vectors[0]).all():
        return f"<p>There is no map: it needs {_MAP_ROWS} different fillers or more, {len(vectors)} were found.</p>"
    placed = atlas.fit(vectors, seed=0)
    page = atlas.hover_map(placed.xy, codes, names, texts, title="Fillers", height=_MAP_HEIGHT)
    return (
        f"<p>{len(texts):,} frequent fillers: near ones are used alike. Trustworthiness of the map "
        f"{placed.trustworthiness:.2f} of 1 (places drawn by lot: .5). Function words are left out.</p>"
        f'<div class="panel frame">{atlas.iframe(page, "Interactive map of fillers", _MAP_HEIGHT)}</div>'
        f'<div class="panel picture">{figure_html(*atlas.plot_map(placed.xy, codes, names, texts))}</div>'
    )


def _map_script(body):
    """What the security policy allows to run: the script of the map's frame, which inherits the policy, by its hash."""
    frame = re.search(r'<iframe [^>]*srcdoc="([^"]*)"', body)  # a quote in a prompt is written &quot;
    if frame is None:
        return "'none'"
    script = re.search("<script>(.*?)</script>", html.unescape(frame[1]), re.DOTALL)[1]
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _order_html(dsl):
    codes = sorted(dsl.codes, key=lambda code: code.id)
    names = [code.name for code in codes]
    matrix = np.asarray(dsl.transitions, dtype=np.float64)
    # float32 shares do not sum to 1 exactly
    totals = matrix.sum(axis=1, keepdims=True)
    matrix = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    pictures = [atlas.plot_usage([code.count for code in codes], names), atlas.plot_transitions(matrix, names)]
    return "".join(f'<div class="panel picture">{figure_html(*picture)}</div>' for picture in pictures)


def _text(text):
    """Any text as HTML text or attribute."""
    return html.escape(str(text).replace("\0", "␀"))


def _plain(text):
    """Any text as one line without control characters: a prompt must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "▫" for sign in " ".join(str(text).split()))


def _cut(text, width):
    return text if len(text) <= width else text[: width - 1].rstrip(" ,") + "…"


_STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --panel: #fff; --ink: #1b1f24; --faint: #59636e; --line: #d9dee3;
  --accent: #0063a3; --soft: #e6eff6; }
@media (prefers-color-scheme: dark) { :root { --paper: #121417; --panel: #1b1e23; --ink: #e8eaed; --faint: #a3abb5;
  --line: #333940; --accent: #6cbcf0; --soft: #22303b; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 24px; }
h1 { font-size: clamp(1.7rem, 5vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 12px; }
h2 { font-size: 1.45rem; letter-spacing: -.01em; margin: 52px 0 8px; }
h3 { font-size: 1.05rem; margin: 18px 0 8px; }
h4 { font-size: 1rem; margin: 0 0 6px; }
p { max-width: 72ch; margin: 0 0 14px; }
.lead { font-size: 1.08rem; color: var(--faint); }
.lead b { color: var(--ink); }
small { color: var(--faint); font-size: .8rem; font-weight: 400; font-variant-numeric: tabular-nums; }
code { font: .92em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 20px; }
nav a { color: var(--accent); background: var(--soft); padding: 4px 13px; border-radius: 99px; text-decoration: none; }
nav a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
ul { list-style: none; margin: 0; padding: 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(145px, 1fr)); gap: 12px; margin-top: 22px; }
.cards li { background: var(--panel); border: 1px solid var(--line); border-radius: 12px; padding: 12px 16px;
  color: var(--faint); font-size: .88rem; }
.cards b { display: block; color: var(--ink); font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 12px; padding: 14px 18px; margin: 0 0 14px;
  overflow-wrap: anywhere; }
article.panel li { border-top: 1px solid var(--line); padding: 6px 0; font-size: .92rem; }
article.panel li span[title] { -webkit-box-decoration-break: clone; box-decoration-break: clone; }
article.panel li:last-child { padding-bottom: 0; }
article h4 { display: flex; flex-wrap: wrap; gap: 4px 12px; justify-content: space-between; align-items: baseline; }
summary { cursor: pointer; color: var(--accent); padding: 4px 0; }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: 8px 14px 8px 0; border-top: 1px solid var(--line); }
tr:first-child > *, thead + tbody tr:first-child > * { border-top: 0; }
thead th { color: var(--faint); font-size: .82rem; font-weight: 600; border-bottom: 1px solid var(--line); }
.facts th { width: 15.5rem; font-weight: 500; color: var(--faint); }
.codes th:first-child { width: 22%; }
.codes td:nth-child(2) { width: 11.5rem; font-variant-numeric: tabular-nums; }
.codes td ul { display: flex; flex-wrap: wrap; gap: 5px; }
.codes td li { background: var(--soft); border-radius: 6px; padding: 0 8px; font-size: .9rem; }
.tag { display: table; border: 1px solid var(--line); border-radius: 6px; padding: 0 6px; color: var(--faint);
  font-size: .75rem; font-weight: 400; }
.bar { display: block; height: 8px; margin: 7px 0 3px; border-radius: 4px; background: var(--soft); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); border-radius: 4px; }
.frame { padding: 4px; overflow: hidden; }
.frame iframe { display: block; border-radius: 8px; }
.picture img { display: block; margin: 0 auto; background: #fff; border-radius: 8px; }
figcaption, .picture details { color: var(--faint); font-size: .9rem; margin-top: 8px; }
footer { margin-top: 44px; color: var(--faint); font-size: .85rem; }
@media (max-width: 640px) {
  main { padding: 24px 14px; }
  .panel { padding: 12px 14px; }
  .frame { padding: 2px; }
  thead { position: absolute; clip-path: inset(50%); }
  table, tbody, tr, th, td { display: block; width: auto !important; }
  th, td { border: 0; padding: 2px 0; }
  tr { border-top: 1px solid var(--line); padding: 8px 0; }
  tr:first-child { border-top: 0; }
  .facts tr { display: flex; gap: 12px; padding: 5px 0; }
  .facts th { flex: 0 0 42%; }
}
@media print { nav, .frame { display: none; } .panel { break-inside: avoid; } }
"""
