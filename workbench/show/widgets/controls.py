"""Controls: the few that the views share, by the API that ipywidgets 7.7 and 8 have in common."""

import ipywidgets as w

STYLE = {"description_width": "initial"}


def button(description, css, tooltip, click):
    """A button with its class, that calls a function without arguments."""
    made = w.Button(description=description, tooltip=tooltip, layout=w.Layout(width="auto", height="auto"))
    made.add_class(css)
    made.on_click(lambda _: click())
    return made


def slider(description, value, low, high):
    """A slider in steps of .05 that speaks when it is let go."""
    layout = w.Layout(width="20rem")
    made = w.FloatSlider(description=description, value=value, min=low, max=high, step=0.05, style=STYLE, layout=layout)
    made.readout_format, made.continuous_update = ".2f", False
    return made


def row(*children):
    """Controls side by side, in more lines where there is no room."""
    return w.Box(children=children, layout=w.Layout(flex_flow="row wrap", align_items="center", width="auto"))


def named(control, css, tooltip):
    """Give a control its class and its tooltip, by the trait that this version of ipywidgets has for it."""
    control.add_class(css)
    for trait in ("tooltip", "description_tooltip"):
        if control.has_trait(trait):
            setattr(control, trait, tooltip)
            break
    return control
