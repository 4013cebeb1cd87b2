"""Session: what one does in the studio, without widgets. A prompt as chips, locks, results, favourites, undo."""

import math
import numbers
from dataclasses import dataclass, replace
from functools import wraps
from typing import NamedTuple

from workbench import checks
from workbench.language.dsl.reader import LONGEST
from workbench.language.dsl.writing import DECODING
from workbench.progress import times
from workbench.show.widgets import typed
from workbench.template import Template
from workbench.values import WorkbenchError

COOLEST, HOTTEST = 0.1, 2.0  # temperature
LAST_SEED = 2**31 - 1
MOST_KEPT = 1000  # favourites: their rows are on the page
_UNDOS = 100
_SPARE = 2  # results written beyond those that are shown, as some may be equal
READS_ONLY = (
    "This language only reads: it was learned without a writer. Chips can be looked at, locked and masked, but nothing new can "
    "be written. DeepDSL.fit with a writer gives one that writes."
)


class Result(NamedTuple):
    """A prompt that was written or kept, and all that is needed to write it again.

    `text` str; `template` `Template`; `verb` str: "re-roll", "re-roll chip", "vary", "fill", "nothing" (written from
    nothing) or "typed"; `start` `Template`, what was re-rolled, varied or filled, and `locked` tuple of the numbers of its
    locked slots; `seed` int; `number` int, which of the results of this click, from 1; `temperature` and `proximity` float.
    """

    text: str
    template: Template
    verb: str
    start: Template
    locked: tuple
    seed: int
    number: int
    temperature: float
    proximity: float


@dataclass(frozen=True)
class Moment:
    """What undo brings back."""

    template: Template = Template(())  # noqa: RUF009 - frozen
    locked: frozenset = frozenset()  # numbers of slots
    results: tuple = ()
    kept: tuple = ()
    seed: int = 0


def check_length(text, then):
    """Raise ValueError for a text that is too long to be read; `then` says what is so now."""
    if len(text) > LONGEST:
        raise ValueError(f"This text has {len(text):,} characters; a prompt may have {LONGEST:,}. {then}")


def _verb(label):
    """A verb of the session: it can be undone, and what is wrong becomes a message instead of an error."""

    def around(method):
        @wraps(method)
        def verb(self, *arguments, **named):
            before, self.failed = self._now, False
            try:
                said = method(self, *arguments, **named)
            except (WorkbenchError, ValueError, TypeError, IndexError) as err:
                self._now, self.failed, said = before, True, str(err)
            if self._now != before:
                self._past = [*self._past, (label, before)][-_UNDOS:]
            self.message = said or ""
            return not self.failed

        return verb

    return around


def _within(value, low, high, present):
    """A number moved into a range; what is no number changes nothing."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or math.isnan(value):
        return present
    return min(max(value, low), high)


def _setting(name, low, high, doc):
    """An attribute that is a number in a range; a number outside is moved to the end of the range."""
    own = f"_{name}"

    def put(self, value):
        setattr(self, own, float(_within(value, low, high, getattr(self, own))))

    return property(lambda self: getattr(self, own), put, doc=doc)


class Session:
    """A prompt under work.

    The verbs return whether they could do it; `message` says in a sentence what was done or why not. Locked fillers stay to
    the letter in all results. Equal verbs with equal seeds give equal sessions.

    Attributes:
        dsl: `DeepDSL`.
        n: int, results of one verb.
        message: str; `failed`: bool, whether it is a complaint.
        template, locked, results, kept, seed: the present state, see `Moment`; `text`: the prompt as typed.
    """

    def __init__(self, dsl, text="", *, n=6, seed=0):
        """A session that starts with a prompt.

        Raises:
            ValueError: `n` is not 1..20, or `seed` no int.
            TypeError: `text` is no str.
        """
        if not isinstance(text, str):
            raise TypeError(f"The prompt to start with is a str, got {type(text).__name__}.")
        self.dsl, self.n = dsl, checks.whole("n, the results of one click,", n, most=20)
        self._now, self._past = Moment(seed=checks.seed(seed) % (LAST_SEED + 1)), []
        self._proximity, self._temperature = 0.8, DECODING.temperature
        self.message, self.failed = "", False
        if text:
            self.type(text)
            self._past = []
        elif self.writes:
            self.message = "Type a prompt, or re-roll to have prompts written from nothing."
        if not self.writes and not self.failed:
            self.message = READS_ONLY

    # ---- what there is ---------------------------------------------------------------------------------------------------

    template = property(lambda self: self._now.template)
    locked = property(lambda self: self._now.locked)
    results = property(lambda self: self._now.results)
    kept = property(lambda self: self._now.kept)
    text = property(lambda self: typed.write(self._now.template))
    writes = property(lambda self: self.dsl.writer_ is not None)
    undos = property(lambda self: len(self._past), doc="How many verbs can be undone.")

    proximity = _setting("proximity", 0.0, 1.0, "How near `vary` stays: 0 keeps the template only, 1 changes one chip a little.")
    temperature = _setting("temperature", COOLEST, HOTTEST, "How bold words are chosen, 0.1 to 2.")

    @property
    def seed(self):
        """Seed of the next results; a number out of range is moved to the end of the range."""
        return self._now.seed

    @seed.setter
    def seed(self, seed):
        self._set(seed=int(_within(seed, 0, LAST_SEED, self.seed)))

    # ---- the prompt ------------------------------------------------------------------------------------------------------

    @_verb("typing")
    def type(self, text):
        """Read a prompt as typed; `<?>` and `<artist:?>` are masks. Locks stay on chips that are still there, results go."""
        if text == self.text:
            return self.message
        check_length(text, "The chips still show the prompt before.")
        given, text = text, typed.whole(text)
        template, unknown = typed.read(self.dsl, text)
        # what was written for another prompt would look like an answer to this one
        self._set(template=template, locked=typed.carried(self.locked, self.template, template), results=())
        if not text.strip():
            return "The prompt is empty. Type one, or re-roll to have prompts written from nothing."
        hint = f" {unknown[0]} is taken as text: no code has that name." if unknown else ""
        hint += " Half a character in it is � now." if text.count("�") > given.count("�") else ""
        return f"{times(len(template.slots), 'chip')} read.{hint}"

    @_verb("lock")
    def lock(self, number):
        """Lock a chip: its text stays to the letter in all that is written."""
        slot = self._slot(number)
        if slot.text is None:
            raise ValueError("An open chip has no text to lock.")
        self._set(locked=self.locked | {number})
        return f"{_short(slot.text)} is locked."

    @_verb("unlock")
    def unlock(self, number):
        """Unlock a chip."""
        slot = self._slot(number)
        self._set(locked=self.locked - {number})
        return f"{_short(slot.text)} is unlocked."

    @_verb("mask")
    def mask(self, number):
        """Put `<?>` in the place of a chip."""
        self._unlocked(number, "mask")
        self._set(template=typed.with_text(self.template, number, None))
        return "The chip is open now: <?> stands for anything. Fill masks writes something there."

    @_verb("put")
    def put(self, filler, number=None, name=None):
        """Put a filler into the prompt.

        Args:
            filler: str.
            number: the chip that takes it; None looks for an open chip, and otherwise appends it.
            name: name of the filler's code: an open chip of that kind comes before `<?>`, one of another kind is left alone.
        """
        filler = " ".join(typed.whole(str(filler)).split())
        if not filler:
            raise ValueError("There is no filler to put into the prompt.")
        if number is None:
            open_ = [(slot.name is None, i) for i, slot in enumerate(self.template.slots) if slot.text is None]
            fit = [(late, i) for late, i in open_ if late or name is None or self.template.slots[i].name == name]
            number = min(fit)[1] if fit else None
        slot = None if number is None else self._unlocked(number, "replace")
        if slot is None:
            text = self.text.rstrip()
            template = Template.build([f"{text}, {filler}" if text else filler])
        else:
            template = typed.with_text(self.template, number, filler)
        check_length(typed.write(template), "The prompt is as it was.")
        if slot is not None and slot.name is not None:  # the chip keeps its name, whatever its new text would be read as
            self._set(template=template)
        else:
            template, _ = typed.read(self.dsl, typed.write(template))
            self._set(template=template, locked=typed.carried(self.locked, self.template, template))
        return f"{_short(filler)} is in the prompt."

    # ---- writing ---------------------------------------------------------------------------------------------------------

    @_verb("re-roll")
    def reroll(self, number=None):
        """Write new fillers: for one chip, which changes at once, or for all that are not locked; masks are filled too."""
        self._check_writes()
        if number is not None:
            return self._reroll_chip(number)
        if not self.text.strip():
            found = self.dsl.sample(self.n, decoding=self._decoding(), seed=self.seed)
            return self._list(found, "nothing") + " The prompt is empty: these were written from nothing."
        self._check_free("re-roll", " Type <?> where something new may stand.")
        return self._list(self._sampled(self.locked), "re-roll")

    @_verb("vary")
    def vary(self):
        """Write prompts near this one, by `proximity`; locked chips stay."""
        self._check_writes()
        if self.template.masked:
            raise ValueError("Some chips are open. Fill the masks first, or re-roll.")
        self._check_free("vary")
        found = self.dsl.vary(self.template, self.n, self.proximity, lock=self.locked, decoding=self._decoding(), seed=self.seed)
        return self._list(found, "vary")

    @_verb("fill")
    def fill(self):
        """Fill the masks, best first; all other text stays to the letter."""
        self._check_writes()
        if not self.template.masked:
            raise ValueError("No chip is open. Mask one, or type <?> where something new may stand.")
        if any(isinstance(p, str) and p.strip() or not isinstance(p, str) and p.text for p in self.template.parts):
            found = self.dsl.infill(self.template, self.n, decoding=self._decoding(), seed=self.seed)
        else:  # infill needs something to go by
            found = self._sampled(())
        return self._list(found, "fill")

    # ---- results ---------------------------------------------------------------------------------------------------------

    @_verb("use")
    def use(self, number):
        """Make a result the prompt; locks stay."""
        result = self._result(number)
        template, locked = typed.adopted(self.dsl, result.start, self.locked, result.template)
        if result.start != self.template:  # the prompt went on since
            locked = typed.carried(self.locked, self.template, template)
        self._set(template=template, locked=locked)
        return f"Result {number + 1} is the new start."

    @_verb("keep")
    def keep(self, number=None):
        """Keep a result, or without a number the prompt itself."""
        if number is None:
            if self.template.masked or not self.text.strip():
                raise ValueError("Only a complete prompt can be kept: this one is empty or has open chips.")
            result = self._made(self.text, self.template, "typed", 0)
        else:
            result = self._result(number)
        if any(one.text == result.text for one in self.kept):
            return "This prompt is kept already."
        if len(self.kept) >= MOST_KEPT:
            raise ValueError(f"{MOST_KEPT:,} favourites are kept, and no more fit: save them, then remove some.")
        self._set(kept=(*self.kept, result))
        return f"Kept: {times(len(self.kept), 'favourite')}."

    @_verb("remove")
    def remove(self, number):
        """Take a favourite away, by its number among the kept ones."""
        if not 0 <= number < len(self.kept):
            raise IndexError(f"There is no favourite number {number + 1}.")
        self._set(kept=self.kept[:number] + self.kept[number + 1 :])
        return "Removed. Undo brings it back."

    def undo(self):
        """Take back the last verb: prompt, locks, results, favourites and seed are as they were before it."""
        self.failed = not self._past
        if self._past:
            label, self._now = self._past.pop()
            self.message = f"Taken back: {label}."
        else:
            self.message = "There is nothing to take back."
        return not self.failed

    # ---- how -------------------------------------------------------------------------------------------------------------

    def _set(self, **changes):
        self._now = replace(self._now, **changes)

    def _slot(self, number):
        slots = self.template.slots
        if isinstance(number, bool) or not isinstance(number, numbers.Integral) or not 0 <= number < len(slots):
            raise IndexError("Choose a chip first." if number is None else f"There is no chip number {number + 1}.")
        return slots[number]

    def _unlocked(self, number, verb):
        slot = self._slot(number)
        if number in self.locked:
            raise ValueError(f"{_short(slot.text)} is locked. Unlock it to {verb} it.")
        return slot

    def _result(self, number):
        if not 0 <= number < len(self.results):
            raise IndexError(f"There is no result number {number + 1}.")
        return self.results[number]

    def _check_writes(self):
        if not self.writes:
            raise ValueError(READS_ONLY)

    def _check_free(self, verb, hint=""):
        if not self.template.slots:
            raise ValueError(f"There is no chip to {verb} in this prompt.{hint}")
        if len(self.locked) == len(self.template.slots):
            raise ValueError(f"All chips are locked. Unlock one to {verb} it.")

    def _decoding(self):
        return replace(DECODING, temperature=float(self.temperature))

    def _sampled(self, lock):
        return self.dsl.sample(
            self.n + _SPARE, template=self.template, lock=tuple(lock), decoding=self._decoding(), seed=self.seed
        )

    def _reroll_chip(self, number):
        slot, slots = self._unlocked(number, "re-roll"), self.template.slots
        others = [i for i, other in enumerate(slots) if i != number and other.text is not None]
        said = self._list(self._sampled(others), "re-roll chip")
        named = sum(other.name is not None for other in slots[:number])
        if slot.name is None:  # what was written there is known only as part of the prompt
            return said
        first = self.results[0].template.slots[named].text
        self._set(template=typed.with_text(self.template, number, first))
        return f"The chip is {_short(first)} now. {said}"

    def _list(self, samples, verb):
        """Make samples the results, each text once and without the start itself; the next seed is one higher."""
        start, different = self.text, {}
        for sample in samples:
            different.setdefault(sample.text, sample)
        rest = [sample for text, sample in different.items() if text != start] or list(different.values())
        made = [self._made(s.text, s.template, verb, number) for number, s in enumerate(rest[: self.n], 1)]
        self._set(results=tuple(made), seed=min(self.seed + 1, LAST_SEED))
        few = "" if len(made) >= self.n else f" No more than {len(made)} differ: a higher temperature gives more."
        return f"{times(len(made), 'result')}.{few}"

    def _made(self, text, template, verb, number):
        locked = tuple(sorted(self.locked))
        return Result(text, template, verb, self.template, locked, self.seed, number, self.temperature, self.proximity)


def _short(text):
    text = " ".join((text or "?").split())
    return f"“{text if len(text) <= 60 else text[:59] + '…'}”"
