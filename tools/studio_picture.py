"""Draw `docs/studio.png`, the moving picture of the studio that the README shows: python tools/studio_picture.py [file]

It serves the studio as `make studio` does, does in a Chromium what a visitor does, and keeps a picture of each step. It needs
what the browser tests need, and says what is missing. Takes about a minute.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import browser_server  # noqa: E402 - the tests are no package
from browser_studio import Studio, visiting  # noqa: E402

PROMPT = "a red fox in a misty forest, oil painting, soft light, highly detailed"
WIDTH, HEIGHT = 1120, 880  # pixels of the page; a README shows 800 to 900 of them
MOST = 2_000_000  # bytes
_COLOURS = 96
_TYPED = 12  # letters between two pictures


def film(page, prompt=PROMPT):
    """Do what a visitor does on the page of the studio.

    Args:
        page: of playwright, with the studio on it.
        prompt: str, what is typed.

    Returns:
        list of (PNG as bytes, milliseconds that it is shown).
    """
    studio, frames = Studio(page), []
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.add_style_tag(content="h1.dsl-heading, .dsl-page > .widget-html { display: none !important; } * { caret-color: auto; }")

    def keep(milliseconds):
        frames.append((page.screenshot(), milliseconds))

    def point(control, milliseconds=700):
        """Show where a click goes, and click."""
        control.hover()
        keep(milliseconds)
        control.click()

    studio.prompt.fill("")
    for end in range(0, len(prompt), _TYPED):
        studio.prompt.press_sequentially(prompt[end : end + _TYPED])
        keep(160)
    keep(500)
    studio.prompt.press("Enter")
    studio.says("read.")
    keep(1800)
    chips = studio.box.locator(".dsl-chip")
    point(chips.first)
    point(studio.button("Lock chip"))
    studio.says("is locked")
    keep(1300)
    for _ in range(2):
        page.wait_for_timeout(400)  # a nearer click would count as a double one
        seed = studio.seed.input_value()
        point(studio.button("Re-roll all"))
        studio.expect(studio.seed).not_to_have_value(seed)
        studio.says("result")
        keep(2000)
    point(chips.nth(1))
    fillers = page.locator(".dsl-atlas").get_by_label("Fillers", exact=True)
    studio.expect(fillers.locator("option").first).to_be_attached()
    page.wait_for_timeout(500)
    keep(1200)
    fillers.select_option(index=3)
    studio.expect(page.locator(".dsl-near")).to_contain_text("Near")
    keep(1400)
    point(studio.button("Put into the prompt"))
    studio.says("is in the prompt")
    keep(2600)
    return frames


def save(frames, path):
    """Write the frames as an animated PNG of at most `MOST` bytes, all in one palette; raises ValueError if it is larger."""
    pictures = [Image.open(io.BytesIO(png)).convert("RGB") for png, _ in frames]
    whole = Image.new("RGB", (pictures[0].width, sum(one.height for one in pictures)))
    for number, one in enumerate(pictures):
        whole.paste(one, (0, number * one.height))
    palette = whole.quantize(_COLOURS, dither=Image.Dither.NONE)
    drawn = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures]
    times = [milliseconds for _, milliseconds in frames]
    drawn[0].save(path, format="PNG", save_all=True, append_images=drawn[1:], duration=times, loop=0, optimize=True)
    if path.stat().st_size > MOST:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; it may have {MOST:,}. Show fewer steps.")
    return path


def main(arguments):
    """Draw the picture; returns the exit code."""
    path = Path(arguments[0]) if arguments else ROOT / "docs" / "studio.png"
    missing = browser_server.missing("voila")
    if missing:
        print(f"The picture cannot be made: {missing}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, visiting(Path(folder) / "voila.log") as page:
        frames = film(page)
    save(frames, path)
    seconds = sum(milliseconds for _, milliseconds in frames) / 1000
    print(f"{path}: {len(frames)} pictures, {seconds:.0f} s, {path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
