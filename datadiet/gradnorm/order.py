"""Whether a model keeps its examples in their order: x and g are taken row by row, and a row has to stay whose it was.

The activations of the first and of the last example alone are looked for in the batch. A model that picks rows by an index,
sorts, flips or rolls may move those between; where that is seen to happen, all examples are looked for. Rows move by slices,
products and copies, too: a pass with the examples in another order must put every activation into that order (`Order`).
"""

import torch

from datadiet.errors import InputError
from datadiet.gradnorm.layers import wide

PICKS = {torch.Tensor.__getitem__, torch.index_select, torch.Tensor.index_select}
TURNS = {getattr(place, name) for place in (torch, torch.Tensor)
         for name in ("flip", "roll", "sort", "gather", "take_along_dim", "masked_select")}


def moved(x: torch.Tensor, b: int, lone: torch.Tensor) -> bool:
    """Whether the activation of an example alone lies in another row of x [B, ...] than its own, b.

    Batches of other sizes round otherwise, and half precision much so: another row has to be nearer by far.
    """
    if x.shape[1:] != lone.shape:
        return False
    x, lone = wide(x).reshape(len(x), -1), wide(lone).reshape(-1)
    if not x.is_floating_point():  # tokens
        return bool((x[b] != lone).any() and (x == lone).all(1).any())
    away = (x[b] - lone).norm()
    return bool(away > 0.01 * lone.norm()) and bool((x - lone).norm(dim=1).min() < away / 4)


def may_move(func, args, kwargs, n: int, of_data) -> bool:
    """Whether an operation may put the rows of n examples into another order; of one example, whether it would with more.

    `of_data` tells of a tensor whether it depends on the batch: such an index may be anything, another one has to be as long as
    the batch.
    """
    if func not in TURNS and func not in PICKS:
        return False
    if not args or func in TURNS:
        return not args or n in args[0].shape
    indices = args[1] if len(args) > 1 and isinstance(args[1], tuple) else (*args[1:], *kwargs.values())
    indices = [torch.as_tensor(index) if isinstance(index, list) else index for index in indices]
    picked = [t for t in indices if isinstance(t, torch.Tensor) and t.dim() and (t.shape[0] == n or of_data(t))]
    if n == 1 or any(t.dtype == torch.bool for t in picked):
        return bool(picked)
    in_place = [t for t in picked if t.numel() == n and torch.equal(t.flatten(), torch.arange(n, device=t.device).to(t.dtype))]
    return bool(picked) and not in_place


class Order:
    """Four sums a row of all that layers and operations take in, of a pass in another order and then of the batch as it is.

    In the other order each example stands where the one before it on a path through the batch has stood, the first of the path
    twice. No order but that of the batch itself agrees with such a shift: a model that moves rows by their place, or by what they
    hold, shows it, even where this batch happens to be sorted.
    """

    def __init__(self, n: int):
        path = torch.randperm(n, generator=torch.Generator().manual_seed(n))
        self.rows = torch.empty(n, dtype=torch.int64)
        self.rows[path] = torch.cat([path[:1], path[:-1]])
        self.other, self.weights, self.shifted = {}, {}, True
        self.losses = None  # of that pass

    def turned(self, batch: dict) -> dict:
        return {name: t[self.rows.to(t.device)] for name, t in batch.items()}

    def look(self, key, x: torch.Tensor, where: str):
        """Keeps the sums of a pass in the other order; then raises where a row of the batch has not gone with it.

        Other places in a batch round otherwise: another row has to be nearer by far, as in :func:`moved`.
        """
        here = self._sums(x)
        if self.shifted:
            self.other[key] = here
            return
        there = self.other.get(key)
        if there is None or there.shape != here.shape:
            return
        away, rows = (there - here[self.rows.to(here.device)]).norm(dim=1), self.rows.to(there.device)
        moved = (away > 0.01 * there.norm(dim=1)) & (_nearest(there, here) < away / 4)
        if moved.any():
            raise reordered(int(rows[moved][0]), where)

    def _sums(self, x):
        x = x.detach().reshape(len(x), -1)
        x = wide(x) if x.is_floating_point() else x.float()
        size = x.shape[1], x.dtype, x.device
        if size not in self.weights:
            steps = torch.arange(4 * x.shape[1], dtype=torch.float64).view(4, -1).T
            self.weights[size] = ((steps * 0.6180339887498949).frac() - 0.5).to(x.device, x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            return x @ self.weights[size]


def _nearest(there, here):
    """Distance from each row to the nearest of the other pass, by differences: products would round it."""
    return torch.cdist(there, here, compute_mode="donot_use_mm_for_euclid_dist").amin(1)


def reordered(b: int, where: str) -> InputError:
    return InputError(f"gradnorm: the activation of the example at batch position {b} lies in another row at the input of "
                      f"{where}: the model reorders its batch, or mixes examples; keep examples in their order (a packed "
                      "sequence: enforce_sorted=False) and apart, or use reference_grad_norms.")
