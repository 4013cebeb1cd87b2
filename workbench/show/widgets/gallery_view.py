"""Gallery: the favourites of a studio, to look at, remove and save.

The box has the classes `dsl-gallery` and `dsl-widget`; in it `dsl-favourites` with rows `dsl-favourite` (text
`dsl-favourite-text`, button `dsl-remove` "Remove 1"), the field `dsl-file` "File name", buttons `dsl-save-csv` "Save as CSV" and
`dsl-save-jsonl` "Save as JSONL", links `dsl-download` "Download CSV" and "Download JSONL", and the live text `dsl-status`.
"""

import base64

import ipywidgets as w

from workbench.show.widgets import favourites, look, static
from workbench.show.widgets.controls import button, named, row
from workbench.values import WorkbenchError

_SHOWN = 100  # rows with a button; all are saved


class Gallery(w.VBox):
    """The gallery of a `Studio` or `Session`; `to_html()` is its static twin."""

    def __init__(self, studio, folder="."):
        """A gallery whose files go to a folder."""
        self._studio = studio if hasattr(studio, "on_change") else None
        self.session = studio.session if self._studio is not None else studio
        self._folder, self._mine = folder, set()
        self._places = look.colours(self.session.dsl)
        self.list = w.VBox()
        self.list.add_class("dsl-favourites")
        self.file = w.Text(description="File name", value="favourites", style={"description_width": "initial"})
        named(self.file, "dsl-file", "Without its ending; no folder")
        self.csv = button("Save as CSV", "dsl-save-csv", "For a spreadsheet", lambda: self.save(".csv"))
        self.jsonl = button("Save as JSONL", "dsl-save-jsonl", "For a program", lambda: self.save(".jsonl"))
        self.links = w.HTML()
        self.links.add_class("dsl-download")
        self.status = w.HTML()
        self.status.add_class("dsl-status")
        self._pool = []
        saving = row(self.file, self.csv, self.jsonl, self.links)
        super().__init__(children=(w.HTML(look.style_html()), self.list, saving, self.status))
        for name in ("dsl-widget", "dsl-gallery"):
            self.add_class(name)
        if self._studio is not None:
            self._studio.on_change(self._follow)
        self.show()

    def to_html(self):
        """The static twin: all favourites with their templates and seeds."""
        return f"<div>{static.favourites_html(self.session.kept, self._places)}</div>"

    def show(self):
        """Show what is kept now."""
        kept = self.session.kept
        boxes = [self._row(number, result) for number, result in enumerate(kept[:_SHOWN])]
        if len(kept) > _SHOWN:
            boxes.append(w.HTML(f"<p>The first {_SHOWN} of {len(kept):,} are shown; all are saved.</p>"))
        self.list.children = tuple(boxes) or (w.HTML("<p>Nothing is kept yet.</p>"),)
        self.csv.disabled = self.jsonl.disabled = not kept
        self.links.value = self._links() if kept else ""

    def _follow(self):
        self._say("")  # what it says is of a step before
        self.show()

    def remove(self, number):
        """Take a favourite away."""
        if self._studio is not None:
            self._studio.act("remove", number)
        else:
            self.session.remove(number)
            self.show()
        self._say(self.session.message, self.session.failed)

    def save(self, ending):
        """Save all favourites in the folder under the name in the field; a file of other origin is not replaced."""
        try:
            path = _path(self._folder, self.file.value, ending)
            favourites.Favourites(self.session.kept).save(path, overwrite=path in self._mine)
            self._mine.add(path)
            self._say(f"Saved {len(self.session.kept):,} in {path}.")
        except (WorkbenchError, ValueError, OSError) as err:
            self._say(str(err), failed=True)

    def _row(self, number, result):
        if number == len(self._pool):
            text = w.HTML(layout=w.Layout(flex="1 1 20rem", width="auto"))
            text.add_class("dsl-favourite-text")
            remove = button(f"Remove {number + 1}", "dsl-remove", "Take it away", lambda: self.remove(number))
            box = row(text, remove)
            box.add_class("dsl-favourite")
            self._pool.append((box, text))
        box, text = self._pool[number]
        text.value = f"{static.chips_html(result.template, self._places)}<div>{look.plain(static.how(result))}</div>"
        return box

    def _links(self):
        rows = favourites.Favourites(self.session.kept)
        files = (("CSV", "text/csv", "csv", rows.to_csv()), ("JSONL", "application/json", "jsonl", rows.to_jsonl()))
        style = "color:inherit;text-decoration:underline"
        return " ".join(
            f'<a download="favourites.{ending}" style="{style}" href="data:{kind};base64,{_base64(text)}">Download {name}</a>'
            for name, kind, ending, text in files
        )

    def _say(self, message, failed=False):
        self.status.value = f'<div class="{"dsl-complaint" if failed else "dsl-said"}">{look.plain(message)}</div>'


def _path(folder, name, ending):
    from pathlib import Path

    return (Path(folder).expanduser() / favourites.file_name(name, ending)).absolute()


def _base64(text):
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
