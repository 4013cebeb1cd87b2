"""App: studio, gallery and atlas on one page, for `make studio`. `studio.ipynb` shows `page()`."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ipywidgets as w

from workbench.language.dsl import DeepDSL
from workbench.show import presentable, widgets
from workbench.show.widgets import look
from workbench.show.widgets.controls import classed
from workbench.values import WorkbenchError

_INTRODUCTION = (
    "A prompt is shown as chips, one for each phrase, with the name of its kind. Choose a chip to lock it, to re-roll it or to "
    "open it; then re-roll all, vary, or fill. What is locked stays to the letter."
)
NOTEBOOK = Path(__file__).with_name("studio.ipynb")
_coming = {}  # name of a language -> its future


def warm(dsl=None):
    """Begin to load a language in the background, for the next `page`; returns its future. `dsl` as for `page`."""
    name = _name(dsl)
    if name not in _coming:
        _coming[name] = ThreadPoolExecutor(1).submit(DeepDSL.load, name)
    return _coming[name]


def page(dsl=None, folder=None):
    """The page of the web app.

    Args:
        dsl: folder of a saved DSL, or "world"; None takes the environment variable WORKBENCH_DSL, or the built-in one.
        folder: where favourites are saved; None takes WORKBENCH_OUT, or `deep-dsl-studio` in the home folder.

    Returns:
        an ipywidgets box; where the DSL cannot be loaded, the reason in words.
    """
    name, folder = _name(dsl), folder or os.environ.get("WORKBENCH_OUT") or Path.home() / "deep-dsl-studio"
    try:
        loaded = warm(dsl).result()
    except (WorkbenchError, OSError, ValueError) as err:
        said = f"<p>The language in <code>{look.plain(name)}</code> cannot be loaded: {look.plain(err)}</p>"
        return w.VBox(children=(w.HTML(f"{_heading('Template studio', 1)}{said}"),))
    finally:
        del _coming[name]
    first = presentable.prompts(loaded, 1)
    studio = widgets.studio(loaded, first[0].prompt if first else "")
    beside = (
        _panel(w.HTML(_heading("Fillers")), widgets.atlas_view(loaded, studio, draw=False)),
        _panel(w.HTML(_heading("Favourites")), widgets.gallery(studio, folder)),
    )
    title = w.HTML(f"{_heading('Template studio', 1)}<p>{_INTRODUCTION}</p>")
    columns = classed(w.Box(children=(_panel(studio), w.VBox(children=beside))), "dsl-columns")
    return classed(w.VBox(children=(title, columns)), "dsl-page")


def _name(dsl):
    return str(dsl or os.environ.get("WORKBENCH_DSL") or "world")


def _panel(*children):
    return classed(w.VBox(children=children), "dsl-panel")


def _heading(text, level=2):
    return f'<h{level} class="dsl-heading">{look.plain(text)}</h{level}>'
