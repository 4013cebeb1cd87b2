"""The studio in a real browser, served by `make studio`. What the page asks for stays on localhost.

All tests share one page, as each page is a kernel: every test types its own prompt first.
"""

import csv
import io
import itertools
import json
import os
import re
from pathlib import Path

import pytest
from browser_server import left, needed, tail
from browser_studio import CONTROLS, FOCUSED, OVERFLOW, Studio, visiting

PROMPT = "a  WIZARD in a castle, oil on canvas, 8k"
CHIPS = ["WIZARD · person", "castle · place", "oil on canvas · medium", "8k · quality"]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("server") / "voila.log"


@pytest.fixture(scope="module")
def page(log):
    needed("voila", "axe_playwright_python")
    with visiting(log) as page:
        yield page


@pytest.fixture(autouse=True)
def words_of_the_server(request, log):
    """Show the end of the log and of the console beside a failure."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed and log.exists():
        print(tail(log))
        page = request.node.funcargs.get("page")
        print(*(page.errors if page else ()), sep="\n")


@pytest.fixture
def studio(page):
    """The shared page with the usual prompt, no lock and no chip chosen."""
    studio = Studio(page)
    page.emulate_media(color_scheme="light")
    studio.type("a castle")
    studio.says("1 chip read.")
    studio.type(PROMPT)
    studio.says("4 chips read.")
    return studio


def test_the_page_fits_a_desk_and_a_telephone(studio, tmp_path):
    """Comes first, when the page is fresh. WORKBENCH_SCREENSHOT=path keeps a picture."""
    studio.type("a knight in a castle, oil painting by Monet, golden hour, 8k")
    studio.says("6 chips read.")
    studio.do("knight · person", "Lock chip", "locked")
    studio.do("castle · place", "Mask chip", "open")
    studio.seed.fill("7")
    studio.seed.blur()
    studio.write("Re-roll all")
    studio.press("Keep 2")
    for width in (390, 1280):
        studio.page.set_viewport_size({"width": width, "height": 1300})
        assert studio.page.evaluate(OVERFLOW) == []
    right = studio.page.locator(".dsl-gallery").bounding_box()
    assert right["x"] + right["width"] > 1200  # no empty quarter
    picture = Path(os.environ.get("WORKBENCH_SCREENSHOT") or tmp_path / "studio.png").absolute()
    studio.page.mouse.move(0, 0)
    studio.page.screenshot(path=picture, full_page=True)
    assert 30_000 < picture.stat().st_size < 300_000
    studio.press("Undo")
    studio.expect(studio.page.locator(".dsl-favourite")).to_have_count(0)


def test_a_typed_prompt_is_shown_as_chips_with_names(studio):
    assert studio.chips() == CHIPS
    assert studio.box.locator(".dsl-text").all_text_contents() == ["a", "in a", ",", ","]


def test_nothing_below_moves_when_a_chip_is_chosen_or_something_is_said(studio):
    # a button that moves between press and release is not pressed at all
    below = ("Lock chip", "Vary", "Copy 1")
    studio.write("Re-roll all")
    before = {name: studio.button(name).bounding_box() for name in below}
    for chip in ("8k · quality", "oil on canvas · medium"):
        studio.press(chip)
        studio.expect(studio.box.locator(".dsl-chosen")).to_have_text([chip])  # and no other
        assert {name: studio.button(name).bounding_box() for name in below} == before


def test_a_locked_chip_and_all_literals_stay_to_the_letter_in_a_re_roll(studio):
    studio.do(CHIPS[0], "Lock chip", "locked")
    first, second = studio.write("Re-roll all"), studio.write("Re-roll all")
    assert len(first) == len(second) == 6 and first != second
    assert all(re.fullmatch(r"a  WIZARD in a .+, .+, .+", text) for text in first + second)
    assert all("castle" not in text for text in first)
    studio.press("Use 3")
    studio.has(second[2])
    assert studio.chips()[0] == f"{CHIPS[0]} · locked"
    studio.press("Undo")
    studio.has(PROMPT)


def test_one_chip_is_re_rolled_and_undo_brings_it_back(studio):
    studio.press(CHIPS[1])
    results = studio.write("Re-roll chip")
    new = studio.prompt.input_value()
    assert re.fullmatch(r"a  WIZARD in a .+, oil on canvas, 8k", new) and new != PROMPT and new == results[0]
    assert [studio.chips()[i] for i in (0, 2, 3)] == [CHIPS[i] for i in (0, 2, 3)]
    studio.press("Undo")
    studio.has(PROMPT)


def test_a_masked_chip_is_filled_and_the_rest_stays(studio):
    studio.do(CHIPS[1], "Mask chip", "open")
    studio.has("a  WIZARD in a <?>, oil on canvas, 8k")
    assert studio.chips()[1] == "? · open"
    found = studio.write("Fill masks")
    assert len(set(found)) == len(found) == 6
    assert all(re.fullmatch(r"a  WIZARD in a [^,<]+, oil on canvas, 8k", text) for text in found)


def test_sliders_are_moved_by_keys_and_work_at_their_ends(studio):
    assert studio.slide("Temperature", "Home", "ArrowRight", "ArrowRight") == "0.20"
    assert studio.slide("Temperature", "ArrowLeft") == "0.15"
    assert (studio.slide("Temperature", "Home"), studio.slide("Proximity", "End")) == ("0.10", "1.00")
    assert studio.write("Vary")
    assert (studio.slide("Temperature", "End"), studio.slide("Proximity", "Home")) == ("2.00", "0.00")
    assert studio.write("Vary")
    assert studio.slide("Temperature", "Home", *["ArrowRight"] * 16) == "0.90"
    assert studio.slide("Proximity", *["ArrowRight"] * 16) == "0.80"


def test_a_result_is_copied_to_the_clipboard(studio):
    results = studio.write("Re-roll all")
    studio.press("Copy 2")
    studio.says("Result 2 is in the clipboard")
    studio.expect(studio.box.get_by_label("To copy")).to_have_value(results[1])
    assert studio.page.evaluate("navigator.clipboard.readText()") == results[1]


def test_a_kept_result_is_a_favourite_that_can_be_downloaded(studio):
    results, seed = studio.write("Re-roll all"), int(studio.seed.input_value()) - 1
    studio.button("Keep 4").dblclick()  # two quick clicks keep it once
    gallery = studio.page.locator(".dsl-gallery")
    studio.expect(gallery.locator(".dsl-favourite")).to_have_count(1)
    assert f"seed {seed}, number 4" in gallery.locator(".dsl-favourite-text").text_content()
    files = {}
    for name in ("CSV", "JSONL"):
        with studio.page.expect_download() as download:
            gallery.get_by_role("link", name=f"Download {name}").click()
        files[name] = Path(download.value.path()).read_text("utf-8")
    (as_csv,), as_json = csv.DictReader(io.StringIO(files["CSV"])), json.loads(files["JSONL"])
    assert as_csv["text"] == as_json["text"] == results[3]
    assert int(as_csv["seed"]) == as_json["seed"] == seed and "<person:WIZARD>" in as_json["start"]
    for name, count in (("Remove 1", 0), ("Undo", 1), ("Undo", 0)):
        studio.press(name)
        studio.expect(gallery.locator(".dsl-favourite")).to_have_count(count)


def test_two_quick_clicks_write_once(studio):
    seed = int(studio.seed.input_value())
    studio.write("Re-roll all", click="dblclick")
    studio.press(CHIPS[0])  # once this is answered, the second click is too
    studio.expect(studio.box.locator(".dsl-chosen-name")).to_contain_text("Chip 1 of 4")
    assert int(studio.seed.input_value()) == seed + 1


def test_a_filler_goes_from_the_list_into_the_prompt(studio):
    atlas = studio.page.locator(".dsl-atlas")
    studio.press(CHIPS[1])
    studio.expect(studio.box.locator(".dsl-chosen-name")).to_contain_text("castle")
    atlas.get_by_label("Code", exact=True).select_option("place")
    atlas.get_by_label("Search fillers").fill("library")
    fillers = atlas.get_by_label("Fillers", exact=True)
    studio.expect(fillers.locator("option")).to_have_text(["library · place"])
    fillers.select_option("library · place")
    studio.expect(atlas.locator(".dsl-near")).to_contain_text("Near “library”")
    studio.press("Put into the prompt")
    studio.has(PROMPT.replace("castle", "library"))


def test_an_empty_prompt_is_answered_in_words(studio):
    studio.type("")
    studio.says("The prompt is empty.")
    assert studio.chips() == []
    studio.press("Fill masks")
    complaint = studio.box.locator(".dsl-complaint")
    studio.expect(complaint).to_contain_text("Fill masks did nothing. No chip is open.")
    button, said = studio.button("Fill masks").bounding_box(), complaint.bounding_box()
    assert 0 < said["y"] - button["y"] < 80  # where the eye is


def test_a_new_prompt_is_read_by_enter_or_by_leaving_the_field_and_clears_the_results(studio):
    assert studio.write("Re-roll all")
    studio.type("a castle")
    studio.says("1 chip read.")
    studio.expect(studio.box.locator(".dsl-result")).to_have_count(0)
    studio.prompt.fill("a castle, 8k")
    studio.prompt.blur()
    studio.says("2 chips read.")
    studio.prompt.press("Shift+Enter")
    assert studio.prompt.input_value().count("\n") == 1


def test_the_list_of_fillers_follows_the_chosen_chip_and_shows_nothing_misspelt(studio):
    studio.press(CHIPS[1])
    atlas = studio.page.locator(".dsl-atlas")
    studio.expect(atlas.get_by_label("Code", exact=True)).to_have_value("place")
    atlas.get_by_label("Code", exact=True).select_option("All codes")
    for slip in ("quailty", "paintnig"):
        atlas.get_by_label("Search fillers").fill(slip)
        studio.expect(atlas.locator(".dsl-status")).to_contain_text("0 fillers found.")
    atlas.get_by_label("Search fillers").fill("")


def test_markup_and_emoji_are_text_on_the_page(studio):
    hostile = "<script>window.hurt=1</script><img src=x onerror='window.hurt=1'> <lora:x:0.8> of a castle 🏰, <3, 8k"
    studio.type(hostile)
    studio.box.locator(".dsl-chip", has_text="🏰").wait_for()
    studio.has(hostile)
    assert all(sign in "".join(studio.chips() + studio.box.locator(".dsl-text").all_text_contents()) for sign in "🏰<")
    assert studio.write("Re-roll all")
    assert studio.page.evaluate("window.hurt") is None


def test_ten_kilobytes_are_read_and_a_book_is_refused(studio):
    studio.type("a castle, 8k, " * 710)
    studio.says("1,420 chips read.")
    assert len(studio.chips()) == 60
    studio.type("a" * 10_001)
    studio.expect(studio.box.locator(".dsl-complaint")).to_contain_text("10,001 characters")


def test_what_no_socket_takes_is_made_to_fit(studio):
    paste = """text => {
      const field = document.querySelector(".dsl-prompt textarea");
      field.value = text();
      for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
    }"""
    for text, shown in (("() => 'half \\ud83d cat, 8k'", "half � cat, 8k"), ("() => '\\ud83c\\udff0 castle'", "🏰 castle")):
        studio.page.evaluate(f"({paste})({text})")
        studio.says("chip")
        studio.has(shown)
    studio.page.evaluate(f"({paste})(() => 'x'.repeat(12000000))")
    studio.expect(studio.box.locator(".dsl-complaint")).to_contain_text("200,000 characters")


def test_all_can_be_done_with_the_keyboard(studio):
    keys = studio.page.keyboard
    studio.prompt.focus()
    for key in ("Tab", "Tab", "Tab", "Enter"):  # Read, Undo, the first chip
        keys.press(key)
    studio.expect(studio.box.locator(".dsl-chosen-name")).to_contain_text("WIZARD")
    for key in ("Tab", "Tab", "Tab", "Tab", "Space"):  # three chips, Lock chip
        keys.press(key)
    studio.button(f"{CHIPS[0]} · locked").wait_for()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing(studio, colours):
    from axe_playwright_python.sync_playwright import Axe

    studio.do(CHIPS[0], "Lock chip", "locked")
    studio.do(CHIPS[1], "Mask chip", "open")
    studio.write("Re-roll all")
    studio.press("Keep 1")
    studio.expect(studio.status).to_contain_text("kept", ignore_case=True)
    studio.page.emulate_media(color_scheme=colours)
    ground = studio.page.evaluate("getComputedStyle(document.body).backgroundColor")
    found = Axe().run(studio.page).response
    assert ground == ("rgb(246, 247, 249)" if colours == "light" else "rgb(18, 20, 23)")  # as on the site
    bad = [(v["id"], v["impact"], [(n["target"], n["failureSummary"]) for n in v["nodes"]]) for v in found["violations"]]
    assert bad == [], json.dumps(bad, indent=1)
    checked = {rule["id"] for rule in found["passes"]}
    assert {"color-contrast", "button-name", "label", "aria-input-field-name", "link-name"} <= checked


def test_tab_order_follows_the_page(studio):
    studio.write("Re-roll all")
    studio.press(CHIPS[1])
    studio.expect(studio.box.locator(".dsl-chosen-name")).to_contain_text("castle")
    studio.prompt.focus()
    controls = studio.page.evaluate(CONTROLS)
    order = [studio.page.evaluate(FOCUSED)]
    for _ in controls[1:]:
        studio.page.keyboard.press("Tab")
        order.append(studio.page.evaluate(FOCUSED))
    assert order == list(range(len(controls))) and len(controls) > 35
    jumps = 0
    for before, after in itertools.pairwise(controls):
        same_row = abs(after["y"] - before["y"]) < 16
        jumps += not (after["x"] > before["x"] if same_row else after["y"] > before["y"])
    assert jumps == 1  # to the top of the second column


def test_no_request_leaves_localhost_and_the_console_is_clean(page):
    assert len(page.asked) > 20 and any(url.startswith("ws://localhost") for url in page.asked)
    assert left(page) == [] and page.errors == []
