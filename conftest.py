"""Settings of pytest for tests and notebooks."""


def pytest_collectstart(collector):
    """Let nbval pass over progress bars and warnings, which go to stderr and hold durations."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
