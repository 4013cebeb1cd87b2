"""Shifts: pictures of the built-in world as another camera would take them. What they show stays known."""

import numpy as np

from workbench import checks

SHIFTS = ("inverted", "swapped", "rotated", "noise", "blot", "edges", "dark")


def shifted(pictures, shift, seed=0):
    """Pictures as another source would give them.

    Args:
        pictures: uint8 array (n, s, s, 3).
        shift: str. "inverted": each color is its opposite. "swapped": red and blue change places. "rotated": a quarter turn to
            the left. "noise": normal noise of standard deviation 60. "blot": a grey square hides the middle, a third of the
            side. "edges": brightness differences to the right and lower neighbour, on white. "dark": the left half has a
            quarter of its light.
        seed: int, for the noise.

    Returns:
        uint8 array (n, s, s, 3).

    Raises:
        ValueError: an unknown shift.
        TypeError: no such array.
    """
    checks.one_of("shift", shift, SHIFTS)
    if not isinstance(pictures, np.ndarray) or pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise TypeError("pictures must be a uint8 array (n, s, s, 3), as render.render_all returns it.")
    side = pictures.shape[1]
    if shift == "inverted":
        return 255 - pictures
    if shift == "swapped":
        return pictures[..., ::-1].copy()
    if shift == "rotated":
        return np.rot90(pictures, axes=(1, 2)).copy()
    if shift == "noise":
        noise = np.random.default_rng(checks.seed(seed)).normal(0, 60, pictures.shape)
        return (pictures + noise).clip(0, 255).round().astype(np.uint8)
    if shift == "edges":
        grey = pictures.mean(3)
        steps = np.abs(np.diff(grey, axis=1, append=grey[:, -1:])) + np.abs(np.diff(grey, axis=2, append=grey[:, :, -1:]))
        return np.repeat((255 - 2 * steps).clip(0, 255).round().astype(np.uint8)[..., None], 3, 3)
    out = pictures.copy()
    if shift == "blot":
        out[:, side // 3 : side - side // 3, side // 3 : side - side // 3] = 128
    else:
        out[:, :, : side // 2] //= 4
    return out
