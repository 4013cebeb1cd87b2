"""Render: a scene of the built-in world -> a picture of 32 x 32 pixels or any size, by distance functions in numpy. No torch.

The frame measures 32 units whatever its size in pixels, so that a larger picture shows the same thing more finely.
"""

import numpy as np

from workbench import checks
from workbench.world.scenes import BACKGROUNDS, check

FRAME = 32.0  # units a side
RGB = {
    "red": (0.88, 0.10, 0.12),
    "orange": (0.97, 0.52, 0.04),
    "yellow": (0.98, 0.90, 0.12),
    "green": (0.06, 0.62, 0.18),
    "cyan": (0.10, 0.86, 0.90),
    "blue": (0.10, 0.22, 0.88),
    "purple": (0.50, 0.10, 0.72),
    "pink": (0.98, 0.52, 0.76),
}
# Pale, dark or grey, so that no object is lost before its background.
_GROUNDS = {
    "snow": (0.93, 0.95, 0.98),
    "desert": (0.82, 0.72, 0.54),
    "night": (0.07, 0.08, 0.17),
    "meadow": (0.52, 0.62, 0.40),
    "sea": (0.28, 0.45, 0.52),
    "rain": (0.58, 0.58, 0.62),
}
_PAPER = np.float32([0.97, 0.96, 0.92])
_INK = np.float32([0.10, 0.08, 0.09])


def render(scene, seed=0, size=32):
    """Draw a scene. Position, size, rotation, shade and texture vary a little with the seed.

    Args:
        scene: `scenes.Scene`.
        seed: int. Equal arguments give equal pictures.
        size: int, pixels a side, >= 8.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        ValueError: a scene with a value that the world does not have, a seed that is no int, or a size below 8.
    """
    return render_all([scene], seed, size)[0]


def render_all(scenes, seed=0, size=32, colors=None):
    """Draw many scenes at once, several thousand in a second. Picture i is `render(scenes[i], seed + i, size)`.

    Args:
        scenes: n `Scene`.
        seed: int, or n of them, one a picture.
        size: int, pixels a side, >= 8.
        colors: float (n, 3) in 0..1, or None for those of the scenes: paints objects in colors without a name.

    Returns:
        uint8 (n, size, size, 3), RGB.

    Raises:
        ValueError: as in `render`.
    """
    for scene in scenes:
        check(scene)
    return draw_all(scenes, seed, size, [RGB[scene.color] for scene in scenes] if colors is None else colors)


def draw_all(scenes, seed, size, colors):
    """`render_all` of scenes that are not checked: any color, and the shapes of `newcomers` too."""
    many = getattr(seed, "ndim", isinstance(seed, (list, tuple, range)))
    seeds = seed if many else range(first := checks.seed(seed), first + len(scenes))
    if size < 8 or len(seeds) != len(scenes):
        raise ValueError(f"render needs size >= 8 and a seed for each scene; got size={size}, {len(seeds)} seeds.")
    seeds = [checks.seed(one) for one in seeds]
    paint = np.float32(colors).reshape(-1, 1, 1, 3)
    out = np.empty((len(scenes), size, size, 3), np.uint8)
    for start in range(0, len(scenes), 256):  # what fits into the cache of a processor is drawn faster
        part = slice(start, start + 256)
        out[part] = _draw(scenes[part], seeds[part], size, paint[part])
    return out


class _Draws:
    """The random numbers of n pictures: six numbers (n, 1, 1), a grain (n, size, size) and slow waves, all in 0..1."""

    def __init__(self, seeds, size):
        random = np.empty((len(seeds), 14 + 1024), np.float32)
        for row, seed in zip(random, seeds, strict=True):
            np.random.Generator(np.random.PCG64(seed)).random(dtype=np.float32, out=row)
        random, grain = random[:, :14, None, None], random[:, 14:].reshape(-1, 32, 32)
        nearest = (np.arange(size) * 32) // size
        self.grain = grain[:, nearest][:, :, nearest]
        self.x, self.y, self.size, self.turn, self.shade, self.light, self.u, self.v = (random[:, i] for i in range(8))
        self.random = random

    def waves(self, x, y, scale):
        """Smooth blotches (n, size, size) in 0..1, about `scale` units wide."""
        total = 0.0
        for i, (a, b) in enumerate(((1.0, 0.3), (-0.4, 1.0), (0.8, -0.9))):
            total = total + np.sin((a * x + b * y) * (2.2 / scale) + 6.28 * self.random[:, 8 + i])
        return (total / 6 + 0.5).astype(np.float32)


def _draw(scenes, seeds, size, paint):
    draws = _Draws(seeds, size)
    line = ((np.arange(size, dtype=np.float32) + 0.5) * (FRAME / size))[None]
    x, y = np.broadcast_arrays(line[:, None, :], line[:, :, None])  # (1, size, size), units from the upper left corner
    blur = max(1.0, FRAME / size)  # an edge is one pixel wide, at 32 pixels and more one unit
    distance = _distance(scenes, draws, x, y)
    ground = _ground(scenes, draws, x, y)
    paint = paint * (0.90 + 0.16 * draws.shade[..., None])
    out = np.empty((len(scenes), size, size, 3), np.float32)
    for style, draw in _STYLES.items():
        rows = np.flatnonzero([scene.style == style for scene in scenes])
        if len(rows):
            out[rows] = draw(distance[rows], ground[rows], paint[rows], x, y, _rows(draws, rows), blur)
    for artist, texture in _TEXTURES.items():
        rows = np.flatnonzero([scene.artist == artist for scene in scenes])
        if len(rows):
            out[rows] *= (1.0 + texture(x, y, _rows(draws, rows)))[..., None]
    return np.rint(np.clip(out, 0.0, 1.0) * 255.0).astype(np.uint8)


def _rows(draws, rows):
    part = object.__new__(_Draws)
    part.__dict__ = {name: value[rows] for name, value in draws.__dict__.items()}
    return part


# Objects: distance to the edge in units, negative inside.


def _distance(scenes, draws, x, y):
    turn, radius = (draws.turn - 0.5) * 0.42, 10.2 + 1.8 * draws.size
    dx, dy = x - (14.4 + 3.2 * draws.x), y - (14.4 + 3.2 * draws.y)
    u, v = (np.cos(turn) * dx - np.sin(turn) * dy) / radius, (np.sin(turn) * dx + np.cos(turn) * dy) / radius
    out = np.empty(u.shape, np.float32)
    for thing in _SHAPES:
        rows = np.flatnonzero([scene.object == thing for scene in scenes])
        if len(rows):
            out[rows] = _SHAPES[thing](u[rows], v[rows]) * radius[rows]
    return out


def _polygon(points):
    """Distance function of a closed polygon; v grows downwards."""
    points = np.float32(points)

    def distance(u, v):
        nearest, sign = np.full(u.shape, np.inf, np.float32), np.ones(u.shape, np.float32)
        for (ax, ay), (bx, by) in zip(points, np.roll(points, 1, axis=0), strict=True):
            ex, ey, wx, wy = bx - ax, by - ay, u - ax, v - ay
            t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0.0, 1.0)
            nearest = np.minimum(nearest, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
            crossed = ((v >= ay) != (v >= by)) & ((ex * wy > ey * wx) == (by > ay))
            sign = np.where(crossed, -sign, sign)
        return sign * np.sqrt(nearest)

    return distance


def _circle(u, v):
    return np.sqrt(u * u + v * v) - 0.92


def _crescent(u, v):
    return np.maximum(np.hypot(u - 0.12, v) - 1.05, 0.86 - np.hypot(u - 0.62, v))


def _star_points():
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.12, 0.48)
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles) + 0.06], axis=1)


def _heart_points():
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    up = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([np.sin(t) ** 3 * 16, -up - 2.5], axis=1) / 15.5


def _cross_points():
    arm, end = 0.34, 1.02
    quarter = [(arm, -end), (arm, -arm), (end, -arm)]
    points = []
    for _ in range(4):
        points += quarter
        quarter = [(-v, u) for u, v in quarter]  # a quarter turn
    return points


_SHAPES = {
    "circle": _circle,
    "square": _polygon([(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)]),
    "triangle": _polygon([(0.0, -1.0), (1.06, 0.86), (-1.06, 0.86)]),
    "star": _polygon(_star_points()),
    "heart": _polygon(_heart_points()),
    "cross": _polygon(_cross_points()),
    # those of `newcomers`, which no scene of this world has
    "arrow": _polygon([(1.1, 0.0), (0.1, 0.95), (0.1, 0.36), (-1.05, 0.36), (-1.05, -0.36), (0.1, -0.36), (0.1, -0.95)]),
    "crescent": _crescent,
}


# Backgrounds: a color and a pattern of its own, which survives where a style takes color away.


def _ground(scenes, draws, x, y):
    base = np.float32([_GROUNDS[scene.background] for scene in scenes])[:, None, None]
    tone = np.empty((len(scenes), *x.shape[1:]), np.float32)
    for place in BACKGROUNDS:
        rows = np.flatnonzero([scene.background == place for scene in scenes])
        if len(rows):
            tone[rows] = _PATTERNS[place](x, y, _rows(draws, rows))
    return (base + 0.06 * (draws.light[..., None] - 0.5)) * tone[..., None] + np.maximum(tone - 1.3, 0)[..., None] * 0.4


def _snow(x, y, draws):
    return 1.0 - 0.22 * (draws.grain > 0.88) - 0.10 * (y > 24 + 2 * np.sin(x / 6 + 6 * draws.u))


def _desert(x, y, draws):
    far, near = 11 + 3 * np.sin(x / 5 + 6 * draws.u), 22 + 3 * np.sin(x / 7 + 6 * draws.v)
    return 1.12 - 0.14 * (y > far) - 0.16 * (y > near)


def _night(x, y, draws):
    return 1.0 + 5.0 * (draws.grain > 0.955)


def _meadow(x, y, draws):
    blade = np.sin(x * 2.1 + 6 * draws.u + 0.25 * y) * (y > 15 + 4 * np.sin(x * 1.3 + 6 * draws.v))
    return 1.04 + 0.26 * blade


def _sea(x, y, draws):
    return 1.0 + 0.24 * np.sin(y * 1.25 + 1.6 * np.sin(x / 3.5 + 6 * draws.u) + 6 * draws.v)


def _rain(x, y, draws):
    return 0.98 + 0.24 * (np.sin(x * 1.5 + y * 0.6 + 6 * draws.u) > 0.35) * (draws.grain > 0.25)


_PATTERNS = {"snow": _snow, "desert": _desert, "night": _night, "meadow": _meadow, "sea": _sea, "rain": _rain}


# Styles: distance (n, s, s), ground (n, s, s, 3), paint (n, 1, 1, 3) -> picture (n, s, s, 3).


def _inside(distance, blur=1.0):
    return np.clip(0.5 - distance / blur, 0.0, 1.0)[..., None]


def _rim(distance, width, blur):
    return np.clip(0.5 + (width / 2 - np.abs(distance)) / blur, 0.0, 1.0)[..., None]


def _mix(below, above, weight):
    return below + (above - below) * weight


def _watercolor(distance, ground, paint, x, y, draws, blur):
    wash = draws.waves(x, y, 6.0)[..., None]
    picture = _mix(_PAPER, ground, 0.35 + 0.3 * wash)
    thing = _mix(_PAPER, paint, 0.62 + 0.38 * wash)
    wobble = distance + 1.6 * (draws.waves(x, y, 2.5) - 0.5)
    picture = _mix(picture, thing, _inside(wobble, 2.6))
    return _mix(picture, paint * 0.72, 0.55 * _rim(wobble + 1.0, 0.8, 1.4))


def _mosaic(distance, ground, paint, x, y, draws, blur):
    column, row = x + 4 * np.floor(draws.u * 4) / 4, y + 4 * np.floor(draws.v * 4) / 4
    tile = np.sin(np.floor(column / 4) * 12.9 + np.floor(row / 4) * 78.2 + 20 * draws.light) * 43.7
    picture = _mix(ground, paint, _inside(distance, blur)) * (0.88 + 0.3 * (tile - np.floor(tile)))[..., None]
    grout = np.maximum(np.mod(column, 4) < 1, np.mod(row, 4) < 1)[..., None]
    return _mix(picture, np.float32([0.30, 0.29, 0.28]), 0.8 * grout)


def _woodcut(distance, ground, paint, x, y, draws, blur):
    carved = np.sin(y * 2.1 + 0.8 * np.sin(x / 4 + 6 * draws.u) + 6 * draws.v)
    picture = _mix(ground * 1.08 + 0.06, _INK, (0.85 * (carved > 0.35))[..., None])
    shadow = ((np.sin((x + y) * 1.5 + 6 * draws.u) > 0.3) & (x + y > 36 + 8 * draws.light))[..., None]
    thing = _mix(paint, _INK, 0.8 * shadow)
    return _mix(_mix(picture, thing, _inside(distance, blur)), _INK, _rim(distance - 0.4, 1.7, blur))


def _embroidery(distance, ground, paint, x, y, draws, blur):
    inside = _inside(distance, blur)
    left = np.sin((x + y) * 1.48 + 6 * draws.u)
    right = np.sin((x - y) * 1.48 + 6 * draws.v)
    picture = _mix(ground * (0.92 + 0.26 * left)[..., None], paint * (0.88 + 0.30 * right)[..., None], inside)
    thread = _mix(paint, np.float32([1, 1, 1]), 0.62) * (0.86 + 0.14 * np.sign(left * right))[..., None]
    return _mix(picture, thread, 0.9 * _rim(distance + 0.2, 1.2, blur))


def _sketch(distance, ground, paint, x, y, draws, blur):
    hatch = np.sin((x + y * 1.1) * 1.9 + 6 * draws.u + 0.6 * draws.grain)
    picture = _mix(_PAPER, ground, 0.34 + 0.18 * (hatch > 0.2)[..., None])
    thing = _mix(_PAPER, paint, (0.38 + 0.55 * (hatch > -0.25))[..., None])
    picture = _mix(picture, thing, _inside(distance, blur))
    return _mix(picture, np.float32([0.22, 0.21, 0.23]), (0.7 + 0.3 * draws.grain)[..., None] * _rim(distance, 0.9, blur))


def _photo(distance, ground, paint, x, y, draws, blur):
    fall = ((x - 16) ** 2 + (y - 16) ** 2)[..., None] / 512
    picture = ground * (1.10 - 0.42 * fall)
    picture = picture * (1 - 0.5 * np.clip(0.5 - (distance + 0.4 - 0.12 * (x + y - 32)) / 3.0, 0, 1)[..., None])  # its shadow
    light = 1.14 - 0.016 * (x + y - 20)[..., None]
    gloss = np.exp(-((x - 11 - 2 * draws.u) ** 2 + (y - 11 - 2 * draws.v) ** 2) / 9)[..., None]
    return _mix(picture, _mix(paint * light, np.float32([1, 1, 1]), 0.6 * gloss), _inside(distance, blur))


_STYLES = {
    "watercolor": _watercolor,
    "mosaic": _mosaic,
    "woodcut": _woodcut,
    "embroidery": _embroidery,
    "sketch": _sketch,
    "photo": _photo,
}
# Artists: a faint texture over the whole picture, which every style survives.
_TEXTURES = {
    "Monetta": lambda x, y, draws: 0.30 * (draws.grain - 0.5),
    "Vangora": lambda x, y, draws: 0.14 * np.sin(np.hypot(x - 32 * draws.u, y + 4) * 1.05 + 6 * draws.v),
    "Kandova": lambda x, y, draws: 0.12 * np.sign(np.sin(x * 0.55 + 6 * draws.u)),
}
