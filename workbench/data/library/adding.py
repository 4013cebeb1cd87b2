"""A prompt and its card as a row of a library, and what is refused before anything is written."""

import hashlib
import json
from dataclasses import replace

import numpy as np

from workbench.data.library.entries import array_sha256, card_state, check_array, rows_sha256
from workbench.data.library.searching import start_array
from workbench.values import LibraryError


def read_prompt(user, prompt, card, start, rows):
    """What a prompt becomes in its table: (dict without id and version, start, card with sha256, columns of rows or None)."""
    for name in ("vectors", "labels", "model", "sha256", "config", "to_state"):
        if not hasattr(prompt, name):
            raise TypeError(f"A library takes soft prompts; {type(prompt).__name__} has no {name}.")
    vectors = check_array("vectors", prompt.vectors)
    begun = check_array("start", start_array(start), vectors.shape)
    if getattr(start, "sha256", prompt.sha256) != prompt.sha256:
        raise LibraryError("The sketch was made with another model than the prompt was learned with.")
    gradient, features = getattr(start, "gradient", None), getattr(start, "features", None)
    if gradient is not None:
        gradient = check_array("gradient", gradient, vectors.shape).ravel()
    if features is not None:
        check_array("features", features, (vectors.shape[1],))
    card, texts = _with_sha256(card, rows)
    state, tensors = prompt.to_state()
    if set(tensors) != {"vectors"}:
        raise TypeError(f"A library keeps one array of a prompt, its vectors; to_state gave {sorted(tensors)}.")
    return (
        {
            "owner": user,
            "name": card.name,
            "access": card.access,
            "date": card.date,
            "model": prompt.model,
            "model_sha256": prompt.sha256,
            "layout": prompt.config.layout,
            "start_sha256": array_sha256(begun),
            "vectors_sha256": array_sha256(vectors),
            "card": json.dumps(card_state(card)),
            "state": json.dumps(state),
            "readers": list(card.readers),
            "tags": list(card.tags),
            "data": [data.name for data in card.data],
            "data_sha256": [data.sha256 for data in card.data],
            "licences": [data.licence for data in card.data],
            "labels": list(prompt.labels),
            "k": vectors.shape[0],
            "w": vectors.shape[1],
            "latest": True,
            "accuracy": card.accuracy,
            "loss": card.loss,
            "vectors": vectors.ravel(),
            "moved": (vectors - begun).ravel().astype(np.float16),
            "gradient": gradient,
            "features": features,
        },
        begun,
        card,
        texts,
    )


def _with_sha256(card, rows):
    """A card whose data sets all have a sha256 and weights that sum to 1, and the columns of its rows."""
    texts, data = None, list(card.data)
    if rows is not None:
        if len(data) != 1:
            raise ValueError(f"rows are those of one data set, the card names {len(data)}. Add the prompts of each first.")
        found = rows_sha256(*rows)
        if data[0].sha256 not in (None, found):
            raise LibraryError(
                f"The rows of {data[0].name!r} have the sha256 {found[:12]}..., the card says {data[0].sha256[:12]}..."
            )
        data[0] = replace(data[0], sha256=found)
        texts = {"texts": list(rows[0]), "labels": list(rows[1] or [""] * len(rows[0]))}
    for one in data:
        if one.sha256 is None:
            raise ValueError(f"The data set {one.name!r} has no sha256: give its rows, or library.rows_sha256(texts, labels).")
    total = sum(one.weight for one in data)
    return replace(card, data=tuple(replace(one, weight=one.weight / total) for one in data)), texts


def id_of(*parts):
    """An id of what an entry is: str."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
