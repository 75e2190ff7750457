"""VoG of every training example of a run: the gradient of the label's logit in the input, at each of the run's checkpoints.

    checkpoints = Checkpoints(problem)
    checkpoints.add()           # at every checkpoint: a copy of the weights as they are now
    checkpoints.vog()           # [T, N]: VoG over the checkpoints up to each

The gradients of all examples at all checkpoints are T N L d numbers. Copies are made of the weights of the T checkpoints instead,
as the paper makes them; at the end each batch of examples goes through all of them, with its own gradients alone in memory. Like
GraNd, they are float32 also where scoring passes are bfloat16.
"""

import numpy as np
import torch
from torch.func import functional_call

from datadiet.errors import InputError
from datadiet.scores.history import RunningVog
from datadiet.training import kinds


def label_gradients(model, batch: dict, weights: dict | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradient of each example's label logit, before the softmax, in the model's input; and where a text has tokens.

    The input: pixels; of a text, the embedding of each token. Position and type are added to that, so it is the gradient in their
    sum too.

    Parameters
    ----------
    model : torch.nn.Module
        In eval mode: with dropout on, the gradient would be that of a draw.
    batch : dict
        Of one of the splits of a problem, with ``labels`` [B].
    weights : dict, optional
        Parameters and buffers to stand in for the model's own, which are left alone.

    Returns
    -------
    (Tensor[B, ...], bool Tensor[B, L] or None)
        float32; None for images, which have no padding.
    """
    fed = []

    def catch(module, args, out):
        fed.append(out.detach().requires_grad_())
        return fed[-1]

    def forward(**inputs):
        return model(**inputs) if weights is None else functional_call(model, weights, (), inputs)

    hook = None
    if "image" in batch:
        fed.append(batch["image"].detach().clone().requires_grad_())
        batch = batch | {"image": fed[0]}
    else:
        hook = model.get_input_embeddings().register_forward_hook(catch)
    try:
        with torch.enable_grad():
            logits = kinds.logits_of(forward, batch)
            own = logits.gather(1, batch["labels"][:, None]).sum()  # examples do not meet: the gradient of the sum is each one's
            (gradient,) = torch.autograd.grad(own, fed)
    finally:
        if hook is not None:
            hook.remove()
    return gradient.float(), batch["attention_mask"].bool() if "attention_mask" in batch else None


class Checkpoints:
    """Copies of a model's weights at moments of its training, and VoG of the training examples over them.

    Raises
    ------
    InputError
        A task whose examples have more than one prediction each: a swap, or slots.
    """

    def __init__(self, problem: kinds.Problem):
        if not problem.one_label:
            raise InputError("loop.fit: vog=True is for tasks with one label an example, scored in one pass; leave it out.")
        self.problem, self.weights = problem, []

    def add(self) -> None:
        """Add a copy of the weights as they are now."""
        self.weights.append({name: values.detach().clone() for name, values in self.problem.model.state_dict().items()})

    def vog(self) -> np.ndarray:
        """VoG over the checkpoints up to each, float64 [T, N]; 0 at the first. In eval mode, in the order of the set."""
        model, train = self.problem.model, self.problem.splits["train"]
        n = len(train.labels)
        out = np.empty((len(self.weights), n))
        with kinds.scoring(model):
            for positions in train.in_order_of_length(np.arange(n), kinds.eval_batch(model)):
                batch, running = train.batch(positions), None
                for t, weights in enumerate(self.weights):
                    gradient, mask = label_gradients(model, batch, weights)
                    running = running or RunningVog(None if mask is None else mask.cpu().numpy())
                    running.add(gradient.cpu().numpy())
                    out[t, positions] = running.values()
        return out
