"""Fields of configs in the reference: the comment behind a field of a dataclass is its description (an extension of griffe)."""

import io
import tokenize

from griffe import Docstring, Extension


class Fields(Extension):
    """Gives fields without a docstring the comment of their line, and of the lines of comments that follow it."""

    def on_class(self, *, cls, **_):
        """Describe the fields of a dataclass."""
        if not any(str(one.value).startswith("dataclass") for one in cls.decorators):
            return
        said = comments(cls.source)
        for one in cls.members.values():
            text = one.is_attribute and one.lineno and not one.docstring and said.get(one.lineno - cls.lineno + 1)
            if text:
                one.docstring = Docstring(text, parent=one, parser="google")


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
