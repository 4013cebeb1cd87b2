"""App: studio, gallery and atlas on one page, for `make studio`. `studio.ipynb` shows `page()`."""

import os
from pathlib import Path

import ipywidgets as w

from workbench.language.dsl import DeepDSL
from workbench.show import widgets
from workbench.show.widgets import look
from workbench.template import parse
from workbench.values import WorkbenchError

_INTRODUCTION = (
    "A prompt is shown as chips, one for each phrase, with the name of its kind. Choose a chip to lock it, to re-roll it or to "
    "open it; then re-roll all, vary, or fill. What is locked stays to the letter."
)
NOTEBOOK = Path(__file__).with_name("studio.ipynb")


def page(dsl=None, folder=None):
    """The page of the web app.

    Args:
        dsl: folder of a saved DSL, or "world"; None takes the environment variable WORKBENCH_DSL, or the built-in one.
        folder: where favourites are saved; None takes WORKBENCH_OUT, or `deep-dsl-studio` in the home folder.

    Returns:
        an ipywidgets box; where the DSL cannot be loaded, the reason in words.
    """
    name = dsl or os.environ.get("WORKBENCH_DSL") or "world"
    folder = folder or os.environ.get("WORKBENCH_OUT") or Path.home() / "deep-dsl-studio"
    try:
        loaded = DeepDSL.load(name)
    except (WorkbenchError, OSError, ValueError) as err:
        said = f"<p>The language in <code>{look.plain(name)}</code> cannot be loaded: {look.plain(err)}</p>"
        return w.VBox(children=(w.HTML(f"{_heading('Template studio', 1)}{said}"),))
    studio = widgets.studio(loaded, example(loaded))
    atlas = widgets.atlas_view(loaded, studio, draw=False)
    gallery = widgets.gallery(studio, folder)
    title = w.HTML(f'{_heading("Template studio", 1)}<p style="max-width:60rem">{_INTRODUCTION}</p>')
    parts = (title, studio, w.HTML(_heading("Favourites")), gallery, w.HTML(_heading("Fillers")), atlas)
    box = w.VBox(children=parts)
    box.add_class("dsl-page")
    return box


def example(dsl):
    """A prompt to start with: of the examples of this language one with about five chips; "" if there is none."""
    found = (parse(text) for count in dsl.templates for text in count.examples)
    whole = [template for template in found if template.slots and not template.masked]
    return min(whole, key=lambda template: abs(len(template.slots) - 5)).prompt if whole else ""


def _heading(text, level=2):
    return f'<h{level} style="color:var(--jp-ui-font-color1, inherit)">{look.plain(text)}</h{level}>'
