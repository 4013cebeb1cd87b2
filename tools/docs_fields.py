"""Fields of configs in the reference: the comment behind a field of a dataclass is its description. An extension of griffe."""

import io
import tokenize

from griffe import Extension


class Fields(Extension):
    """Describes the fields of a dataclass by the comments of their lines, where its docstring does not."""

    def on_class(self, *, cls, **_):
        """Add an `Attributes:` section to the docstring."""
        decorated = any(str(one.value).startswith("dataclass") for one in cls.decorators)
        if not decorated or cls.docstring is None or "Attributes:" in cls.docstring.value:
            return
        said = comments(cls.source)
        fields = [one for one in cls.members.values() if one.is_attribute and one.lineno]
        lines = [f"    {one.name}: {said[line]}" for one in fields if (line := one.lineno - cls.lineno + 1) in said]
        if lines:
            cls.docstring.value = "\n".join([cls.docstring.value, "", "Attributes:", *lines])


def comments(source):
    """Comments of a piece of code.

    Args:
        source: str, whole statements.

    Returns:
        dict of line, from 1 -> str: the comment behind its code, joined with the lines below that hold nothing but a comment.
    """
    found, last, code = {}, None, set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("# ")
            if token.start[0] in code:
                last = token.start[0]
                found[last] = text
            elif last is not None:
                found[last] += f" {text}"
        elif token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            code.add(token.start[0])
            if last != token.start[0]:
                last = None
    return found
