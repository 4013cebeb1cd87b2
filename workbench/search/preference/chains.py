"""Edit chains: the cheapest way from one text to another, word by word, and the texts on the way."""

from dataclasses import dataclass

COSTS = {"keep": 0, "insert": 1, "delete": 1, "replace": 2}


@dataclass(frozen=True)
class Edit:
    """One edit of a sequence of tokens.

    Attributes:
        kind: str, "keep", "insert", "delete" or "replace".
        old: str or None, the token of the source; None for "insert".
        new: str or None, the token of the target; None for "delete".
    """

    kind: str
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True)
class Chain:
    """A way from a source to a target.

    Attributes:
        edits: tuple of `Edit`, from left to right.
        cost: int, the sum of `COSTS`; no chain between the two is cheaper.
    """

    edits: tuple
    cost: int

    def apply(self, source):
        """What the chain makes of a source, list of str: a list of str.

        Raises:
            ValueError: another source than the chain was made for; it says where.
        """
        at, out = 0, []
        for number, edit in enumerate(self.edits):
            if edit.kind != "insert":
                if at >= len(source) or source[at] != edit.old:
                    found = repr(source[at]) if at < len(source) else "the end"
                    raise ValueError(f"Edit {number + 1} expects {edit.old!r} at token {at + 1}, found {found}: another source.")
                at += 1
            if edit.kind != "delete":
                out.append(edit.old if edit.kind == "keep" else edit.new)
        if at < len(source):
            raise ValueError(f"The chain ends before token {at + 1}, {source[at]!r}: another source.")
        return out

    def states(self):
        """The texts on the way, from the source to the target: tuple of lists of str, one more than there are changes."""
        out, done = [[edit.old for edit in self.edits if edit.kind != "insert"]], []
        for number, edit in enumerate(self.edits):
            done += [] if edit.kind == "delete" else [edit.old if edit.kind == "keep" else edit.new]
            if edit.kind != "keep":
                rest = [later.old for later in self.edits[number + 1 :] if later.kind != "insert"]
                out.append(done + rest)
        return tuple(out)

    def marked(self):
        """The chain as text, to train a language model on: "a [delete] very [replace] rad => red circle [insert] ,"."""
        parts = []
        for edit in self.edits:
            words = " => ".join(part for part in (edit.old, edit.new) if part is not None)
            parts.append(edit.old if edit.kind == "keep" else f"[{edit.kind}] {words}")
        return " ".join(parts)


def chain(source, target):
    """The cheapest chain of edits from a source to a target, by dynamic programming, in time and memory of their product.

    Among chains of equal cost, at each token: keep, else replace, else delete, else insert.

    Args:
        source: list of str, tokens; it may be empty.
        target: list of str.

    Returns:
        `Chain`.

    Raises:
        TypeError: one of them is a str, or holds what is no str.

    Source:
        Costs and use: Liu et al., "Second Thoughts are Best", arXiv:2301.00355, section 3; the recursion: Wagner and Fischer,
        "The String-to-String Correction Problem", 1974.
    """
    for name, tokens in (("source", source), ("target", target)):
        if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
            raise TypeError(f"The {name} is a list of str, tokens such as text.split(), got {tokens!r:.60}.")
    n, m = len(source), len(target)
    rest = [
        [(n - i) * COSTS["delete"] + (m - j) * COSTS["insert"] for j in range(m + 1)] for i in range(n + 1)
    ]  # cost to the end
    for i in range(n - 1, -1, -1):
        for j in range(m - 1, -1, -1):
            swap = rest[i + 1][j + 1] + (0 if source[i] == target[j] else COSTS["replace"])
            rest[i][j] = min(swap, rest[i + 1][j] + COSTS["delete"], rest[i][j + 1] + COSTS["insert"])
    edits, i, j = [], 0, 0
    while i < n or j < m:
        both = i < n and j < m
        if both and source[i] == target[j]:  # to keep is never dearer
            edits.append(Edit("keep", source[i], target[j]))
            i, j = i + 1, j + 1
        elif both and rest[i][j] == rest[i + 1][j + 1] + COSTS["replace"]:
            edits.append(Edit("replace", source[i], target[j]))
            i, j = i + 1, j + 1
        elif i < n and rest[i][j] == rest[i + 1][j] + COSTS["delete"]:
            edits.append(Edit("delete", source[i]))
            i += 1
        else:
            edits.append(Edit("insert", None, target[j]))
            j += 1
    return Chain(tuple(edits), rest[0][0])
