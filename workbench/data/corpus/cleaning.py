"""Cleaning: from a row to a clean prompt or the rule that drops it, and the report that counts both."""

import hashlib
import unicodedata
from dataclasses import dataclass, field
from typing import NamedTuple

import regex

from workbench.data.corpus.identifiers import kind_of
from workbench.words import WORD, split

MIN_WORDS, MAX_WORDS = 2, 150
MAX_CHARACTERS = 2_000

NOT_A_STRING = "not a string"
BROKEN = "broken row"
UNDECODABLE = "not valid Unicode"
EMPTY = "empty"
TOO_SHORT = "too short"
TOO_LONG = "too long"
IDENTIFIER = "identifier"  # a file name, an address, a number or a date
EXACT = "exact duplicate"
NEAR = "near duplicate"
NOT_SAMPLED = "not in the sample"

_FEW = 10  # rows: of fewer than that, whoever gave them sees what became of each
_EXAMPLES = 5  # rows shown per rule
_EXCERPT = 70  # characters of each

_LINE_ENDS = regex.compile(r"\r\n?|[\x85\u2028\u2029]")
_HALVES = regex.compile(r"\p{Cs}")  # halves of surrogate pairs, all that UTF-8 cannot write
_BLANKS = regex.compile(r"[^\S\n]+")
# Control characters and the byte order mark; joiners and direction marks stay, since emoji and right-to-left text need them.
_CONTROLS = regex.compile(r"[^\P{Cc}\s]|\ufeff")
_PUNCTUATION = regex.compile(r"[\s\p{P}\p{Z}\p{C}$+<=>^`|~]+")
_ASCII_PUNCTUATION = {code: None for code in range(128) if not chr(code).isalnum()}
# What leaves a mark: no blanks, controls and joiners, nor the empty Braille cell, which is a symbol by its class.
_VISIBLE = regex.compile(r"[^\s\p{Z}\p{Cc}\p{Cf}\p{DI}\u2800]")
# Scripts written without blanks between words: there one "word" of `split` is a whole phrase.
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_UNSPACED_CHARACTERS = 4  # of those make a prompt, as two words do elsewhere


class Broken(NamedTuple):
    """What a reader yields in place of a value when the row itself is malformed."""

    why: str


class Cut(str):
    """The beginning of a line that is too long to be read."""


class Cleaned(NamedTuple):
    """Outcome for one text: `rule` is None for a good one; otherwise `text` and `words` are empty.

    `words` are the casefolded words of `text` (kind `word` of `workbench.words`), for the duplicate rules.
    """

    text: str
    words: list
    rule: str | None


def unusable(value):
    """The rule that drops a value before any work on it, or None for a str of at most 20,000 characters in valid Unicode."""
    if not isinstance(value, str):
        return BROKEN if isinstance(value, Broken) else NOT_A_STRING
    if len(value) > 10 * MAX_CHARACTERS:  # a row may be a megabyte
        return TOO_LONG
    return None if value.isascii() or not _HALVES.search(value) else UNDECODABLE


def clean(text):
    """Clean one text that is not `unusable` -> `Cleaned`.

    Dropped are texts without visible characters, under 2 words, over 150 words or 2,000 characters, and identifiers.
    """
    text = normalise(text)
    if not _VISIBLE.search(text):
        return Cleaned("", [], EMPTY)
    if len(text) > MAX_CHARACTERS:
        return Cleaned("", [], TOO_LONG)
    folded = text.casefold()
    words = [folded[start:end] for start, end, kind in split(folded) if kind == WORD]
    if not text.isascii():
        words = [word for word in words if _VISIBLE.search(word)]
    if len(words) < MIN_WORDS and len(_UNSPACED.findall(text)) < _UNSPACED_CHARACTERS:
        return Cleaned("", [], IDENTIFIER if kind_of(text) in ("an address", "a file name") else TOO_SHORT)
    if len(words) > MAX_WORDS:
        return Cleaned("", [], TOO_LONG)
    return Cleaned("", [], IDENTIFIER) if kind_of(text) else Cleaned(text, words, None)


def normalise(text):
    r"""Spell the same characters in one way; nothing that a reader can see changes.

    Unicode NFC; control characters and byte order marks removed; every line end becomes "\n", every other run of
    white space becomes one blank, and blanks at the ends of lines and of the text go. Doing it twice changes nothing more.
    """
    if text.isascii() and text.isprintable():  # most rows: no line ends, no controls
        return " ".join(text.split())
    text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    text = unicodedata.normalize("NFC", text)
    return "\n".join(line.strip() for line in _BLANKS.sub(" ", text).strip().split("\n"))


def key(text):
    """Casefolded letters, marks, digits and symbols of a clean text: equal for "8 K!" and "8k"."""
    folded = text.casefold()
    return folded.translate(_ASCII_PUNCTUATION) if folded.isascii() else _PUNCTUATION.sub("", folded)


def content_hash(text):
    """A number for the `key` of a clean text, equal on every machine and in every run -> int, uniform in 0..2**64-1."""
    return int.from_bytes(hashlib.blake2b(key(text).encode(), digest_size=8).digest(), "little")


@dataclass
class Report:
    """What became of every row; after `load`, `kept + sum(dropped.values()) == read`.

    Attributes:
        read: int, rows read.
        shape: str, what a file or a table was taken for: its column of prompts, why this one, and what separates fields.
        changed: int, kept rows whose text cleaning changed (white space, control characters, Unicode form).
        mended: dict of what was wrong with a row of a table to rows that were read all the same, kept or not.
        dropped: dict of rule to rows dropped by it; each row counts once, for the first rule it breaks.
        examples: dict of rule to up to five (row, excerpt); `row` counts from 0 in the source.
    """

    read: int = 0
    shape: str = ""
    changed: int = 0
    mended: dict = field(default_factory=dict)
    dropped: dict = field(default_factory=dict)
    examples: dict = field(default_factory=dict)

    @property
    def kept(self):
        """int, rows in the corpus."""
        return self.read - sum(self.dropped.values())

    def drop(self, rule, row, value, like=None):
        """Count a dropped row and note what stood there; `like` is the row kept in place of a duplicate."""
        self.dropped[rule] = self.dropped.get(rule, 0) + 1
        shown = self.examples.setdefault(rule, [])
        if len(shown) < _EXAMPLES:
            shown.append((int(row), _excerpt(value) + ("" if like is None else f" [like row {like}]")))

    def mend(self, what, row, text):
        """Count a row that was not written by the rules of its file and is read all the same."""
        self.mended[what] = self.mended.get(what, 0) + 1
        shown = self.examples.setdefault(what, [])
        if len(shown) < _EXAMPLES:
            shown.append((int(row), _excerpt(text)))

    def most_dropped(self):
        """Words for a warning if more than half of ten rows or more that were looked at are dropped, else None."""
        looked = self.read - self.dropped.get(NOT_SAMPLED, 0)
        dropped = looked - self.kept
        if looked < _FEW or dropped <= looked / 2:
            return None
        rules = {rule: count for rule, count in self.dropped.items() if rule != NOT_SAMPLED}
        rule = max(rules, key=rules.get)
        row, excerpt = self.examples[rule][0]
        advice = "keep_near_duplicates=True keeps them." if rule == NEAR else "print(corpus.report) shows all counts."
        return (
            f"{dropped:,} of {looked:,} rows were dropped ({dropped / looked:.0%}), {rules[rule]:,} of them by the rule {rule!r} "
            f"(row {row}: {excerpt}). {advice}"
        )

    def __str__(self):
        share = self.kept / max(self.read, 1)
        lines = [f"{self.read:,} rows read, {self.kept:,} kept ({share:.1%}), {self.changed:,} of them tidied"]
        if self.shape:
            lines.append(f"  read as: {self.shape}")
        for what, count in self.mended.items():
            row, excerpt = self.examples[what][0]
            lines.append(f"  mended: {what}, {count:,} rows   row {row}: {excerpt}")
        for rule, count in sorted(self.dropped.items(), key=lambda item: -item[1]):
            # rows that only the sample left out have no example
            example = "".join(f"   row {row}: {excerpt}" for row, excerpt in self.examples.get(rule, ())[:1])
            lines.append(f"  {rule:<18}{count:>10,}{count / self.read:>8.1%}{example}")
        return "\n".join(lines)


def _excerpt(value):
    if isinstance(value, Broken):
        return value.why
    if not isinstance(value, str):
        # an int of more than 4,300 digits has no repr
        shown = f"of {value.bit_length():,} bits" if isinstance(value, int) and value.bit_length() > 999 else repr(value)
        return f"{type(value).__name__} {shown[:_EXCERPT]}"
    # half surrogate pairs cannot be printed or saved
    text = " ".join(value[: 4 * _EXCERPT].split()).encode("utf-8", "replace").decode()
    return text if len(text) <= _EXCERPT and len(value) <= 4 * _EXCERPT else text[:_EXCERPT].rstrip() + "…"
