"""The token nearest to a vector by cosine, over a whole vocabulary: exact, but most of the way in half the precision."""

import torch

_CHUNK = 256  # vectors searched at once; a row of a real vocabulary takes 200 kB each
_TIE = 2e-6  # cosines in float32 are off by less


class Nearest:
    """Search among the rows of a table, which is normalised once.

    Where the processor multiplies bfloat16 fast, all rows are first compared in bfloat16. How far such a cosine can be off is
    known (the triangle inequality on the measured rounding errors of the table and of the vector), so rows that are further
    below the best than twice that cannot be the nearest. The few others are compared in float32. The result is that of the
    search in float32.

    Args:
        table: float32 tensor (v, w), not all zero.
        coarse: bool or None, whether to take the two stages; None where it pays.
        exact: int, if not 0: search so many vectors at once, and where two tokens are as near up to rounding take the one
            that the search in float32 takes, whose sums have an order of their own.
    """

    def __init__(self, table, coarse=None, exact=0):
        self.exact = exact
        self.unit = torch.nn.functional.normalize(table.detach(), dim=1)
        if coarse is None:
            coarse = table.numel() >= 1_000_000 and _fast_bfloat16(table.device)
        self.coarse = self.unit.bfloat16() if coarse else None
        if coarse:
            # chunked: a float32 copy of a real table is 100 MB
            parts = zip(self.unit.split(4096), self.coarse.split(4096), strict=True)
            self.off = max(float((exact - rough.float()).norm(dim=1).max()) for exact, rough in parts)

    def find(self, vectors):
        """Numbers int64 (n,) of the rows nearest to vectors (n, w); of equals the first."""
        return torch.cat([self._find(torch.nn.functional.normalize(part, dim=1)) for part in vectors.split(self.exact or _CHUNK)])

    def _find(self, unit):
        if self.coarse is None:
            return (unit @ self.unit.t()).argmax(1)
        rough = unit.bfloat16()
        # (v, n): the large matrix first, which is twice as fast as the other way round
        cosines = torch.mm(self.coarse, rough.t())
        off = (unit - rough.float()).norm(dim=1)
        off = off + (1 + off) * self.off + 1e-4  # the last for sums in float32
        best = cosines.amax(0).float()
        # the result itself is rounded to 8 bits as well
        least = best - 2 * off - 2**-7 * best.abs()
        rows, columns = (cosines >= _down(least)).nonzero(as_tuple=True)
        if len(rows) > 64 * len(unit):  # a crowded table: nothing was gained
            return (unit @ self.unit.t()).argmax(1)
        exact = (self.unit[rows] * unit[columns]).sum(1)
        top = torch.full((len(unit),), -2.0, device=unit.device).scatter_reduce_(0, columns, exact, "amax")
        if self.exact and int((exact > top[columns] - _TIE).sum()) > len(unit):
            return (unit @ self.unit.t()).argmax(1)
        won = exact == top[columns]
        none = torch.full((len(unit),), len(self.unit), device=unit.device)
        return none.scatter_reduce_(0, columns[won], rows[won], "amin")


def _down(x):
    """float32 -> bfloat16, never upwards."""
    out = x.bfloat16()
    return torch.where(out.float() > x, (x - 2**-7 * x.abs() - 1e-6).bfloat16(), out)


def _fast_bfloat16(device):
    """Whether the processor has units for bfloat16 matrices. Without them it is slower than float32; a GPU needs no detour."""
    return device.type == "cpu" and getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
