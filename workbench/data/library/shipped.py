"""A library as a small folder of JSON and safetensors, equal bytes for equal entries; and the one that comes with the package."""

import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from workbench import artifacts, files
from workbench.data.library.entries import card_of, card_state
from workbench.data.library.prompt_library import Library
from workbench.values import ArtifactError, LibraryError

KIND = "prompts of a library"
WORLD = Path(__file__).parents[2] / "world" / "prompts"


def save(library, folder):
    """Write the latest entries that this user may read, with rows and sketches, to a folder; equal ones give equal bytes.

    Args:
        library: `Library`.
        folder: str or Path.

    Returns:
        int, entries that the user may see but has not paid for, which are left out.

    Raises:
        ArtifactError: the folder holds something else, or the disk is full.
    """
    saved, tensors, unpaid = [], {}, 0
    for shown in library.entries():
        try:
            entry, sketch = library.get(shown.id), library.sketch(shown.id)
        except LibraryError:
            unpaid += 1
            continue
        try:
            rows = library.rows(entry)
        except LibraryError:
            rows = None
        at = len(saved)
        tensors |= {f"{at}.vectors": entry.vectors, f"start.{entry.start_sha256[:16]}": sketch.start}
        for name in ("gradient", "features"):
            if getattr(sketch, name) is not None:
                tensors[f"{at}.{name}"] = getattr(sketch, name)
        known = {"id": entry.id, "card": card_state(entry.card), "state": entry.state, "start": entry.start_sha256[:16]}
        saved.append(known | {"rows": rows and list(rows)})
    artifacts.save(folder, KIND, {"entries": saved}, tensors)
    return unpaid


def load(saved, folder, user="me"):
    """Read what `save` wrote into a new library, where all entries are this user's.

    Args:
        saved: str or Path, the folder that was saved.
        folder: str or Path of the library, new or empty.
        user: str.

    Returns:
        `Library`. Its entries have new ids; a parent that was not saved is named in the note of the card.

    Raises:
        ArtifactError: a folder that is damaged or of another kind, or a `folder` that is not empty.
        ImportError: LanceDB is not installed.
    """
    config, tensors = artifacts.load(saved, KIND)
    library, ids = Library.open(folder, user), {}
    if len(library):
        raise ArtifactError(f"{folder} holds a library of {len(library)} entries already. Give a new folder.")
    waiting = list(config["entries"])
    saved_ids, at = {known["id"] for known in waiting}, {known["id"]: i for i, known in enumerate(waiting)}
    while waiting:  # parents before those that were made from them
        ready = [known for known in waiting if not set(known["card"]["parents"]) & saved_ids - set(ids)]
        if not ready:
            raise ArtifactError(
                f"{saved} cannot be read: {len(waiting)} of its entries were made from one another. Save it again."
            )
        added = library.add_many([_item(known, at[known["id"]], tensors, ids) for known in ready])
        ids |= {known["id"]: name for known, name in zip(ready, added, strict=True)}
        waiting = [known for known in waiting if known["id"] not in ids]
    return library


def _item(known, at, tensors, ids):
    """One saved entry as `Library.add_many` takes it."""
    state, card = known["state"], card_of(known["card"])
    gone = [parent for parent in card.parents if parent not in ids]
    note = f"{card.note} Made from entries that were not saved with it: {', '.join(gone)}.".strip() if gone else card.note
    card = replace(card, parents=tuple(ids[parent] for parent in card.parents if parent in ids), note=note)
    begun = tensors[f"start.{known['start']}"]
    prompt = SimpleNamespace(
        vectors=tensors[f"{at}.vectors"],
        labels=tuple(state["labels"]),
        model=state["model"],
        sha256=state["sha256"],
        config=SimpleNamespace(layout=state["options"]["layout"]),
        to_state=lambda: (state, {"vectors": tensors[f"{at}.vectors"]}),
    )
    sketch = SimpleNamespace(start=begun, gradient=tensors.get(f"{at}.gradient"), features=tensors.get(f"{at}.features"))
    return prompt, card, sketch, known["rows"]


def world(folder=None, user="me"):
    """Open a copy of the library that comes with the package: twelve tasks of the built-in world, for `load_lm("world")`.

    Each asks whether a caption says its artist, style, background or color, in captions of one form (sentence, keywords,
    prompt). Four questions in three forms: who is whose relative is known.

    Args:
        folder: str or Path of the copy, new or empty; None: a temporary one, which goes with the library.
        user: str, for whom it is opened; the entries belong to the user "workbench".

    Returns:
        `Library`.

    Raises:
        ImportError: LanceDB is not installed.
        ArtifactError: `folder` is not empty.
    """
    if folder is not None:
        return load(WORLD, folder, "workbench").as_user(user)
    held = tempfile.mkdtemp(prefix="workbench-library-")
    library = load(WORLD, held, "workbench").as_user(user)
    weakref.finalize(library._shelves, files.remove_folder, held)  # all users of it share these
    return library
