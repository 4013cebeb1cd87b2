"""Lexicon: the fillers of each slot of the prompt grammar. Data: lexicon.json.

A slot has groups, and a group holds fillers that fit into the same phrases. The group of a scene is the preposition before it,
with its article. Groups with a phrase of their own: a movement's "adjective" stands before a medium ("a baroque oil painting of")
or before "style", its "noun" alone or after "in the style of"; of a camera, one group follows "shot on" and one "shot with a"; a
material's "stuff" also stands before a thing, its "substance" only after "made of". All of them can stand alone.
"""

import json
from importlib import resources

_DATA = json.loads(resources.files("workbench.world").joinpath("lexicon.json").read_text("utf-8"))

# Slot -> group -> tuple of fillers.
SLOTS = {slot: {group: tuple(fillers) for group, fillers in groups.items()} for slot, groups in _DATA["slots"].items()}
# At most one of these precedes a subject, inside its span.
ADJECTIVES = tuple(_DATA["adjectives"])
# Slots whose fillers no list holds completely: some of them are held out, to stand for phrases nobody has seen.
OPEN_SLOTS = ("subject", "action", "scene", "medium", "movement", "artist", "lighting", "camera", "color", "material")
