"""Untrained nets for images: two plain convolutions, and residual nets with BatchNorm; and pretrained ones, as they are.

model = picture_classifier("convnet", n_classes=10)     # or "resnet-small", "resnet9", "resnet18"
processor, model = pretrained("some/folder")            # of transformers, frozen
"""

from functools import partial
from itertools import pairwise

import torch
from torch import nn

from datadiet.errors import InputError
from datadiet.nets import device


class Residual(nn.Module):
    """Two 3x3 convolutions with BatchNorm and a skip connection (He et al. 2016)."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        same = stride == 1 and n_in == n_out
        self.skip = nn.Identity() if same else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x):  # [B, n_in, H, W] -> [B, n_out, H/stride, W/stride]
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.skip(x))


class ResNet(nn.Module):
    """Low-resolution ResNet: a 3x3 stem, stages of residual blocks, mean pooling, a linear head.

    ``ResNet(10)`` is the ResNet-18 for 32 x 32 images of Paul et al. (2021); smaller `widths` and `blocks` make the nets
    of the classroom.
    """

    def __init__(self, n_classes: int, channels: int = 3, widths=(64, 128, 256, 512), blocks: int = 2):
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        n_in = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Residual(n_in, width, stride=2 if stage and not block else 1))
                n_in = width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(n_in, n_classes)

    def forward(self, image):  # [B, C, H, W] -> [B, K]
        return self.classifier(self.body(image))


class ConvNet(nn.Module):
    """Two 3x3 convolutions, each with ReLU and pooling, and a linear head; no normalisation layer and no bias in the body.

    Its features scale with its input: twice the image is twice the features, so its first GraNd follows the norm.
    """

    def __init__(self, n_classes: int, channels: int = 3, widths=(32, 64)):
        super().__init__()
        first, second = widths
        self.body = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        )  # fmt: skip
        self.classifier = nn.Linear(second * 16, n_classes)

    def forward(self, image):  # [B, C, H, W] -> [B, K]
        return self.classifier(self.body(image))


class ResNet9(nn.Module):
    """A residual net for short trainings on small images: a stem and three stages, a residual block after the first and the last.

    After D. Page's "How to train your ResNet" (2018), 64 to 512 wide, max pooling; the logits are scaled by 1/8.
    """

    SCALE = 0.125

    def __init__(self, n_classes: int, channels: int = 3, widths=(64, 128, 256, 512)):
        super().__init__()
        layers = _stage(channels, widths[0])
        for place, (n_in, n_out) in enumerate(pairwise(widths)):
            layers += [*_stage(n_in, n_out), nn.MaxPool2d(2)]
            if place != 1:
                layers.append(Residual(n_out, n_out, stride=1))
        self.body = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(widths[-1], n_classes)

    def forward(self, image):  # [B, C, H, W] -> [B, K]
        return self.classifier(self.SCALE * self.body(image))


def _stage(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]


PICTURE_NETS = {
    "convnet": ConvNet,
    "resnet-small": partial(ResNet, widths=(16, 32, 64), blocks=1),
    "resnet9": ResNet9,
    "resnet18": ResNet,
}


def picture_classifier(encoder: str, n_classes: int, channels: int = 3, seed: int = 0) -> nn.Module:
    """An untrained net for images [B, channels, H, W], in eval mode; ``model.classifier`` is its head.

    Parameters
    ----------
    encoder : str
        "convnet" (two convolutions, no normalisation layers), "resnet-small" (three residual blocks, 16 to 64 wide), "resnet9"
        (two residual blocks, for a dozen epochs), or "resnet18" (that of Paul et al. 2021 for 32 x 32 images).
    n_classes, channels : int
        Width of the head, and of the input.
    seed : int
        Draws all weights. The global generator is left as it was.

    Raises
    ------
    InputError
        Unknown encoder.
    """
    if encoder not in PICTURE_NETS:
        raise InputError(
            f"images.picture_classifier: the encoder {encoder!r} is none for images; choose one of {', '.join(PICTURE_NETS)}."
        )
    with device.seeded("cpu", seed):
        return PICTURE_NETS[encoder](n_classes, channels=channels).eval()


def pretrained(encoder: str):
    """An image model of transformers and its image processor, to be read as they are; the model in eval mode.

    Parameters
    ----------
    encoder : str
        A folder that ``save_pretrained`` wrote both into, or "name@revision" of the hub.

    Raises
    ------
    InputError
        No such folder, no image processor in it, an unreachable hub; a model that gives no last layer.
    """
    from transformers import AutoImageProcessor, AutoModel
    from transformers import logging as transformers_logging

    from datadiet.nets import encoders

    before, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()  # it would warn of a head that is dropped, and of torchvision, which is not needed
    transformers_logging.disable_progress_bar()
    try:
        processor = encoders.fetched(AutoImageProcessor, encoder, operation="images.pretrained")
        model = encoders.fetched(AutoModel, encoder, operation="images.pretrained")
    finally:
        transformers_logging.set_verbosity(before)
        if bars:
            transformers_logging.enable_progress_bar()
    if getattr(model, "main_input_name", None) != "pixel_values":
        raise InputError(f"images.pretrained: {encoder!r} is no encoder of images alone ({type(model).__name__}); name one like "
                         "a ViT, a DINOv2 or a ResNet of transformers.")  # fmt: skip
    return processor, model.eval()
