"""Documentation: what `mkdocs build` does not find in docs/. The README, the lessons as committed, the gallery, the reference.

A hook of MkDocs (mkdocs.yml); `make docs` calls it. Nothing is executed and the package is not imported: griffe reads its text.
"""

import ast
import base64
import html
import re
import sys
import zlib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import notebooks  # noqa: E402
from setup import address, relink  # noqa: E402

PACKAGE = "workbench"
# Rooms whose files are used by their names, as in `from workbench.world.scenes import Scene`: no table lists their contents.
OPEN_ROOMS = ("world",)
_FIGURE = re.compile(
    r'(?P<head><img alt="(?P<alt>[^"]*)"[^>]*? src=")data:image/png;base64,(?P<png>[A-Za-z0-9+/=\s]+)"'
    r"(?P<tail>[^>]*>)(?:<figcaption>(?P<caption>.*?)</figcaption>)?",
    re.DOTALL,
)
_REMOTE = re.compile(r"!\[([^\]]*)\](?:\(https?://[^)]+\)|\[badge\])")  # a badge: its words do without the network
_MATHS = re.compile(r"\$([^$\n]+)\$")
_PLACE = '<div id="output-{}"></div>'


# ---- lessons ------------------------------------------------------------------------------------------------------------


class Lesson:
    """A notebook as a page.

    Attributes:
        path: Path of the notebook.
        title: str.
        question: str, the one it answers.
        seconds: int or None, what it says it takes on a CPU.
        before: str, Markdown, what to read before.
        text: str, Markdown; outputs have a place of their own in it.
        outputs: dict of place -> HTML.
        figures: list of (name of a file, bytes of a PNG, alt text, caption).
    """

    def __init__(self, path, slug):
        self.path, self.outputs, self.figures = path, {}, []
        notebook = nbformat.read(path, as_version=4)
        self.title, self.question = notebooks.title_of(notebook, path)
        self.seconds = notebooks._seconds(notebook)
        source = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        found = re.search(r"^Read before: (.+?)(?:\n\n|\Z)", source, re.MULTILINE | re.DOTALL)
        self.before = _pages(" ".join(found[1].split())) if found else ""
        parts = [self._cell(cell, slug) for cell in notebook.cells]
        self.text = "\n\n".join(part for part in parts if part) + "\n"

    def _cell(self, cell, slug):
        tags = cell.metadata.get("tags", [])
        if "header" in tags:
            return None  # of a page on its own; MkDocs has a navigation
        if cell.cell_type == "markdown":
            text = _pages(cell.source)
            if text.startswith("# "):
                title, _, rest = text.partition("\n")
                text = f"{title}\n\n{self._links(slug)}\n{rest}"
            return _maths(text.replace("<details>", '<details markdown="1">'))
        if cell.cell_type != "code":
            return None
        code = f"```python\n{cell.source}\n```"
        if "setup" in tags:
            return f'<details markdown="1"><summary>Setup</summary>\n\n{code}\n\n</details>'
        return "\n\n".join([code, *(self._output(output) for output in cell.outputs)])

    def _links(self, slug):
        took = f"CPU is enough, about {self.seconds} s." if self.seconds else ""
        colab = f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{self.path.name}"
        return f"[Open in Colab]({colab}) · [Notebook on GitHub]({address(f'notebooks/{self.path.name}')}) · {took}"

    def _output(self, output):
        """The place of an output. Its HTML comes into the page after Markdown is done with it."""
        place = _PLACE.format(len(self.outputs))
        self.outputs[place] = self._html(output)
        return place

    def _html(self, output):
        data = output.get("data", {})
        if "text" in output:
            return f'<div class="output"><pre>{html.escape(output.text)}</pre></div>'
        if "text/html" in data:
            shown = _FIGURE.sub(self._kept, data["text/html"])
            plain = shown.startswith("<figure")
            return f'<div class="output{"" if plain else " shown"}">{shown}</div>'
        if "image/png" in data:
            alt = data.get("text/plain", "").removeprefix("Figure: ")
            name = self._keep(data["image/png"], alt, "")
            return f'<div class="output"><figure><img alt="{html.escape(alt)}" src="{name}"></figure></div>'
        return f'<div class="output"><pre>{html.escape(data.get("text/plain", ""))}</pre></div>'

    def _kept(self, found):
        name = self._keep(found["png"], html.unescape(found["alt"]), html.unescape(found["caption"] or ""))
        caption = f"<figcaption>{found['caption']}</figcaption>" if found["caption"] else ""
        return f'{found["head"]}{name}" loading="lazy"{found["tail"]}{caption}'

    def _keep(self, png, alt, caption):
        name = f"{self.path.stem}_{len(self.figures)}.png"
        self.figures.append((name, base64.b64decode("".join(png.split())), alt, caption))
        return name


def _pages(text):
    """Links of a notebook as links of a page."""
    text = re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", text)
    text = re.sub(r"\]\(\.\./docs/", "](../", text)
    return re.sub(r"\]\(\.\./README\.md(#[\w-]*)?\)", r"](../index.md\1)", text)


def _maths(text):
    """TeX as MathML, which browsers show without a script."""

    def shown(found):
        from latex2mathml.converter import convert

        return convert(found[1])

    return _MATHS.sub(shown, text)


def gallery(lessons):
    """Markdown of the page of all figures."""
    parts = ["# Gallery\n\nThe figures of the lessons, as committed. Each leads to the lesson that draws it.\n"]
    for lesson in lessons:
        parts.append(f'## [{lesson.title}](lessons/{lesson.path.stem}.md)\n\n{lesson.question}\n\n<div class="gallery">')
        for name, _, alt, caption in lesson.figures:
            picture = f'<img alt="{html.escape(alt)}" src="lessons/{name}" loading="lazy">'
            parts.append(
                f'<figure><a href="lessons/{lesson.path.stem}.html">{picture}</a>'
                f"<figcaption>{html.escape(caption or alt)}</figcaption></figure>"
            )
        parts.append("</div>\n")
    return "\n".join(parts)


def table(lessons):
    """Markdown of the table of the teacher's page."""
    rows = ["| Lesson | Its question | Runs on a CPU in about | Read before |", "| --- | --- | --- | --- |"]
    for lesson in lessons:
        before = re.sub(r"\]\((\w+\.md)\)", r"](lessons/\1)", lesson.before)
        took = f"{lesson.seconds} s" if lesson.seconds else "?"
        rows.append(f"| [{lesson.title}](lessons/{lesson.path.stem}.md) | {lesson.question} | {took} | {before} |")
    return "\n".join(rows)


# ---- the reference ------------------------------------------------------------------------------------------------------


def front(package):
    """The table of public names, from the text of the package.

    Args:
        package: griffe Module.

    Returns:
        dict of name -> (module, names): a griffe Module, and a list of (public name, place in the package) of what it offers.
    """
    found = {}
    for name, place in _lazy(package).items():
        path, _, inside = place.partition(":")
        module = package[path]
        found[name] = (module, [(inside, _final(module, inside))] if inside else _inside(module))
    return found


def _inside(module):
    """What a module offers: list of (name, place)."""
    lazy = _lazy(module)
    if lazy or module.exports:
        own = [str(name) for name in module.exports or [] if str(name) in module.members]
        return [(name, f"{module.path}.{place}.{name}") for name, place in lazy.items()] + [(n, _final(module, n)) for n in own]
    own = [name for name, one in module.members.items() if one.is_public and not one.is_alias and not one.is_module]
    found = [(name, f"{module.path}.{name}") for name in own if module[name].docstring]
    if module.path.removeprefix(f"{PACKAGE}.") in OPEN_ROOMS:
        for name, one in sorted(module.members.items()):
            if one.is_module and not one.is_alias:
                found += [(f"{name}.{inner}", place) for inner, place in _inside(one)]
    return found


def _final(module, name):
    """Where the thing is defined that a module knows under this name."""
    one = module[name]
    return (one.final_target if one.is_alias else one).path


def _lazy(module):
    """A table `_LAZY` of names that are loaded at first use."""
    return ast.literal_eval(str(module["_LAZY"].value)) if "_LAZY" in module.members else {}


def reference(names):
    """Pages of the reference.

    Args:
        names: dict, of `front`.

    Returns:
        dict of page -> Markdown; each thing is described once, elsewhere there is a link.
    """
    pages, said = {}, {}
    overview = ["# Reference\n", "`from workbench import ...` gives these names.\n", "| Name | What it is |", "| --- | --- |"]
    for name, (module, inside) in names.items():
        single = len(inside) == 1 and inside[0][0] == name
        thing = _docstring(module, inside[0][1]) if single else module.docstring.value
        overview.append(f"| [{name}]({name}.md) | {_first(thing)} |")
        lines = [f"# {name}\n", f"```python\nfrom {PACKAGE} import {name}\n```\n"]
        if not single:
            lines.append(f"{thing}\n")
        for public, place in inside:
            if place in said:
                lines.append(f"## {public}\n\nSee [{public}][{place}].\n")
                continue
            said[place] = name
            lines.append(f"::: {place}\n")
        pages[f"reference/{name}.md"] = "\n".join(lines)
    pages["reference/index.md"] = "\n".join(overview) + "\n"
    return pages


def _docstring(module, place):
    one = module.package[place.removeprefix(f"{PACKAGE}.")]
    return one.docstring.value if one.docstring else ""


def _first(text):
    """The first paragraph of a docstring in one line; what it is, without its name."""
    line = " ".join(text.split("\n\n")[0].split())
    return line.partition(": ")[2] or line


def missing(names, inventory):
    """Public names that are not in the reference.

    Args:
        names: dict, of `front`.
        inventory: set of str, the places that were described.

    Returns:
        list of str such as "codebook.Codebook".
    """
    return [f"{name}.{public}" for name, (_, inside) in names.items() for public, place in inside if place not in inventory]


def inventory(path):
    """The places that a built site describes: set of str, of its file objects.inv (format of Sphinx, version 2)."""
    head, body = path.read_bytes().split(b"zlib.\n", 1)
    return {line.split(" ", 1)[0] for line in zlib.decompress(body).decode().splitlines()}


# ---- MkDocs -------------------------------------------------------------------------------------------------------------

_made = {}


def on_config(config):
    """Set addresses and navigation; read the package and the lessons."""
    import griffe

    slug = notebooks.slugs(ROOT)[0]
    owner, _, name = slug.partition("/")
    config.site_url = f"https://{owner}.github.io/{name}/"
    # not as repo_url: with that, each page asks GitHub for the number of stars
    config.extra["social"] = [{"icon": "fontawesome/brands/github", "link": f"https://github.com/{slug}", "name": slug}]
    _made["front"] = front(griffe.load(PACKAGE, search_paths=[str(ROOT)], docstring_parser="google"))
    _made["lessons"] = [Lesson(path, slug) for path in notebooks.paths(ROOT)]
    lessons = [{lesson.title: f"lessons/{lesson.path.stem}.md"} for lesson in _made["lessons"]]
    names = ["reference/index.md", *({name: f"reference/{name}.md"} for name in _made["front"])]
    config.nav = [{"Start": "index.md"}, {"Lessons": lessons}, {"Gallery": "gallery.md"}, {"Glossary": "glossary.md"}]
    config.nav += [{"For teachers": "teachers.md"}, {"Reference": names}, {"Models": "offline.md"}]
    config.nav += [{"Scaling": "scaling.md"}, {"Sources": "sources.md"}]
    return config


def on_files(files, config):
    """Add the pages and pictures that are not in docs/."""
    from mkdocs.structure.files import File

    def add(path, content):
        files.append(File.generated(config, path, content=content))

    add("index.md", start((ROOT / "README.md").read_text("utf-8")))
    add("gallery.md", gallery(_made["lessons"]))
    for page, text in reference(_made["front"]).items():
        add(page, text)
    for lesson in _made["lessons"]:
        add(f"lessons/{lesson.path.stem}.md", lesson.text)
        for name, png, _, _ in lesson.figures:
            add(f"lessons/{name}", png)
    return files


def start(text):
    """The README as the first page."""

    def here(target):
        if target.startswith("docs/"):
            return target.removeprefix("docs/")
        if target.startswith("notebooks/"):
            return f"lessons/{Path(target).stem}.md"
        return address(target)

    return _REMOTE.sub(r"\1", relink(text, here))


def on_page_markdown(markdown, page, **_):
    """Write the table of lessons where a page asks for it."""
    return markdown.replace("<!-- lessons -->", table(_made["lessons"]))


def on_page_content(content, page, **_):
    """Put the outputs of a lesson into their places."""
    for lesson in _made["lessons"]:
        if page.file.src_uri == f"lessons/{lesson.path.stem}.md":
            for place, output in lesson.outputs.items():
                content = content.replace(place, output, 1)
    return content


def on_post_build(config):
    """Refuse a site whose reference lacks a public name."""
    from mkdocs.exceptions import PluginError

    if lost := missing(_made["front"], inventory(Path(config.site_dir, "objects.inv"))):
        raise PluginError(f"The reference lacks {', '.join(lost)}. Its pages come from `reference` in tools/docs.py.")
