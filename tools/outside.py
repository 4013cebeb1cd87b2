"""Outside: a seeded writer of prompts as people type them to image models. The grammar that the shipped language learns from.

The lessons have a small world of their own (`workbench/world/grammar.py`). This one is wider: plain sentences, sentences with
modifiers, tag lists, tags of image boards, the syntax of today's programs. Its phrases are those of `workbench/language/lexicon`,
its frames are in `outside.txt`. How often and where a kind of phrase stands was measured on real prompts, and is here as rounded
figures; no phrase and no prompt was taken from them.
"""

import random
import re
from collections import Counter
from functools import cache
from pathlib import Path

from workbench.language import lexicon
from workbench.world.spelling import bot_gaps, misspell

# Shares of forms. Measured on 36,596 prompts of 2022 (Discord, DiffusionDB): 27 in 100 have no comma, the median has 3, one in
# ten has 13 or more; 18 in 100 have "8 k" or " - "; 5 end in a comma, 4 in a full stop; 90 have no capital. Prompts of today have
# fewer such gaps, more capitals and syntax (of 141 for Midjourney 58 in 100 have flags, 61 begin with a capital).
STYLES = {"sentence": 30, "modified": 48, "tags": 12, "board": 10}
CASES = {str: 18, str.lower: 62, str.capitalize: 15, str.title: 5}
SEPARATORS = {",": 92, ".": 5, "|": 2, " -": 1}
ENDS = {"": 91, ",": 5, ".": 4}
BOT, SLIPS = 0.2, 0.003  # shares of prompts with a bot's gaps, and of misspelt words
WEIGHTED, LORA, FLAGGED = 0.08, 0.04, 0.07  # shares of prompts with such syntax

# The segments after the first: weight, and mean share of the separators that stand before it, measured on typed spans of 2,450
# prompts. Spans of the other kinds are seldom a segment of their own (3 to 6 in 100): they stand in the frames.
TAIL = {
    "quality": (24, 0.58),
    "artist": (19, 0.6),
    "medium": (14, 0.42),
    "site": (8, 0.66),
    "camera": (8, 0.6),
    "lighting": (9, 0.54),
    "renderer": (7, 0.63),
    "movement": (5, 0.43),
    "aesthetic": (6, 0.3),
    "adjective": (6, 0.3),
    "composition": (5, 0.3),
    "color": (5, 0.3),
    "body": (4, 0.25),
    "weather": (2, 0.25),
    "action": (2, 0.15),
    "style": (1, 0.5),
    "place": (3, 0.2),
    "time": (2, 0.26),
    "clothing": (2, 0.2),
    "material": (2, 0.25),
}
SCATTER = 0.22  # spread of a segment's place around its mean
AGAIN = {"quality": 6, "medium": 3, "adjective": 3, "artist": 2, "camera": 2, "lighting": 2, "site": 2, "renderer": 2}  # else 1
INVENTED = 0.15  # share of artists with a name that nobody has: a name is known by its place, too
COMMON = 0.5  # share of draws from the commonest phrases of a kind: some 25 have half of the typed spans of theirs

_HEAD = re.compile(r"\[(frames|segment|list|common): (\w+)(?: (\d+))?\]")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(?:(a|the|at|in) )?(\w+)\}")
_VOWEL = re.compile(r"(?!uni|use|eu|one)[aeiou]|hour|8", re.IGNORECASE)
# Words without "a": plurals by their s, and stuff.
_STUFF = "armor|armour|chainmail|jewelry|denim|clothing|attire|hair|bread|coffee|tea|rice|sushi|ramen|food|fruit|meat|water|art"
_BARE = re.compile(rf"(?<![su])s$|(?:men|people|children|crew|fire|grass|foliage|{_STUFF})$")
# The last words of places: names, which have no article, and where one is on and not in.
_NAMES = re.compile(r"(?:africa|america|china|eden|egypt|fuji|greece|korea|mars|rome|space|japan|tokyo|paris|london)$")
_ROOMS = frozenset("rooftop cottage tavern alley meadow library island river waterfall kitchen valley hill".split())
_ON = re.compile(r"(?:road|bridge|beach|cliff|rooftop|island|mountains?|hills?|moon|mars|planet|path|stage|street|sea|lake)$")
# "at dawn", "in the 1980s", "in autumn"
_HOUR = re.compile(r"night|dawn|dusk|noon\b(?<!afternoon)|sunrise|sunset|twilight|o'clock|hour")
_LONG = re.compile(r"\d|\b(?:age|era|century|morning|afternoon|evening|period|future|past|\w+ties|middle ages)\b")
# Parts of a kind that fit into frames where the others do not: "a red hat", "an oil painting of", "shot on Kodachrome".
_TONE = r"colou?rs?|tones?|palette|scheme|monochrome|saturat|gradient|toning|and|contrast"
_PICTURE = "ing|photo|photograph|sketch|illustration|render|still|poster|sculpture|statue|print"
_WITH_OBJECT = "holding|wearing|carrying|surround|wielding|aiming|riding|acting|casting magic|catching"
_PARTS = {
    "hue": ("color", re.compile(rf"^(?!.*(?:{_TONE})\b)")),
    "picture": ("medium", re.compile(rf"(?:{_PICTURE})$")),
    "who": ("person", re.compile(r"^(?!\d|solo$|multiple|people in|.*people$)")),
    "doing": ("action", re.compile(rf"^(?!(?:{_WITH_OBJECT})$)\w+ing\b")),
    "gear": ("camera", re.compile(r"[A-Z]|film|lens|camera|\d ?mm")),
}


@cache
def _read():
    """outside.txt -> (frames: name to list, shares: name to number, segments: kind to list, lists and common: name to list)."""
    parts, shares = {"frames": {}, "segment": {}, "list": {}, "common": {}}, {}
    for line in Path(__file__).with_suffix(".txt").read_text("utf-8").splitlines():
        if head := _HEAD.fullmatch(line):
            part, name, share = head.groups()
            rows = parts[part].setdefault(name, [])
            if share:
                shares[name] = int(share)
        elif line and not line.startswith("#"):
            rows += line.split(", ") if part in ("list", "common") else [line]
    return parts["frames"], shares, parts["segment"], parts["list"], parts["common"]


@cache
def kinds():
    """Phrases of each kind, from the lexicon and the small lists of outside.txt: dict of name to (common ones, all)."""
    *_, lists, common = _read()
    found = {kind: (tuple(common.get(kind, ())), rows) for kind, rows in lexicon.phrases().items()}
    found |= {name: ((), tuple(rows)) for name, rows in lists.items()}
    for name, (kind, fits) in _PARTS.items():
        found[name] = tuple(tuple(phrase for phrase in rows if fits.search(phrase)) for rows in found[kind])
    return found


# Eras that say how a thing looks rather than when it is: "a medieval castle".
_LOOKS = ("medieval", "victorian", "edwardian", "prehistoric", "colonial", "elizabethan", "tudor", "regency", "halloween")
_JOINED = ("person", "body", "clothing", "action", "animal", "object", "plant", "place", "weather", "composition", "quality")
_LED = {
    "material": ("made of {}",),
    "camera": ("shot on {}", "shot with {}", "shot with a {}", "shot on a {}"),
    "renderer": ("rendered in {}", "rendered with {}"),
    "movement": ("{} style",),
    "aesthetic": ("{} style", "{} aesthetic"),
}


def codes():
    """The first codes of the language: the kinds of the lexicon, and what frames, boards, bots and this file make of phrases."""
    found = {kind: [phrase for phrase in phrases if phrase not in _LOOKS] for kind, phrases in lexicon.phrases().items()}
    found["aesthetic"] += _LOOKS
    owner = {phrase: kind for kind, phrases in found.items() for phrase in phrases}
    lists = _read()[3]
    found["artist"] += [name.lower() for part in ("first", "last", "handle") for name in lists[part]]
    for kind, phrases in found.items():
        plain = tuple(phrases)
        phrases += [form.format(phrase) for form in _LED.get(kind, ()) for phrase in plain]
        phrases += [phrase.replace(" ", "_") for phrase in plain if kind in _JOINED]
        phrases += [bot_gaps(phrase) for phrase in plain]
        found[kind] = [phrase for phrase in dict.fromkeys(phrases) if owner.setdefault(phrase, kind) == kind]
    return found


@cache
def _common_nouns():
    """Last words of places that take an article: those of two places or more. Of a name there is one."""
    ends = Counter(place.split()[-1] for place in kinds()["place"][1])
    return {word for word, times in ends.items() if times > 1 and not _NAMES.match(word) or word in _ROOMS}


class _Writer:
    """One prompt being written."""

    def __init__(self, rng):
        self.rng, self.roll, self.used = rng, rng.random, set()

    def one_of(self, options):
        """A random one of a sequence, or of the keys of a dict by its weights."""
        if isinstance(options, dict):
            return self.rng.choices(list(options), list(options.values()))[0]
        return options[int(self.roll() * len(options))]

    def pick(self, kind):
        """A phrase of a kind that this prompt does not have yet, if four draws find one."""
        common, rows = kinds()[kind]
        for _ in range(4):
            if kind == "artist" and self.roll() < INVENTED:
                parts = ("first", "last") if self.roll() < 0.8 else ("handle",)
                text = " ".join(self.one_of(kinds()[part][1]) for part in parts)
            else:
                text = self.one_of(common if common and self.roll() < COMMON else rows)
            if text not in self.used:
                break
        self.used.add(text)
        return text

    def fill(self, frame):
        """Write a frame: choose, then fill its slots."""
        while found := _CHOICE.search(frame):
            frame = frame[: found.start()] + self.one_of(found[1].split("|")) + frame[found.end() :]
        return _articles(" ".join(_SLOT.sub(self._slot, frame).split()))

    def _slot(self, found):
        before, kind = found.groups()
        text = self.pick(kind)
        if before == "at":
            return f"{'at' if _HOUR.search(text) else 'in the' if _LONG.search(text) else 'in'} {text}"
        preposition = ("on " if _ON.search(text) else "in ") * (before == "in")
        bare = not before or text.startswith(("a ", "an ", "the ")) or kind == "place" and text.split()[-1] not in _common_nouns()
        article = self.one_of(("a", "a", "the")) if before == "in" else before
        if bare or article == "a" and _BARE.search(text):
            return preposition + text
        return f"{preposition}{article} {text}"

    def subject(self):
        """The first segment: who or what, what it does and where."""
        frames, shares, *_ = _read()
        return self.fill(self.one_of(frames[self.one_of(shares)]))

    def segment(self, kind):
        """A segment of a kind."""
        frames = _read()[2].get(kind)
        return self.fill(self.one_of(frames)) if frames else self.pick(kind)

    def tail(self, size):
        """At most `size` segments in the usual order."""
        chosen, weights = [], {kind: weight for kind, (weight, _) in TAIL.items()}
        for _ in range(size):
            kind = self.one_of(weights)
            if chosen.count(kind) < AGAIN.get(kind, 1):
                chosen.append(kind)
        chosen.sort(key=lambda kind: self.rng.gauss(TAIL[kind][1], SCATTER))
        return [self.segment(kind) for kind in chosen]

    def board(self):
        """Tags of image boards: 1girl, solo, long_hair, ..."""
        tags = [self.pick("count")] if self.roll() < 0.8 else [self.pick("animal")]
        tags += [self.pick("board") for _ in range(3 + int(self.roll() * 7))]
        others = ("clothing", "action", "place", "object", "adjective", "creature")
        tags += [self.pick(self.one_of(others)) for _ in range(int(self.roll() * 4))]
        if self.roll() < 0.6:
            praise = [self.pick("praise") for _ in range(1 + int(self.roll() * 3))]
            tags = praise + tags if self.roll() < 0.6 else tags + praise
        tags += self.tail(int(self.roll() * 3))
        joined = self.roll() < 0.5
        return [tag.replace(" ", "_") if joined and tag.count(" ") < 3 else tag for tag in dict.fromkeys(tags)]

    def segments(self, style):
        """The segments of a prompt of one of `STYLES`."""
        if style == "sentence":
            frame = self.one_of(("", "", "", "", " by {artist}", " in the style of {artist}", " with {lighting}", ", {medium}"))
            return [self.subject() + ("" if frame[:1] == "," else " ") * bool(frame) + self.fill(frame)]
        if style == "board":
            return self.board()
        size = 2 + int(14 * self.roll() ** 1.2)
        if style == "modified":
            return [self.subject(), *self.tail(size)]
        nouns = ("person", "animal", "creature", "place", "object", "clothing", "food", "plant", "action", "character")
        heads = [self.segment(self.one_of(nouns)) for _ in range(1 + int(self.roll() * 3))]
        return heads + self.tail(size)

    def syntax(self, segments):
        """Weights in round brackets, the tag of a LoRA."""
        if self.roll() < WEIGHTED:
            form = self.one_of(("({}:1.2)", "({}:1.3)", "({}:1.1)", "({}:0.8)", "({}:1.5)", "(({}))", "({})", "[{}]"))
            for _ in range(self.one_of((1, 1, 2))):
                at = int(self.roll() * len(segments))
                if segments[at][-1].isalpha() and segments[at].count(" ") < 5 and segments[at][0] not in "([":
                    segments[at] = form.format(segments[at])
        if self.roll() < LORA:
            name = "_".join(self.pick(self.one_of(("adjective", "movement", "medium", "aesthetic"))).lower().split()[:2])
            segments.append(f"<lora:{name}:{self.one_of(('0.6', '0.7', '0.8', '1', '0.5'))}>")
        return segments


def _articles(text):
    return re.sub(r"\b([Aa]) (?=(\w+))", lambda found: f"{found[1]}n " if _VOWEL.match(found[2]) else found[0], text)


def prompt(i, seed=0):
    """Write prompt number `i`. It depends on `i` and `seed` alone.

    Args:
        i: int >= 0, number of the prompt.
        seed: int; each seed is another corpus.

    Returns:
        str, of 2 to some 60 words.
    """
    write = _Writer(random.Random(f"outside {seed} {i}"))
    roll = write.roll
    style = write.one_of(STYLES)
    segments = write.segments(style)
    bot = style != "board" and roll() < BOT
    case = str.lower if bot or style == "board" else write.one_of(CASES)
    separator = "," if bot or style == "board" else write.one_of(SEPARATORS)
    for at, segment in enumerate(segments):
        words = [misspell(word, write.rng) if roll() < SLIPS else word for word in segment.split(" ")]
        text = case(" ".join(words)) if case is not str.capitalize else (segment if at else segment[0].upper() + segment[1:])
        segments[at] = bot_gaps(text) if bot else text
    if not bot:
        segments = write.syntax(segments)
    joint = f" {separator} " if separator == "|" else f"{separator} "
    text = joint.join(segments) + write.one_of(ENDS)
    if roll() < FLAGGED and style != "board":
        text += " " + write.one_of(("--ar 16:9", "--ar 2:3", "--ar 3:2", "--v 5", "--ar 1:1", "--v 6 --ar 16:9", "--niji 5"))
    return text


def generate(n, seed=0):
    """Prompts 0 to n - 1: an iterator of str."""
    return (prompt(i, seed) for i in range(n))
