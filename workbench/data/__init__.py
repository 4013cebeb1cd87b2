"""Data: prompts that come in, lists that go out."""
