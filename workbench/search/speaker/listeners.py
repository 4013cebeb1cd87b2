"""Listeners: CLIPs that pick the picture a text means, some of which do not see all."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from PIL import ImageFilter

from workbench import checks
from workbench.models.clip import CLIP
from workbench.models.text_tower import phrase_features
from workbench.pictures import as_pictures

SIGHTS = ("all", "grey", "blurred")
_RADIUS = 6 / 32  # of the blur, in sides of a picture: shapes of the built-in world are gone, colors stay


@dataclass(frozen=True, eq=False)
class Listener:
    """A CLIP that hears a text and picks the picture of a game whose features are nearest.

    Attributes:
        clip: `models.CLIP`.
        sight: str. "all": it sees the pictures; "grey": without colors; "blurred": without shapes.

    Raises:
        ValueError: another sight.

    Source:
        Listeners that see differently: Singh et al., "Know your audience", arXiv:2206.08349, section 3.
    """

    clip: CLIP
    sight: str = "all"

    def __post_init__(self):
        checks.one_of("sight", self.sight, SIGHTS)

    def sees(self, pictures):
        """What it sees of pictures (see `pictures.as_pictures`): list of n PIL images."""
        pictures = as_pictures(pictures)
        if self.sight == "grey":
            return [picture.convert("L").convert("RGB") for picture in pictures]
        if self.sight == "blurred":
            return [picture.filter(ImageFilter.GaussianBlur(_RADIUS * min(picture.size))) for picture in pictures]
        return pictures

    def look(self, pictures):
        """Features of what it sees: float32 tensor (n, d), L2 norm 1."""
        return self.clip.image_features(self.sees(pictures))


class Games:
    """Games with pictures: a text is right for a listener that picks the first picture of its game.

    Args:
        pictures: n pictures, see `pictures.as_pictures`.
        rows: array-like (g, m) int, the pictures of each game by their numbers, m >= 2; the first is the one to be found.

    Attributes:
        rows: int64 array (g, m).
        targets: list of g PIL images, the first pictures.
        digest: str, sha256 of all pictures and rows.

    Raises:
        ValueError: no games, games of one picture or whose first picture comes again, or a number out of range.
        PictureError: one of them is not a picture.
    """

    def __init__(self, pictures, rows):
        self.rows, self._pictures, self._seen = np.asarray(rows, np.int64), as_pictures(pictures), {}
        self._heard = (None, [], None)
        if self.rows.ndim != 2 or not len(self.rows) or self.rows.shape[1] < 2:
            raise ValueError(f"Games are rows of 2 pictures or more, all of one length; got shape {self.rows.shape}.")
        if self.rows.min() < 0 or self.rows.max() >= len(self._pictures):
            raise ValueError(f"Games name pictures 0 to {len(self._pictures) - 1}, got {self.rows.min()} to {self.rows.max()}.")
        if (again := (self.rows[:, 1:] == self.rows[:, :1]).any(1)).any():
            raise ValueError(f"The first picture of game {int(again.argmax())} is among its others too: no text tells which.")
        self.targets = [self._pictures[row] for row in self.rows[:, 0]]
        digest = hashlib.sha256(self.rows.tobytes())
        for picture in self._pictures:
            digest.update(np.asarray(picture.convert("RGB")).tobytes())
        self.digest = digest.hexdigest()

    def __len__(self):
        return len(self.rows)

    def eyes(self, clip):
        """Features of the pictures to be found, as a speaker with this CLIP sees them: float32 tensor (g, d)."""
        return self._features(Listener(clip))[torch.from_numpy(self.rows[:, 0])]

    def picks(self, listener, texts, rows=None):
        """Which picture a listener picks for texts.

        Args:
            listener: `Listener`.
            texts: list of n str.
            rows: list of n int, the games they are about; None: text i is about game i.

        Returns:
            int64 array (n,), 0 where it is right.

        Raises:
            ValueError: other numbers of texts and of games.
        """
        rows = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        if len(texts) != len(rows):
            raise ValueError(f"There are {len(texts)} texts for {len(rows)} games.")
        different = list(dict.fromkeys(texts))
        place = {text: i for i, text in enumerate(different)}
        heard = self._words(listener.clip, different)[[place[text] for text in texts]]
        seen = self._features(listener)[torch.from_numpy(self.rows[rows])]
        return torch.einsum("nd,nmd->nm", heard, seen).argmax(1).cpu().numpy()

    def reward(self, friend, rival, texts, rows=None):
        """Friend right less rival right, float64 (n,); without a rival, friend right. Arguments as of `picks`."""
        found = (self.picks(friend, texts, rows) == 0).astype(np.float64)
        return found if rival is None else found - (self.picks(rival, texts, rows) == 0)

    def ceiling(self, friend, rival, captions):
        """The best that can be said, by trying all captions.

        Args:
            friend: `Listener` that should understand.
            rival: `Listener` that should not, or None.
            captions: list of c str.

        Returns:
            (rewards (g,) of the best caption of each game, list of g str, these captions; of equals the first).
        """
        captions = checks.texts(captions, "captions")
        found = self._right(friend, captions) - (0 if rival is None else self._right(rival, captions))
        best = found.argmax(1)
        return found[np.arange(len(self)), best], [captions[i] for i in best]

    def _right(self, listener, captions):
        """Whether each caption is right in each game: float64 (g, c)."""
        cosines = (self._features(listener) @ phrase_features(listener.clip, captions).T).cpu().numpy()
        return np.stack([cosines[game].argmax(0) == 0 for game in self.rows]).astype(np.float64)

    def _words(self, clip, texts):
        """Features of texts; friend and rival hear the same ones."""
        if self._heard[:2] != (id(clip), texts):
            self._heard = (id(clip), texts, phrase_features(clip, texts))
        return self._heard[2]

    def _features(self, listener):
        """What a listener sees of all pictures: float32 (n, d), computed once."""
        key = (id(listener.clip), listener.sight)
        if key not in self._seen:
            self._seen[key] = (listener.clip, listener.look(self._pictures))
        return self._seen[key][1]
