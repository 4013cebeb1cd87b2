"""Atlas view: the map of fillers to hover and search, and a list from which a filler goes into the prompt.

The box has the classes `dsl-atlas` and `dsl-widget`. In it: the field `dsl-search` "Search fillers", the lists `dsl-code` "Code"
and `dsl-fillers` "Fillers", the text `dsl-near`, the buttons `dsl-put` "Put into the prompt" and `dsl-draw` "Draw the map", the
map `dsl-map` (a frame; a click on a filler puts it into the prompt), and the live text `dsl-status`.
"""

from functools import cached_property

import ipywidgets as w
import numpy as np

from workbench import checks
from workbench.lesson import figure_html, iframe
from workbench.show import atlas, palette
from workbench.show.pages import report
from workbench.show.widgets import look
from workbench.show.widgets.controls import STYLE, Status, button, classed, named, row
from workbench.show.widgets.session import LONGEST

_LISTED = 200  # fillers in the list; a search finds the others
_NEAR = 8
_HEIGHT = 480  # pixels of the map
_ALL = "All codes"


class AtlasView(w.VBox):
    """The fillers of a `DeepDSL`; `to_html()` is its static twin."""

    def __init__(self, dsl, studio=None, *, draw=True, seed=0):
        """A view of a language; see `widgets.atlas_view`."""
        self.dsl, self.studio, self._seed = dsl, studio, checks.seed(seed)
        self._vectors, self._codes, self._names, self._texts = report.to_map(dsl)
        looks, self._shown_for = palette.looks(dsl), None
        self._looks = [looks[name] for name in self._names]
        self._found = np.zeros(0, np.int64)
        self.search = named(w.Text(description="Search fillers", style=STYLE), "dsl-search", "Part of a filler")
        code = w.Dropdown(description="Code", options=[_ALL, *self._names], style=STYLE)
        self.code = named(code, "dsl-code", "Only fillers of this code")
        narrow = w.Layout(width="auto", max_width="40rem")
        fillers = w.Select(description="Fillers", options=[], rows=8, layout=narrow, style=STYLE)
        self.list = named(fillers, "dsl-fillers", "Arrow keys choose")
        self.near = classed(w.HTML(), "dsl-near")
        self.put_button = button("Put into the prompt", "dsl-put", "Into the chosen chip, an open one, or at the end", self.put)
        self.draw_button = button("Draw the map", "dsl-draw", "Takes up to 15 seconds the first time", self.draw)
        self.map = classed(w.HTML(), "dsl-map")
        # the page writes here what was clicked on the map
        self.picked = classed(w.Text(layout=w.Layout(display="none")), "dsl-picked")
        self.status = Status()
        for control in (self.search, self.code):
            control.observe(lambda _: self._find(), "value")
        self.list.observe(lambda _: self._show_near(), "index")
        self.picked.observe(lambda change: self._clicked(change["new"]), "value")
        buttons = row("", self.put_button, self.draw_button)
        above = (w.HTML(look.style_html()), row("", self.search, self.code), self.list, self.near, buttons)
        super().__init__(children=(*above, self.status, self.map, self.picked))
        classed(self, "dsl-widget", "dsl-atlas")
        self._find()
        if studio is not None:
            studio.on_change(self._follow)
        if draw:
            self.draw()

    @property
    def filler(self):
        """The chosen filler, as (text, name of its code), or None."""
        if self.list.index is None:
            return None
        number = int(self._found[self.list.index])
        return self._texts[number], self._names[self._codes[number]]

    def choose(self, text):
        """Search for a filler and choose it, if the language has it."""
        self.code.value, self.search.value = _ALL, text
        same = [i for i, number in enumerate(self._found) if self._texts[number] == text]
        self.list.index = same[0] if same else None

    def put(self):
        """Put the chosen filler into the prompt of the studio."""
        if self.filler is None:
            return self.status.say("Choose a filler in the list first.", failed=True)
        text, name = self.filler
        tokens = getattr(self.dsl.writer_, "tokens_", None)
        text = text if tokens is None else tokens.dress(text)  # in its usual casing: fillers are known in lower case
        if self.studio is None:
            return self.status.say(f"Chosen: {text} ({name}). With a studio, it would go into its prompt.")
        self.studio.act("put", text, self.studio.chosen, name)
        return self.status.say(self.studio.session.message, self.studio.session.failed)

    def draw(self):
        """Draw the map; the second time it is there at once."""
        if not atlas.can_map(self._vectors):
            few = f"it needs {atlas.LEAST} different fillers, {len(self._vectors)} were found"
            return self.status.say(f"There is no map: {few}.", failed=True)
        self.status.say("Drawing…")
        try:
            found = (self._places.xy, self._codes, self._names, self._texts)
            page = atlas.hover_map(*found, title="Fillers", height=_HEIGHT, looks=self._looks)
        except Exception as err:  # noqa: BLE001 - as in `Studio.act`
            return self.status.say(f"The map cannot be drawn ({type(err).__name__}): {err}", failed=True)
        self.map.value = iframe(page, "Interactive map of fillers", _HEIGHT)
        self.draw_button.layout.display = "none"
        many = f"{len(self._texts):,} fillers: near ones are used alike."
        return self.status.say(f"{many} A click puts a filler into the prompt.")

    def to_html(self):
        """The static twin: the map as a picture with alt text, and the fillers of each code; draws the map if need be."""
        figure = ""
        if atlas.can_map(self._vectors):
            figure = figure_html(*atlas.plot_map(self._places.xy, self._codes, self._names, self._texts, looks=self._looks))
        parts = []
        for code, name in enumerate(self._names):
            texts = [self._texts[i] for i in np.flatnonzero(self._codes == code)[:40]]
            parts.append(f"<details><summary>{look.plain(name)}</summary>{look.plain(', '.join(texts))}</details>")
        return f"<div>{figure}{''.join(parts)}</div>"

    # ---- how -------------------------------------------------------------------------------------------------------------

    @cached_property
    def _places(self):
        return atlas.fit(self._vectors, seed=self._seed)

    def _find(self):
        if len(self.search.value) > LONGEST:
            return self.status.say(f"No filler is longer than {LONGEST:,} characters: search for less.", failed=True)
        wanted = " ".join(self.search.value.lower().split())
        code = None if self.code.value == _ALL else self._names.index(self.code.value)
        rows = [i for i, text in enumerate(self._texts) if wanted in text.lower() and code in (None, self._codes[i])]
        rows.sort(key=lambda i: (self._texts[i].lower() != wanted, not self._texts[i].lower().startswith(wanted)))
        self._found = np.array(rows[:_LISTED], np.int64)
        self.list.options = [f"{self._texts[i]} · {self._names[self._codes[i]]}" for i in self._found]
        self.list.index = None
        more = f", the first {_LISTED} are listed" if len(rows) > _LISTED else ""
        return self.status.say(f"{len(rows):,} {'filler' if len(rows) == 1 else 'fillers'} found{more}.")

    def _show_near(self):
        if self.list.index is None:
            self.near.value = ""
            return
        number, few = int(self._found[self.list.index]), min(_NEAR, len(self._texts) - 1)
        rows = atlas.neighbours(self._vectors, number, few)[0][0] if few else []
        near = ", ".join(f"{self._texts[i]} ({self._names[self._codes[i]]})" for i in rows)
        self.near.value = f"<div>Near “{look.plain(self._texts[number])}”: {look.plain(near)}</div>"

    def _follow(self):
        """Show the fillers of the chip that was chosen last, unless the reader looks for one already."""
        chosen = self.studio.chosen
        if chosen not in (None, self._shown_for) and self.list.index is None and not self.search.value:
            name = self.studio.session.template.slots[chosen].name
            self.code.value = name if name in self._names else _ALL
        self._shown_for = chosen

    def _clicked(self, text):
        if text:
            self.picked.value = ""
            self.choose(text)
            self.put()
