"""Expanding: the plain texts that a line with `{a|b}` or `__name__` stands for, by dynamicprompts. The rest stays literal."""

import re
from fnmatch import fnmatchcase
from functools import cached_property

from workbench.checks import did_you_mean
from workbench.values import TemplateError

_EXPANDED = 1000  # texts that one line of a list may stand for
_COMMENT = re.compile(r"(?:^|\s)(?:#|//)\s.*$|/\*(?:(?!/\*).)*?\*/")
_REFERENCE = re.compile("__(.+?)__")
# What other programs read: <lora:my__style:0.7>, $5 and 50%, a # or // that is no comment.
_FOREIGN = re.compile(r"<\w+:[^<>{}]*>|(?<!\$)\$(?![${])|%(?!\{)|#|//")
# Signs that mean something to dynamicprompts -> characters that mean nothing to anyone, and back.
_HIDE = {ord(sign): 0xF0000 + number for number, sign in enumerate("{}|$%#_/*:~!@\\<>()=-0123456789.")}
_SHOW = {hidden: sign for sign, hidden in _HIDE.items()}


class Expander:
    """Expands the lines of lists.

    Args:
        known: dict of name to lines, those that a line may refer to.
    """

    def __init__(self, known):
        self.known = known

    @cached_property
    def _generator(self):
        return _generator({name: [self._hidden(line) for line in lines] for name, lines in self.known.items()})

    def texts(self, line, name):
        """The texts that a line of the list `name` stands for: list of str.

        Raises:
            ImportError: it has to be expanded and dynamicprompts is not installed.
            TemplateError: it is not understood, names a list that is not there, or stands for more than 1,000 texts.
        """
        line = _COMMENT.sub("", line)
        if not self._stands_for_others(line):
            return [line]
        for wanted in _REFERENCE.findall(line):
            if not self._knows(wanted):
                raise TemplateError(
                    f"In the list {name!r}, {line[:60]!r}: there is no list {wanted!r}.{did_you_mean(wanted, self.known)} "
                    f"There are: {', '.join(map(repr, list(self.known)[:12]))}."
                )
        generator = self._generator
        try:
            texts = generator.generate(self._hidden(line), _EXPANDED + 1)
        except Exception as err:  # from pyparsing or dynamicprompts, RecursionError, OverflowError
            why = "it is too deep, or a list is part of itself" if isinstance(err, RecursionError) else err
            raise TemplateError(f"In the list {name!r}, {line[:60]!r}: dynamicprompts cannot read that ({why}).") from err
        if len(texts) > _EXPANDED:
            raise TemplateError(
                f"A line of {name!r} stands for more than {_EXPANDED:,} texts, {line[:60]!r}. It is a template and not a filler: "
                f"leave {name!r} out."
            )
        return [text.translate(_SHOW) for text in texts]

    def _knows(self, wanted):
        return any(fnmatchcase(one, wanted) or fnmatchcase(one, f"*/{wanted}") for one in self.known)

    def _stands_for_others(self, line):
        bare = _FOREIGN.sub(self._foreign, line)
        return "{" in bare or bool(_REFERENCE.search(bare))

    def _foreign(self, found):
        """Hide a sign of another program, unless it is a tag that names a list, such as `<lora:__style__:1>`."""
        text = found[0]
        return text if any(map(self._knows, _REFERENCE.findall(text))) else text.translate(_HIDE)

    def _hidden(self, line):
        """A line as dynamicprompts reads it right: what is literal is hidden, all of it where nothing stands for others."""
        line = _COMMENT.sub("", line)
        return _FOREIGN.sub(self._foreign, line) if self._stands_for_others(line) else line.translate(_HIDE)


def _generator(lists):
    try:
        from dynamicprompts.generators import CombinatorialPromptGenerator
        from dynamicprompts.wildcards import WildcardManager
    except ImportError as err:
        raise ImportError("To expand {a|b} and __name__ in lists, dynamicprompts is needed: pip install dynamicprompts") from err
    manager = WildcardManager(root_map={"": [lists]})
    manager.sort_wildcards = False
    return CombinatorialPromptGenerator(manager)
