"""Controls: the few that the views share, by the API that ipywidgets 7.7 and 8 have in common."""

import ipywidgets as w

from workbench.show.widgets import look

QUEUED = 0.3  # seconds after work in which the same click is one that waited for its end
_LONGEST = 500  # characters of a message
STYLE = {"description_width": "initial"}


def classed(control, *names):
    """Give a control its classes."""
    for name in names:
        control.add_class(name)
    return control


def named(control, css, tooltip):
    """Give a control its class and its tooltip, by the trait that this version of ipywidgets has for it."""
    trait = next((name for name in ("tooltip", "description_tooltip") if control.has_trait(name)), None)
    if trait:
        setattr(control, trait, tooltip)
    return classed(control, css)


def button(description, css, tooltip, click):
    """A button with its class, that calls a function without arguments."""
    made = w.Button(description=description, tooltip=tooltip, layout=w.Layout(width="auto", height="auto"))
    made.on_click(lambda _: click())
    return classed(made, css)


def slider(description, css, tooltip, value, low, high):
    """A slider in steps of .05 that speaks when it is let go."""
    layout = w.Layout(width="auto")
    made = w.FloatSlider(description=description, value=value, min=low, max=high, step=0.05, style=STYLE, layout=layout)
    made.readout_format, made.continuous_update = ".2f", False
    return named(made, css, tooltip)


def explained(control, words):
    """A control with what it does in words below it."""
    return classed(w.VBox(children=(control, w.HTML(f'<span class="dsl-hint">{look.plain(words)}</span>'))), "dsl-explained")


def row(css, *children):
    """Controls side by side, in more lines where there is no room; `css` is their class, or ""."""
    made = w.Box(children=children, layout=w.Layout(flex_flow="row wrap", align_items="center", width="auto"))
    return classed(made, css) if css else made


class Status(w.HTML):
    """A line that says what was done, or why not."""

    def __init__(self):
        super().__init__()
        self.add_class("dsl-status")

    def say(self, message, failed=False):
        """Show a message, as text on one line."""
        said = look.plain(" ".join(message.split()), _LONGEST)
        self.value = f'<div class="{"dsl-complaint" if failed else "dsl-said"}">{said}</div>' if said else ""
