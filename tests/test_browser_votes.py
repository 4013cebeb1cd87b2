"""The voting widget in a real browser: a person votes, undoes, stops, leaves, and comes back to the same page."""

import json
import sys

import pytest
from browser_server import browsing, free_port, homeless, left, needed, serving, tail

CODE = """
from PIL import Image
from workbench import genetic, widgets

genes = genetic.Genes.mask(["8k", "fog", "oil painting", "<b>bold</b>"], "a cat")
voting = genetic.Voting(genes, genetic.VoteConfig(seed=3), folder={folder!r})
widgets.votes(voting, lambda texts: [Image.new("RGB", (8, 8), (40 * len(text) % 255, 0, 0)) for text in texts])
"""


@pytest.fixture
def address(tmp_path):
    """Address of a page that shows the widget; its votes are kept in a folder."""
    needed("voila")
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "id": "votes"}
    cell["source"] = CODE.format(folder=str(tmp_path / "votes"))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = tmp_path / "votes.ipynb"
    notebook.write_text(json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}), "utf-8")
    port, log = free_port(), tmp_path / "voila.log"
    command = [sys.executable, "-m", "voila", notebook, f"--port={port}", "--no-browser", "--Voila.ip=127.0.0.1"]
    with serving(command, port, "voila/static/voila-style.js", log, env=homeless(tmp_path)) as found:
        yield found
        print(tail(log))  # shown beside a failure


def test_a_person_votes_undoes_stops_leaves_and_comes_back(address):
    from playwright.sync_api import expect

    expect.set_options(timeout=90_000)
    with browsing() as new_page:
        page = new_page()

        def opened():
            page.goto(address)
            page.locator(".dsl-votes .dsl-card img").nth(1).wait_for()

        def press(name, says):
            page.wait_for_timeout(400)  # nearer to the last one it would count as a double click
            page.get_by_role("button", name=name, exact=True).click()
            expect(page.locator(".dsl-status")).to_contain_text(says)

        def cards():
            return page.locator(".dsl-card-text").all_inner_texts()

        opened()
        first = cards()
        assert len(first) == 2 and page.locator(".dsl-card b").count() == 0
        assert page.get_by_role("button", name="Undo", exact=True).is_disabled()
        press("Picture 2 is better", "Vote 1 was counted")
        second = cards()
        expect(page.locator(".dsl-best b")).to_have_text(first[1].strip())
        press("Undo", "taken back")
        assert cards() == first
        press("Neither", "Skipped")
        press("Undo", "taken back")
        press("Picture 2 is better", "Vote 1 was counted")
        assert cards() == second
        press("Stop", "All votes are kept")
        assert page.get_by_role("button", name="Picture 1 is better", exact=True).is_disabled()
        press("Go on", "Which one is better?")
        opened()  # leaves, and comes back to a new kernel
        assert cards() == second and page.locator(".dsl-best b").inner_text() == first[1].strip()
        page.wait_for_timeout(400)
        page.get_by_role("button", name="Picture 1 is better", exact=True).dblclick()
        expect(page.locator(".dsl-status")).to_contain_text("Vote 2 was counted")
        page.wait_for_timeout(1500)
        expect(page.locator(".dsl-status")).to_contain_text("Vote 2 was counted")  # two quick clicks are one
        # Voila's own page asks for an icon font, which `noting` stops; the widget itself asks for nothing
        assert all("fontawesome" in url for url in left(page))
