"""The tables of a library: LanceDB in a folder. One table for each shape of prompts, so that adding one is one whole write."""

import json
import os
import re
import warnings
from datetime import timedelta

import numpy as np

from workbench import files
from workbench.data.library.entries import HIDDEN, Entry, card_of
from workbench.locks import lock_of, locked
from workbench.values import ArtifactError, LibraryError

FORMAT = 1
KIND = "prompt library"
HEAD = "library.json"
HEAD_TABLE = "library"  # the same, where there are no files
_TABLE = re.compile(r"prompts_(\d+)x(\d+)")
# What may be filtered by, as SQL; values are quoted by `quoted`.
FILTERS = {
    "name": "name = {}",
    "tag": "array_has(tags, {})",
    "data": "array_has(data, {})",
    "data_sha256": "array_has(data_sha256, {})",
    "licence": "array_has(licences, {})",
    "label": "array_has(labels, {})",
    "since": "date >= {}",
    "until": "date <= {}",
    "accuracy": "accuracy >= {}",
}
_TOGETHER = 32  # writes
SHOWN = ("id", "owner", "version", "card", "model", "model_sha256", "labels", "start_sha256", "state", "k", "w")


class Shelves:
    """The tables in a folder, or under an address of object storage; made if missing.

    Raises:
        ImportError: LanceDB is not installed.
        ArtifactError: the folder holds something else, or a library of another version.
        ValueError: an address of another kind, or one that is no str.
    """

    def __init__(self, folder):
        lancedb = import_lancedb()
        self.remote = isinstance(folder, str) and "://" in folder
        if self.remote:
            self.folder = check_address(folder)
            self.db = self._reached(lambda: lancedb.connect(self.folder))
            self._reached(self._check_remote)
            return
        self.folder = files.path(folder, "folder")
        if re.match(r"\w{2,}:/", str(folder)):  # a Path has lost one of the slashes
            raise ValueError(f"{folder} looks like an address. Give an address as a str: 's3://bucket/path'.")
        _check_head(self.folder)
        self.db = lancedb.connect(str(self.folder))

    def turn(self):
        """A block for one writer of this machine at a time."""
        return locked(lock_of(os.sep + self.folder if self.remote else self.folder, "library"), self.folder)

    def _check_remote(self):
        """Refuse tables that are no library, or one of another version; begin a library where there are none."""
        names = self._names()
        if HEAD_TABLE not in names:
            if names:
                raise ArtifactError(
                    f"{self.folder} holds tables and is no library of prompts. Give an address with nothing there."
                )
            self.db.create_table(HEAD_TABLE, [{"kind": KIND, "format": FORMAT}], exist_ok=True)
            return
        rows = self.db.open_table(HEAD_TABLE).to_arrow().to_pylist()
        _check_format(self.folder, rows[0] if rows else None)

    def _reached(self, ask):
        """What `ask` gives, or an error that says what is needed to reach the storage."""
        try:
            return ask()
        except (OSError, RuntimeError, ValueError) as err:
            if isinstance(err, ArtifactError):
                raise
            said = " ".join(str(err).split())[:300]
            raise ArtifactError(
                f"{self.folder} cannot be reached: {said}. The bucket must exist, and the usual variables must say how: "
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT where it is not Amazon's "
                "(with AWS_ALLOW_HTTP=true if it begins with http:)."
            ) from err

    def shapes(self):
        """Shapes of the prompts that there are: sorted list of (k, w)."""
        found = [_TABLE.fullmatch(name) for name in self._names()]
        return sorted((int(one[1]), int(one[2])) for one in found if one)

    def prompts(self, shape, make=False):
        """The table of a shape, or None where there is none."""
        k, w = shape
        return self.table(f"prompts_{k}x{w}", _prompts_schema(k, w) if make else None)

    def table(self, name, schema=None):
        """A table as it stands now; made with a schema, or None if there is none."""
        if name not in self._names():
            return None if schema is None else self.db.create_table(name, schema=schema, exist_ok=True)
        return self.db.open_table(name)

    def start(self, sha256):
        """A start by its sha256: float32 (k, w)."""
        row = rows_of(self.table("starts"), f"id = {quoted(sha256)}", ["id", "k", "w", "numbers"])[0]
        return np.frombuffer(row["numbers"], np.float32).reshape(row["k"], row["w"])

    def keep_starts(self, starts):
        """Keep starts, each once: dict of sha256 -> float32 (k, w)."""
        table = self.table("starts", _others_schema("starts"))
        known = {row["id"] for row in rows_of(table, "true", ["id"])}
        rows = [
            {"id": sha256, "k": len(start), "w": start.shape[1], "numbers": np.ascontiguousarray(start).tobytes()}
            for sha256, start in starts.items()
            if sha256 not in known
        ]
        self.append("starts", rows)

    def append(self, name, rows):
        """Add rows, dicts, to a table beside the prompts."""
        if rows:
            self._written(name, self.table(name, _others_schema(name)).add(rows))

    def rows(self, owner, wanted):
        """Rows of data sets by sha256, of those that are there: dict of sha256 -> dict with texts and labels."""
        table, same = self.table("rows"), f"owner = {quoted(owner)} AND {among('id', wanted)}"
        found = rows_of(table, same, ["id", "texts", "labels"]) if table is not None else []
        return {row["id"]: row for row in found}

    def keep_rows(self, owner, rows):
        """Keep rows of data sets, each once for its owner: dict of sha256 -> dict with texts and labels."""
        known = self.rows(owner, rows)
        self.append("rows", [{"id": one, "owner": owner} | cells for one, cells in rows.items() if one not in known])

    def forget_rows(self, owner, gone):
        """Delete rows of data sets by sha256, from the disk too: older states of the table go with them."""
        table, same = self.table("rows"), f"owner = {quoted(owner)} AND {among('id', gone)}"
        if table is None or not table.count_rows(same):
            return
        table.delete(same)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about others who read: this table is read and written in turn
            table.optimize(cleanup_older_than=timedelta(0))

    def put(self, shape, fresh, old):
        """Add prompts of a shape and note of older ones, by id, that they are not the latest, in one write."""
        import pyarrow as pa

        table = self.prompts(shape, make=True)
        fresh = _as_table(fresh, table.schema)
        if not old:
            self._written(table.name, table.add(fresh))
            return
        before = table.search().where(among("id", old)).limit(len(old)).to_arrow()
        before = before.select(fresh.column_names)
        at = before.schema.get_field_index("latest")
        before = before.set_column(at, "latest", pa.array([False] * len(before))).cast(table.schema)
        both = pa.concat_tables([before, fresh])
        done = (
            table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(both, on_bad_vectors="null")
        )
        self._written(table.name, done)

    def _written(self, name, done):
        """Now and then, put the many small files of many small writes together."""
        if done.version % _TOGETHER == 0:
            self.db.open_table(name).optimize()

    def _names(self):
        names, token = [], None
        while True:
            page = self.db.list_tables(page_token=token, limit=1000)
            names += page.tables
            token = page.page_token
            if not token:
                return names


def check_address(address):
    """An address of object storage, without a slash at its end. Raises ValueError for another kind than s3."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[\w.=-]+)*/?", address):
        raise ValueError(f"An address of a library is s3://bucket/path, got {address!r}. Else give a folder.")
    return address.rstrip("/")


def import_lancedb():
    """The module `lancedb`."""
    try:
        import lancedb
    except ImportError as err:
        raise ImportError(
            "A library of prompts needs LanceDB: pip install 'lancedb>=0.30', or this package with the extra [library]."
        ) from err
    return lancedb


def rows_of(table, where, columns, vectors=None):
    """Rows of a table in the order of their ids.

    Args:
        table: a table with a column `id`.
        where: str, SQL.
        columns: list of str.
        vectors: str or None, a column of vectors.

    Returns:
        list of dicts; with `vectors` (list of dicts, float32 (n, d)).
    """
    wanted = [*columns, *([vectors] if vectors else [])]
    found = table.search().where(where).select(wanted).limit(table.count_rows()).to_arrow() if table.count_rows() else None
    if found is None:
        return ([], np.zeros((0, 1), np.float32)) if vectors else []
    found = found.sort_by("id")
    rows = found.select(columns).to_pylist()
    if not vectors:
        return rows
    return rows, as_matrix(found.column(vectors), len(rows))


def as_matrix(column, n):
    """A column of lists of one size, without nulls, as float32 (n, d)."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32, copy=False).reshape(n, -1) if n else np.zeros((0, 1), np.float32)


def entry_of(row, user, vectors=None):
    """A row as `Entry`, as this user may see it."""
    mine, state = row["owner"] == user, json.loads(row["card"])
    if not mine:
        state["readers"] = []
        if not state["share"]:
            state["submitter"] = state["contact"] = HIDDEN
    card = card_of(state)
    shape = (row["k"], row["w"])
    if vectors is not None:
        vectors = np.array(vectors, np.float32).reshape(shape)
    shown = (row["model"], row["model_sha256"], tuple(row["labels"]), shape, row["start_sha256"], json.loads(row["state"]))
    return Entry(row["id"], row["version"], mine, card, *shown, vectors)


def filters(where):
    """A dict of filters as SQL, "true" for none.

    Raises:
        ValueError: a filter that there is not, or a value of another type.
    """
    parts = ["true"]
    for name, value in (where or {}).items():
        if name not in FILTERS:
            raise ValueError(f"There is no filter {name!r}. Filter by: {', '.join(FILTERS)}.")
        if not isinstance(value, float | int if name == "accuracy" else str) or isinstance(value, bool):
            raise ValueError(f"The filter {name!r} takes a {'number' if name == 'accuracy' else 'str'}, got {value!r}.")
        parts.append(FILTERS[name].format(repr(float(value)) if name == "accuracy" else quoted(value)))
    return " AND ".join(parts)


def quoted(text):
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def among(column, values):
    """SQL: a column has one of these values, str."""
    return f"{column} IN ({', '.join(map(quoted, sorted(values)))})" if values else "false"


def _as_table(rows, schema):
    """Rows, dicts with numpy arrays in them, as a table of Arrow; the arrays are put together without Python's numbers."""
    import pyarrow as pa

    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        if pa.types.is_fixed_size_list(field.type):
            kind = field.type.value_type.to_pandas_dtype()
            none = np.zeros(field.type.list_size, kind)
            flat = pa.array(np.concatenate([none if one is None else one for one in values]).astype(kind, copy=False))
            empty = pa.array([one is None for one in values])
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type, mask=empty))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _check_head(folder):
    """Refuse a folder that is no library, or one of another version; begin a library in an empty one."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ArtifactError(f"Cannot open a library in {folder}: it is a file. Give a folder.")
    head = folder / HEAD
    if not os.path.exists(head):
        if os.path.exists(folder) and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise ArtifactError(f"{folder} is no library of prompts: it has no {HEAD}, and it is not empty. Give a new folder.")
        files.make_folder(folder)
        files.write_json(head, {"kind": KIND, "format": FORMAT})
        return
    _check_format(folder, files.read_json(head))


def _check_format(folder, found):
    """Refuse the head of something else, or of another version."""
    if not isinstance(found, dict) or found.get("kind") != KIND or type(found.get("format")) is not int:
        raise ArtifactError(
            f"The head of {folder} is not that of a library of prompts: it has no kind {KIND!r} and format. Give another folder."
        )
    if found["format"] != FORMAT:
        newer = "Upgrade the workbench." if found["format"] > FORMAT else "Make the library anew with this version."
        raise ArtifactError(f"{folder} is a library of format {found['format']}; this workbench reads format {FORMAT}. {newer}")


def _prompts_schema(k, w):
    import pyarrow as pa

    text, several, flat = pa.string(), pa.list_(pa.string()), pa.list_(pa.float32(), k * w)
    return pa.schema(
        [
            *[(name, text) for name in ("id", "owner", "name", "access", "date", "model", "model_sha256", "layout")],
            *[(name, text) for name in ("start_sha256", "vectors_sha256", "card", "state")],
            *[(name, several) for name in ("readers", "tags", "data", "data_sha256", "licences", "labels")],
            *[(name, pa.int32()) for name in ("version", "k", "w")],
            ("latest", pa.bool_()),
            ("accuracy", pa.float64()),
            ("loss", pa.float64()),
            ("vectors", flat),
            ("moved", pa.list_(pa.float16(), k * w)),  # vectors minus start: to look up what is near
            ("gradient", flat),
            ("features", pa.list_(pa.float32(), w)),
        ]
    )


def _others_schema(name):
    """Schemas of the tables beside the prompts: starts, rows of data, the ledger, and uses."""
    import pyarrow as pa

    text, several = pa.string(), pa.list_(pa.string())
    columns = {
        "starts": [("id", text), ("k", pa.int32()), ("w", pa.int32()), ("numbers", pa.binary())],
        "rows": [("id", text), ("owner", text), ("texts", several), ("labels", several)],
        "ledger": [("id", text), ("user", text), ("change", pa.int32()), ("what", text)],
        "uses": [("id", text), ("owner", text), ("user", text), ("gain", pa.float64())],
    }
    return pa.schema(columns[name])


def refuse_unknown(what):
    """The one error for what is not there and for what may not be seen."""
    return LibraryError(f"There is no entry {what!r} in this library that you may see.")
