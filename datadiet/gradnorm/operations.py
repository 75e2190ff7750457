"""Parameters that no layer's rule covers, caught at the operation where they meet the examples.

Every module computes by operations of torch, whoever wrote it, and a parameter w enters such an operation either as it is, or
after steps that no example takes part in (``1 + w``, the transpose of w, a table of positions sent through a layer). A watch
over all operations finds both: steps without an example go on a tape, and the first operation y = f(w, x) in which examples
take part is caught. The gradient of one example in w follows from its x and its gradient g at y, through f alone; what is left
of the way, from w's steps to the parameter, is gone back on the tape for each example.

One example alone shows which axis of a tensor holds the examples: the one that is B times as long in a batch of B.
"""

import types
from collections import Counter

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten
from torch.utils.weak import WeakIdKeyDictionary

from datadiet.gradnorm.order import may_move
from datadiet.gradnorm.use import Again, Seen, Shape, Use, Where, is_shape

RESHAPES = {torch.Tensor.view, torch.Tensor.reshape, torch.Tensor.flatten, torch.reshape, torch.flatten}
POINTWISE = {"tanh", "relu", "gelu", "silu", "sigmoid", "dropout", "contiguous", "to", "float", "double", "clone"}
ADDS_IN_PLACE = {torch.Tensor.add_, torch.Tensor.__iadd__}

RECURRENT = {torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu}


def _in_steps(function):
    """A copy of a function of torch that a watch takes for one operation, whose own operations can be watched instead."""
    copy = types.FunctionType(function.__code__, {**function.__globals__, "has_torch_function": lambda tensors: False},
                              function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


attention, backward = _in_steps(F.multi_head_attention_forward), _in_steps(torch.autograd.grad)


class Watch(TorchFunctionMode):
    """Sees all operations of a pass: of one example alone (`known` None), whose record is `found`, or of the batch."""

    def __init__(self, catch, batch, n, known=None):
        super().__init__()
        self.catch, self.parameters, self.n, self.known = catch, catch.parameters, n, known
        self.numbers = {id(p): i for i, p in enumerate(self.parameters)}
        self.steps = {}  # id of a tensor made of parameters alone -> (the tensor, its key)
        self.data = WeakIdKeyDictionary()  # tensors made of the batch, as far as autograd does not show it
        self.data.update((t, True) for t in batch.values())
        self.origins = WeakIdKeyDictionary()  # reshaped tensor -> how
        self.found, self.calls, self.tape = {}, Counter(), []
        self.may_move = False  # whether rows of examples may have come into another order by now
        self.done = {}  # operation with what enters it -> whether it was caught
        self.inside = 0  # operations that lie in a layer with a rule

    @property
    def outside(self) -> bool:
        """Whether a parameter enters an operation outside of the layers with a rule."""
        return len(self.found) > self.inside

    # What a tensor is ------------------------------------------------------------------------------------------------
    def key(self, t):
        """Name of a parameter, or of a step from parameters alone; None for all else."""
        number = self.numbers.get(id(t))
        if number is not None:
            return ("parameter", number) if t.requires_grad else None
        step = self.steps.get(id(t))
        return step and step[1]

    def of_data(self, t):
        return t in self.data or (t.requires_grad and self.key(t) is None)

    def shape(self, t):
        origin = self.origins.get(t)
        return Shape(t.shape, origin and origin[0])

    def where(self, t, alone: Shape):
        """Where a tensor of the batch has its examples; None: nowhere. Raises LookupError if that cannot be told."""
        axes = [k for k, (one, all_) in enumerate(zip(alone.shape, t.shape, strict=False)) if one != all_]
        if len(alone.shape) != t.dim() or len(axes) > 1:
            raise LookupError
        if not axes:
            return None
        (axis,) = axes
        if t.shape[axis] != self.n * alone.shape[axis]:
            raise LookupError
        if alone.shape[axis] == 1:
            return Where(axis)
        origin = self.origins.get(t)
        if origin is None or alone.before is None or len(alone.before) != len(origin[0]):
            raise LookupError
        whose = [k for k, (one, all_) in enumerate(zip(alone.before, origin[0], strict=True)) if one != all_]
        if len(whose) != 1 or alone.before[whose[0]] != 1 or origin[0][whose[0]] != self.n:
            raise LookupError
        labels = torch.arange(self.n).view([-1 if k == whose[0] else 1 for k in range(len(origin[0]))]).expand(origin[0])
        labels = origin[1](labels.clone(), *origin[2], **origin[3])
        labels = labels.movedim(axis, 0).reshape(t.shape[axis], -1)
        for inner in (False, True):
            rows = torch.arange(self.n)
            rows = rows.repeat(alone.shape[axis]) if inner else rows.repeat_interleave(alone.shape[axis])
            if bool((labels == rows[:, None]).all()):
                return Where(axis, inner)
        raise LookupError

    # What is done -----------------------------------------------------------------------------------------------------
    def __torch_function__(self, func, kinds, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            with self:
                return attention(*args, **kwargs)
        if func in RECURRENT and (out := self.catch.unrolled(self, func, args)) is not None:
            return out
        if torch.is_grad_enabled() and any(self.key(t) is not None for t in _tensors(args, kwargs)):
            return self._keyed(func, args, kwargs)
        return self._plain(func, args, kwargs)

    def _plain(self, func, args, kwargs):
        out = func(*args, **kwargs)
        if may_move(func, args, kwargs, self.n, self.of_data) and not self.catch.going_back and (
                not args or self.of_data(args[0])):
            self.may_move = True
            if not (self.known is None or self.catch.all_seen):
                raise Again("order")
        if isinstance(out, torch.Tensor):
            if func in RESHAPES and args[0] is not out:
                self.origins[out] = (args[0].shape, func, args[1:], kwargs)
            elif getattr(func, "__name__", "") in POINTWISE and (origin := self.origins.get(args[0])) and (
                    out.shape == args[0].shape):
                self.origins[out] = origin
            if not out.requires_grad and any(self.of_data(t) for t in _tensors(args, kwargs)):
                self.data[out] = True
        elif isinstance(out, (tuple, list)) and any(self.of_data(t) for t in _tensors(args, kwargs)):
            for t in out:
                if isinstance(t, torch.Tensor) and not t.requires_grad:
                    self.data[t] = True
        return out

    def _keyed(self, func, args, kwargs):
        leaves, spec = tree_flatten((args, kwargs))
        keyed = {i: key for i, t in enumerate(leaves) if isinstance(t, torch.Tensor) and (key := self.key(t)) is not None}
        sign = (func, self.catch.within, *keyed.items())
        if self.known is None:
            shapes = [self.shape(t) if isinstance(t, torch.Tensor) else t for t in leaves]
            out = func(*args, **kwargs)
            outs = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
            if any(t.requires_grad for t in outs) and not any(t is leaves[i] for t in outs for i in keyed):
                name = self._name(sign)
                self.found[name] = Seen(shapes, spec, [t.shape for t in outs])
                self._step(name, leaves, outs)
            return out
        out = None
        name = self._name(sign)
        seen = self.known.get(name)
        left = name in self.catch.left or sign[1] is not None and sign[1][0] in self.catch.left
        if seen is not None and not self.may_move and not left and spec == seen.spec:
            try:
                out = self._of_batch(Use(name, func, seen, leaves, [], keyed, self.n), spec)
            except LookupError:
                out = None
        self._same(sign, out is not None)
        if out is None:
            return func(*args, **kwargs)
        if not self.catch.going_back:
            self.catch.uses.update(self.parameters[key[1]] for key in keyed.values() if key[0] == "parameter")
        return out

    def _same(self, sign, caught: bool):
        """What a checkpoint computes again must be caught again, or its saved tensors would be others."""
        if not self.catch.going_back:
            self.done.setdefault(sign, set()).add(caught)
        elif self.done.get(sign) != {caught}:
            raise Again(None)

    def _name(self, sign):
        self.calls[sign] += 1
        return self.catch.names.setdefault((sign, self.calls[sign]), len(self.catch.names))

    def otherwise(self):
        """Name of an operation that was caught and came more or less often than with one example; None if there is none."""
        signs = {name: sign for (sign, _), name in self.catch.names.items()}
        return next((use.name for use in self.tape if use.name in signs and self.calls[signs[use.name]] != use.seen.times), None)

    def _step(self, name, leaves, outs):
        if not any(self.of_data(t) for t in leaves if isinstance(t, torch.Tensor)):
            for j, t in enumerate(outs):
                if t.requires_grad:
                    self.steps[id(t)] = t, ("step", name, j)

    def _of_batch(self, use, spec):
        """Catches the operation, or puts it on the tape; None: left to autograd."""
        seen, in_place = use.seen, use.func in ADDS_IN_PLACE
        name = getattr(use.func, "__name__", "")
        if not in_place and (name.endswith("_") and not name.endswith("__") or name.startswith("__i") and name != "__invert__"):
            return None
        for leaf, alone in zip(use.leaves, seen.leaves, strict=True):
            if isinstance(leaf, torch.Tensor) != is_shape(alone):
                return None
            use.places.append(self.where(leaf, alone) if is_shape(alone) else None)
        fixed = [t for t, place in zip(use.leaves, use.places, strict=True) if isinstance(t, torch.Tensor) and place is None]
        if any(t.requires_grad and self.key(t) is None for t in fixed) or any(use.places[i] for i in use.keyed):
            return None  # the batch as a whole takes part
        if in_place and (not (use.places[0] and use.leaves[0].requires_grad) or use.leaves[0]._is_view()):
            return None
        live = use.leaves
        use.leaves = [t.detach() if i in use.keyed else t for i, t in enumerate(live)]
        if not any(use.places):
            args, kwargs = tree_unflatten(live, spec)
            out = use.func(*args, **kwargs)
            outs = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
            if [t.shape for t in outs] == seen.outs:
                if any(self.of_data(t) for t in fixed) or any(t is leaf for t in outs for leaf in live):
                    return None
                use.outs, use.made = [None] * len(outs), [t.detach() for t in outs]
                self._step(use.name, live, outs)
                if not self.catch.going_back:
                    self.tape.append(use)
                return out
        args, kwargs = tree_unflatten(use.leaves, spec)
        out = use.func(*args, **kwargs)
        outs = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        if in_place:
            use.outs = use.places[:1]
            use.leaves = [t.detach() if isinstance(t, torch.Tensor) else t for t in use.leaves]
            return self.catch.catch_use(use, out)
        if len(outs) != len(seen.outs) or not all(t.is_floating_point() for t in outs):
            return None
        use.outs = [self._where_out(use, t, shape) for t, shape in zip(outs, seen.outs, strict=True)]
        if None in use.outs:
            return None
        use.leaves = [t.detach() if isinstance(t, torch.Tensor) else t for t in use.leaves]
        return self.catch.catch_use(use, out)

    def _where_out(self, use, t, alone):
        flat = [place for place in use.places if place]
        try:
            return self.where(t, Shape(alone, None))
        except LookupError:
            axes = [k for k, (one, all_) in enumerate(zip(alone, t.shape, strict=False)) if one != all_]
            if len(alone) != t.dim() or len(axes) != 1 or t.shape[axes[0]] != self.n * alone[axes[0]]:
                raise
        if flat:  # its rows are those of what went in: checked when they are computed one by one
            return Where(axes[0], flat[0].inner)
        if use.seen.order is None:
            use.seen.order = self._order(use, axes[0], t)
        return Where(axes[0], use.seen.order)

    def _order(self, use, axis, t):
        """Whether the examples vary fastest in what is made without them, by random numbers in place of the parameters."""
        with torch.no_grad():
            draw = torch.Generator().manual_seed(0)
            like = {i: use.leaves[i] for i in use.keyed}
            random = {i: torch.rand(t.shape, generator=draw, dtype=torch.float64).to(t) for i, t in like.items()}
            args, kwargs = tree_unflatten([random.get(i, leaf) for i, leaf in enumerate(use.leaves)], use.seen.spec)
            whole, one = use.func(*args, **kwargs), use.alone(random, {})[0]
        for inner in (False, True):
            if isinstance(whole, torch.Tensor) and bool((Where(axis, inner).split(whole, self.n) == one).all()):
                return inner
        raise LookupError

    # After the backward -----------------------------------------------------------------------------------------------
    def sums(self, rows):
        """Number of a parameter -> gradients of some examples, [len, *shape], through all that was not squared at once."""
        found, at = {}, {}
        for use in reversed(self.tape):
            if any(use.outs):
                gs = use.caught(rows)
            else:
                gs = {j: at.pop(("step", use.name, j)) for j in range(len(use.outs)) if ("step", use.name, j) in at}
            if gs or use.formed:
                formed = use.formed and {i: g[rows] for i, g in use.formed.items()}
                for i, g in (formed or use.gradients(rows, gs)).items():
                    key = use.keyed[i]
                    to, key = (found, key[1]) if key[0] == "parameter" else (at, key)
                    to[key] = to[key] + g if key in to else g
        return found

    def on_tape(self):
        return {key[1] for use in self.tape for key in use.keyed.values() if key[0] == "parameter"}


def _tensors(args, kwargs):
    """Tensors among the arguments, also within lists."""
    for each in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(each, torch.Tensor):
            yield each
        elif isinstance(each, (list, tuple)):
            yield from (t for t in each if isinstance(t, torch.Tensor))
