"""The plan: how the gradients of each parameter of a model are had, as one example alone shows it."""

from torch import nn

from datadiet.gradnorm import layers


class Enclose(Exception):
    """Parameters of the modules ``owners`` are reached round their modules: a module around them has to be run again."""

    def __init__(self, owners: set):
        super().__init__()
        self.owners = owners


class Plan:
    """How the gradients of each parameter are had, for one model and one shape of batch.

    ``rules``: layer with a rule -> its trainable parameters by name. ``around``: module that is run again -> parameters by dotted
    name, its own and those of modules inside it that are used round their own call. Parameters in neither take one backward of
    the network an example. ``shown``: layer -> for each call with one example, (shape of y, whether y is only added to
    something). ``shapes``: module -> for each call with one example, shapes of its input tensors and of its floating outputs.
    """

    def __init__(self, model: nn.Module):
        self.names = {module: name for name, module in reversed(list(model.named_modules()))}
        self.rules = {module: trained for module in model.modules() if (trained := layers.trained(module))}
        self.around = {}
        for module in model.modules():
            own = {name: p for name, p in module.named_parameters(recurse=False) if p.requires_grad}
            if own and module not in self.rules:
                self.around[module] = own
        self.scales: dict[nn.Module, float] = {}  # embedding that gives its rows times a number -> the number
        self.refused: dict[nn.Module, str] = {}
        self.inside: dict[nn.Module, nn.Module] = {}  # module -> the module around it that is run again for its parameters
        self.looped: set = set()
        self.several = False  # whether it was made for a batch of several examples
        self.shown, self.shapes = {}, {}

    def refuse(self, module: nn.Module, why: str) -> None:
        """Leave the own parameters of a module that cannot be run again, and those of modules inside, to others."""
        self.refused[module] = why
        self.around.pop(module, None)
        for each in [each for each, outer in self.inside.items() if outer is module]:
            del self.inside[each]

    def enclose(self, owners: set) -> None:
        """Run the nearest module around each owner again, for the owner's parameters."""
        for owner in owners:
            outer, before = self.outer(owner), self.inside.get(owner)
            own = self.rules.pop(owner, None) or self.around.pop(owner, None) or {
                name: p for name, p in owner.named_parameters(recurse=False) if p.requires_grad}
            if before is not None:
                kept = self.around.get(before, {})
                self.around[before] = {name: p for name, p in kept.items() if not any(p is each for each in own.values())}
            self.inside[owner] = outer
            within = self.names[owner].removeprefix(self.names[outer]).lstrip(".")
            self.around.setdefault(outer, {}).update({f"{within}.{name}": p for name, p in own.items()})

    def outer(self, owner: nn.Module) -> nn.Module | None:
        """The nearest module around `owner` that is called and was not refused; None where there is none."""
        name = self.names[self.inside.get(owner, owner)]
        while name:
            name = name.rpartition(".")[0]
            found = next((module for module, own in self.names.items() if own == name), None)
            if found is not None and found not in self.refused and self.shapes.get(found):
                return found
        return None

    def depth(self, module: nn.Module) -> int:
        """How deep a module lies in the model."""
        return self.names[module].count(".") + bool(self.names[module])
