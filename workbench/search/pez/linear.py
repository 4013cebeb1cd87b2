"""Frozen linear maps, forwards and back to the input, with the weights packed once for the processor where that is possible."""

import torch

PACKED_MOST = 600_000_000  # bytes of weights; packing holds them twice more


class Linear:
    """`x W^T + b` with frozen weights: `forward`, and `backward` from the gradient of the output to that of the input.

    A multiplication on the CPU first brings the weights into the order in which the processor reads them. For the few rows of a
    prompt that costs a third of the time, and the weights never change: it is done once here, for batches of `rows` rows.
    Other batches, other processors and reduced precision take the ordinary way; the results are equal up to rounding.

    Args:
        weight: tensor (out, in).
        bias: tensor (out,) or None.
        rows: int, rows of a batch to prepare for; 0 prepares nothing.
    """

    def __init__(self, weight, bias, rows=0):
        self.weight, self.bias, self.rows = weight.detach().contiguous(), bias, 0
        if rows and can_pack(weight):
            self.there, self.back = packed(self.weight, bias, rows), packed(self.weight.t(), None, rows)
            self.rows = rows

    def forward(self, x):
        """Map x (rows, in) to (rows, out)."""
        if len(x) == self.rows:
            return self.there(x)
        return torch.nn.functional.linear(x, self.weight, self.bias)

    def backward(self, gradient):
        """Gradient (rows, out) of the output to gradient (rows, in) of the input."""
        if len(gradient) == self.rows:
            return self.back(gradient)
        return gradient @ self.weight


def packed(weight, bias, rows):
    """A function of x (rows, in) that gives x W^T + b, with the frozen `weight` (out, in) packed for so many rows."""
    order = torch.ops.mkl._mkl_reorder_linear_weight(weight.contiguous(), rows)
    return lambda x: torch.ops.mkl._mkl_linear(x, order, weight, bias, rows)


def can_pack(weight):
    """Whether this build of torch offers packed weights for this tensor."""
    # Private operators, those that torch.compile uses when weights are frozen: without them all works, only slower.
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkl.is_available()
        and hasattr(torch.ops.mkl, "_mkl_linear")
        and hasattr(torch.ops.mkl, "_mkl_reorder_linear_weight")
    )
