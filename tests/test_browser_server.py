"""The instruments of the browser tests: what they see, and what they say without a browser or a server."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser_server import browsing, free_port, left, needed, serving
from PIL import Image

ROOT = Path(__file__).parents[1]


def test_a_missing_browser_skips_with_a_reason_and_fails_where_it_is_required(monkeypatch):
    monkeypatch.setenv("WORKBENCH_BROWSER", "no-such-browser")
    monkeypatch.delenv("WORKBENCH_NEEDS_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="need no-such-browser: pip install"):
        needed()
    monkeypatch.setenv("WORKBENCH_NEEDS_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="need no_such_module, no-such-browser"):
        needed("no_such_module")


def test_the_tool_of_the_moving_picture_says_what_is_missing_and_keeps_its_size(monkeypatch, capsys, tmp_path):
    monkeypatch.syspath_prepend(ROOT)
    from tools import studio_picture

    monkeypatch.setenv("WORKBENCH_BROWSER", "no-such-browser")
    assert studio_picture.main([str(tmp_path / "x.png")]) == 2 and not list(tmp_path.iterdir())
    assert "The picture cannot be made: " in (said := capsys.readouterr().err) and "no-such-browser" in said
    frames = []
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (40, 30), colour).save(data := io.BytesIO(), "PNG")
        frames.append((data.getvalue(), 500))
    with Image.open(studio_picture.save(frames, tmp_path / "x.png")) as made:
        assert (made.n_frames, made.size, made.info["loop"]) == (3, (40, 30), 0)
        made.seek(2)
        assert made.convert("RGB").getpixel((5, 5)) == (0, 0, 255) and made.info["duration"] == 500
    monkeypatch.setattr(studio_picture, "MOST", 100)
    with pytest.raises(ValueError, match="it may have 100"):
        studio_picture.save(frames, tmp_path / "x.png")


def test_requests_for_other_machines_and_nameless_controls_are_seen():
    needed("axe_playwright_python")
    from axe_playwright_python.sync_playwright import Axe

    elsewhere = ["https://cdn.example/icons.css", "http://localhost.example/x.png"]
    with browsing() as new_page:
        page = new_page()
        page.set_content(
            f"<title>t</title><link rel=stylesheet href={elsewhere[0]}><img alt='' src={elsewhere[1]}>"
            "<button></button><p style='color:#999;background:#fff'>pale</p>"
        )
        assert sorted(left(page)) == sorted(elsewhere)
        assert {"button-name", "color-contrast"} <= {one["id"] for one in Axe().run(page).response["violations"]}


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such notebook')"]
    with pytest.raises(AssertionError, match="ended with 1:\nno such notebook"):
        with serving(command, free_port(), "static", tmp_path / "log"):
            pass


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_studio_refuses_a_folder_that_is_not_there():
    command = ["make", "-C", ROOT, "-o", f"{sys.prefix}/.installed-studio", f"VENV={sys.prefix}", "DSL=no-such-folder", "studio"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "There is no folder" in done.stdout and "DeepDSL.save" in done.stdout
