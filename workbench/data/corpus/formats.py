"""Formats: the rows of .txt, .csv, .tsv, .json, .jsonl and .parquet files, plain or .gz, one at a time."""

import contextlib
import csv
import gzip
import json
import shutil
import tempfile
import zlib
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.checks import did_you_mean
from workbench.data.corpus.cleaning import Broken
from workbench.data.corpus.columns import PEEK, choose, from_columns, from_items, is_textual
from workbench.values import CorpusError
from workbench.words import WORD, split

SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet")

_CSV_FIELD = 16 * 2**20  # characters; a longer field means that a quote was not closed
_MAGIC = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a zip archive or an Excel/Word file",
    b"\x1f\x8b": "compressed with gzip; end its name in .gz",
    b"PAR1": "a parquet file; end its name in .parquet",
}


def is_file(source):
    """Whether a str or Path is the path of a file."""
    try:
        return Path(source).expanduser().is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL: a prompt, not a path
        return False


def suffix_of(path):
    """The known suffix of a path, without .gz; None if it has none."""
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    return suffix.lower() if suffix.lower() in SUFFIXES else None


def read_file(source, column):
    """Check and open a file of prompts.

    Returns:
        iterator of (row, value): the number of the line of a .txt file, or of the record of another file without its header,
        from 0.

    Raises:
        CorpusError: the file is missing, empty, binary, damaged, not UTF-8, of no known kind, or its column is not clear;
            also while iterating, for what is wrong further down.
    """
    path = Path(source).expanduser()
    if not is_file(source):
        raise CorpusError(_why_no_file(source))
    suffix = suffix_of(path)
    if suffix is None:
        raise CorpusError(
            f"{path} is of no known kind ({path.suffix or 'no suffix'}). Known: {', '.join(SUFFIXES)}, plain or with .gz. "
            "Rename it if it is one of these, or save the prompts as .txt, one a line."
        )
    rows = _READERS[suffix](path, column)
    return chain([next(rows)], rows)  # reads the first row now, so that most errors come before any work


def _why_no_file(source):
    """Say what is wrong with a string or path that is neither a file nor the id of a data set."""
    text = str(source)
    kinds = f'Expected "world", a file ({", ".join(SUFFIXES)}), a hub data set (owner/name) or a list of strings.'
    if "\n" in text or "\0" in text or len(text) > 255 or (isinstance(source, str) and " " in text and not suffix_of(Path(text))):
        return f"{text[:60]!r} is no file. {kinds} To read prompts from a string, pass its lines: text.splitlines()."
    path = Path(text).expanduser()
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if suffix_of(entry))
        return f"{path} is a folder. Name a file in it: {', '.join(names[:5]) or 'none of a known kind is there'}."
    if not path.parent.is_dir():
        return f"There is no file {path}: the folder {path.parent} does not exist."
    near = did_you_mean(path.name, [entry.name for entry in path.parent.iterdir()])
    return f"There is no file {path}.{near or ' ' + kinds}"


def _open(path):
    """Open a file, unpacked if it is a .gz, and check its first bytes."""
    with contextlib.ExitStack() as on_error:
        try:
            stream = on_error.enter_context(gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb"))
            head = stream.peek(4096)[:4096]
        except (OSError, EOFError, zlib.error) as err:
            raise CorpusError(f"{path} cannot be opened ({err}). Is it complete, and may you read it?") from err
        if not head:
            raise CorpusError(f"{path} is empty.")
        if suffix_of(path) != ".parquet":
            _check_text(path, head)
        on_error.pop_all()
        return stream


def _check_text(path, head):
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CorpusError(f"{path} is UTF-16, expected UTF-8. Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > converted.txt")
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if kind or b"\0" in head:
        raise CorpusError(f"{path} is not text: it is {kind or f'binary (NUL at byte {head.index(0)})'}.")


def _lines(path):
    """Lines of a file as str, with their line ends."""
    offset = number = 0
    with _open(path) as stream:
        try:
            for number, line in enumerate(stream, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
                offset += len(line)
        except UnicodeDecodeError as err:
            raise CorpusError(
                f"{path} is not UTF-8: line {number}, byte {offset + err.start} of the file (0x{err.object[err.start]:02x}). "
                f"If it comes from Windows, convert it: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > converted{suffix_of(path)}"
            ) from err
        except (OSError, EOFError, zlib.error) as err:
            raise CorpusError(f"{path} is damaged after line {number} ({err}). Download or pack it again.") from err


def _read_txt(path, column):
    if column is not None:
        raise CorpusError(f"{path} has no columns, but column={column!r} was given. Leave it out.")
    # lone carriage returns end lines too, as in any text editor
    lines = (piece for line in _lines(path) for piece in line.removesuffix("\n").removesuffix("\r").split("\r"))
    return iter(enumerate(lines))


def _read_table(path, column):
    """Rows of a .csv (by `,` or `;`) or .tsv file; the first line names the columns."""
    lines = _lines(path)
    top = next(lines)
    delimiter = "\t" if suffix_of(path) == ".tsv" else max(",;", key=top.count)
    reader = _records(csv.reader(chain([top], lines), delimiter=delimiter), path)
    names = next(reader)
    first = list(islice(reader, PEEK))
    if not first:
        raise CorpusError(f"{path} has no rows below its header {names}.")
    place = _choose_field(path, names, first, column)
    for row, fields in enumerate(chain(first, reader)):
        if not fields or len(fields) == len(names):
            yield row, fields[place] if fields else ""
        elif len(names) == 1:
            raise CorpusError(
                f"{path} has one column, but row {row} has {len(fields)} fields. A prompt with {delimiter!r} must stand in "
                'quotes ("..."). If the file has one prompt a line, name it .txt.'
            )
        else:
            yield row, Broken(f"{len(fields)} fields, the header has {len(names)}")


def _choose_field(path, names, first, column):
    if len(names) == 1 and column is None:
        if sum(kind == WORD for _, _, kind in split(names[0])) > 3:
            raise CorpusError(
                f"The first line of {path} should name the column, but looks like a prompt: {names[0][:60]!r}. "
                "Add a line `prompt` before it, or name the file .txt."
            )
        return 0
    whole = [fields for fields in first if len(fields) == len(names)]
    textual = [name for place, name in enumerate(names) if any(is_textual(fields[place]) for fields in whole)]
    return names.index(choose(str(path), names, textual, column))


def _records(reader, path):
    """Records of a csv reader. The limit on fields belongs to the process: it is raised only while a record is read."""
    while True:
        limit = csv.field_size_limit(_CSV_FIELD)
        try:
            fields = next(reader, None)
        except csv.Error as err:
            raise CorpusError(f"{path} is damaged near line {reader.line_num} ({err}). Is a quote not closed?") from err
        finally:
            csv.field_size_limit(limit)
        if fields is None:
            return
        yield fields


def _read_jsonl(path, column):
    return iter(enumerate(from_items(_json_lines(path), str(path), column)))


def _json_lines(path):
    for number, line in enumerate(_lines(path), start=1):
        try:
            yield json.loads(line) if line.strip() else ""
        except (ValueError, RecursionError) as err:
            raise CorpusError(f"{path} is damaged: line {number} is not JSON ({err}).") from err


def _read_json(path, column):
    """Rows of a .json file, the only format that is read into memory as a whole."""
    text = "".join(_lines(path))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        advice = " One JSON value a line is .jsonl: rename it." if "Extra data" in str(err) else ""
        raise CorpusError(f"{path} is damaged, it is not JSON: {err}.{advice}") from err
    if isinstance(value, list):
        return iter(enumerate(from_items(value, str(path), column)))
    if isinstance(value, dict) and value:
        return iter(enumerate(from_columns(value, str(path), column)))
    raise CorpusError(f"{path} holds {text[:40]!r}, expected an array of strings or objects, or an object of columns.")


def _read_parquet(path, column):
    try:
        with contextlib.ExitStack() as files:
            file = files.enter_context(_open(path))
            if path.suffix.lower() == ".gz":  # parquet is read from its end
                file, packed = files.enter_context(tempfile.TemporaryFile()), file
                shutil.copyfileobj(packed, file)
            table = files.enter_context(pq.ParquetFile(file))
            schema = table.schema_arrow
            column = choose(str(path), schema.names, [field.name for field in schema if _holds_text(field.type)], column)
            if not table.metadata.num_rows:
                raise CorpusError(f"{path} is empty: it has the columns {', '.join(schema.names)}, but no rows.")
            batches = table.iter_batches(batch_size=4_096, columns=[column])
            yield from enumerate(value for batch in batches for value in batch.column(0).to_pylist())
    except (pa.ArrowException, OSError, EOFError, zlib.error) as err:
        raise CorpusError(f"{path} is damaged, or not parquet ({str(err)[:200]}). Download or write it again.") from err


def _holds_text(kind):
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


_READERS = {
    ".txt": _read_txt,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
