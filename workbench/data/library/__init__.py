"""A library of soft prompts: which tasks are relatives, found by what they do to one frozen model.

    mine = library.Library.open("my_library", user="anna")
    card = library.Card(name="tone", data=library.DataSet("reviews"), date=library.now())
    mine.add(prompt, card, sketch, rows=(texts, labels))
    print(mine.search(prompt, start=sketch))

It lies in a folder, in tables of LanceDB, an optional package: pip install 'lancedb>=0.30'. `world()` opens the library of twelve
tasks of the built-in world that comes with the package.
"""

from workbench.data.library.choosing import Choice, Chooser
from workbench.data.library.entries import Card, DataSet, Entry, now, rows_sha256
from workbench.data.library.prompt_library import Library
from workbench.data.library.searching import Answer, Hit
from workbench.data.library.shipped import WORLD, load, save, world
from workbench.data.library.standing import Map, Standing, atlas, difficulty, suggest, useful

__all__ = [
    "WORLD",
    "Answer",
    "Card",
    "Choice",
    "Chooser",
    "DataSet",
    "Entry",
    "Hit",
    "Library",
    "Map",
    "Standing",
    "atlas",
    "difficulty",
    "load",
    "now",
    "rows_sha256",
    "save",
    "suggest",
    "useful",
    "world",
]
