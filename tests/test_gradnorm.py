"""Every case against the batch-of-one reference, on fresh random input."""

import os
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import BertConfig, DistilBertConfig, RobertaConfig
from transformers import BertForSequenceClassification as Bert
from transformers import DistilBertForSequenceClassification as DistilBert
from transformers import RobertaForSequenceClassification as Roberta

from datadiet import gradnorm
from datadiet.errors import InputError
from datadiet.gradnorm import grad_norms, layers, reference_grad_norms, tangent
from datadiet.nets.images import ResNet


@pytest.fixture
def draw(request):
    """A generator of its own for each test, fresh in every session; pytest shows the seed of a failed test."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"draw: seed {seed}")
    return torch.Generator().manual_seed(seed)


def randomise(model, draw, scale=0.3, dtype=torch.float64):
    """Random values for all parameters and buffers, so that nothing is right only because it is zero or one."""
    model = model.to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=draw, dtype=dtype) * scale)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=draw))
                module.running_var.copy_(torch.rand(module.running_var.shape, generator=draw) + 0.5)
    return model.eval()


def state(model):
    """All that grad_norms promises to leave alone."""
    return ([(name, p.requires_grad, p.grad, p.detach().clone()) for name, p in model.named_parameters()],
            [(name, b.clone()) for name, b in model.named_buffers()],
            [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()])


def same_state(before, after):
    for old, new in zip(before[0], after[0], strict=True):
        assert old[:2] == new[:2] and old[2] is new[2] and torch.equal(old[3], new[3])
    assert all(torch.equal(old[1], new[1]) for old, new in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]


def check(model, batch, loss, slow=(), rtol=None):
    """grad_norms = reference, also when the batch is cut in two; state kept; one warning for each type in `slow`."""
    before, seed = state(model), torch.get_rng_state()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        norms = grad_norms(model, batch, loss, alone=(alone := {}))
    same_state(before, state(model))
    assert torch.equal(seed, torch.get_rng_state())
    assert torch.is_grad_enabled()
    kinds = sorted(str(w.message).split("parameters of ")[1].split(" take")[0] for w in seen)
    assert kinds == sorted(slow), [str(w.message) for w in seen]
    assert all(w.filename == __file__ for w in seen)  # the caller's line, not one of ours
    truth = reference_grad_norms(model, batch, loss)
    rtol = rtol or (1e-9 if truth.dtype == torch.float64 else 1e-5)
    assert norms.shape == truth.shape and norms.dtype == truth.dtype and not norms.requires_grad
    torch.testing.assert_close(norms, truth, rtol=rtol, atol=0)
    assert len(norms.unique()) > 1 or len(norms) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        halves = slice(0, len(norms) // 2), slice(len(norms) // 2, None)
        parts = [grad_norms(model, {name: t[half] for name, t in batch.items()}, loss, alone=alone) for half in halves]
    assert len(alone) == 1  # what the first batch showed served for the halves
    torch.testing.assert_close(torch.cat(parts), norms, rtol=rtol, atol=0)
    return norms


# Transformers ---------------------------------------------------------------------------------------------------------

SMALL = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40,
         "max_position_embeddings": 20, "num_labels": 3}
SMALL_DISTIL = {"vocab_size": 50, "dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 40,
                "max_position_embeddings": 20, "num_labels": 3}


def cross_entropy(model, batch):
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    return F.cross_entropy(model(**inputs).logits, batch["labels"], reduction="none")


def sentences(draw, n, length, vocabulary=50, pad=0):
    lengths = torch.randint(1, length + 1, (n,), generator=draw)
    lengths[0] = length
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids = torch.randint(2, vocabulary, (n, length), generator=draw) * mask + pad * (1 - mask)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(0, 3, (n,), generator=draw)}


def encoder(kind, attention="sdpa"):
    if kind == "bert":
        return Bert(BertConfig(**SMALL, attn_implementation=attention))
    if kind == "roberta":
        return Roberta(RobertaConfig(**SMALL, pad_token_id=1, attn_implementation=attention))
    return DistilBert(DistilBertConfig(**SMALL_DISTIL, attn_implementation=attention))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("n, length", [(5, 9), (7, 7), (2, 17), (6, 1)])
def test_padded_sentences(kind, attention, n, length, draw):
    model = randomise(encoder(kind, attention), draw)
    check(model, sentences(draw, n, length, pad=int(kind == "roberta")), cross_entropy)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_single_precision(kind, draw):
    model = encoder(kind).eval()
    check(model, sentences(draw, 6, 12, pad=int(kind == "roberta")), cross_entropy)


def test_token_losses_sum_and_mean(draw):
    """One loss a sentence that sums or averages over its tokens; neither is scaled by the number of sentences."""
    from transformers import BertForTokenClassification

    model = randomise(BertForTokenClassification(BertConfig(**SMALL)), draw)
    batch = sentences(draw, 5, 8)
    batch["labels"] = torch.randint(0, 3, (5, 8), generator=draw)

    def loss(model, batch, mean):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        each = F.cross_entropy(logits.transpose(1, 2), batch["labels"], reduction="none") * batch["attention_mask"]
        return each.sum(1) / (batch["attention_mask"].sum(1) if mean else 1)

    total = check(model, batch, lambda m, b: loss(m, b, mean=False))
    mean = check(model, batch, lambda m, b: loss(m, b, mean=True))
    torch.testing.assert_close(mean * batch["attention_mask"].sum(1), total)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_frozen_encoder(kind, draw):
    model = randomise(encoder(kind), draw)
    for name, p in model.named_parameters():
        p.requires_grad_("classifier" in name)
    check(model, sentences(draw, 6, 8), cross_entropy)


def test_frozen_at_random(draw):
    model = randomise(encoder("bert"), draw)
    for p in model.parameters():
        p.requires_grad_(bool(torch.rand((), generator=draw) < 0.5))
    model.classifier.bias.requires_grad_(True)
    check(model, sentences(draw, 6, 8), cross_entropy)


def test_head_only_is_el2n_times_feature_norm(draw):
    """GraNd of a linear head = |p - y| sqrt(1 + |h|^2)."""
    model = randomise(encoder("bert"), draw, scale=0.2)
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith("classifier"))
    batch, features = sentences(draw, 7, 9), []
    hook = model.classifier.register_forward_hook(lambda module, args, y: features.append(args[0]))
    with torch.no_grad():
        p = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.softmax(1)
    hook.remove()
    el2n = (p - F.one_hot(batch["labels"], 3)).norm(dim=1)
    expected = el2n * (1 + features[0].square().sum(1)).sqrt()
    torch.testing.assert_close(grad_norms(model, batch, cross_entropy), expected, rtol=1e-9, atol=0)


def test_given_gradients_and_no_grad(draw):
    """.grad of an earlier step is kept, and the caller may be inside no_grad."""
    model, batch = randomise(encoder("bert"), draw), sentences(draw, 4, 6)
    cross_entropy(model, batch).mean().backward()
    norms = check(model, batch, cross_entropy)
    with torch.no_grad():
        torch.testing.assert_close(grad_norms(model, batch, cross_entropy), norms, rtol=0, atol=0)


def test_dropout_in_train_mode(draw):
    """The norms are those of the masks drawn; the global generator moves as in one plain forward."""
    model, batch = randomise(encoder("bert", "eager"), draw).train(), sentences(draw, 5, 7)
    before = state(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        norms = grad_norms(model, batch, cross_entropy)
        after = torch.get_rng_state()
        torch.manual_seed(7)
        losses = cross_entropy(model, batch)
        assert torch.equal(after, torch.get_rng_state())
    same_state(before, state(model))
    for norm, one in zip(norms, losses, strict=True):
        whole = torch.autograd.grad(one, list(model.parameters()), retain_graph=True)
        torch.testing.assert_close(torch.cat([g.flatten() for g in whole]).norm(), norm, rtol=1e-9, atol=0)


def test_bfloat16_autocast(draw):
    """Under autocast the accumulation is still in float32."""
    model, batch = encoder("bert").eval(), sentences(draw, 5, 7)
    with torch.autocast("cpu", torch.bfloat16):
        norms, truth = grad_norms(model, batch, cross_entropy), reference_grad_norms(model, batch, cross_entropy)
    assert norms.dtype == torch.float32
    torch.testing.assert_close(norms, truth, rtol=0.05, atol=0)


# Images ---------------------------------------------------------------------------------------------------------------


def images(draw, n, channels=3, size=8, classes=4, dtype=torch.float64):
    return {"image": torch.randn(n, channels, size, size, generator=draw, dtype=dtype),
            "labels": torch.randint(0, classes, (n,), generator=draw)}


def image_loss(model, batch):
    return F.cross_entropy(model(batch["image"]).flatten(1), batch["labels"], reduction="none")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_resnet(dtype, draw):
    model = randomise(ResNet(4, widths=(6, 10), blocks=2), draw, dtype=dtype)
    check(model, images(draw, 5, dtype=dtype), image_loss)


@pytest.mark.parametrize("options", [
    {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
    {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 2), "dilation": (2, 1)},
    {"kernel_size": 3, "padding": "same", "groups": 4, "bias": False},
    {"kernel_size": 3, "padding": "valid", "padding_mode": "zeros"},
    {"kernel_size": (2, 3), "padding": "same", "dilation": 2},
    {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    {"kernel_size": 3, "padding": (2, 1), "padding_mode": "circular"},
    {"kernel_size": 8},
    {"kernel_size": 1},
    {"kernel_size": 1, "stride": (2, 3)},
], ids=str)
def test_convolutions(options, draw):
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 12, **options), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2),
                          nn.Flatten(), nn.Linear(48, 4))
    check(randomise(model, draw), images(draw, 5, channels=4), image_loss)


@pytest.mark.parametrize("options", [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 2), "padding": (0, 1), "dilation": (1, 2)},
    {"kernel_size": 3, "padding": 4, "dilation": 2, "groups": 2},
    {"kernel_size": 5, "padding": 0},
    {"kernel_size": 1},
    {"kernel_size": 3, "padding": 1, "stride": 2},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 3, "stride": 3},
    {"kernel_size": (2, 3), "padding": (3, 2), "stride": (3, 2), "dilation": (2, 1), "groups": 2},
    {"kernel_size": (1, 2), "padding": 1, "stride": 4, "dilation": (1, 3)},
    {"kernel_size": (4, 3), "padding": "same", "dilation": (1, 2)},
], ids=str)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch copies, we need not
def test_tables_of_pixels_are_tables_of_patches(options, draw):
    module = nn.Conv2d(4, 6, **options).double()
    x = torch.randn(3, 4, 7, 5, generator=draw, dtype=torch.float64)
    g = torch.randn(module(x).shape, generator=draw, dtype=torch.float64)
    squares = [torch.autograd.grad((module(x[b:b + 1]) * g[b:b + 1]).sum(), module.weight)[0].square().sum() for b in range(3)]
    torch.testing.assert_close(layers._pixel_tables(module, x, g), torch.stack(squares), rtol=1e-11, atol=0)


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": 1, "stride": 2}, {"padding": "same", "groups": 2},
                                     {"padding": 1, "padding_mode": "reflect"}], ids=str)
@pytest.mark.parametrize("at_once", [1, 2, 5, 7])
def test_examples_are_taken_some_at_a_time(options, at_once, draw, monkeypatch):
    """Chunks that come out even and uneven: the slow truth is one gradient an example."""
    module = nn.Conv2d(4, 6, 3, **options).double()
    x = torch.randn(7, 4, 6, 6, generator=draw, dtype=torch.float64)
    g = torch.randn(module(x).shape, generator=draw, dtype=torch.float64)
    squares = [torch.autograd.grad((module(x[b:b + 1]) * g[b:b + 1]).sum(), module.weight)[0].square().sum() for b in range(7)]
    sizes, dot = [], layers._dot
    monkeypatch.setattr(layers, "_dot", lambda a, b: (sizes.append(len(a)), dot(a, b))[1])
    monkeypatch.setattr(layers, "CACHED", at_once * module.weight.numel() // 4)
    torch.testing.assert_close(layers._whole_gradients(module, x, g), torch.stack(squares), rtol=1e-11, atol=0)
    expected = [at_once] * (7 // at_once) + [7 % at_once] * (7 % at_once > 0)
    assert sizes == expected
    if module.padding_mode == "zeros":
        sizes.clear()
        per_example = module.groups * max(g[0, 0].numel(), layers._in_a_class(module, x)) ** 2
        monkeypatch.setattr(layers, "CACHED", at_once * per_example)
        torch.testing.assert_close(layers._pixel_tables(module, x, g), torch.stack(squares), rtol=1e-11, atol=0)
        assert sizes == [size for size in expected for _ in range(4 if module.stride == (2, 2) else 1)]
    monkeypatch.setattr(layers, "CACHED", 0)  # one example needs more than there is room for
    torch.testing.assert_close(layers._whole_gradients(module, x, g), torch.stack(squares), rtol=1e-11, atol=0)


@pytest.mark.parametrize("make, least", [
    (lambda: nn.Linear(10, 5), 3), (lambda: nn.Linear(10, 5, bias=False), 3),  # 15 T < 50
    (lambda: nn.Conv2d(4, 12, 3, groups=2), 4),  # 6 channels from 18 numbers: 24 T < 108
    (lambda: nn.Conv2d(4, 4, 1), 1), (lambda: nn.Linear(4, 4), 1),  # 8 T < 16: as much work is not less
])
def test_tables_are_taken_while_they_are_less_work_than_the_gradient(make, least):
    module = make()
    assert [length for length in range(1, 40) if layers._tables(module, length)] == list(range(1, least + 1))


def test_the_table_of_an_input_is_made_once(draw):
    """Query, key and value share theirs; an input that was changed, cut or replaced has another."""
    x, last = torch.randn(2, 5, 3, generator=draw), {}
    first = layers._table(x, last)
    torch.testing.assert_close(first, torch.einsum("bsd,btd->bst", x, x))
    assert layers._table(x, last) is first and layers._table(x.view_as(x), last) is first
    for other in (x[:, :4], x.clone(), x.add_(1), x[:, 1:]):
        table = layers._table(other, last)
        assert table is not first
        torch.testing.assert_close(table, torch.einsum("bsd,btd->bst", other, other))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_positions_that_a_gradient_reaches(share, draw):
    g = torch.randn(4, 9, 3, generator=draw) * (torch.rand(4, 9, 1, generator=draw) < share)
    g[0, -1] = 0
    found = layers.reached(g)
    assert found.tolist() == [t for t in range(9) if any(g[b, t].any() for b in range(4))]
    weight = torch.randn(3, 5, generator=draw)
    torch.testing.assert_close(layers._back_from_reached(weight, g), g @ weight)
    g[0, -1, 2] = 1
    assert layers.reached(g) is None
    torch.testing.assert_close(layers._back_from_reached(weight, g), g @ weight)


@pytest.mark.parametrize("far", [0.0, 1e4, -1e4])
@pytest.mark.parametrize("names", [{"weight"}, {"bias"}, {"weight", "bias"}])
@pytest.mark.parametrize("shape", [(), (7, 9)])
def test_batch_norm_loses_no_digits_far_from_zero(far, names, shape, draw):
    """Single precision against the definition in double: also where one channel of several lies far from zero."""
    module = (nn.BatchNorm2d if shape else nn.BatchNorm1d)(3).eval()
    module.running_var.copy_(torch.tensor([0.7, 1.3, 2.0]))
    for where in ([0], [2], [0, 1, 2]):
        mean = torch.randn(3, generator=draw)
        mean[where] += far
        module.running_mean.copy_(mean)
        x = torch.randn(6, 3, *shape, generator=draw) + mean.view(-1, *[1] * len(shape))
        g = torch.randn(x.shape, generator=draw)
        wide, std = [t.double().reshape(6, 3, -1) for t in (x, g)], (module.running_var.double() + module.eps).sqrt()
        centred = (wide[0] - mean.double()[:, None]) / std[:, None]
        slow = {"weight": (centred * wide[1]).sum(2).square().sum(1), "bias": wide[1].sum(2).square().sum(1)}
        expected = sum(slow[name] for name in names)
        torch.testing.assert_close(layers._of_batch_norm(module, names, x, g).double(), expected, rtol=2e-4, atol=1e-6)


def test_batch_norm_has_one_answer_on_both_ways(draw):
    """A mean of 15 standard deviations goes by sums, one of 17 by differences: the norms do not tell."""
    module = nn.BatchNorm1d(3).double().eval()
    for distance in (15.0, 17.0):
        module.running_mean.copy_(torch.tensor([0.0, distance, -1.0]))
        x, g = (torch.randn(5, 3, 8, generator=draw, dtype=torch.float64) for _ in range(2))
        whole = layers.gradient(module, "weight", x, g).square().sum(1) + layers.gradient(module, "bias", x, g).square().sum(1)
        torch.testing.assert_close(layers.squares(module, {"weight", "bias"}, x, g, {}), whole, rtol=1e-10, atol=0)


def test_a_way_back_of_its_own_is_taken_where_it_is_right():
    """A 1 x 1 kernel that skips pixels, without groups or padding; tokens of a Linear; BatchNorm. Else the library's."""
    def taken(module, *shape):
        x = torch.randn(2, *shape)
        return layers.way_back(module.eval(), x, module(x)) is not None

    assert taken(nn.Conv2d(4, 4, 1, stride=2), 4, 6, 6) and taken(nn.Conv2d(4, 4, 1, stride=(1, 2)), 4, 6, 6)
    assert not taken(nn.Conv2d(4, 4, 1), 4, 6, 6) and not taken(nn.Conv2d(4, 4, 2, stride=2), 4, 6, 6)
    assert not taken(nn.Conv2d(4, 4, 1, stride=2, groups=2), 4, 6, 6)
    assert not taken(nn.Conv2d(4, 4, 1, stride=2, padding=1), 4, 6, 6)
    assert taken(nn.Linear(4, 3), 5, 4) and not taken(nn.Linear(4, 3), 4) and not taken(nn.Linear(4, 3), 2, 5, 4)
    assert taken(nn.BatchNorm1d(4), 4) and taken(nn.BatchNorm2d(4), 4, 2, 2) and not taken(nn.LayerNorm(4), 5, 4)


def test_the_librarys_gradients_serve_kernels_that_are_wide_and_images_that_are_large():
    cases = ((nn.Conv2d(4, 12, 3), 8, True), (nn.Conv2d(64, 64, 3), 4, False), (nn.Conv2d(4, 12, 1), 8, False))
    for module, size, there in cases:
        assert layers._by_library(module, module(torch.empty(1, module.in_channels, size, size))) is there


def test_the_least_work_is_chosen():
    """Wide images: the gradient itself. Deep in the network, where images are small: tables of pixels, if these are few."""
    def by_pixels(channels, high, size, **options):
        module = nn.Conv2d(channels, high, **{"kernel_size": 3, "padding": 1} | options)
        x = torch.empty(1, channels, size, size)
        return layers._by_pixels(module, x, module(x))

    assert not by_pixels(64, 64, 32) and by_pixels(256, 256, 8)
    assert by_pixels(128, 256, 16, stride=2) and not by_pixels(64, 128, 32, stride=2)  # four tables
    assert not by_pixels(256, 256, 8, padding_mode="reflect")
    assert not by_pixels(16, 16, 8, kernel_size=8, padding=0)  # one patch, of many pixels


def test_in_place_operations(draw):
    """What follows a layer may overwrite its output."""
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.Conv2d(5, 6, 3),
                          nn.SiLU(inplace=True), nn.Flatten(), nn.BatchNorm1d(96), nn.Linear(96, 4))
    check(randomise(model, draw), images(draw, 5), image_loss)
    tokens = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Linear(6, 3), nn.SiLU(inplace=True))
    check(randomise(tokens, draw), rows(draw, 5, 7, 4), squared)


@pytest.mark.parametrize("n", [1, 4])
def test_what_came_before_is_added_in_place(n, draw):
    """A batch of one looks as if its layer had one output for all examples."""
    model = Net(lambda self, x: self.last(h := self.first(x)).add_(h), first=nn.Linear(4, 4), last=nn.Linear(4, 4))
    model, batch = randomise(model, draw), rows(draw, n, 3, 4)
    torch.testing.assert_close(grad_norms(model, batch, squared), reference_grad_norms(model, batch, squared), rtol=1e-9, atol=0)


@pytest.mark.parametrize("layer", [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LayerNorm(4)], ids=str)
def test_changing_what_went_in_is_refused(layer, draw):
    """Else the norms would be those of another input, without a word."""
    def forward(self, x):
        h = self.first(x)
        y = self.layer(h)
        h.add_(1)
        return y

    model = randomise(Net(forward, first=nn.Linear(4, 4), layer=layer), draw)
    refuse("changed in place", model, rows(draw, 5, 4))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        reference_grad_norms(model, rows(draw, 5, 4), squared)


def test_statistics_are_those_of_the_batches_alone(draw):
    """Measured a second time on other batches, the first ones are forgotten; every batch counts as much."""
    net, images = nn.Sequential(nn.BatchNorm2d(3)).eval(), torch.randn(4, 5, 3, 2, 2, generator=draw)
    tangent.measure_statistics(net, images[2:] + 7)
    tangent.measure_statistics(net, images[:3])
    torch.testing.assert_close(net[0].running_mean, images[:3].mean((0, 1, 3, 4)))
    torch.testing.assert_close(net[0].running_var, images[:3].transpose(1, 2).flatten(2).var(2).mean(0))


def test_a_kernel_wants_every_module_in_eval_mode():
    net = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 2)).eval()
    net[1].train()
    for kernel in (tangent.tangent_kernel, tangent.reference_tangent_kernel):
        with pytest.raises(InputError, match="in train mode"):
            kernel(net, torch.ones(2, 4))


# Layers by hand -------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A module with some parts and a forward given as a function."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.compute = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.compute(self, x)


def rows(draw, n, *shape):
    """A batch of random vectors x, token ids and targets y."""
    return {"x": torch.randn(n, *shape, generator=draw, dtype=torch.float64),
            "ids": torch.randint(0, 6, (n, shape[0]), generator=draw),
            "y": torch.randn(n, generator=draw, dtype=torch.float64)}


def squared(model, batch, column="x"):
    """A loss with curvature, one an example, whatever the shape of the output."""
    return (model(batch[column]).flatten(1).tanh().sum(1) - batch["y"]).square()


def ids_loss(model, batch):
    return squared(model, batch, "ids")


def lengths(draw, n=None):
    return [int(torch.randint(2, 8, (), generator=draw)) for _ in range(n or 1)]


@pytest.mark.parametrize("axes", [0, 1, 2, 3])
@pytest.mark.parametrize("wide", [2, 40])
def test_linear_with_leading_axes(axes, wide, draw):
    """Both sides of the choice between T x T tables and the gradient itself."""
    n, *shape = lengths(draw, 1 + axes)
    model = nn.Sequential(nn.Linear(wide, wide + 1), nn.LayerNorm(wide + 1, bias=False),
                          nn.Linear(wide + 1, 3, bias=False))
    batch = {"x": torch.randn(n, *shape, wide, generator=draw, dtype=torch.float64),
             "y": torch.randn(n, generator=draw, dtype=torch.float64)}
    check(randomise(model, draw), batch, squared)


@pytest.mark.parametrize("axes", [0, 1, 2])
@pytest.mark.parametrize("padding", [None, 0, 3])
def test_embedding(axes, padding, draw):
    n, *shape = lengths(draw, 1 + axes)
    model = nn.Sequential(nn.Embedding(6, 5, padding_idx=padding), nn.LayerNorm(5), nn.Tanh())
    batch = {"ids": torch.randint(0, 6, (n, *shape), generator=draw),
             "y": torch.randn(n, generator=draw, dtype=torch.float64)}
    batch["ids"][0] = 3  # the first example repeats one token
    check(randomise(model, draw), batch, ids_loss)


def test_layer_norm_over_two_axes(draw):
    model = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm((4, 6)), nn.Linear(6, 2))
    check(randomise(model, draw), rows(draw, 5, 4, 5), squared)


@pytest.mark.parametrize("padding", [None, 2])
def test_tied_weights(padding, draw):
    """One weight in an Embedding and in a Linear, as in a language model: the cross terms count."""
    embedding, decoder = nn.Embedding(6, 5, padding_idx=padding), nn.Linear(5, 6)
    decoder.weight = embedding.weight
    model = Net(lambda self, ids: self.decoder(torch.tanh(self.body(self.embedding(ids)))),
                embedding=embedding, body=nn.Linear(5, 5), decoder=decoder)
    check(randomise(model, draw), rows(draw, 5, 4), ids_loss)


def test_weight_used_outside_its_layer(draw):
    """The same tie written as a bare product."""
    model = Net(lambda self, ids: torch.tanh(self.body(self.embedding(ids))) @ self.embedding.weight.T,
                embedding=nn.Embedding(6, 5), body=nn.Linear(5, 5))
    check(randomise(model, draw), rows(draw, 5, 4), ids_loss)


def test_layers_used_several_times(draw):
    """A layer called in a loop (as in ALBERT), with a Linear, a LayerNorm and a convolution."""
    def forward(self, x):
        for _ in range(3):
            x = x + self.norm(torch.tanh(self.linear(x)))
        return self.convolution(self.convolution(x[:, None]))

    model = Net(forward, linear=nn.Linear(6, 6), norm=nn.LayerNorm(6), convolution=nn.Conv2d(1, 1, 3, padding=1))
    check(randomise(model, draw), rows(draw, 5, 4, 6), squared)


def test_two_layers_share_a_frozen_and_a_trained_part(draw):
    first, second = nn.Linear(5, 5), nn.Linear(5, 5)
    second.weight = first.weight
    first.bias.requires_grad_(False)
    model = nn.Sequential(first, nn.Tanh(), second)
    check(randomise(model, draw), rows(draw, 6, 3, 5), squared)


def test_unused_and_detached_layers(draw):
    model = Net(lambda self, x: self.last(self.first(x).detach()) + self.second(x), first=nn.Linear(4, 3),
                second=nn.Linear(4, 2), last=nn.Linear(3, 2), never=nn.Linear(9, 9))
    check(randomise(model, draw), rows(draw, 4, 4), squared)


def test_layers_under_no_grad(draw):
    """Trainable, but no gradient comes to them: they count for nothing."""
    def forward(self, x):
        with torch.no_grad():
            h = self.first(x)
        return self.last(h)

    check(randomise(Net(forward, first=nn.Linear(4, 3), last=nn.Linear(3, 2)), draw), rows(draw, 4, 4), squared)


def test_input_by_keyword_and_user_hooks(draw):
    """Hooks of the user change what goes in and what comes out; theirs stay and are counted in."""
    model = Net(lambda self, x: self.last(input=torch.tanh(self.first(input=x))), first=nn.Linear(4, 3),
                last=nn.Linear(3, 2))
    model.last.register_forward_pre_hook(lambda module, args, kwargs: ((), {"input": 2 * kwargs["input"]}),
                                         with_kwargs=True)
    model.first.register_forward_hook(lambda module, args, y: y.square())
    check(randomise(model, draw), rows(draw, 4, 4), squared)


class Straight(torch.autograd.Function):
    """A step of its own in the graph."""

    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, g):
        return 3 * g


def test_inputs_with_gradients_and_custom_functions(draw):
    """Other leaves of the graph, and steps written in Python, are in nobody's way."""
    model = Net(lambda self, x: self.last(Straight.apply(self.first(x) + self.shift(x))), first=nn.Linear(4, 3),
                shift=nn.Linear(4, 3), last=nn.Linear(3, 2))
    model, batch = randomise(model, draw), rows(draw, 4, 4)
    extra = torch.ones(4, dtype=torch.float64, requires_grad=True)
    batch["x"].requires_grad_()
    check(model, batch, lambda m, b: squared(m, {**b, "x": b["x"] * extra}))
    assert batch["x"].grad is None and extra.grad is None


def checkpointed(use_reentrant):
    body = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
    return Net(lambda self, x: self.last(checkpoint(self.body, self.first(x), use_reentrant=use_reentrant)),
               first=nn.Linear(4, 3), body=body, last=nn.Linear(3, 2))


def test_gradient_checkpointing(draw):
    check(randomise(checkpointed(False), draw), rows(draw, 4, 4), squared)


def test_reentrant_checkpointing_is_refused(draw):
    model, batch = randomise(checkpointed(True), draw), rows(draw, 4, 4)
    refuse("use_reentrant=False", model, batch)
    with pytest.raises(InputError, match="use_reentrant=False"):
        reference_grad_norms(model, batch, squared)


# The order of the examples --------------------------------------------------------------------------------------------

ORDERS = {  # of a batch of rows x: another one of the same examples
    "sorted down": lambda x: x.flatten(1).sum(1).argsort(descending=True),
    "sorted up": lambda x: x.flatten(1).sum(1).argsort(),
    "reversed": lambda x: torch.arange(len(x)).flip(0),
    "rolled": lambda x: torch.arange(len(x)).roll(1),
    "first two": lambda x: torch.cat([torch.arange(len(x))[:2].flip(0), torch.arange(len(x))[2:]]),
    "two in between": lambda x: torch.tensor([0, 2, 1, 3, 4, 5])[:len(x)],
    "last two": lambda x: torch.cat([torch.arange(len(x))[:-2], torch.arange(len(x))[-2:].flip(0)]),
}


def reordering(order, first):
    """A model that computes in another order, and gives its logits in that of the batch."""
    def forward(self, x):
        new = order(x)
        return self.last(torch.tanh(self.first(x[new])))[new.argsort()]

    return Net(forward, first=first, last=nn.Linear(5, 3))


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_model_that_reorders_its_batch_is_refused(kind, dtype, draw):
    """Values would be right here, norms would be those of other examples."""
    batch = rows(draw, 6, 3, 4)
    batch["x"] = batch["x"][batch["x"].sum((1, 2)).argsort()][[3, 1, 0, 5, 2, 4]].to(dtype)  # neither end where it belongs
    refuse("at the input of a layer .Linear.: the model reorders its batch",
           randomise(reordering(ORDERS[kind], nn.Linear(4, 5)), draw, dtype=dtype), batch)


@pytest.mark.parametrize("axes", [0, 1])
def test_reordered_tokens_are_refused(axes, draw):
    batch = {"ids": torch.stack([torch.randperm(6, generator=draw) for _ in range(1 + 3 * axes)], 1).squeeze(1),
             "y": torch.randn(6, generator=draw, dtype=torch.float64)}
    refuse("at the input of a layer .Embedding.: the model reorders",
           randomise(reordering(ORDERS["rolled"], nn.Embedding(6, 5)), draw), batch, ids_loss)


def test_the_end_that_stays_does_not_hide_the_order(draw):
    """Where the longest comes first, only the last example moves."""
    batch = rows(draw, 5, 4)
    for place in (0, 4):
        batch["x"] = batch["x"][batch["x"].sum(1).argsort(descending=True)]
        batch["x"] = batch["x"][[0, 2, 3, 4, 1] if place else [3, 0, 1, 2, 4]]
        model = randomise(reordering(ORDERS["sorted down"], nn.Linear(4, 5)), draw)
        refuse(f"batch position {1 if place else 0} lies in another row", model, batch)


def test_a_model_that_keeps_the_order_is_not_taken_for_another(draw):
    """Equal examples, single ones, half precision, train mode, and a sort that finds everything in its place."""
    batch = rows(draw, 6, 4)
    batch["x"] = batch["x"][batch["x"].sum(1).argsort()]
    check(randomise(reordering(ORDERS["sorted up"], nn.Linear(4, 5)), draw), batch, squared)
    equal = {name: t[[0, 1, 0, 0, 1, 0]] for name, t in rows(draw, 6, 3, 4).items()}
    for dtype in (torch.float64, torch.bfloat16):
        net = randomise(nn.Sequential(*[nn.Linear(4, 4) for _ in range(12)]), draw, dtype=dtype)
        grad_norms(net, equal | {"x": equal["x"].to(dtype)}, squared)
    model = reordering(ORDERS["reversed"], nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5)))
    grad_norms(randomise(model, draw).train(), rows(draw, 6, 4), squared)  # masks differ: nothing to compare by


@pytest.mark.parametrize("b", [0, 2])
def test_an_activation_has_moved_if_another_row_is_nearer_by_far(b, draw):
    x = torch.randn(3, 2, 4, generator=draw)
    other = (x[b] + x[1]) / 2
    assert not gradnorm.order.moved(x, b, x[b]) and gradnorm.order.moved(x, b, x[1]) and not gradnorm.order.moved(x, b, other)
    assert not gradnorm.order.moved(x, b, x[b] + 0.005 * x[1]) and not gradnorm.order.moved(x, b, x[1][:, :2])
    for share, moved in ((0.24, True), (0.26, False)):  # nearer by far: four times
        near = torch.stack([x[0], x[0] + share * x[1], x[0]])
        near[b] = x[0] + x[1]
        assert gradnorm.order.moved(near[[b, 1]], 0, x[0]) == moved
    for scale, moved in ((1.008, False), (1.012, True)):  # 1 % is as far as rounding may go
        assert gradnorm.order.moved(torch.stack([x[0], scale * x[0], x[0]]), b, scale * x[0]) == moved




# Positions: one output for the whole batch ----------------------------------------------------------------------------

POSITIONS = {
    "[1, T, d]": lambda e, ids: e(torch.arange(ids.shape[1])[None]),
    "[T, d]": lambda e, ids: e(torch.arange(ids.shape[1])),
    "[1, T, d][0]": lambda e, ids: e(torch.arange(ids.shape[1])[None])[0],
    "scaled": lambda e, ids: 2 * e(torch.arange(ids.shape[1])[None]),
    "expanded": lambda e, ids: e(torch.arange(ids.shape[1])).expand(len(ids), -1, -1),
    "repeated": lambda e, ids: e(torch.arange(ids.shape[1])).repeat(len(ids), 1).view(*ids.shape, -1),
    "expanded ids": lambda e, ids: e(torch.arange(ids.shape[1]).expand_as(ids)),
}


@pytest.mark.parametrize("kind", POSITIONS)
@pytest.mark.parametrize("n, length", [(4, 4), (5, 3), (3, 1)])
def test_position_embeddings(kind, n, length, draw):
    """Exact however positions are written, also where T = B."""
    model = Net(lambda self, ids: self.norm(self.words(ids) + POSITIONS[kind](self.positions, ids)), words=nn.Embedding(6, 5),
                positions=nn.Embedding(9, 5), norm=nn.LayerNorm(5))
    check(randomise(model, draw), rows(draw, n, length), ids_loss)


@pytest.mark.parametrize("place", [0, -1])
def test_positions_of_which_one_row_serves_all(place, draw):
    """One output for all, and something added to it that is for all as well: there is no copy for each example."""
    positions = lambda self, length: (self.positions(torch.arange(length)[None]) + 1)[place]  # noqa: E731
    model = randomise(Net(lambda self, ids: self.words(ids) @ positions(self, ids.shape[1]).T, words=nn.Embedding(6, 5),
                          positions=nn.Embedding(9, 5)), draw)
    check(model, rows(draw, 4, 3), ids_loss, slow=["Embedding"])


def test_relative_positions_through_a_linear(draw):
    """Layers on top of something shared: neither axis holds examples, though T = B."""
    model = Net(lambda self, x: torch.tanh(x @ self.linear(self.positions.weight).T), positions=nn.Embedding(4, 3),
                linear=nn.Linear(3, 5))
    check(randomise(model, draw), rows(draw, 4, 5), squared)


# What has no rule -----------------------------------------------------------------------------------------------------


class Scale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, x):
        return x * self.scale.exp() + self.shift


class DoubleLinear(nn.Linear):
    """A subclass may compute anything."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_custom_parameters(draw):
    model = nn.Sequential(nn.Linear(5, 6), Scale(6), nn.Tanh(), DoubleLinear(6, 4), Scale(4), nn.Linear(4, 2))
    check(randomise(model, draw), rows(draw, 5, 3, 5), squared)


def test_other_layers_of_torch(draw):
    """Group norm, a transposed convolution, a recurrent layer: no rule, yet exact."""
    model = Net(lambda self, x: self.gru(self.norm(self.up(x)))[0].tanh(), up=nn.ConvTranspose1d(4, 6, 3),
                norm=nn.GroupNorm(2, 6), gru=nn.GRU(7, 3, batch_first=True))
    check(randomise(model, draw), rows(draw, 4, 4, 5), squared)


@pytest.mark.parametrize("batch_first", [True, False])
def test_torch_transformer(batch_first, draw):
    """nn.MultiheadAttention uses the weights of its inner Linear without calling it."""
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=batch_first)
    model = Net(lambda self, x: layer(x) if batch_first else layer(x.transpose(0, 1)).transpose(0, 1), layer=layer)
    check(randomise(model, draw), rows(draw, 4, 4, 6), squared)


def test_parametrised_weight(draw):
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)), nn.Tanh(), nn.Linear(4, 2))
    check(randomise(model, draw), rows(draw, 4, 5), squared)


def test_flattened_examples(draw):
    """[B * T, d]: whose row is whose is known from where it was flattened."""
    model = Net(lambda self, x: self.last(torch.tanh(self.first(x.flatten(0, 1))).unflatten(0, x.shape[:2])),
                first=nn.Linear(5, 4), last=nn.Linear(4, 2))
    check(randomise(model, draw), rows(draw, 4, 3, 5), squared)


def test_examples_one_by_one(draw):
    """A loop over the examples inside the model."""
    model = Net(lambda self, x: torch.cat([torch.tanh(self.linear(row[None])) for row in x]), linear=nn.Linear(5, 4))
    check(randomise(model, draw), rows(draw, 4, 5), squared, slow=["Linear"])


def test_examples_one_by_one_that_look_shared(draw):
    """A layer that is called as often as there are examples is no layer with one output for all."""
    model = Net(lambda self, x: torch.stack([(self.one(row[None]) + 1).mean(0) for row in x]), one=nn.Linear(5, 4))
    check(randomise(model, draw), rows(draw, 4, 5), squared, slow=["Linear"])


def test_calls_of_a_layer_are_told_apart_where_there_are_as_many_positions_as_examples(draw):
    """One call sees the batch along its second axis, and is left to autograd; the next must not be taken for it."""
    def forward(self, x):
        h = self.layer(x.transpose(0, 1)).transpose(0, 1)
        return self.last(torch.tanh(self.layer(h) + self.layer(torch.tanh(h))))

    model = randomise(Net(forward, layer=nn.Linear(4, 4), last=nn.Linear(4, 2)), draw)
    norms = grad_norms(model, batch := rows(draw, 3, 3, 4), squared)
    torch.testing.assert_close(norms, reference_grad_norms(model, batch, squared), rtol=1e-9, atol=0)


def test_a_view_that_is_changed_in_place(draw):
    """A linear map of [B, T, d] gives a view; left to autograd it is one as well, and on a GPU in any case."""
    model = Net(lambda self, x: self.last(self.layer(torch.stack([self.layer(row) for row in x])).mul_(2)), layer=nn.Linear(4, 4),
                last=nn.Linear(4, 2))
    check(randomise(model, draw), rows(draw, 4, 3, 4), squared, slow=["Linear"])
    four = Net(lambda self, x: self.layer(x).mul_(2), layer=nn.Linear(4, 4))
    model = Net(lambda self, x: self.last(four(self.first(x))), first=nn.Linear(4, 4), four=four, last=nn.Linear(4, 2))
    check(randomise(model, draw), rows(draw, 4, 2, 3, 4), squared)


@pytest.mark.parametrize("room", [0, 2**16, 2**28])
def test_layers_of_one_shape_together_or_one_by_one(room, draw, monkeypatch):
    """As a GPU has it, with room for none, some and all to wait: the same norms, and never more than fits."""
    model, batch, sizes = randomise(encoder("bert"), draw), sentences(draw, 5, 9), []
    expected = grad_norms(model, batch, cross_entropy)
    monkeypatch.setattr(gradnorm.catch, "stacks", lambda device: True)
    monkeypatch.setattr(gradnorm.catch, "WAITING", room)
    flush = gradnorm.catch.Catch.flush
    monkeypatch.setattr(gradnorm.catch.Catch, "flush", lambda self: (sizes.append(self.bytes), flush(self)))
    torch.testing.assert_close(grad_norms(model, batch, cross_entropy), expected, rtol=1e-12, atol=0)
    linear, largest = 2 * 6 + 2, 5 * 9 * (24 + 40) * 8  # calls of a Linear, and bytes of the x and g of one
    assert max(sizes) <= room + largest
    assert len(sizes) == linear + 1 if room == 0 else len(sizes) == 1 if room == 2**28 else 1 < len(sizes) < linear
    check(model, batch, cross_entropy)


RECURRENT = {
    "LSTM": lambda: nn.LSTM(5, 4, batch_first=True),
    "LSTM, time first": lambda: nn.LSTM(5, 4, num_layers=2),
    "LSTM, both ways": lambda: nn.LSTM(5, 4, num_layers=2, bidirectional=True, batch_first=True),
    "LSTM without bias": lambda: nn.LSTM(5, 4, bias=False, batch_first=True),
    "LSTM with a projection": lambda: nn.LSTM(5, 4, proj_size=2, batch_first=True),  # computed one by one
    "GRU": lambda: nn.GRU(5, 4, num_layers=2, bidirectional=True, batch_first=True),
    "GRU without bias": lambda: nn.GRU(5, 4, bias=False, batch_first=True),
    "RNN": lambda: nn.RNN(5, 4, num_layers=2, batch_first=True),
    "RNN with relu": lambda: nn.RNN(5, 4, nonlinearity="relu", batch_first=True),
}


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers(kind, draw):
    """Their output and state at the end, all steps or one."""
    layer = RECURRENT[kind]()

    def forward(self, x):
        x = torch.tanh(self.first(x))
        out, state = layer(x if layer.batch_first else x.transpose(0, 1))
        out = out if layer.batch_first else out.transpose(0, 1)
        state = state[0] if isinstance(state, tuple) else state
        return torch.cat([out[:, 1], state.transpose(0, 1).flatten(1)], 1)

    check(randomise(Net(forward, first=nn.Linear(3, 5), layer=layer), draw, scale=0.6), rows(draw, 4, 6, 3), squared)


@pytest.mark.parametrize("frozen", ["weight_ih_l0", "weight_hh_l0", "bias_hh_l0", "bias_ih_l0"])
def test_recurrent_layers_of_which_a_part_is_frozen(frozen, draw):
    layer = nn.GRU(5, 4, batch_first=True)
    getattr(layer, frozen).requires_grad_(False)
    check(randomise(Net(lambda self, x: layer(x)[0], layer=layer), draw), rows(draw, 4, 6, 5), squared)


def test_recurrent_layers_with_given_states(draw):
    """A learned start is expanded to all examples; a batch that has no example axis in sight is left to autograd."""
    layer = nn.LSTM(5, 4, batch_first=True)
    model = Net(lambda self, x: layer(x, (self.start.expand(-1, len(x), -1).contiguous(), torch.zeros(1, len(x), 4).double()))[0],
                layer=layer, start=nn.Parameter(torch.zeros(1, 1, 4)))
    check(randomise(model, draw), rows(draw, 4, 6, 5), squared)

    def packed(self, x):
        lengths = 1 + (x[:, 1:, 0] > 0).sum(1)
        return layer(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[1][0][0]

    check(randomise(Net(packed, layer=layer), draw), rows(draw, 4, 4, 5), squared, slow=["LSTM"])


def test_other_convolutions_and_norms(draw):
    model = Net(lambda self, x: self.prelu(self.norm(self.last(self.group(self.first(x)).tanh()))),
                first=nn.Conv1d(4, 6, 3, padding=1, groups=2), group=nn.GroupNorm(3, 6),
                last=nn.ConvTranspose1d(6, 4, 2, stride=2), norm=nn.InstanceNorm1d(4, affine=True), prelu=nn.PReLU(4))
    check(randomise(model, draw), rows(draw, 4, 4, 5), squared)
    model = Net(lambda self, x: self.norm(self.three(x[:, None]).flatten(1, 2)), three=nn.Conv3d(1, 3, 2), norm=nn.RMSNorm(3))
    check(randomise(model, draw), rows(draw, 4, 4, 4, 4), squared)


def test_bilinear_and_bags(draw):
    """A product of two inputs, and a sum of rows of a table, as torch has them."""
    model = Net(lambda self, x: self.both(x, x.tanh()), both=nn.Bilinear(5, 5, 3))
    check(randomise(model, draw), rows(draw, 4, 3, 5), squared)
    check(randomise(nn.EmbeddingBag(6, 5, mode="sum"), draw), rows(draw, 4, 3), ids_loss)


class Own(nn.Module):
    """A module with a parameter of its own, `w`, and whatever else it is given."""

    def __init__(self, forward, width, **parts):
        super().__init__()
        self.compute, self.w = forward, nn.Parameter(torch.zeros(width))
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args, **kwargs):
        return self.compute(self, *args, **kwargs)


ODD = {  # modules from [B, 3, 5] to [B, 3, 5] that own a parameter of width 5
    "scales the output of a child": lambda: Own(lambda self, x: self.w * self.child(x), 5, child=nn.Linear(5, 5)),
    "scales the weight of a child": lambda: Own(lambda self, x: F.linear(x, self.w * self.child.weight), 5,
                                                child=nn.Linear(5, 5, bias=False)),
    "gives it to a child": lambda: Own(lambda self, x: self.child(x, self.w), 5,
                                       child=Own(lambda self, x, other: x * other + self.w.square(), 5)),
    "is used by a layer with a rule, too": lambda: Own(lambda self, x: self.child(x) * self.child.weight + self.w, 5,
                                                       child=nn.LayerNorm(5)),
    "uses its parameter in every way": lambda: Own(
        lambda self, x: torch.where(x > 0, x, self.w) / (1 + self.w.exp()) - self.w, 5),
    "gives a tuple": lambda: Own(lambda self, x: self.child(x)[1], 1, child=Own(lambda self, x: (x, x * self.w, None), 5)),
    "gives a dict": lambda: Own(lambda self, x: self.child(x=x)["y"], 1, child=Own(lambda self, x: {"y": x + self.w}, 5)),
    "takes keywords": lambda: Own(lambda self, x: self.child(1, by={"x": [x]}), 1,
                                  child=Own(lambda self, a, *, by: torch.lerp(by["x"][0], self.w, 0.3) + a, 5)),
    "puts a token first": lambda: Own(lambda self, x: torch.cat([self.w.expand(len(x), 1, -1), x[:, 1:]], 1), 5),
    "puts several tokens first": lambda: Own(lambda self, x: torch.cat([self.w.repeat(len(x), 2, 1), x[:, 2:]], 1), 5),
    "works in place": lambda: Own(lambda self, x: (2 * x).add_(self.w).relu_(), 5),
    "mixes the axes": lambda: Own(
        lambda self, x: (x.transpose(0, 1).reshape(-1, 5) @ self.w.diag()).view(3, -1, 5).transpose(0, 1), 5),
    "interleaves the examples": lambda: Own(lambda self, x: self.w.repeat_interleave(len(x)).view(5, -1).T[:, None] + x, 5),
    "is a threshold": lambda: Own(lambda self, x: x.masked_fill(x > 1, 0) * self.w.clamp(min=-1), 5),
    "attends with a learned query": lambda: Own(lambda self, x: x * F.scaled_dot_product_attention(
        self.w.view(1, 1, 5).expand(len(x), 1, 5), x, x), 5),
    "is called again and again": lambda: Own(lambda self, x: self.child(self.child(x) + self.w) * self.w, 5,
                                             child=Own(lambda self, x: x.tanh() * self.w, 5)),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("n", [2, 3, 5])  # 3 and 5 are sizes of other axes
def test_odd_modules(kind, n, draw):
    model = Net(lambda self, x: self.last(torch.tanh(self.odd(self.first(x)))), first=nn.Linear(4, 5), odd=ODD[kind](),
                last=nn.Linear(5, 2))
    check(randomise(model, draw), rows(draw, n, 3, 4), squared)


def test_low_rank_adapters(draw):
    """LoRA beside a frozen layer, and DoRA, whose lengths of columns depend on parameters alone."""
    frozen = nn.Linear(5, 6).requires_grad_(False)
    lora = Net(lambda self, x: frozen(x) + 2 * self.up(self.down(x)), frozen=frozen, down=nn.Linear(5, 2, bias=False),
               up=nn.Linear(2, 6, bias=False))
    check(randomise(nn.Sequential(nn.Linear(4, 5), lora), draw), rows(draw, 5, 3, 4), squared)

    def weight_of(self, x):
        whole = frozen.weight + self.up.weight @ self.down.weight
        return F.linear(x, self.length[:, None] * whole / whole.norm(dim=1, keepdim=True))

    dora = Net(weight_of, frozen=frozen, down=nn.Linear(5, 2, bias=False), up=nn.Linear(2, 6, bias=False),
               length=nn.Parameter(torch.ones(6)))
    check(randomise(nn.Sequential(nn.Linear(4, 5), dora), draw), rows(draw, 5, 3, 4), squared)


def test_dropout_beside_parameters_without_a_rule(draw):
    """Masks of examples, of a parameter, and one that an operation draws by itself; each drawn once."""
    def forward(self, x):
        x = F.dropout(x * F.dropout(self.w, 0.5, self.training), 0.5, self.training)
        return F.rrelu(x + self.w, training=self.training) + self.attention(x, x, x)[0]

    model = Own(forward, 6, attention=nn.MultiheadAttention(6, 2, dropout=0.5, batch_first=True))
    model, batch = randomise(model, draw).train(), rows(draw, 5, 3, 6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            norms = grad_norms(model, batch, squared)
        after = torch.get_rng_state()
        torch.manual_seed(7)
        losses = squared(model, batch)
        assert torch.equal(after, torch.get_rng_state())
    for norm, one in zip(norms, losses, strict=True):
        whole = torch.autograd.grad(one, list(model.parameters()), retain_graph=True)
        torch.testing.assert_close(torch.cat([g.flatten() for g in whole]).norm(), norm, rtol=1e-9, atol=0)


class Drawn(torch.autograd.Function):
    """An operation of its own, which a watch cannot see."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g * w, (g * x).flatten(0, -2).sum(0)


def test_what_cannot_be_caught_is_exact_and_announced(draw):
    """A function of autograd, rows picked by their values, and one that mixes the examples a little."""
    hidden = Own(lambda self, x: Drawn.apply(x, self.w), 5)
    check(randomise(nn.Sequential(nn.Linear(4, 5), hidden), draw), rows(draw, 5, 3, 4), squared, slow=["Own"])

    def picked(self, x):
        some = x[..., 0] > 0
        out = torch.zeros_like(x)
        out[some] = x[some] * self.w
        return out + self.w.cos()

    routed = nn.Sequential(nn.Linear(4, 5), Own(picked, 5))
    norms, batch = None, rows(draw, 5, 3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        norms = grad_norms(randomise(routed, draw), batch, squared)
    torch.testing.assert_close(norms, reference_grad_norms(routed, batch, squared), rtol=1e-9, atol=0)


def test_experts_that_see_the_tokens_they_are_sent(draw):
    """Rows picked by their values: as many as there are examples, by chance, are not one of each."""
    def forward(self, x):
        h, out = self.first(x).flatten(0, 1), 0
        for k in (0, 1):
            some = (h[:, 0] > 0) == k
            part = torch.tanh(self.linear(h[some]) * self.scale)
            out = out + torch.zeros(len(h), 3, dtype=h.dtype).masked_scatter(some[:, None], part)
        return out.unflatten(0, x.shape[:2])

    model, alone = Net(forward, first=nn.Linear(4, 5), linear=nn.Linear(5, 3), scale=nn.Parameter(torch.ones(3))), {}
    randomise(model, draw)
    for _ in range(12):
        batch = rows(draw, 3, 2, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                norms = grad_norms(model, batch, squared, alone=alone)
            except InputError as error:
                assert "reorders its batch" in str(error)
                continue
        torch.testing.assert_close(norms, reference_grad_norms(model, batch, squared), rtol=1e-9, atol=0)


@pytest.mark.parametrize("layer", [lambda: nn.RMSNorm(3), lambda: Own(lambda self, x: x * (1 + self.w), 3),
                                   lambda: nn.MultiheadAttention(3, 1, batch_first=True)])
def test_checkpointed_parameters_without_a_rule(layer, draw):
    layer = layer()
    part = (lambda x: layer(x, x, x)[0]) if isinstance(layer, nn.MultiheadAttention) else layer

    def forward(self, x):
        return self.last(checkpoint(lambda h: self.inner(part(self.inner(h)).tanh()), self.first(x), use_reentrant=False))

    model = Net(forward, first=nn.Linear(4, 3), layer=layer, inner=nn.Linear(3, 3), last=nn.Linear(3, 2))
    check(randomise(model, draw), rows(draw, 4, 5, 4), squared)


def test_a_compiled_model_is_compiled_once(draw):
    from torch._dynamo.utils import counters

    plain = randomise(Net(lambda self, x: self.odd(self.first(x)), first=nn.Linear(4, 5), odd=nn.RMSNorm(5)), draw)
    compiled, batch, alone = torch.compile(plain, backend="aot_eager"), rows(draw, 4, 3, 4), {}
    squared(compiled, batch).sum().backward()
    plain.zero_grad()
    before = counters["stats"]["unique_graphs"]
    assert before >= 1
    for _ in range(3):
        norms = grad_norms(compiled, batch, squared, alone=alone)
        squared(compiled, batch).sum()
    assert counters["stats"]["unique_graphs"] == before
    torch.testing.assert_close(norms, reference_grad_norms(plain, batch, squared), rtol=1e-9, atol=0)


def precision():
    return (torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32,
            torch.backends.mkldnn.matmul.fp32_precision)


@pytest.mark.parametrize("wanted", ["high", "medium", "highest"])
def test_full_precision_inside_and_the_callers_after(wanted, draw):
    """TF32 is off while the loss computes, also after one that failed."""
    start, model, seen = precision(), randomise(nn.Linear(4, 2), draw), []

    def loss(model, batch):
        seen.append(precision()[:3])
        if len(seen) > 4:
            raise KeyError
        return squared(model, batch)

    try:
        torch.set_float32_matmul_precision(wanted)
        before = precision()
        grad_norms(model, rows(draw, 3, 4), loss)
        assert precision() == before
        with pytest.raises(KeyError):
            grad_norms(model, rows(draw, 3, 4), loss)
        assert precision() == before and seen == [("highest", False, False)] * 5
    finally:
        torch.set_float32_matmul_precision(start[0])
        torch.backends.mkldnn.matmul.fp32_precision = start[3]
    assert precision() == start


# Bad input ------------------------------------------------------------------------------------------------------------


def refuse(words, model, batch, loss=squared):
    """An InputError of one paragraph that holds `words`; the model is left as it was."""
    before = state(model)
    with pytest.raises(InputError, match=words) as error:
        grad_norms(model, batch, loss)
    assert "\n" not in str(error.value)
    same_state(before, state(model))


def test_batches_without_examples(draw):
    model = randomise(nn.Linear(4, 2), draw)
    batch = rows(draw, 3, 4)
    for bad in ({}, {name: t[:0] for name, t in batch.items()}, batch | {"y": batch["y"][:2]},
                batch | {"y": torch.tensor(1.0)}, {"y": torch.tensor(1.0)}, batch | {"y": [1, 2, 3]}, {"y": [1, 2, 3]}):
        refuse("first axes of the batch", model, bad)
        with pytest.raises(InputError, match="first axes of the batch"):
            reference_grad_norms(model, bad, squared)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_model_a_batch_and_a_loss_are_needed(place, draw):
    given = [randomise(nn.Linear(4, 2), draw), rows(draw, 3, 4), squared]
    for norms in (grad_norms, reference_grad_norms):
        with pytest.raises(InputError, match="model, batch and loss are of types .*list"):
            norms(*given[:place], [1], *given[place + 1:])
    with pytest.raises(InputError, match="alone is of type list"):
        grad_norms(*given, alone=[])


def test_losses_that_are_not_one_an_example(draw):
    model, batch = randomise(nn.Linear(4, 2), draw), rows(draw, 3, 4)
    batch["y"] += 9  # no loss near zero
    for bad, words in ((lambda m, b: squared(m, b).mean(), "a scalar.*shape .1,"),
                       (lambda m, b: squared(m, b)[:, None], r"returned \(1, 1\)"),
                       (lambda m, b: squared(m, b)[:2], r"returned \(2,\) for 3"),
                       (lambda m, b: 1.0, "returned float"),
                       (lambda m, b: squared(m, b) / len(b["y"]), "alone but .* batch of 3"),
                       (lambda m, b: squared(m, b) + 0j, "one real loss"),
                       (lambda m, b: squared(m, b).detach(), "depends on no trainable parameter")):
        refuse(words, model, batch, bad)


@pytest.mark.parametrize("b", [0, 2])
@pytest.mark.parametrize("dtype, far", [(torch.float64, 0.01), (torch.float32, 0.01), (torch.bfloat16, 0.2)])
def test_how_far_a_loss_alone_may_be_from_that_in_the_batch(b, dtype, far, draw):
    """A hundredth, in half precision a fifth, which is more than rounding does; of the first example and of the last."""
    model, batch = randomise(nn.Linear(4, 2), draw, dtype=dtype), {name: t.to(dtype) for name, t in rows(draw, 3, 4).items()}
    batch["y"] += 9

    def scaled(factor):
        def loss(model, batch):
            losses = squared(model, batch)
            return losses if len(losses) == 1 else losses * torch.tensor([factor if i == b else 1.0 for i in range(3)]).to(dtype)
        return loss

    for factor in (1 / (1 + 0.8 * far), 1 / (1 - 0.8 * far)):
        grad_norms(model, batch, scaled(factor))
    for factor in (1 / (1 + 1.3 * far), 1 / (1 - 1.3 * far)):
        refuse(f"batch position {b} has loss .* alone but .* batch of 3", model, batch, scaled(factor))


def test_what_was_shown_serves_for_the_same_case_only(draw):
    """Another length, type, mode, model or set of trained parameters is looked at anew; another number of examples is not."""
    model, alone = randomise(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), draw), {}
    passes = []

    def loss(model, batch):
        passes.append(len(batch["y"]))
        return squared(model, batch)

    def asks(model, batch):
        passes.clear()
        grad_norms(model, batch, loss, alone=alone)
        return passes

    assert asks(model, rows(draw, 5, 4)) == [1, 1, 5, 5] and asks(model, rows(draw, 5, 4)) == [5]
    assert asks(model, rows(draw, 3, 4)) == [3] and asks(model, rows(draw, 1, 4)) == [1]
    for length in (5, 6):
        assert asks(model, rows(draw, 3, length, 4)) == [1, 1, 3, 3] and asks(model, rows(draw, 3, length, 4)) == [3]
    assert asks(model.train(), rows(draw, 3, 4)) == [1, 1, 3]
    model.eval()[0].requires_grad_(False)
    assert asks(model, rows(draw, 3, 4)) == [1, 1, 3, 3]
    other = randomise(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), draw)
    assert asks(other, rows(draw, 1, 4)) == [1, 1] and asks(other, rows(draw, 3, 4)) == [1, 1, 3, 3]  # one shows no order
    assert asks(model, rows(draw, 3, 4) | {"more": torch.zeros(3)}) == [1, 1, 3, 3]
    assert asks(model, rows(draw, 3, 4) | {"more": torch.zeros(3).long()}) == [1, 1, 3, 3]


def test_losses_that_are_not_finite(draw):
    model, batch = randomise(nn.Linear(4, 2), draw), rows(draw, 5, 4)
    batch["y"][0], batch["y"][3] = float("nan"), float("inf")
    refuse(r"position\(s\) \[0, 3\]", model, batch)
    batch["y"][0] = 0
    with pytest.raises(InputError, match=r"position\(s\) \[3\]"):
        reference_grad_norms(model, batch, squared)


def test_models_that_cannot_be_scored(draw):
    batch = rows(draw, 3, 4)
    refuse("no trainable parameter", randomise(nn.Linear(4, 2), draw).requires_grad_(False), batch)
    refuse("'1'.* mix", randomise(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)), draw).train(), batch)
    refuse("'0'.* mix", nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)).double().eval(), batch)
    refuse("scale_grad_by_freq", randomise(nn.Embedding(6, 3, scale_grad_by_freq=True), draw), batch, ids_loss)
    between = Net(lambda self, x: self.linear(torch.cat([x[:1], x[1:-1] - x[1:-1].mean(0), x[-1:]]) if len(x) > 1 else x),
                  linear=nn.Linear(4, 2))
    refuse("other examples beside it", randomise(between, draw), rows(draw, 6, 4), lambda m, b: m(b["x"]).square().sum(1))
    centred = Net(lambda self, x: self.linear(x) - self.linear(x).mean(0), linear=nn.Linear(4, 2))
    refuse("mixes examples", randomise(centred, draw), batch, lambda m, b: m(b["x"]).square().sum(1))


def test_error_inside_the_model_leaves_it_as_it_was(draw):
    """An exception of the model or the loss comes through, and every flag and hook is back."""
    model, calls = randomise(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), draw), []
    before = state(model)

    def loss(model, batch):
        calls.append(len(batch["y"]))
        if len(calls) == 3:
            model[1](model[0](batch["x"])[:, :2])  # a layer that fails in the middle of the pass with the batch
        return squared(model, batch)

    with pytest.raises(RuntimeError):
        grad_norms(model, rows(draw, 3, 4), loss)
    assert calls == [1, 1, 3]
    same_state(before, state(model))
