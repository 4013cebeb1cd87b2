"""Studio: a `Session` as controls. It only shows and passes clicks on; what happens is in the session.

What tests and style sheets can rely on. The box has the classes `dsl-studio` and `dsl-widget`. In it, by class, with the names of
the controls in quotes:

    dsl-prompt        text area "Prompt"; read by Enter, when it is left, or by the button dsl-read "Read"; dsl-undo "Undo"
    dsl-chips         group of buttons dsl-chip, as in "old wizard · subject", then " · locked", or "? · open"; text dsl-literal
    dsl-chip-actions  text dsl-chosen-name; buttons dsl-lock "Lock chip" or "Unlock chip", dsl-reroll-chip "Re-roll chip",
                      dsl-mask "Mask chip"
    dsl-settings      sliders dsl-proximity "Proximity" and dsl-temperature "Temperature", number dsl-seed "Seed", each with words
    dsl-write         buttons dsl-reroll "Re-roll all", dsl-vary "Vary", dsl-fill "Fill masks", dsl-keep-prompt "Keep prompt"
    dsl-status        live text below each of prompt, dsl-chip-actions and dsl-write, which is above the results: what a control
                      did is said beside it, with dsl-complaint in it if something cannot be done
    dsl-results       rows dsl-result: text dsl-result-text, buttons dsl-copy "Copy 1", dsl-keep "Keep 1", dsl-use "Use 1"
    dsl-copied        text area "To copy", shown after a copy

A chip that is chosen has `dsl-chosen` and aria-pressed, a locked one `dsl-locked`, an open one `dsl-open`. While something is
written the box has `dsl-busy`; the same click within .3 s after that is passed over, as it waited for it. `dsl-result-text`
holds the text of the prompt to the letter.
"""

import difflib
import time
from functools import cache

import ipywidgets as w

from workbench import words
from workbench.chips import Syntax, as_html, literal_html
from workbench.show import palette
from workbench.show.widgets import look
from workbench.show.widgets.controls import QUEUED, STYLE, Status, button, classed, explained, named, row, slider
from workbench.show.widgets.session import COOLEST, HOTTEST, LAST_SEED
from workbench.template import Slot

SHOWN_CHIPS = 60  # chips that are buttons: each costs the page a few messages
_HINT = "Enter reads the prompt. &lt;?&gt; stands for anything."
_LONGEST_CHIP = 80  # characters of a filler on its chip
_LONG = 1000  # characters that take long to read
# Where what a verb did is said: beside its control. The others are said below the prompt.
_PLACES = {verb: "chip" for verb in ("lock", "unlock", "mask")}
_PLACES |= {verb: "write" for verb in ("reroll", "vary", "fill", "keep", "use")}
_NAMES = {"reroll": "Re-roll", "vary": "Vary", "fill": "Fill masks", "lock": "Lock", "mask": "Mask", "keep": "Keep"}


class Studio(w.VBox):
    """The studio of a `Session`, in the attribute `session`; `to_html()` is its static twin."""

    def __init__(self, session, clock=time.monotonic):
        """Controls for a session; `clock` gives seconds."""
        self.session, self._clock = session, clock
        self._listeners, self._busy, self._finished, self._silent = [], False, {}, False
        self.chosen = None  # number of the chip whose actions are shown
        self._looks = palette.looks(session.dsl)
        self._said = {place: Status() for place in ("prompt", "chip", "write")}
        self.status = self._said["prompt"]  # the one that spoke last
        # made when they are first shown and then used again, so that the focus stays where it is
        self._chip_of, self._text_of = cache(self._chip), cache(lambda _: classed(w.HTML(), "dsl-text"))
        self.result_rows = [ResultRow(self, number) for number in range(session.n)]
        super().__init__(children=self._build())
        classed(self, "dsl-widget", "dsl-studio")
        self._show()
        self._say("prompt", session.message, session.failed)

    def to_html(self):
        """The static twin: prompt, locks, results and settings as HTML with inline style only."""
        return look.studio_html(self.session)

    def on_change(self, listener):
        """Call a function without arguments after each verb."""
        self._listeners.append(listener)

    def act(self, verb, *arguments, slow=False):
        """Do a verb of the session and show what came of it.

        Args:
            verb: str, the name of a method of `Session`.
            arguments: its arguments.
            slow: bool; then a click of the same kind that waited while this one worked is ignored.
        """
        key = (verb, *map(str, arguments))
        if self._busy or slow and self._clock() - self._finished.get(key, -1e9) < QUEUED:
            return  # two quick clicks are one
        self._busy = True
        self.copied.layout.display = "none"  # what stands there is of a step before
        place = _place(verb, arguments)
        if slow:
            self.add_class("dsl-busy")
            self._say(place, "Reading…" if verb == "type" else "Writing…")
        try:
            getattr(self.session, verb)(*arguments)
        except Exception as err:  # noqa: BLE001 - a traceback would land where no reader of the page sees it
            self.session.failed, self.session.message = True, f"That did not work ({type(err).__name__}): {err}"
        finally:
            self._busy = False
            if slow:
                self.remove_class("dsl-busy")
                self._finished[key] = self._clock()
        refused = self.session.failed
        self._show(keep_typed=verb == "type" and refused)
        done = f"{_NAMES[verb]} did nothing. " if refused and verb in _NAMES else ""
        self._say(place, done + self.session.message, refused)
        self._call_listeners()

    def _call_listeners(self):
        for listener in self._listeners:
            listener()

    def _say(self, place, message, failed=False):
        """Say something beside a control; what was said elsewhere is of a step before."""
        for other, status in self._said.items():
            if other != place:
                status.say("")
        self.status = self._said[place]
        self.status.say(message, failed)

    # ---- controls --------------------------------------------------------------------------------------------------------

    def _build(self):
        """Make the controls; returns them in the order in which they are shown."""
        session, wide = self.session, w.Layout(width="auto")
        prompt = w.Textarea(description="Prompt", value=session.text, continuous_update=False, rows=2, style=STYLE, layout=wide)
        self.prompt = named(prompt, "dsl-prompt", "Type a prompt; <?> stands for anything. Enter reads it.")
        self.prompt.observe(self._typed, "value")
        self.read_button = button("Read", "dsl-read", "Show the prompt as chips", lambda: self._typed(None))
        self.undo_button = button("Undo", "dsl-undo", "Take the last step back", lambda: self.act("undo"))
        self.chips = row("dsl-chips")
        self.chosen_name = classed(w.HTML(), "dsl-chosen-name")
        self.lock_button = button("Lock chip", "dsl-lock", "Its text stays to the letter", self._lock)
        self.reroll_chip_button = button(
            "Re-roll chip", "dsl-reroll-chip", "Write something new there", lambda: self.act("reroll", self.chosen, slow=True)
        )
        self.mask_button = button("Mask chip", "dsl-mask", "Put <?> there", lambda: self.act("mask", self.chosen))
        self.reroll_button = button(
            "Re-roll all", "dsl-reroll", "New text for all chips that are not locked", lambda: self.act("reroll", slow=True)
        )
        self.vary_button = button("Vary", "dsl-vary", "Prompts near this one", lambda: self.act("vary", slow=True))
        self.fill_button = button("Fill masks", "dsl-fill", "Fill open chips, best first", lambda: self.act("fill", slow=True))
        self.keep_button = button("Keep prompt", "dsl-keep-prompt", "Put it among the favourites", lambda: self.act("keep"))
        near = "How near Vary stays: 0 keeps the template only, 1 changes one chip to something near."
        self.proximity = slider("Proximity", "dsl-proximity", near, session.proximity, 0.0, 1.0)
        bold = "How bold words are chosen: low writes the usual, high the unusual."
        self.temperature = slider("Temperature", "dsl-temperature", bold, session.temperature, COOLEST, HOTTEST)
        again = "Equal seeds give equal results. Each click takes the next one."
        seed = w.BoundedIntText(description="Seed", value=session.seed, min=0, max=LAST_SEED, style=STYLE, layout=wide)
        self.seed = named(seed, "dsl-seed", again)
        settings = ((self.proximity, near), (self.temperature, bold), (self.seed, again))
        for name in ("proximity", "temperature", "seed"):
            getattr(self, name).observe(lambda change, name=name: self._set(name, change["new"]), "value")
        self.results = classed(w.VBox(), "dsl-results")
        copied = w.Textarea(description="To copy", rows=2, style=STYLE, layout=w.Layout(width="auto", display="none"))
        self.copied = named(copied, "dsl-copied", "Select it and press Ctrl and C")
        return (
            w.HTML(look.style_html()),
            self.prompt,
            row("dsl-read-row", self.read_button, self.undo_button, w.HTML(f'<span class="dsl-hint">{_HINT}</span>')),
            self._said["prompt"],
            self.chips,
            row("dsl-chip-actions", self.chosen_name, self.lock_button, self.reroll_chip_button, self.mask_button),
            self._said["chip"],
            row("dsl-settings", *(explained(*each) for each in settings)),
            row("dsl-write", classed(self.reroll_button, "dsl-primary"), self.vary_button, self.fill_button, self.keep_button),
            self._said["write"],
            self.results,
            self.copied,
        )

    def _chip(self, number):
        chip = w.Button(layout=w.Layout(width="auto", height="auto"))
        chip.on_click(lambda _: self.choose(number))
        return chip

    # ---- clicks ----------------------------------------------------------------------------------------------------------

    def _typed(self, _):
        if not self._silent:
            self.act("type", self.prompt.value, slow=len(self.prompt.value) > _LONG)

    def _set(self, name, value):
        if not self._silent:
            setattr(self.session, name, value)

    def _lock(self):
        self.act("unlock" if self.chosen in self.session.locked else "lock", self.chosen)

    def choose(self, number):
        """Show the actions of a chip, by its number."""
        self.chosen = number
        self._tell("chip", "")
        self._call_listeners()

    def copy(self, number):
        """Show a result in a field to copy from; the page puts it into the clipboard where it may."""
        self.copied.value = self.session.results[number].text
        self.copied.layout.display = None
        self._tell("write", f"Result {number + 1} is in the clipboard; if not, copy it from the field To copy.")

    def _tell(self, place, message):
        self.session.message, self.session.failed = message, False
        self._show()
        self._say(place, message)

    # ---- showing ---------------------------------------------------------------------------------------------------------

    def _show(self, keep_typed=False):
        session, self._silent = self.session, True
        try:
            if not keep_typed:  # what was typed stays there to be corrected
                self.prompt.value = session.text
            self.proximity.value, self.temperature.value = session.proximity, session.temperature
            self.seed.value = session.seed
        finally:
            self._silent = False
        slots = session.template.slots
        if self.chosen is not None and self.chosen >= min(len(slots), SHOWN_CHIPS):
            self.chosen = None
        self.chips.children = tuple(self._parts())
        self._show_actions(slots)
        self.undo_button.disabled = not session.undos
        for each in (self.reroll_button, self.vary_button, self.fill_button):
            each.disabled = not session.writes
        shown = list(zip(self.result_rows, session.results, strict=False))
        for line, result in shown:
            line.show(result)
        self.results.children = tuple(line.box for line, _ in shown)

    def _parts(self):
        """The prompt as chips and texts; what comes after the last chip that is shown is text."""
        number, texts, template = 0, 0, self.session.template
        pieces = template.pieces()
        for place, part in enumerate(pieces):
            if isinstance(part, Slot) and number == SHOWN_CHIPS:
                rest = "".join(p if isinstance(p, str) else p.text or str(p) for p in pieces[place:])
                more = f" <i>(the first {SHOWN_CHIPS} of {len(template.slots):,} chips are shown)</i>"
                yield self._text(texts, look.plain(rest, 2000) + more)
                return
            if isinstance(part, Slot):
                yield self._show_chip(number, part)
                number += 1
            elif part.strip():
                as_is = isinstance(part, Syntax)
                yield self._text(texts, literal_html(part) if as_is else look.plain(part.strip(" "), 2000))
                texts += 1

    def _text(self, number, inside):
        text = self._text_of(number)
        text.value = f'<span class="dsl-literal">{inside}</span>'
        return text

    def _show_chip(self, number, slot):
        chip, locked = self._chip_of(number), number in self.session.locked
        marks = [slot.name] * bool(slot.name) + ["open"] * (slot.text is None) + ["locked"] * locked
        chip.description, chip.tooltip = " · ".join([_filler(slot), *marks]), slot.name or "open"
        has = look.chip_classes(slot, self._looks) + ["dsl-locked"] * locked + ["dsl-chosen"] * (number == self.chosen)
        chip._dom_classes = ("dsl-chip", *has)  # one message; add_class and remove_class would be several
        return chip

    def _show_actions(self, slots):
        slot = None if self.chosen is None else slots[self.chosen]
        locked = slot is not None and self.chosen in self.session.locked
        self.lock_button.description = "Unlock chip" if locked else "Lock chip"
        self.lock_button.disabled = slot is None or slot.text is None
        self.reroll_chip_button.disabled = slot is None or locked or not self.session.writes
        self.mask_button.disabled = slot is None or locked or slot.text is None
        if slot is None:
            self.chosen_name.value = "Choose a chip to lock, re-roll or mask it." if slots else "There are no chips yet."
            return
        name = f" · {look.plain(slot.name)}" if slot.name else ""
        self.chosen_name.value = f"Chip {self.chosen + 1} of {len(slots)}: <b>{look.plain(_filler(slot))}</b>{name}"


class ResultRow:
    """A result and its three buttons. Rows are used again, so that the focus stays where it is."""

    def __init__(self, studio, number):
        """A row of a `Studio`; `number` counts from 0."""
        self._number = number
        self.text = w.HTML(layout=w.Layout(flex="1 1 20rem", width="auto"))
        self.copy = button(f"Copy {number + 1}", "dsl-copy", "Copy the text", lambda: studio.copy(number))
        self.keep = button(f"Keep {number + 1}", "dsl-keep", "Put it among the favourites", lambda: studio.act("keep", number))
        self.use = button(f"Use {number + 1}", "dsl-use", "Make it the new start", lambda: studio.act("use", number))
        self.box = row("dsl-result", self.text, self.copy, self.keep, self.use)

    def show(self, result):
        """Show a `Result`: what is new in it underlined."""
        text = marked(result.text, "".join(p if isinstance(p, str) else p.text or " " for p in result.start.parts))
        # the number stands outside of what is selected and copied
        self.text.value = f'{self._number + 1}. <span class="dsl-result-text" dir="auto">{text}</span>'


def marked(text, start):
    """The text as HTML, with the words in bold that are not in the start; its letters are those of the text."""
    tokens, before = words.split(text), [start[t.start : t.end] for t in words.split(start)]
    if len(tokens) * len(before) > 250_000:  # difflib is quadratic
        return as_html(text)
    same = difflib.SequenceMatcher(None, before, [text[t.start : t.end] for t in tokens], autojunk=False)
    out, at = [], 0
    for kind, _, _, first, last in same.get_opcodes():
        if kind in ("replace", "insert") and before:
            a, b = tokens[first].start, tokens[last - 1].end
            out += [as_html(text[at:a]), f"<b>{as_html(text[a:b])}</b>"]
            at = b
    return "".join([*out, as_html(text[at:])])


def _place(verb, arguments):
    """Beside which control is said what a verb did."""
    return "chip" if verb == "reroll" and arguments else _PLACES.get(verb, "prompt")


def _filler(slot):
    """The filler of a slot on one line, cut where it is long."""
    text = " ".join((slot.text or "?").split()) or "␣"
    return text if len(text) <= _LONGEST_CHIP else text[: _LONGEST_CHIP - 1] + "…"
