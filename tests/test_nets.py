"""Nets for images: shapes, sizes, and gradient norms of the one for short trainings."""

import os

import pytest
import torch

from datadiet.gradnorm import grad_norms, reference_grad_norms
from datadiet.nets.images import ResNet9, picture_classifier
from datadiet.training.kinds import example_loss


def test_resnet9_has_the_layers_of_its_source():
    """A stem and three stages, two residual blocks of two convolutions, a norm after each convolution, a linear head."""
    convolutions = [(3, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    by_hand = sum(9 * n_in * n_out + 2 * n_out for n_in, n_out in convolutions) + 512 * 10 + 10
    assert sum(p.numel() for p in picture_classifier("resnet9", 10).parameters()) == by_hand


@pytest.mark.parametrize("side, channels", [(32, 3), (31, 12), (8, 1)])
def test_resnet9_takes_small_images_of_any_size(side, channels):
    model = picture_classifier("resnet9", 7, channels)
    assert model(torch.randn(2, channels, side, side)).shape == (2, 7)


def test_resnet9_scales_its_features_before_the_head():
    model = picture_classifier("resnet9", 4, seed=1)
    image, seen = torch.randn(3, 3, 16, 16), []
    model.classifier.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(image)
    torch.testing.assert_close(seen[0], ResNet9.SCALE * model.body(image))


def test_gradient_norms_of_resnet9_are_exact():
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    draw = torch.Generator().manual_seed(seed)
    model = ResNet9(5, widths=(4, 8, 8, 12)).double().eval()
    batch = {"image": torch.randn(6, 3, 16, 16, generator=draw, dtype=torch.float64),
             "labels": torch.randint(0, 5, (6,), generator=draw)}
    torch.testing.assert_close(grad_norms(model, batch, example_loss), reference_grad_norms(model, batch, example_loss),
                               rtol=1e-9, atol=1e-12)
