"""Studio: what a visitor does on its page, for the browser tests."""

import contextlib
import re
import sys
from pathlib import Path

from browser_server import browsing, free_port, homeless, serving

ROOT = Path(__file__).parents[1]

CONTROLS = """() => {
  const all = document.querySelectorAll("a[href], button:enabled, input, textarea, select, [tabindex], [contenteditable=true]");
  window.controls = [...all].filter(one => (one.tabIndex >= 0 || one.isContentEditable) && one.getClientRects().length);
  return window.controls.map(one => {
    const { x, y, height } = one.getBoundingClientRect();
    return { x: x, y: y + height / 2, what: one.outerHTML.slice(0, 200) };
  });
}"""
# What reaches beyond the right edge of the window.
OVERFLOW = """() => [...document.querySelectorAll(".dsl-page *")].filter(
  one => one.getClientRects().length && one.getBoundingClientRect().right > window.innerWidth + 1
).map(one => one.outerHTML.slice(0, 200))"""
FOCUSED = "() => window.controls.indexOf(document.activeElement)"


@contextlib.contextmanager
def serving_studio(log):
    """The studio as `make studio` serves it; yields the address that it prints. `log` is a file in a folder that takes all."""
    port = free_port()
    # what is installed is not looked at: this environment is it
    make = ["make", "-C", ROOT, "-o", f"{sys.prefix}/.installed-studio", f"VENV={sys.prefix}", f"PORT={port}", "DSL=", "studio"]
    with serving(make, port, "voila/static/voila-style.js", log, env=homeless(log.parent)) as address:
        yield re.search(rf"{address}/\?token=\S+", log.read_text("utf-8"))[0]


@contextlib.contextmanager
def visiting(log):
    """A page of the studio as `make studio` serves it; `log` is a file in a folder that takes all that is written."""
    with serving_studio(log) as address, browsing() as new_page:
        page = new_page()
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.partition("?")[0])
        page.goto(address)
        page.locator(".dsl-prompt textarea").wait_for()
        yield page


class Studio:
    """What a visitor does on a page, by the names that a screen reader says."""

    def __init__(self, page):
        from playwright.sync_api import expect

        expect.set_options(timeout=90_000)
        self.page, self.expect = page, expect
        self.box = page.locator(".dsl-studio")
        self.prompt, self.seed = self.box.get_by_label("Prompt", exact=True), self.box.get_by_label("Seed", exact=True)
        self.status = self.box.locator(":is(.dsl-said, .dsl-complaint)")  # what was said last, beside its control

    def type(self, text):
        """Type a prompt and press Enter, which has it read."""
        self.prompt.fill(text)
        self.prompt.press("Enter")

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def press(self, name):
        self.button(name).click()

    def do(self, chip, action, after):
        """Choose a chip, press a button for it, and wait until the label of a chip ends as told."""
        self.press(chip)
        self.press(action)
        self.box.locator(".dsl-chip", has_text=after).wait_for()

    def says(self, words):
        """Wait until the status line holds these words."""
        self.expect(self.status).to_contain_text(words)

    def has(self, text):
        """Wait until the prompt is this text."""
        self.expect(self.prompt).to_have_value(text)

    def chips(self):
        """Labels of the chips."""
        return self.box.locator(".dsl-chip").all_text_contents()

    def results(self):
        """Texts of the results, to the letter."""
        return self.box.locator(".dsl-result-text").all_text_contents()

    def write(self, name, click="click"):
        """Press a button that writes; returns the results once they are there."""
        self.page.wait_for_timeout(400)  # nearer to the last one it would count as a double click
        seed = int(self.seed.input_value())
        getattr(self.button(name), click)()
        self.expect(self.seed).to_have_value(str(seed + 1))
        self.says("result")
        return self.results()

    def slide(self, name, *keys):
        """Press keys on a slider; returns what is written beside it."""
        handle = self.box.get_by_role("slider", name=name, exact=True)
        for key in keys:
            handle.press(key)
        return self.box.get_by_role("textbox", name=f"{name} value", exact=True).text_content()
