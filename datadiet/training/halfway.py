"""A training run at the end of an epoch as plain arrays, from which another process goes on to the same end.

    arrays = taken(loop, recording, 2)
    epochs = resumed(loop, recording, arrays)     # 2
"""

import numpy as np
import torch

from datadiet.nets import device


def taken(loop, recording, epoch: int) -> dict[str, np.ndarray]:
    """All that the rest of a run depends on after `epoch` epochs: weights, optimiser, random generators, and what was recorded.

    Of a :class:`datadiet.training.recording.Recording` without VoG.
    """
    state = loop.state()
    out = {f"model {name}": values for name, values in state["model"].items()}
    for number, values in state["optimizer"]["state"].items():
        out |= {f"optimizer {number} {name}": value for name, value in values.items()}
    out |= {f"generator {number}": values for number, values in enumerate(device.random_states(loop.device))}
    out = {name: values.cpu().numpy() for name, values in out.items()}
    out |= {f"at {step} {name}": values for step, recorded in recording.at.items() for name, values in recorded.items()}
    out |= {f"right {number}": values for number, values in enumerate(recording.right)}
    return out | {name: np.array(value) for name, value in
                  (("epoch", epoch), ("step", loop.step), ("examples", loop.examples))}  # fmt: skip


def resumed(loop, recording, arrays: dict) -> int:
    """Bring a new `loop` and its `recording` to where `arrays` were :func:`taken`; the epochs that were made by then.

    Random numbers are drawn on from there by torch's current generators.
    """
    found = {"model": {}, "optimizer": {}, "generator": {}, "at": {}, "right": {}}
    for name, values in arrays.items():
        kind, _, rest = name.partition(" ")
        if kind in found:
            found[kind][rest] = values if kind in ("at", "right") else torch.from_numpy(values)
    optimizer = {}
    for name, values in found["optimizer"].items():
        number, name = name.split()
        optimizer.setdefault(int(number), {})[name] = values
    groups = loop.optimizer.state_dict()["param_groups"]
    state = {"state": optimizer, "param_groups": groups}
    loop.restore({"model": found["model"], "optimizer": state, "step": int(arrays["step"])})
    loop.examples = int(arrays["examples"])
    for name, values in found["at"].items():
        step, name = name.split(" ", 1)
        recording.at.setdefault(int(step), {})[name] = values
    recording.right = list(found["right"].values())
    device.set_random_states(loop.device, list(found["generator"].values()))
    return int(arrays["epoch"])
