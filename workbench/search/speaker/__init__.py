"""A speaker that must be understood by one listener, and not by another one: what it says depends on who listens.

A speaker is a small adapter between a frozen CLIP, its eyes, and a frozen language model, its voice. `learn` teaches it to
describe pictures from examples; `play` then lets it play `Games` before a friend and a rival, CLIPs that may be blind to colors
or shapes (`Listener`), and it keeps what only the friend understands. `Games.ceiling` tries all captions: the best there is.

Source:
    Singh, Ding, Saxe, Hill and Lampinen, "Know your audience: specializing grounded language models with listener subtraction",
    EACL 2023, arXiv:2206.08349. The game is that of Dixit.
"""

from workbench.search.speaker.config import SpeakerConfig
from workbench.search.speaker.listeners import SIGHTS, Games, Listener
from workbench.search.speaker.speaking import Speaker, learn, play

__all__ = ["SIGHTS", "Games", "Listener", "Speaker", "SpeakerConfig", "learn", "play"]
