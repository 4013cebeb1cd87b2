"""Search in a library: like with like, filters before k, the nearest first. LanceDB finds candidates, float64 scores them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.data.library.entries import Entry, Group, array_sha256, check_array
from workbench.data.library.shelves import SHOWN, as_matrix, entry_of, filters, quoted, rows_of

METRICS = {
    "centred": "cosine, -1..1, between what learning changed, minus the mean of that over the entries compared",
    "cosine": "cosine, -1..1, between what learning changed",
    "inner": "inner product of what learning changed",
    "pair": "largest inner product of a vector of one and a vector of the other, of what learning changed",
    "l2": "minus the Euclidean distance, 0 where equal",
}
BY = {"prompt": "moved", "gradient": "gradient", "texts": "features"}
_MANY = 2_048  # entries up to which all are compared; among more, the nearest ones
_MARGIN = 64  # candidates beyond k: float16 and equal scores change the order of the last ones
_LANCE = {"centred": "cosine", "cosine": "cosine", "inner": "dot", "pair": "dot", "l2": "l2"}
_INEXACT = ("centred", "pair")  # among many: the look-up has another order
_WIDE = 512  # candidates of these


class Hit(NamedTuple):
    """What a search found: an `Entry` without its vectors, and its score; higher is nearer."""

    entry: Entry
    score: float


@dataclass(frozen=True)
class Answer:
    """What a search says.

    Attributes:
        hits: tuple of `Hit`, the nearest first, equal ones by id.
        by: str, what was compared: "prompt", "gradient" or "texts".
        metric: str; `meaning`: str, what a score is. In each of them higher is nearer.
        compared: int, entries that this user may see, that pass the filters and are like the query.
        left_out: dict of reason -> int, such entries that cannot be compared: of another model, shape or start, or without
            this kind of vector.
        exact: bool, all were compared. Among more than 2,048 entries the metric "centred" scores the 512 of highest cosine
            and takes the mean over the first 2,048, and "pair" scores the 512 of highest inner product.
    """

    hits: tuple
    by: str
    metric: str
    meaning: str
    compared: int
    left_out: dict
    exact: bool

    def __str__(self):
        lines = [f"{hit.score:7.3f}  {hit.entry.name}" for hit in self.hits] or ["nothing"]
        left = ", ".join(f"{n} {reason}" for reason, n in self.left_out.items()) or "none"
        said = f"by {self.by}; {self.meaning}; higher is nearer; {self.compared} compared, left out: {left}"
        return "\n".join([*lines, said])

    def __iter__(self):
        return iter(self.hits)

    def __len__(self):
        return len(self.hits)


class Query(NamedTuple):
    """What is looked for: its vector (d,), zero of the comparison (d,), and what an entry must be like."""

    vector: np.ndarray
    zero: np.ndarray
    model_sha256: str
    shape: tuple | None
    layout: str | None
    start_sha256: str | None


def query_of(query, by, start, starts):
    """Read a query.

    Args:
        query: `Entry` with vectors or anything with vectors, sha256 and config.layout, by prompt; anything with sha256, layout,
            start, gradient and features, such as `soft.Sketch`, by "gradient" and "texts".
        by: str of `BY`.
        start: float32 (k, w) or a sketch, what the prompt began as; not needed for an `Entry`.
        starts: function of a sha256 -> float32 (k, w), the starts that the library knows.

    Returns:
        `Query`.

    Raises:
        TypeError: a query of another kind.
        ValueError: NaN, another shape, or no start.
    """
    if by != "prompt":
        name = {"gradient": "gradient", "texts": "features"}[by]
        array = getattr(query, name, None)
        if array is None or not hasattr(query, "sha256"):
            raise TypeError(f"A search by {by} takes a sketch with {name}, see soft.sketch; got {type(query).__name__}.")
        if by == "texts":
            check_array(name, array, (query.start.shape[1],))
            return Query(array.ravel(), np.zeros(array.size), query.sha256, None, None, None)
        check_array(name, array, query.start.shape)
        return Query(array.ravel(), np.zeros(array.size), query.sha256, array.shape, query.layout, array_sha256(query.start))
    if isinstance(query, Entry):
        query.to_state()
        begun, layout, sha256 = starts(query.start_sha256), query.state["options"]["layout"], query.model_sha256
    elif all(hasattr(query, name) for name in ("vectors", "sha256", "config")):
        begun, layout, sha256 = start_array(start), query.config.layout, query.sha256
    else:
        raise TypeError(f"A search takes an entry that was read, or a soft prompt; got {type(query).__name__}.")
    vectors = check_array("vectors", query.vectors)
    check_array("start", begun, vectors.shape)
    return Query(vectors.ravel(), begun.ravel(), sha256, vectors.shape, layout, array_sha256(begun))


def start_array(start):
    """The array of a start, given alone or in a sketch."""
    start = getattr(start, "start", start)
    if start is None:
        raise ValueError("Say what the prompt began as: start=soft.sketch(lm, config=config), or the float32 array (k, w).")
    return start


def search(shelves, user, seen, query, k, by, metric, where):
    """Search the tables.

    Args:
        shelves: `Shelves`.
        user: str.
        seen: str, SQL of what the user may see.
        query: `Query`.
        k: int.
        by: str of `BY`.
        metric: str of `METRICS`.
        where: dict of filters, or None.

    Returns:
        `Answer`.
    """
    wanted, left, parts, shapes = f"{seen} AND {filters(where)}", {}, [], shelves.shapes()
    for shape in shapes:
        table = shelves.prompts(shape)
        found = _like(table, query, by, shape, wanted, left)
        if found:
            parts.append((table, *found))
    compared = sum(len(places) for _, _, places in parts)
    exact = compared <= _MANY or metric not in _INEXACT
    rows, matrix = _candidates(parts, query, k, by, metric, compared)
    scores = _scores(matrix, query, metric, _centre(parts, query, by, rows, matrix, compared) if metric == "centred" else 0.0)
    order = sorted(range(len(rows)), key=lambda i: (-scores[i], rows[i]["id"]))[:k]
    hits = tuple(Hit(entry_of(rows[i], user), float(scores[i])) for i in order)
    left = {reason: n for reason, n in sorted(left.items()) if n}
    return Answer(hits, by, metric, METRICS[metric], compared, left, exact)


def _like(table, query, by, shape, wanted, left):
    """SQL of the rows of a table that are like a query, and their places, from one scan; others are counted in `left`."""
    import pyarrow.compute as pc

    fits = (query.shape or shape) == shape and (by != "texts" or shape[1] == query.vector.size)
    tests, where = [("another model", "model_sha256", query.model_sha256)], wanted
    if query.start_sha256 is not None:
        tests += [("another start or layout", name, getattr(query, name)) for name in ("start_sha256", "layout")]
    columns = {name: name for _, name, _ in tests}
    if by != "prompt":  # which all have
        tests.append((f"no {BY[by]}", "there", True))
        columns["there"] = f"{BY[by]} IS NOT NULL"
    scan = table.search().where(wanted).with_row_id(True).select(columns)
    found = scan.limit(max(1, table.count_rows())).to_arrow()
    for reason, name, value in tests:
        kept = found.filter(pc.equal(found.column(name), value))
        _count(left, reason, len(found) - len(kept))
        where, found = f"{where} AND {columns[name]}" + ("" if value is True else f" = {quoted(value)}"), kept
        if not fits:  # of this model
            _count(left, "another shape", len(found))
            return None
    return (where, found.column("_rowid").to_pylist()) if len(found) else None


def _count(left, reason, n):
    left[reason] = left.get(reason, 0) + n


def _candidates(parts, query, k, by, metric, compared):
    """Rows that may be among the nearest, and their vectors: (list of dicts, float32 (n, d))."""
    column = "vectors" if by == "prompt" else BY[by]
    rows, matrices = [], []
    for table, where, places in parts:
        if compared <= _MANY:
            table_of = table.take_row_ids(places).select([*SHOWN, column]).to_arrow()
        else:
            most = max(k + _MARGIN, _WIDE if metric in _INEXACT else 0)
            near = (query.vector.astype(np.float64) - query.zero).astype(np.float16 if by == "prompt" else np.float32)
            look = table.search(near, vector_column_name=BY[by]).distance_type(_LANCE[metric]).where(where, prefilter=True)
            table_of = look.select([*SHOWN, column, "_distance"]).limit(most).to_arrow()
        rows += table_of.select(list(SHOWN)).to_pylist()
        matrices.append(as_matrix(table_of.column(column), len(table_of)))
    return rows, np.concatenate(matrices) if rows else np.zeros((0, query.vector.size), np.float32)


def _centre(parts, query, by, rows, matrix, compared):
    """The mean of what is compared, minus zero: float64 (d,). Of fewer than three it is no mean worth the name: 0."""
    if compared < 3:
        return 0.0
    if compared > _MANY:
        column, total, n = "vectors" if by == "prompt" else BY[by], 0.0, 0
        for table, _, places in parts:
            some = table.take_row_ids(places[:_MANY]).select([column]).to_arrow()
            part = as_matrix(some.column(column), len(some))
            total, n = total + part.sum(0, dtype=np.float64), n + len(part)
        return total / n - query.zero
    order = np.argsort([row["id"] for row in rows])  # the same sum, whatever else is in the tables
    return matrix[order].mean(0, dtype=np.float64) - query.zero


def _scores(matrix, query, metric, centre):
    """Scores of rows: float64 (n,), higher is nearer."""
    ours = query.vector.astype(np.float64) - query.zero - centre
    theirs = matrix.astype(np.float64) - query.zero - centre
    if metric == "l2":
        return -np.linalg.norm(theirs - ours, axis=1)
    if metric == "inner":
        return theirs @ ours
    if metric == "pair":
        shape = query.shape or (1, len(ours))
        return (theirs.reshape(-1, *shape) @ ours.reshape(shape).T).max((1, 2))
    lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours)
    return np.where(lengths > 0, (theirs @ ours / np.maximum(lengths, 1e-300)).clip(-1, 1), 0.0)


def group(shelves, user, wanted, by):
    """The largest set of rows that can be compared with one another.

    Args:
        shelves: `Shelves`.
        user: str.
        wanted: str, SQL of the rows that count.
        by: str of `BY`.

    Returns:
        `Group`.
    """
    kinds, column, total = {}, "vectors" if by == "prompt" else BY[by], 0
    for shape in shelves.shapes():
        rows = rows_of(shelves.prompts(shape), wanted, [*SHOWN, "layout"])
        total += len(rows)
        for row in rows:
            kind = (row["model_sha256"], row["w"]) + (() if by == "texts" else (row["k"], row["start_sha256"], row["layout"]))
            kinds[kind] = kinds.get(kind, 0) + 1
    if not kinds:
        return Group((), np.zeros((0, 1), np.float32), 0)
    kind, found = min(kinds, key=lambda one: (-kinds[one], one)), []
    wanted += f" AND {BY[by]} IS NOT NULL AND model_sha256 = {quoted(kind[0])}"
    if by != "texts":
        wanted += f" AND start_sha256 = {quoted(kind[3])} AND layout = {quoted(kind[4])}"
    for shape in shelves.shapes():
        if shape[1] == kind[1] and (by == "texts" or shape[0] == kind[2]):
            rows, matrix = rows_of(shelves.prompts(shape), wanted, list(SHOWN), column)
            found += zip(rows, matrix, strict=True)
    found.sort(key=lambda pair: pair[0]["id"])
    matrix = np.stack([one for _, one in found]) if found else np.zeros((0, 1), np.float32)
    if by == "prompt":
        matrix = matrix - shelves.start(kind[3]).ravel()
    return Group(tuple(entry_of(row, user) for row, _ in found), matrix, total - len(found))
