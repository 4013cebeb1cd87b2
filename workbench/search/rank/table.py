"""Tables: features of many phrases computed once and kept, so that ranking them for a picture takes a moment."""

import numpy as np
import torch

from workbench import artifacts, checks
from workbench.models.clip import target_of
from workbench.models.text_tower import phrase_features
from workbench.search.rank.ranking import best_first
from workbench.values import ArtifactError

_KIND = "phrase-table"
_ROWS = 16_384  # rows made float32 at a time
_CHECKED = 16  # phrases encoded again when a table is loaded


class PhraseTable:
    """Phrases and where they lie, alone or behind one prefix.

    Attributes:
        clip: `models.CLIP`.
        phrases: tuple of n str.
        prefix: str.
        features: float16 (n, d), L2 norm 1: 2 n d bytes in memory and on disk, 103 MB for 100,970 phrases of a CLIP 512 wide.
    """

    def __init__(self, clip, phrases, prefix=""):
        self.clip, self.prefix = clip, prefix
        self.phrases = tuple(checks.texts(phrases, "phrases"))
        self.features = phrase_features(clip, self.phrases, prefix).cpu().numpy().astype(np.float16)

    def __repr__(self):
        size = self.features.nbytes / 1e6
        return f"PhraseTable({len(self.phrases)} phrases, clip={self.clip.name!r}, prefix={self.prefix!r}, {size:.1f} MB)"

    def rank(self, image, top=None):
        """Rank the phrases by their similarity to a picture.

        Args:
            image: as in `rank_phrases`.
            top: int, how many to return; None is all. The last ones of all are the least fitting.

        Returns:
            list of `Ranked`, the best first. Similarities are within .001 of the exact ones.

        Raises:
            ValueError, PictureError: as in `rank_phrases`.
        """
        if top is not None:
            checks.whole("top", top)
        target = target_of(self.clip, image).cpu()
        blocks = [torch.from_numpy(self.features[i : i + _ROWS]).float() @ target for i in range(0, len(self.phrases), _ROWS)]
        return best_first(self.phrases, torch.cat(blocks), top)

    def save(self, folder):
        """Write the table to a folder: config.json and safetensors. The CLIP is named, not stored.

        Raises:
            ArtifactError: the folder holds something else, or the disk is full.
        """
        config = {"clip": self.clip.name, "prefix": self.prefix, "phrases": list(self.phrases)}
        artifacts.save(folder, _KIND, config, {"features": self.features})

    @classmethod
    def load(cls, folder, clip):
        """Read a table that `save` wrote. A few phrases are encoded again to see that it belongs to this CLIP.

        Args:
            folder: str or Path.
            clip: the `models.CLIP` it was made with.

        Raises:
            ArtifactError: no such folder, damaged, of a newer format, or made with another CLIP.
        """
        config, tensors = artifacts.load(folder, _KIND)
        try:
            table = cls.__new__(cls)
            table.clip, table.prefix, table.phrases = clip, config["prefix"], tuple(config["phrases"])
            table.features = tensors["features"]
            whole = table.features.ndim == 2 and len(table.features) == len(table.phrases) > 0
        except (KeyError, TypeError) as err:
            raise ArtifactError(f"{folder} is damaged: its config.json holds no whole table ({err!r}). Make it again.") from err
        if not whole:
            raise ArtifactError(f"{folder} is damaged: {len(table.phrases)} phrases, features {table.features.shape}.")
        rows = np.linspace(0, len(table.phrases) - 1, _CHECKED).astype(int)
        again = phrase_features(clip, [table.phrases[i] for i in rows], table.prefix).cpu().numpy()
        kept = table.features[rows].astype(np.float32)
        if again.shape != kept.shape or np.abs(again - kept).max() > 0.01:
            raise ArtifactError(
                f"The table in {folder} was made with {config['clip']!r} and does not belong to {clip.name!r}: the same phrases "
                "lie elsewhere. Load that CLIP, or make the table again."
            )
        return table
