"""Lexicon: the fillers of each slot of the prompt grammar. Data: lexicon.txt."""

import re
from importlib import resources

# Slots whose fillers no list holds completely: some of them are held out, to stand for phrases nobody has seen.
OPEN_SLOTS = ("subject", "action", "scene", "medium", "movement", "artist", "lighting", "camera", "color", "material")
_HEAD = re.compile(r"\[(\w+)(?:: (.+))?\]")


def _read():
    """The file -> (dict of slot to dict of group to tuple of phrases, tuple of adjectives)."""
    slots = {}
    for line in resources.files("workbench.world").joinpath("lexicon.txt").read_text("utf-8").splitlines():
        if head := _HEAD.fullmatch(line):
            phrases = slots.setdefault(head[1], {}).setdefault(head[2], [])
        elif line and not line.startswith("#"):
            phrases += [phrase for part in line.split(",") if (phrase := part.strip())]
    slots = {slot: {group: tuple(listed) for group, listed in groups.items()} for slot, groups in slots.items()}
    return slots, slots.pop("adjectives")[None]


SLOTS, ADJECTIVES = _read()
