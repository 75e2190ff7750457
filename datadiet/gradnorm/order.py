"""Whether a model keeps its examples in their order: x and g are taken row by row, and a row has to stay whose it was.

The activations of the first and of the last example alone are looked for in the batch. A model that picks rows by an index,
sorts, flips or rolls may move those between; where that is seen to happen, all examples are looked for.
"""

import torch

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
