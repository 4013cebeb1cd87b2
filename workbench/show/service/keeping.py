"""Rows that a user lets the server keep, each call in a file of its own, until the user deletes it."""

import hashlib
import re
import secrets

from workbench import files
from workbench.show.service.bodies import Refused

_NAME = re.compile("[0-9a-f]{16}")
_MOST = 10_000  # calls of one user that are kept


class Keeping:
    """The folder of what is kept, or none.

    Args:
        folder: str, Path or None: then nothing can be kept.
    """

    def __init__(self, folder):
        self.folder = None if folder is None else files.path(folder, "keep")

    def check(self):
        """Refuse to keep where there is no folder."""
        if self.folder is None:
            raise Refused(422, "This server keeps nothing: leave keep out.")

    def put(self, user, body):
        """Keep the rows of a request: dict that says what, and how it is deleted."""
        name = secrets.token_hex(8)
        if len(self.listed(user)) >= _MOST:
            raise Refused(422, f"There are {_MOST} calls kept: delete some first.")
        files.write_json(self._of(user) / f"{name}.json", {"texts": body.texts, "labels": body.labels})
        return {"id": name, "texts": len(body.texts), "labels": len(body.labels or ()), "delete": f"DELETE /kept/{name}"}

    def listed(self, user):
        """Names of what is kept of a user: sorted list of str."""
        if self.folder is None or not self._of(user).is_dir():
            return []
        return sorted(file.stem for file in self._of(user).glob("*.json") if _NAME.fullmatch(file.stem))

    def delete(self, user, name):
        """Delete what was kept."""
        if name not in self.listed(user):
            raise Refused(404, "Nothing of this name is kept of you.")
        (self._of(user) / f"{name}.json").unlink(missing_ok=True)

    def _of(self, user):
        return self.folder / hashlib.sha256(user.encode()).hexdigest()[:32]
