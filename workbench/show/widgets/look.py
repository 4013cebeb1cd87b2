"""Look: style and names of the studio's controls. Without them it works the same: nothing here is needed, all of it helps."""

import html
import zlib

from workbench.template import CHIPS, INK, OPEN_CHIP

# Colours of text and lines are those of the frontend's theme, light or dark; chips bring their own ground and black ink.
STYLE = f"""
.dsl-widget, .dsl-widget .widget-html-content, .dsl-widget .widget-label {{ color: var(--jp-ui-font-color1, inherit); }}
.dsl-widget {{ max-width: 60rem; overflow: visible; }}
.dsl-widget .widget-html-content {{ line-height: 1.5; }}
.dsl-widget .jupyter-button {{ width: auto; height: auto; min-height: 28px; padding: 2px 10px; line-height: 1.4;
  border: 1px solid currentColor; border-radius: 6px; color: var(--jp-ui-font-color1, inherit); }}
.dsl-widget .jupyter-button:disabled {{ opacity: .5; }}
.dsl-widget .dsl-chip.jupyter-button {{ color: {INK}; border: 1px solid #666; white-space: normal; text-align: left;
  overflow-wrap: anywhere; max-width: 100%; box-shadow: none; margin: 4px 6px; }}
.dsl-widget .dsl-chip.dsl-open {{ background: {OPEN_CHIP}; border-style: dashed; }}
.dsl-widget .dsl-chip.dsl-locked {{ border: 3px double {INK}; font-weight: 700; }}
.dsl-widget .dsl-chip.dsl-chosen {{ text-decoration: underline; outline: 3px solid var(--jp-ui-font-color1, currentColor);
  outline-offset: 1px; }}
{"".join(f".dsl-widget .dsl-chip.dsl-colour-{i} {{ background: {colour}; }}" for i, colour in enumerate(CHIPS))}
.dsl-widget .dsl-literal {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
.dsl-widget .dsl-result-text, .dsl-widget .dsl-result-text * {{ -webkit-user-select: all; user-select: all; }}
.dsl-widget .dsl-result-text {{ white-space: pre-wrap; overflow-wrap: anywhere; cursor: text; }}
.dsl-widget .dsl-result-text b {{ text-decoration: underline; }}
.dsl-widget .dsl-result {{ border-top: 1px solid var(--jp-border-color1, #999); padding: 4px 0; align-items: center; }}
.dsl-widget .dsl-complaint {{ border-left: 4px solid currentColor; padding-left: 8px; font-weight: 600; }}
.dsl-widget.dsl-busy {{ cursor: progress; }}
.dsl-widget.dsl-busy button {{ pointer-events: none; }}
.dsl-widget :focus-visible {{ outline: 3px solid var(--jp-brand-color1, #0063a3) !important; outline-offset: 2px; }}
.dsl-widget textarea, .dsl-widget input, .dsl-widget select {{ color: var(--jp-ui-font-color1, inherit) !important; }}
"""

# Sliders of ipywidgets have no name for a screen reader, and a kernel cannot reach the clipboard. So the page helps, where it
# may: a handler of the style element runs in all frontends that keep inline handlers, and makes no request.
_SCRIPT = """
(function (style) {
  const root = style.closest('.dsl-widget');
  if (!root || root.dslNamed) return;
  root.dslNamed = true;
  const put = (el, key, value) => { if (el && el.getAttribute(key) !== value) el.setAttribute(key, value); };
  function name() {
    root.querySelectorAll('.widget-slider, .widget-hslider').forEach(el => {
      const label = el.querySelector('.widget-label');
      if (!label) return;
      put(el.querySelector('.noUi-handle, .ui-slider-handle'), 'aria-label', label.textContent);
      const value = el.querySelector('.widget-readout');
      put(value, 'role', 'textbox');
      put(value, 'aria-label', label.textContent + ' value');
    });
    root.querySelectorAll('.dsl-status').forEach(el => { put(el, 'role', 'status'); put(el, 'aria-live', 'polite'); });
    root.querySelectorAll('.dsl-chip').forEach(el => put(el, 'aria-pressed', String(el.classList.contains('dsl-chosen'))));
    put(root.closest('.dsl-page'), 'role', 'main');
    const regions = {'dsl-studio': 'Template studio', 'dsl-gallery': 'Favourites', 'dsl-atlas': 'Fillers'};
    for (const key in regions)
      if (root.classList.contains(key)) { put(root, 'role', 'region'); put(root, 'aria-label', regions[key]); }
    const groups = {'dsl-chips': 'Chips of the prompt', 'dsl-chip-actions': 'Chosen chip', 'dsl-write': 'Write',
      'dsl-settings': 'Settings', 'dsl-results': 'Results', 'dsl-favourites': 'Favourites'};
    for (const key in groups)
      root.querySelectorAll('.' + key).forEach(el => { put(el, 'role', 'group'); put(el, 'aria-label', groups[key]); });
  }
  name();
  new MutationObserver(name).observe(root, {childList: true, subtree: true, attributes: true, attributeFilter: ['class']});
  function old(text) {
    const area = document.createElement('textarea');
    area.value = text; area.setAttribute('aria-hidden', 'true'); area.style.position = 'fixed'; area.style.opacity = '0';
    document.body.append(area); area.select();
    try { document.execCommand('copy'); } finally { area.remove(); }
  }
  root.addEventListener('click', event => {
    const button = event.target.closest('.dsl-copy');
    const row = button && button.closest('.dsl-result');
    const shown = row && row.querySelector('.dsl-result-text');
    if (!shown) return;
    const text = shown.textContent;
    if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).catch(() => old(text));
    else old(text);
    button.focus();
  });
  window.addEventListener('message', event => {
    const filler = event.data && event.data.dslFiller;
    const field = root.querySelector('.dsl-picked input');
    if (typeof filler !== 'string' || !field) return;
    if (![...root.querySelectorAll('iframe')].some(frame => frame.contentWindow === event.source)) return;
    field.value = filler;
    field.dispatchEvent(new Event('input', {bubbles: true}));
    field.dispatchEvent(new Event('change', {bubbles: true}));
  });
})(this)
"""


_JOINERS = "\u200c\u200d"  # they are not printable, but make one emoji of several


def style_html():
    """The style and the names as HTML, for an `HTML` widget inside the box that has the class `dsl-widget`."""
    return f'<style onload="{html.escape(" ".join(_SCRIPT.split()))}">{STYLE}</style>'


def colours(dsl):
    """The place of each code's name in the order of use: as in the report, the first eight have eight colours."""
    order = sorted((code for code in dsl.codes if not code.literal), key=lambda code: -code.count)
    return {code.name: number for number, code in enumerate(order)}


def colour(slot, places):
    """Which of `template.CHIPS` a slot has, 0..7, the same as `Template.html` gives it; None for an open slot."""
    if slot.text is None:
        return None
    number = places.get(slot.name, slot.code)
    if number is None:
        number = zlib.crc32(slot.name.encode("utf-8", "surrogatepass"))
    return number % len(CHIPS)


def plain(text, longest=None):
    """Any text as HTML text; control characters become visible, and a long one is cut if a length is given."""
    text = "".join(sign if sign.isprintable() or sign.isspace() or sign in _JOINERS else "▫" for sign in str(text))
    if longest and len(text) > longest:
        text = text[: longest - 1] + "…"
    return html.escape(text)
