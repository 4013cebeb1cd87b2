"""The studio in JupyterLab: its notebook runs, shows its controls, and nothing leaves localhost. One start, as it is slow."""

import shutil
import sys

import pytest
from browser_server import browsing, free_port, homeless, left, needed, serving, tail
from browser_studio import Studio

from workbench.show.widgets import app

OPTIONS = (
    "--no-browser",
    "--ServerApp.port_retries=0",
    "--ServerApp.allow_root=True",
    "--IdentityProvider.token=",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.extension_manager=readonly",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
)
IDLE = "window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"


@pytest.fixture
def lab(tmp_path):
    """Address of a JupyterLab with the notebook of the studio, and with settings of its own."""
    needed("jupyterlab")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(app.NOTEBOOK, tmp_path / "notebooks")
    port, log = free_port(), tmp_path / "lab.log"
    root = f"--ServerApp.root_dir={tmp_path / 'notebooks'}"
    with serving(
        [sys.executable, "-m", "jupyterlab", f"--port={port}", root, *OPTIONS], port, "api", log, env=homeless(tmp_path)
    ) as address:
        yield address
        print(tail(log))  # shown beside a failure


def test_the_notebook_of_the_studio_runs_in_jupyterlab(lab):
    with browsing() as new_page:
        page = new_page()
        page.goto(f"{lab}/lab/tree/{app.NOTEBOOK.name}?reset")
        page.wait_for_function(IDLE)
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.locator(".dsl-prompt textarea").wait_for()
        studio = Studio(page)
        studio.type("a knight in a castle, 8k")
        studio.says("3 chips read.")
        studio.press("castle · place")
        studio.press("Lock chip")
        studio.button("castle · place · locked").wait_for()
        assert all("castle" in text for text in studio.write("Re-roll all"))
        assert page.get_by_role("slider", name="Temperature", exact=True).is_visible()
        assert len(page.asked) > 20 and left(page) == []
