"""Votes: pages of pictures side by side for a person who says which is better. One may undo, stop, leave and come back.

The box has the classes `dsl-votes` and `dsl-widget`; in it `dsl-page` with cards `dsl-card` (picture and text
`dsl-card-text`, button `dsl-better` "Picture 1 is better"), buttons `dsl-skip` "Neither", `dsl-undo` "Undo" and `dsl-stop` "Stop"
or "Go on", the text `dsl-best` with the best prompt so far, and the live text `dsl-status`.
"""

import base64
import io
import time

import ipywidgets as w

from workbench.pictures import as_pictures
from workbench.show.widgets import look
from workbench.show.widgets.controls import QUEUED, Status, button, classed, row
from workbench.values import WorkbenchError

_SIDE = 192  # pixels of a picture on the page
_KEPT = 64  # pictures kept, so that undo need not draw again
_LONGEST = 300  # characters of a prompt


class VoteView(w.VBox):
    """A page of a `Voting` to click on; `to_html()` is its static twin."""

    def __init__(self, voting, draw=None, clock=time.monotonic):
        """A view; `draw` gives a picture for each of some texts, None shows the texts alone; `clock` gives seconds."""
        self.voting, self._draw, self._drawn, self.stopped = voting, draw, {}, False
        self._clock, self._finished = clock, {}
        self.cards = [classed(w.HTML(), "dsl-card-text") for _ in voting.page]
        self.better = [self._button(number) for number in range(len(self.cards))]
        cards = [classed(w.VBox(children=pair), "dsl-card") for pair in zip(self.cards, self.better, strict=True)]
        self.skip = button("Neither", "dsl-skip", "Show other ones; this page counts for nothing", lambda: self._click("skip"))
        self.undo = button("Undo", "dsl-undo", "Take the last vote back", lambda: self.act("undo"))
        self.stop = button("Stop", "dsl-stop", "Enough for now", lambda: self.act("stop"))
        self.best, self.status = classed(w.HTML(), "dsl-best"), Status()
        below = row("", self.skip, self.undo, self.stop)
        super().__init__(children=(w.HTML(look.style_html()), row("dsl-page", *cards), below, self.best, self.status))
        classed(self, "dsl-widget", "dsl-votes")
        self._show("Which one is better?")

    def act(self, verb, number=None):
        """Do what a button does: "vote" for a number of the page, "skip", "undo", or "stop" (and go on again).

        What goes wrong becomes a message; a vote that was given is never lost.
        """
        failed = False
        try:
            if verb == "vote":
                self.voting.vote(number)
                said = f"Vote {len(self.voting.turns)} was counted."
            elif verb == "skip":
                self.voting.vote()
                said = "Skipped."
            elif verb == "undo":
                said = "The last vote was taken back." if self.voting.undo() else "There is nothing to undo."
            else:
                self.stopped = not self.stopped
                said = "Stopped. All votes are kept: press Go on at any time." if self.stopped else "Which one is better?"
        except (WorkbenchError, ValueError, OSError) as err:
            said, failed = str(err), True
        self._show(said, failed)

    def to_html(self):
        """The static twin: the page, and what is best so far."""
        cards = "".join(
            f'<div style="display:inline-block;margin:4px;vertical-align:top">{card.value}</div>' for card in self.cards
        )
        return f"<div>{cards}{self.best.value}</div>"

    def _click(self, verb, number=None):
        """Act, but for a click that waited while an equal one worked: nobody has seen the page it would count for."""
        if self._clock() - self._finished.get((verb, number), -1e9) >= QUEUED:
            self.act(verb, number)
            self._finished[verb, number] = self._clock()

    def _button(self, number):
        says, tooltip = f"Picture {number + 1} is better", "Vote for this one"
        return button(says, "dsl-better", tooltip, lambda: self._click("vote", number))

    def _show(self, said, failed=False):
        texts = self.voting.texts
        try:
            pictures = self._pictures(texts)
        except Exception as err:  # noqa: BLE001 - `draw` is anybody's, and the cards must be those of the page
            pictures, said, failed = (
                [""] * len(texts),
                f"The pictures could not be drawn: {err} Votes on the texts count too.",
                True,
            )
        for card, picture, text in zip(self.cards, pictures, texts, strict=True):
            words = look.plain(text or "(empty)", _LONGEST)
            card.value = f'<div style="max-width:{_SIDE}px;overflow-wrap:anywhere">{picture}{words}</div>'
        for one in (*self.better, self.skip):
            one.disabled = self.stopped
        self.undo.disabled, self.stop.description = not self.voting.turns, "Go on" if self.stopped else "Stop"
        self.best.value = f"<p>{self._so_far()}</p>"
        self.status.say(said, failed)

    def _so_far(self):
        if not self.voting.pairs:
            return "No vote yet."
        voted = sum(bool(turn.marked) for turn in self.voting.turns)
        return f"Best after {voted} vote{'s' * (voted > 1)}: <b>{look.plain(self.voting.best(), _LONGEST)}</b>"

    def _pictures(self, texts):
        """An `img` for each text, or "" without `draw`."""
        if self._draw is None:
            return [""] * len(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._drawn]
        made = as_pictures(self._draw(new)) if new else []
        if len(made) != len(new):
            raise ValueError(f"draw gave {len(made)} pictures for {len(new)} texts.")
        shown = [_img(picture, text) for picture, text in zip(made, new, strict=True)]
        self._drawn.update(zip(new, shown, strict=True))
        found = [self._drawn[text] for text in texts]
        while len(self._drawn) > _KEPT:
            self._drawn.pop(next(iter(self._drawn)))
        return found


def _img(picture, text):
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    alt = look.plain(text, _LONGEST).replace('"', "&quot;")
    style = "display:block;image-rendering:pixelated;margin-bottom:4px"
    return f'<img alt="{alt}" width="{_SIDE}" style="{style}" src="data:image/png;base64,{data}">'
