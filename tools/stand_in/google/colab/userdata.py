"""The user's secrets: there are none."""


class SecretNotFoundError(Exception):
    """The user has no such secret."""


def get(key):
    """Look up a secret."""
    raise SecretNotFoundError(f"Secret {key} does not exist.")
