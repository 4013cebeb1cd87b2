"""What a cell shows. The calls are kept, in `calls`, for tests to look at."""

calls = []


def enable_custom_widget_manager(version="5.0.0a"):
    """Let the page load widgets of third parties."""
    calls.append("enable_custom_widget_manager")


def disable_custom_widget_manager():
    """Let the page load core widgets only."""
    calls.append("disable_custom_widget_manager")


def clear(wait=False, output_tags=()):
    """Empty the output of the cell."""
    calls.append("clear")


def eval_js(script, ignore_result=False, timeout_sec=None):
    """Run a script in the page."""
    raise RuntimeError("There is no page here: a one-click run must not need eval_js.")
