"""Build hook: the README as PyPI shows it. There nothing lies beside it, so its links lead to the repository.

All other settings are in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
# what code holds is no link; a target is that of Markdown, [text](target), or an attribute of HTML
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r'(\]\(|\b(?:src|srcset|href)=")([^)"#\s]+)')
_PICTURES = (".png", ".gif", ".apng", ".svg", ".jpg", ".webp")


def relink(text, new):
    """Give the links of a page to files beside it other targets; addresses and links inside the page stay.

    Args:
        text: str, Markdown, at the top of the project.
        new: function of a target, such as "docs/map.png", to another.

    Returns:
        str.
    """

    def changed(found):
        return found[1] + (found[2] if ":" in found[2] else new(found[2]))

    parts = _CODE.split(text)
    return "".join(part if number % 2 else _TARGET.sub(changed, part) for number, part in enumerate(parts))


def address(target, root=ROOT):
    """Say where a file of the project is on GitHub: str, a web address; of a picture that of the picture alone."""
    slug = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["workbench"]["slug"]
    if target.lower().endswith(_PICTURES):
        return f"https://raw.githubusercontent.com/{slug}/main/{target}"
    return f"https://github.com/{slug}/blob/main/{target}"


if __name__ == "__main__":
    page = relink((ROOT / "README.md").read_text("utf-8"), address)
    setup(long_description=page, long_description_content_type="text/markdown")
