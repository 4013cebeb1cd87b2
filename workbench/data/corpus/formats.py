"""Formats: the rows of .txt, .csv, .tsv, .json, .jsonl and .parquet files, plain or .gz, one at a time."""

import contextlib
import gzip
import json
import re
import shlex
import shutil
import tempfile
import zlib
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workbench import files
from workbench.checks import did_you_mean
from workbench.data.corpus.cleaning import Cut
from workbench.data.corpus.columns import PEEK, at, choose_of, from_items, from_mapping
from workbench.data.corpus.tables import read_table
from workbench.values import CorpusError

SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet")

_BLOCK = 2**20  # bytes read at a time
_LINE = 2**24  # bytes of a line; of a longer one only the beginning is read, and it is counted as too long
_JSON = 2**29  # bytes of a .json file, which is read as a whole
_ADDRESS = re.compile(r"[a-z][\w+.-]+://", re.IGNORECASE)
_HUB_PAGE = re.compile(r"(?:https?://(?:huggingface\.co|hf\.co)/datasets|hf://datasets)/([\w.-]+/[\w.-]+)", re.IGNORECASE)
_MARKS = {"UTF-32LE": b"\xff\xfe\0\0", "UTF-32BE": b"\0\0\xfe\xff", "UTF-16LE": b"\xff\xfe", "UTF-16BE": b"\xfe\xff"}
_MAGIC = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a zip archive or an Excel/Word file",
    b"\x1f\x8b": "compressed with gzip; end its name in .gz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it first",
    b"\xfd7zXZ": "compressed with xz; unpack it first",
    b"BZh": "compressed with bzip2; unpack it first",
    b"PAR1": "a parquet file; end its name in .parquet",
}


def is_file(source):
    """Whether a str or Path is the path of a file."""
    try:
        return files.path(source).is_file()
    except (OSError, ValueError):  # too long for a name, with a NUL, or ~ of nobody: a prompt, not a path
        return False


def suffix_of(path):
    """The known suffix of a path, without .gz; None if it has none."""
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    return suffix.lower() if suffix.lower() in SUFFIXES else None


def read_file(source, column, report):
    """Check and open a file of prompts; what it was taken for goes to the report.

    Returns:
        iterator of (row, value): the number of the line of a .txt file, or of the record of another file without its header,
        from 0.

    Raises:
        CorpusError: the file is missing, empty, binary, damaged, not UTF-8, of no known kind, or its column is not clear;
            also while iterating, for what is wrong further down.
    """
    if not is_file(source):
        raise CorpusError(why_no_file(source))
    path = files.path(source)
    suffix = suffix_of(path)
    if suffix is None:
        raise CorpusError(
            f"{path} is of no known kind ({path.suffix or 'no suffix'}). Known: {', '.join(SUFFIXES)}, plain or with .gz. "
            "Unpack it, rename it if it is one of these, or save the prompts as .txt, one a line."
        )
    rows = _READERS[suffix](path, column, report)
    return chain([next(rows)], rows)  # reads the first row now, so that most errors come before any work


def why_no_file(source):
    """Say what is wrong with a string or path that is neither a file nor the id of a data set."""
    text = str(source)
    kinds = f'Expected "world", a file ({", ".join(SUFFIXES)}), a hub data set (owner/name) or a list of strings.'
    if _ADDRESS.match(text):
        page = _HUB_PAGE.match(text)
        advice = f"pass the id of this hub data set, {page[1]!r}" if page else "download it and pass the path of the file"
        return f"{text[:100]!r} is an address, and corpus.load opens none: {advice}."
    if not text or "\n" in text or "\0" in text or len(text) > 255 or (" " in text and not suffix_of(Path(text))):
        return f"{text[:60]!r} is no file. {kinds} To read prompts from a string, pass its lines: text.splitlines()."
    path = files.path(text)
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
    if wide := _wide(head):
        raise CorpusError(f"{path} is {wide}, expected UTF-8. {_convert(path, wide)}")
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if kind or b"\0" in head:
        raise CorpusError(f"{path} is not text: it is {kind or f'binary (NUL at byte {head.index(0)})'}.")


def _wide(head):
    """The encoding in which a text takes two or four bytes a character, by its mark or by where its NULs stand; else None."""
    marked = next((encoding[:6] for encoding, mark in _MARKS.items() if head.startswith(mark)), None)
    if marked or len(head) < 4:
        return marked
    if not any(head[3::4]) and max(head[2::4]) <= 0x10:  # no character is above U+10FFFF
        return "UTF-32LE"
    if not any(head[0::4]) and max(head[1::4]) <= 0x10:
        return "UTF-32BE"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if min(even, odd) or max(even, odd) < max(2, len(head) / 50):
        return None
    return "UTF-16BE" if even else "UTF-16LE"


def _convert(path, encoding):
    name, packed = shlex.quote(path.name), path.suffix.lower() == ".gz"
    first, last = (f"gunzip -c {name} | ", "") if packed else ("", f" {name}")
    return f"Convert it: {first}iconv -f {encoding} -t UTF-8{last} > converted{suffix_of(path)}"


def _lines(path, longest=None):
    """Lines of a file as str, with their line ends; the beginning of a line above `longest` bytes is a `Cut`."""
    offset = number = 0
    with _open(path) as stream:
        try:
            for number, (line, cut) in enumerate(_raw_lines(stream, longest or _LINE), start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8", "ignore" if cut else "strict")
                yield Cut(text) if cut else text
                offset += len(line)
        except UnicodeDecodeError as err:
            raise CorpusError(
                f"{path} is not UTF-8: line {number}, byte {offset + err.start} of the file (0x{err.object[err.start]:02x}). "
                f"Perhaps it comes from Windows. {_convert(path, 'WINDOWS-1252')}"
            ) from err
        except (OSError, EOFError, zlib.error) as err:
            raise CorpusError(f"{path} is damaged after line {number} ({err}). Download or pack it again.") from err


def _raw_lines(stream, longest):
    """Pairs (line with its end, whether it was cut) of a binary stream. A lone carriage return ends a line too."""
    rest, cut = b"", False
    while block := stream.read(max(_BLOCK, 0 if cut else len(rest))):
        *whole, rest = (rest + block).splitlines(keepends=True)
        if rest.endswith(b"\n"):
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line, cut
            cut = False
        if len(rest) > longest and not rest.endswith(b"\r"):
            rest, cut = rest[:longest], True
    if rest:
        yield rest, cut


def _read_txt(path, column, report):
    if column is not None:
        raise CorpusError(f"{path} has no columns, but column={column!r} was given. Leave it out.")
    return iter(enumerate(line.rstrip("\r\n") for line in _lines(path)))


def _read_table(path, column, report):
    return iter(read_table(_lines(path), path, "\t" if suffix_of(path) == ".tsv" else ",", column, report))


def _read_jsonl(path, column, report):
    return iter(from_items(_json_lines(path), str(path), column, report))


def _json_lines(path):
    for number, line in enumerate(_lines(path), start=1):
        try:
            yield _parsed(line) if line.strip() and not isinstance(line, Cut) else line.strip()
        except (ValueError, RecursionError) as err:
            raise CorpusError(f"{path} is damaged: line {number} is not JSON ({err}).") from err


def _parsed(text):
    try:
        return json.loads(text)
    except ValueError as err:
        if "digits" not in str(err):
            raise
        return json.loads(text, parse_int=float)  # Python makes no int of more than 4,300 digits


def _read_json(path, column, report):
    """Rows of a .json file, the only format that is read into memory as a whole."""
    lines, size = [], 0
    for line in _lines(path, _JSON):
        lines.append(line)
        size += len(line)
        if size >= _JSON:
            raise CorpusError(f"{path} holds more than {_JSON >> 20} MiB, too much for one JSON value. Write it as .jsonl.")
    text = "".join(lines)
    try:
        value = _parsed(text)
    except (ValueError, RecursionError) as err:
        advice = " One JSON value a line is .jsonl: rename it." if "Extra data" in str(err) else ""
        raise CorpusError(f"{path} is damaged, it is not JSON: {err}.{advice}") from err
    if isinstance(value, list):
        return iter(from_items(value, str(path), column, report))
    if isinstance(value, dict) and value:
        return iter(from_mapping(value, str(path), column, report))
    raise CorpusError(f"{path} holds {text[:40]!r}, expected an array of strings or objects, or an object of columns.")


def _read_parquet(path, column, report):
    try:
        with contextlib.ExitStack() as files:
            file = files.enter_context(_open(path))
            if path.suffix.lower() == ".gz":  # parquet is read from its end
                file, packed = files.enter_context(tempfile.TemporaryFile()), file
                shutil.copyfileobj(packed, file)
            table = files.enter_context(pq.ParquetFile(file))
            names = table.schema_arrow.names
            if not table.metadata.num_rows:
                raise CorpusError(f"{path} is empty: it has the columns {', '.join(names)}, but no rows.")
            column = choose_of(next(table.iter_batches(PEEK)).to_pylist(), str(path), column, report)
            top = next(name for name in names if column == name or column.startswith(f"{name}."))
            records = (record for batch in table.iter_batches(256, columns=[top]) for record in batch.to_pylist())
            yield from ((row, value) for row, record in enumerate(records) for value in at(record, column))
    except (pa.ArrowException, OSError, EOFError, zlib.error) as err:
        raise CorpusError(f"{path} is damaged, or not parquet ({str(err)[:200]}). Download or write it again.") from err


_READERS = {
    ".txt": _read_txt,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
