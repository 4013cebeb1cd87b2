"""Labels: words on a map without covering each other."""

import numpy as np

_GAP = 2  # pixels between two labels
_ROUNDS = 400
_FILLERS = 48  # with more words than that a map reads as a page


def centres(xy, codes, k):
    """Find a place for the name of each code: the filler in the middle of the code's fillers; outliers count little.

    Args:
        xy: float (n, 2).
        codes: int (n,), 0..k-1.
        k: int.

    Returns:
        float64 (k, 2); NaN for a code without fillers. Each place is that of a filler of the code, so that the name of a
        code in two clouds does not stand between them.
    """
    found = np.full((k, 2), np.nan)
    for code in range(k):
        own = np.asarray(xy, dtype=np.float64)[codes == code]
        if len(own):
            # the filler with the smallest sum of distances; 400 are enough to find it
            some = own[:: -(-len(own) // 400)]
            found[code] = some[np.linalg.norm(some[:, None] - some[None], axis=2).sum(axis=1).argmin()]
    return found


def spread(ax, texts, clouds):
    """Move the texts of an axes apart until none covers another; a thin line leads back to where a text came from.

    A text that would hide all of its cloud starts above it.

    Args:
        ax: matplotlib Axes with its limits set.
        texts: list of m matplotlib Text in data coordinates, centred on their place.
        clouds: list of m float (?, 2), the points that each text names, in data coordinates.

    Returns:
        float (m, 4), the boxes taken, in pixels: left, bottom, right, top.
    """
    ax.figure.draw_without_rendering()  # layout first, otherwise the boxes are those of another layout
    boxes = np.array([text.get_window_extent().extents for text in texts]).reshape(-1, 4) + np.array([-1, -1, 1, 1]) * _GAP / 2
    frame = ax.get_window_extent().extents
    lifts = [_lift(ax, box, cloud) for box, cloud in zip(boxes, clouds, strict=True)]
    moved = boxes + np.outer(lifts, [0, 1, 0, 1])
    for _ in range(_ROUNDS):
        push = _pushes(moved)
        if not push.any():
            break
        moved[:, :2] += push
        moved[:, 2:] += push
        moved += np.tile(np.maximum(frame[:2] - moved[:, :2], 0) - np.maximum(moved[:, 2:] - frame[2:], 0), (1, 2))
    for text, before, after in zip(texts, boxes, moved, strict=True):
        shift = (after - before)[:2]
        if np.abs(shift).max() < 0.5:
            continue
        origin = ax.transData.transform(text.get_position())
        text.set_position(ax.transData.inverted().transform(origin + shift))
        if np.abs(shift).max() > 2 * (after[3] - after[1]):
            line = ax.transData.inverted().transform([origin, np.clip(origin, after[:2], after[2:])])
            ax.plot(*line.T, color="#1a1a1a", linewidth=0.7, zorder=4, solid_capstyle="round")
    return moved


def free_rows(ax, xy, texts, codes, taken):
    """Choose fillers to write on the map where nothing is written yet, of each code the first that find room.

    Args:
        ax: matplotlib Axes, laid out.
        xy: float (n, 2).
        texts: n str, as they will be drawn above their point in 8 point type.
        codes: int (n,); rows of a code come with the fillers to prefer, the frequent ones, first.
        taken: float (m, 4), boxes in pixels that are taken.

    Yields:
        (row, text).
    """
    scale = ax.figure.dpi / 72
    frame = ax.get_window_extent().extents
    pixels = ax.transData.transform(xy)
    boxes = np.asarray(taken).reshape(-1, 4)
    seen, left = set(), _FILLERS
    quota = {code: max(1, _FILLERS // max(len(np.unique(codes)), 1)) for code in np.unique(codes)}
    for row in _by_turns(codes):
        text = texts[row]
        if not left or not text or text in seen or not quota[codes[row]]:
            continue
        width, height = 4.9 * scale * len(text), 11 * scale
        x, y = pixels[row] + (0, 3 * scale)
        box = np.array([x - width / 2, y, x + width / 2, y + height])
        inside = (box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all()
        if inside and not ((box[:2] < boxes[:, 2:]) & (boxes[:, :2] < box[2:])).all(axis=1).any():
            boxes = np.vstack([boxes, box])
            seen.add(text)
            quota[codes[row]] -= 1
            left -= 1
            yield row, text


def _by_turns(codes):
    """Rows such that each code has its turn: the first row of every code, then the second of every code, and so on."""
    by_code = np.argsort(codes, kind="stable")
    counts = np.unique(codes, return_counts=True)[1]
    turn = np.empty(len(codes), np.int64)
    turn[by_code] = np.concatenate([np.arange(count) for count in counts])
    return np.argsort(turn, kind="stable")


def _lift(ax, box, cloud):
    """Pixels by which a text must rise to leave its cloud visible; 0 when the cloud is higher than three lines."""
    middle, height, width = (box[:2] + box[2:]) / 2, box[3] - box[1], box[2] - box[0]
    pixels = ax.transData.transform(cloud)
    near = pixels[(np.abs(pixels - middle) < [width, 3 * height]).all(axis=1)][:, 1]
    low, high = np.quantile(near, [0.05, 0.95]) if len(near) else (middle[1], middle[1])
    return 0.0 if high - low > 3 * height else high - middle[1] + height * 0.85


def _pushes(boxes):
    """Half the way out of each overlap, along the shorter way; (m, 2) pixels."""
    depth = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])  # (m, m, 2)
    hit = (depth > 0).all(axis=2)
    np.fill_diagonal(hit, False)
    if not hit.any():
        return np.zeros((len(boxes), 2))
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = np.sign(middle[:, None] - middle[None])
    number = np.arange(len(boxes))
    # equal middles: the later one goes up
    away = np.where(away == 0, np.sign(number[:, None] - number[None])[..., None], away)
    short = np.stack([depth[..., 0] < depth[..., 1], depth[..., 0] >= depth[..., 1]], axis=2)
    return (away * short * (depth / 2 + 0.5) * hit[..., None]).sum(axis=1)
