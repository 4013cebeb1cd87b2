"""Widgets: a learned language to touch. `studio`, `atlas_view`, `gallery` and `votes` for notebooks, with static HTML twins.

Only core controls of ipywidgets, by the API that 7.7 and 8 share, so that Colab shows them. What happens on a click is in
`Session`, which knows no widgets and is tested without a browser.
"""

from workbench.show.widgets.favourites import Favourites
from workbench.show.widgets.session import Result, Session

__all__ = ["Favourites", "Result", "Session", "atlas_view", "gallery", "studio", "votes"]


def studio(dsl, text="", *, n=6, seed=0):
    """Show a prompt as coloured chips that can be locked, re-rolled and masked, with results to copy, keep and go on from.

    Args:
        dsl: `DeepDSL`, fitted or loaded. One without a writer is read only, and the studio says so.
        text: str, the prompt to start with.
        n: int, results of one click, 1..20.
        seed: int, modulo 2**31, of the first results; each click takes the next one.

    Returns:
        `Studio`, an ipywidgets box with the attributes `session` (a `Session`) and `to_html()`, its static twin.

    Raises:
        ImportError: ipywidgets is missing.
        ValueError: `n` out of range, or `seed` no int.
    """
    _check_ipywidgets("studio")
    from workbench.show.widgets.studio_view import Studio

    return Studio(Session(dsl, text, n=n, seed=seed))


def atlas_view(dsl, studio=None, *, draw=True, seed=0):
    """Show the map of fillers, with a search and a list from which a filler goes into the prompt of a studio.

    Args:
        dsl: `DeepDSL`, fitted or loaded.
        studio: `Studio` whose prompt takes fillers; None shows the chosen filler only.
        draw: bool. False draws the map when its button is pressed: it takes up to 15 seconds at first, the list none.
        seed: int, of the map.

    Returns:
        `AtlasView`, an ipywidgets box with `to_html()`, its static twin.

    Raises:
        ImportError: ipywidgets is missing.
    """
    _check_ipywidgets("atlas_view")
    from workbench.show.widgets.map_view import AtlasView

    return AtlasView(dsl, studio, draw=draw, seed=seed)


def gallery(studio, folder="."):
    """Show what was kept in a studio: look, remove, and save it as CSV or JSONL with templates and seeds.

    Args:
        studio: `Studio`, or a `Session`.
        folder: str or Path where files are saved; made when something is saved.

    Returns:
        `Gallery`, an ipywidgets box with `to_html()`, its static twin.

    Raises:
        ImportError: ipywidgets is missing.
    """
    _check_ipywidgets("gallery")
    from workbench.show.widgets.gallery_view import Gallery

    return Gallery(studio, folder)


def votes(voting, draw=None):
    """Show the prompts of a search by votes side by side, for a person who says which is better.

    Args:
        voting: `genetic.Voting` with one mark a page; with a `folder` it goes on where somebody has left.
        draw: function of a list of texts -> a picture for each, such as `lambda texts: pipeline.draw(texts, steps=10)`; None
            shows the texts alone.

    Returns:
        `VoteView`, an ipywidgets box with the attribute `voting` and `to_html()`, its static twin.

    Raises:
        ImportError: ipywidgets is missing.
        ValueError: a voting in which more than one prompt of a page is marked.
    """
    _check_ipywidgets("votes")
    if voting.config.marks != 1:
        raise ValueError(f"widgets.votes takes one click a page; this voting has marks={voting.config.marks}. Set marks=1.")
    from workbench.show.widgets.vote_view import VoteView

    return VoteView(voting, draw)


def _check_ipywidgets(what):
    try:
        import ipywidgets  # noqa: F401 - only whether it is there
    except ImportError as err:
        raise ImportError(
            f"widgets.{what} needs ipywidgets: pip install ipywidgets. Without it, widgets.Session has all the verbs."
        ) from err
