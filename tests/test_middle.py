"""The second third of an encoder's layers, trained on the stored output of the first: the same as those layers in their place."""

import copy

import numpy as np
import pytest
import torch

from datadiet import runs
from datadiet.data import Split, Task
from datadiet.nets.first_token import FirstToken
from datadiet.training import kinds, loop, middle

WORDS = "a good bad film play was it never dull bright story line rather with and".split()


def config(encoder, **more):
    return runs.config(task="small", encoder=encoder, batch_size=8, max_length=16, device="cpu", **more)


@pytest.fixture(params=["text", "pair"])
def task(request):
    draw = np.random.default_rng(np.random.SeedSequence().entropy)

    def texts():
        return [" ".join(draw.choice(WORDS, draw.integers(1, 20))) for _ in range(40)]

    inputs = {"text": texts()} | ({"text_pair": texts()} if request.param == "pair" else {})
    split = Split(np.arange(40), draw.integers(0, 3, 40), inputs)
    return Task("small", request.param, ("no", "yes", "so"), split, None, None, checksum="0", source="test")


def slow(config, task) -> kinds.Problem:
    """The encoder cut after its second third, whole; what stands below is not trained."""
    problem = kinds.prepare(config, task, "cpu")
    body = middle._body(problem.model)
    below, above = middle.third(len(body.encoder.layer))
    body.encoder.layer = body.encoder.layer[:above]
    for module in (body.embeddings, *body.encoder.layer[:below]):
        module.requires_grad_(False)
    return problem


@pytest.mark.parametrize("encoder", ["minilm-mean", "minilm", "tiny"])
def test_stored_activations_stand_for_the_layers_below(task, encoder):
    whole = slow(config(encoder), task)
    before = kinds.prepare(config(encoder), task, "cpu")
    examples = middle.fill(before, middle.blank(before))
    fast = middle.of(before, examples)
    trained = [name for name, weight in whole.model.named_parameters() if weight.requires_grad]
    assert len(list(fast.model.parameters())) == len(trained)
    rows = np.random.default_rng().permutation(40)[:9]
    for problem in (whole, fast):
        problem.model.eval()  # dropout would be drawn for the layers below, too
        kinds.example_loss(problem.model, problem.splits["train"].batch(rows)).mean().backward()
    slow_grads = [weight.grad for weight in whole.model.parameters() if weight.requires_grad]
    for one, other in zip(fast.model.parameters(), slow_grads, strict=True):
        torch.testing.assert_close(one.grad, other, rtol=1e-3, atol=1e-6)
    seen = [problem.record(problem.model, problem.splits["train"])["logits"] for problem in (whole, fast)]
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-3, atol=1e-5)
    if encoder == "minilm":
        assert isinstance(fast.model.base_model.encoder.layer[-1], FirstToken)


def test_training_leaves_what_is_stored_as_it_is(task):
    made = config("tiny", quick=True, learning_rate=1e-2)
    examples = middle.fill(kinds.prepare(made, task, "cpu"), middle.blank(kinds.prepare(made, task, "cpu")))
    before = copy.deepcopy(examples.columns["inputs_embeds"])
    losses = []
    for _ in range(2):
        trained = loop.Loop(made, task, 40, middle.of(kinds.prepare(made, task, "cpu"), examples))
        torch.manual_seed(0)
        batches = 8 * examples.shuffled(np.arange(40), 8, np.random.default_rng(0))
        losses.append([float(each.mean()) for _, each in trained.updates(batches)])
    assert losses[0] == losses[1] and np.mean(losses[0][-5:]) < np.mean(losses[0][:5])
    assert torch.equal(before, examples.columns["inputs_embeds"])


def test_nothing_is_stored_where_it_cannot_be(task):
    problem = kinds.prepare(config("tiny"), task, "cpu")
    tokens = int(problem.splits["train"].lengths.sum())
    assert middle.blank(problem, most=4 * 32 * tokens) is not None and middle.blank(problem, most=4 * 32 * tokens - 1) is None
    assert middle.blank(kinds.prepare(config("tiny", layers=1), task, "cpu")) is None, "one layer has no second third"
