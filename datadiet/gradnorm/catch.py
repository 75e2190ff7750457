"""How the activations x and the gradients g of a batch are caught, and made into squared norms.

Top to bottom: one example alone; the hooks of layers with a rule; those of modules that are run again; the sums.
"""

import warnings
from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from datadiet.errors import InputError
from datadiet.gradnorm import again, layers, recurrent
from datadiet.gradnorm.onward import Apart, Instead, Onward, graph
from datadiet.gradnorm.plan import Enclose, Plan


class Catch:
    """Catches x and g at each call of a layer with a rule or of a module that is run again, and turns them into squared norms.

    While such a module computes, the parameters that are had this way are switched off, so that the backward skips their
    gradients. Wherever else a parameter is used autograd still sees it, so nothing goes missing.
    """

    def __init__(self, model: nn.Module, n: int, plan: Plan, first: bool):
        self.model, self.n, self.plan, self.first = model, n, plan, first
        self.training = any(module.training for module in model.modules())
        self.nodes = defaultdict(list)  # layer -> for each call with one example: (shape of y, graph node of y)
        self.own = defaultdict(list)  # (layer, call) -> (batch position, x) of the examples alone
        self.calls, self.uses = Counter(), Counter()  # module -> calls so far; parameter -> uses
        self.copied = set()  # layers with one output for all examples
        self.parts = []  # squared norms, each [B]
        self.last = {}  # see layers.squares
        self.kept = defaultdict(list)  # parameter with several uses -> functions of a batch position: its gradient there
        self.sources = []  # (shared tensor, gradient of each example there)
        self.handles = []  # hooks of several tensors: they hold the graph, and the graph holds them, until they are removed
        self.quiet = False  # whether a module is being run again, of which the hooks know already
        self.back = False  # whether the backward has begun: calls from then on are those of checkpoints

    # What one example alone shows

    @contextmanager
    def noting(self, b: int):
        """A context in which the calls of the example `b` alone are noted."""
        self.nodes.clear()
        self.plan.shapes = defaultdict(list)
        note = partial(self.note, b)
        hooks = [module.register_forward_hook(note, with_kwargs=True, prepend=True) for module in self.plan.names]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def noted(self, one: torch.Tensor) -> None:
        """Keep in the plan how the layers' outputs are used, from the graph of the loss of one example."""
        users = graph(one)
        self.plan.shown = {module: [(shape, users.get(node) == {("AddBackward0", len(shape))}) for shape, node in calls]
                           for module, calls in self.nodes.items()}
        self.nodes.clear()  # and the graph of one example with them

    def note(self, b, module, args, kwargs, y):
        inputs, outputs = again.tensors_of((args, kwargs))[0], again.tensors_of(y)[0]
        self.plan.shapes[module].append(([t.shape for t in inputs], [t.shape for t in outputs if t.is_floating_point()]))
        if isinstance(module, nn.Embedding) and list(self.plan.around.get(module, ())) == ["weight"]:
            if (number := layers.scale(module, inputs[0], outputs[0])) is not None:
                self.plan.scales[module] = number
                self.plan.rules[module] = self.plan.around.pop(module)
        if module not in self.plan.rules:
            return
        call = len(self.nodes[module])
        self.nodes[module].append((y.shape, y.grad_fn))
        if self.n > 1 and not self.training:
            self.own[module, call].append((b, inputs[0].detach().clone()))

    # Hooks of the batch

    @contextmanager
    def catching(self):
        """A context in which the calls of the batch are caught."""
        hooks = []
        for module in self.plan.rules:
            hooks += [module.register_forward_hook(self.catch, with_kwargs=True, prepend=True),
                      module.register_forward_pre_hook(self.before)]
        entered = defaultdict(list)
        for module in self.plan.around:
            hooks += [module.register_forward_hook(partial(self.catch_around, entered), with_kwargs=True, prepend=True),
                      module.register_forward_pre_hook(partial(self.enter, entered), with_kwargs=True)]
        try:
            yield
        finally:
            for hook in hooks + self.handles:
                hook.remove()
            for module in (*self.plan.rules, *self.plan.around):
                self.switch(module, on=True)

    def switch(self, module, on: bool):
        for p in {**self.plan.rules.get(module, {}), **self.plan.around.get(module, {})}.values():
            p.requires_grad_(on)

    def before(self, module, args):
        if not self.quiet:
            self.switch(module, on=False)

    def catch(self, module, args, kwargs, y):
        """Forward hook of a layer with a rule: keeps x, asks for g, and returns the output to go on with.

        The shape of the same output for one example tells whether it has an example axis: position embeddings may come
        as [1, T, d] or [T, d] for all examples, and T may happen to equal B.
        """
        if self.quiet:
            return y
        self.switch(module, on=True)
        call = self.calls[module]
        shape, added = (self.plan.shown.get(module, [])[call:] or [((), False)])[0]
        self.calls[module] += 1
        if not torch.is_grad_enabled():
            return y
        own = shape[:1] == (1,) and y.shape == (self.n, *shape[1:])
        shared = shape[:1] == (1,) and y.shape == shape and added
        x = (*args, *kwargs.values())[0]
        if not own and not shared:
            return module.forward(*args, **kwargs)  # again, parameters on: left to autograd, or to a module around
        for b, lone in self.own.pop((module, call), ()) if own else ():
            if moved(x.detach(), b, lone[0]):
                raise InputError(f"gradnorm: the activation of the example at batch position {b} lies in another row at the "
                                 f"input of a layer ({type(module).__name__}): the model reorders its batch; keep examples in "
                                 "their order (a packed sequence: enforce_sorted=False), or use reference_grad_norms.")
        if not y.requires_grad:
            y = Onward.apply(torch.zeros((), requires_grad=True), y.detach(), None)
        elif (back := layers.way_back(module, x, y)) is not None:
            y = Onward.apply(x, y.detach(), back)
        if shared:  # one output, only added to something: a copy for each example, so that g keeps them apart
            x, y = (t.expand(self.n, *t.shape[1:]) for t in (x, y))
            self.copied.add(module)
        if not self.back:
            self.uses.update(self.plan.rules[module].values())
            y.register_hook(partial(self.collect, module, x.detach(), x._version))
        return y

    def collect(self, module, x, version, g):
        """Tensor hook: the backward has reached the output of `module`."""
        if self.parts is None:
            return
        if x._version != version:  # torch, too, refuses to go back through such a layer
            raise InputError(f"gradnorm: the input of a layer ({type(module).__name__}) was changed in place after it; work on a "
                             "copy.")
        with torch.no_grad(), torch.autocast(g.device.type, enabled=False):
            x, g = layers.wide(x), layers.wide(g)
            if module in self.plan.scales:
                g = g * self.plan.scales[module]
            own = self.plan.rules[module]
            once = {name for name, p in own.items() if self.uses[p] == 1}
            if once:
                self.parts.append(layers.squares(module, once, x, g, self.last))
            for name in own.keys() - once:  # its gradients add up before the norm is taken
                self.kept[own[name]].append(partial(_of_rule, module, name, x, g))

    def enter(self, entered, module, args, kwargs):
        """Forward pre-hook of a module that is run again: its parameters off, tensors that all examples share cut off.

        Where nothing that it is given has an example axis its parameters stay on, for it belongs to what all share.
        """
        if self.quiet:
            return None
        inputs, rest, spec = again.tensors_of((args, kwargs))
        shapes = self.plan.shapes.get(module, [])[self.calls[module]:]
        if not shapes or len(shapes[0][0]) != len(inputs):
            raise again.Refused(module, "it is called otherwise for one example than for several")
        try:
            axes = [again.axis_of(lone, each.shape, self.n) for lone, each in zip(shapes[0][0], inputs, strict=True)]
        except ValueError as problem:
            raise again.Refused(module, str(problem)) from None
        mine = self.n == 1 or any(axis is not None for axis in axes)
        entered[module].append((mine, {}))
        if not mine:
            return None
        self.switch(module, on=False)
        for i, (each, axis) in enumerate(zip(inputs, axes, strict=True)):
            if self.n > 1 and axis is None and each.requires_grad and each.is_floating_point():
                entered[module][-1][1][i] = each
                inputs[i] = each.detach()
        return again.put_back(inputs, rest, spec) if entered[module][-1][1] else None

    def catch_around(self, entered, module, args, kwargs, y):
        """Forward hook of a module that is run again: keeps what it was given, and asks for the gradients at its outputs."""
        if self.quiet:
            return y
        call, (mine, sources) = self.calls[module], entered[module].pop()
        self.calls[module] += 1
        if not mine:
            return y
        self.switch(module, on=True)
        if not torch.is_grad_enabled():
            return y
        names = self.plan.around[module]
        made = again.made(module, names, args, kwargs, y, (self.plan.shapes[module][call:] or [None])[0], self.n)
        if recurrent.known(module, made.inputs) and not sources:
            made = recurrent.Steps(**vars(made))
        made.sources = sources
        if self.first and not self.back:
            with self.hushed():
                again.checked(made, y)
            if made.looped:
                self.plan.looped.add((module, call))
        made.looped = (module, call) in self.plan.looped
        tensors, rest, spec = again.tensors_of(y)
        floating = [i for i, each in enumerate(tensors) if each.is_floating_point()]
        if isinstance(made, recurrent.Steps):
            self.uses.update({} if self.back else names.values())
            made.given, made.version = tensors[0].detach(), tensors[0]._version
            x = next(t for t in again.tensors_of((args, kwargs))[0])
            x = x if x.requires_grad else torch.zeros_like(x, requires_grad=True)
            outs = Instead.apply(x, partial(self.collect_steps, made), *(each.detach() for each in tensors))
            return again.put_back(outs, rest, spec)
        still = [i for i in floating if not tensors[i].requires_grad]
        for i in still:
            tensors[i] = Onward.apply(torch.zeros((), requires_grad=True), tensors[i].detach(), None)
        if len(floating) > 1 and not still:  # one output may be made of another, whose own gradient is meant
            for i, each in zip(floating, Apart.apply(*(tensors[i] for i in floating)), strict=True):
                tensors[i] = each
        if not self.back:
            self.uses.update(names.values())
            versions = [each._version for each in made.inputs]
            collect = partial(self.collect_around, made, versions)
            if len(floating) == 1:
                tensors[floating[0]].register_hook(lambda g: collect([g]))
            else:
                outputs = [tensors[i] for i in floating]
                self.handles.append(torch.autograd.graph.register_multi_grad_hook(outputs, collect))
        return again.put_back(tensors, rest, spec) if still or len(floating) > 1 else y

    def collect_around(self, call, versions, gs):
        """Hook of several tensors: the backward has reached all outputs of a module that is run again."""
        if self.parts is None or all(g is None for g in gs):
            return
        if [each._version for each in call.inputs] != versions:
            raise InputError(f"gradnorm: an input of a module ({type(call.module).__name__}) was changed in place after it; work "
                             "on a copy.")
        device = next(g for g in gs if g is not None).device.type
        with torch.no_grad(), torch.autocast(device, enabled=False), self.hushed():
            found, shared = call.gradients(list(gs))
        for i, gradient in shared.items():
            self.sources.append((call.sources[i], gradient))
        for name, gradient in found.items():
            p = call.names[name]
            if self.uses[p] == 1:
                self.parts.append(gradient.flatten(1).square().sum(1))
            else:
                self.kept[p].append(gradient.__getitem__)

    def collect_steps(self, call, gs) -> torch.Tensor:
        """The backward has reached the outputs of an LSTM: gradient at its input, after its parameters were seen to."""
        with torch.no_grad(), torch.autocast(call.inputs[0].device.type, enabled=False):
            ways, below = call.backward(gs)
            if self.parts is not None and all(self.uses[p] == 1 for p in call.names.values()) and len(call.names) == len(
                    call.module._parameters):
                self.parts.append(call.squares(ways))
            elif self.parts is not None:
                for name, gradient in call.of_each(ways).items():
                    self.kept[call.names[name]].append(gradient.__getitem__)
        return below

    @contextmanager
    def hushed(self):
        """A context in which a module is run again: hooks do nothing, and parameters are as they are."""
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = False

    # Sums

    def squares(self, losses: torch.Tensor) -> torch.Tensor:
        """Squared norms, [B]: one backward for all, then one an example for the parameters that cannot be had otherwise."""
        if any(self.calls[module] != len(self.plan.shown[module]) for module in self.copied):
            raise InputError("gradnorm: the model calls layers more often for more examples; use reference_grad_norms.")
        leaves = {node.variable for node in graph(losses) if hasattr(node, "variable")}
        free = [p for p in self.model.parameters() if p in leaves]
        if free and self.first and self.n > 1:
            self.enclose({*free})
        for kind in sorted({type(m).__name__ for m in self.model.modules() if {*m._parameters.values()} & {*free}}):
            warnings.warn(f"gradnorm: the parameters of {kind} take one backward an example: slow.", stacklevel=4)
        self.uses.update(free)
        self.calls.clear()  # checkpointing calls layers again
        self.back = True
        torch.autograd.grad(losses.sum(), list(leaves), retain_graph=True, allow_unused=True)
        total = sum(self.parts, layers.wide(torch.zeros_like(losses)).detach())
        self.parts = None  # the hooks rest from here on
        self.through_sources()
        for b in range(self.n if free or self.kept else 0):
            own = torch.autograd.grad(losses[b], free, retain_graph=True, allow_unused=True) if free else ()
            sums = {p: layers.wide(g.to_dense()) for p, g in zip(free, own, strict=True) if g is not None}
            for p, uses in self.kept.items():
                for gradient in uses:
                    sums[p] = sums.get(p, 0) + gradient(b)
            total[b] += sum(g.square().sum() for g in sums.values())
        return total

    def enclose(self, free: set) -> None:
        """Ask for a new plan where a module around the owner of a free parameter can be run again: the deepest owners first."""
        plan = self.plan
        owners = {module for module in plan.names if {*module._parameters.values()} & free and plan.outer(module) is not None}
        if owners:
            deepest = max(map(plan.depth, owners))
            raise Enclose({owner for owner in owners if plan.depth(owner) == deepest})

    def through_sources(self) -> None:
        """From gradients of each example at tensors that all share, on to the parameters that these were made of."""
        sums = {}
        for source, gradient in self.sources:
            sums[source] = sums.get(source, 0) + gradient
        for source, gradient in sums.items():
            leaves = [source] if source.grad_fn is None else [
                node.variable for node in graph(source) if hasattr(node, "variable")]
            own = [p for p in self.model.parameters() if any(p is leaf for leaf in leaves)]
            found = torch.autograd.grad(source, own, gradient.to(source.dtype), retain_graph=True, allow_unused=True,
                                        is_grads_batched=True)
            for p, each in zip(own, found, strict=True):
                if each is not None:
                    self.kept[p].append(layers.wide(each).__getitem__)


def _of_rule(module, name, x, g, b):
    """Gradient of the example `b` for one parameter of a layer with a rule."""
    return layers.gradient(module, name, x[b:b + 1], g[b:b + 1])[0]


def moved(x: torch.Tensor, b: int, lone: torch.Tensor) -> bool:
    """Whether the activation of an example alone lies in another row of x [B, ...] than its own, b.

    Batches of other sizes round otherwise, and half precision much so: another row has to be nearer by far.
    """
    if x.shape[1:] != lone.shape:
        return False
    x, lone = layers.wide(x).reshape(len(x), -1), layers.wide(lone).reshape(-1)
    if not x.is_floating_point():  # tokens
        return bool((x[b] != lone).any() and (x == lone).all(1).any())
    away = (x[b] - lone).norm()
    return bool(away > 0.01 * lone.norm()) and bool((x - lone).norm(dim=1).min() < away / 4)
