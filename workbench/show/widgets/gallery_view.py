"""Gallery: the favourites of a studio, to look at, remove and save.

The box has the classes `dsl-gallery` and `dsl-widget`; in it `dsl-favourites` with rows `dsl-favourite` (text
`dsl-favourite-text`, button `dsl-remove` "Remove 1"), the field `dsl-file` "File name", buttons `dsl-save-csv` "Save as CSV" and
`dsl-save-jsonl` "Save as JSONL", links `dsl-download` "Download CSV" and "Download JSONL", and the live text `dsl-status`.
"""

import base64
from functools import cache

import ipywidgets as w

from workbench import files
from workbench.show import palette
from workbench.show.widgets import look
from workbench.show.widgets.controls import STYLE, Status, button, classed, named, row
from workbench.show.widgets.favourites import Favourites, file_name
from workbench.values import WorkbenchError

_LONGEST = 4_000_000  # characters of the two files as links: they are part of the page
_SHOWN = 100  # rows with a button; all are saved


class Gallery(w.VBox):
    """The gallery of a `Studio` or `Session`; `to_html()` is its static twin."""

    def __init__(self, studio, folder="."):
        """A gallery whose files go to a folder."""
        self._studio = studio if hasattr(studio, "on_change") else None
        self.session = studio.session if self._studio is not None else studio
        self._folder, self._mine = files.path(folder, "folder"), {}  # what was saved where
        self._looks = palette.looks(self.session.dsl)
        self._row_of = cache(self._row)  # used again, so that the focus stays where it is
        self.list = classed(w.VBox(), "dsl-favourites")
        file = w.Text(description="File name", value="favourites", style=STYLE)
        self.file = named(file, "dsl-file", "Without its ending; no folder")
        self.csv = button("Save as CSV", "dsl-save-csv", "For a spreadsheet", lambda: self.save(".csv"))
        self.jsonl = button("Save as JSONL", "dsl-save-jsonl", "For a program", lambda: self.save(".jsonl"))
        self.links = classed(w.HTML(), "dsl-download")
        self.status = Status()
        saving = row("", self.file, self.csv, self.jsonl, self.links)
        super().__init__(children=(w.HTML(look.style_html()), self.list, saving, self.status))
        classed(self, "dsl-widget", "dsl-gallery")
        if self._studio is not None:
            self._studio.on_change(self._follow)
        self.show()

    def to_html(self):
        """The static twin: all favourites with their templates and seeds."""
        return look.favourites_html(self.session.kept, self._looks)

    def show(self):
        """Show what is kept now."""
        kept, boxes = self.session.kept, []
        for number, result in enumerate(kept[:_SHOWN]):
            box, text = self._row_of(number)
            text.value = look.favourite_html(result, self._looks)
            boxes.append(box)
        if len(kept) > _SHOWN:
            boxes.append(w.HTML(f"<p>The first {_SHOWN} of {len(kept):,} are shown; all are saved.</p>"))
        self.list.children = tuple(boxes) or (w.HTML("<p>Nothing is kept yet.</p>"),)
        self.csv.disabled = self.jsonl.disabled = not kept
        self.links.value = self._links() if kept else ""

    def remove(self, number):
        """Take a favourite away."""
        if self._studio is not None:
            self._studio.act("remove", number)
        else:
            self.session.remove(number)
            self.show()
        self.status.say(self.session.message, self.session.failed)

    def save(self, ending):
        """Save all favourites in the folder under the name in the field; a file of other origin is not replaced."""
        try:
            path = (self._folder / file_name(self.file.value, ending)).absolute()
            rows = Favourites(self.session.kept)
            rows.save(path, before=self._mine.get(path))
            self._mine[path] = rows
            self.status.say(f"Saved {len(self.session.kept):,} in {path}.")
        except (WorkbenchError, ValueError, OSError) as err:
            self.status.say(str(err), failed=True)

    def _follow(self):
        self.status.say("")  # what it says is of a step before
        self.show()

    def _row(self, number):
        """A row: its box, and its text."""
        text = classed(w.HTML(layout=w.Layout(flex="1 1 20rem", width="auto")), "dsl-favourite-text")
        remove = button(f"Remove {number + 1}", "dsl-remove", "Take it away", lambda: self.remove(number))
        return row("dsl-favourite", text, remove), text

    def _links(self):
        rows = Favourites(self.session.kept)
        made = (("CSV", "text/csv", "csv", rows.to_csv()), ("JSONL", "application/json", "jsonl", rows.to_jsonl()))
        if sum(len(text) for *_, text in made) > _LONGEST:
            return "These are too long for a link: save them."
        links, style = [], "color:inherit;text-decoration:underline"
        for name, kind, ending, text in made:
            data = f"data:{kind};base64,{base64.b64encode(text.encode('utf-8', 'replace')).decode('ascii')}"
            links.append(f'<a download="favourites.{ending}" style="{style}" href="{data}">Download {name}</a>')
        return " ".join(links)
