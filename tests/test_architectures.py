"""GraNd of networks that nobody here wrote: shared layers, relative positions, gates, windows, depthwise convolutions."""

import os
import warnings

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from datadiet.gradnorm import grad_norms, reference_grad_norms

N, LENGTH = 5, 11
SENTENCES = {"vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40,
             "max_position_embeddings": 40, "num_labels": 3, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
IMAGES = {"image_size": 32, "num_labels": 3}
FOUR = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1]}
NETWORKS = {
    "Albert": SENTENCES | {"embedding_size": 16},
    "Electra": SENTENCES | {"embedding_size": 16},
    "DebertaV2": SENTENCES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    "MPNet": SENTENCES,
    "ModernBert": SENTENCES | {"cls_token_id": 2, "sep_token_id": 3},
    "ConvBert": SENTENCES | {"embedding_size": 24, "head_ratio": 1, "conv_kernel_size": 3},
    "GPT2": SENTENCES,
    "Llama": SENTENCES,
    "Qwen3": SENTENCES | {"num_key_value_heads": 3, "head_dim": 8},
    "Gemma2": SENTENCES | {"num_key_value_heads": 3, "head_dim": 8},
    "Bart": SENTENCES | {"d_model": 24, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 3,
                         "decoder_attention_heads": 3, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40},
    "ViT": IMAGES | {name: SENTENCES[name] for name in SENTENCES if "hidden" in name or "attention" in name} | {"patch_size": 8},
    "Swin": IMAGES | {"patch_size": 4, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2},
    "ResNet": IMAGES | FOUR | {"embedding_size": 8, "layer_type": "basic"},
    "RegNet": IMAGES | FOUR | {"embedding_size": 8, "groups_width": 4},
    "MobileNetV2": IMAGES | {"depth_multiplier": 0.25},
    "ConvNext": IMAGES | FOUR,
}


def loss(model, batch):
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    return cross_entropy(model(**inputs).logits, batch["labels"], reduction="none")


def settle(model, images):
    """Statistics of BatchNorm as after training, or a deep network would answer the same to every image."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # an average over all calls: of this one
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model.train()(images)
    model.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_whatever_the_network(name):
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    draw = torch.Generator().manual_seed(seed)
    config = getattr(transformers, f"{name}Config")(**NETWORKS[name])
    kind = "ImageClassification" if "image_size" in NETWORKS[name] else "SequenceClassification"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, f"{name}For{kind}")(config).double().eval()
    with torch.no_grad():
        for p in model.parameters():  # nothing is right only because it starts at zero or one
            p += 0.05 * torch.randn(p.shape, generator=draw, dtype=p.dtype)
    batch = {"labels": torch.randint(0, 3, (N,), generator=draw)}
    if "image_size" in NETWORKS[name]:
        batch["pixel_values"] = torch.randn(N, 3, 32, 32, generator=draw, dtype=torch.float64)
        settle(model, batch["pixel_values"])
    else:
        lengths = torch.randint(2, LENGTH + 1, (N,), generator=draw)
        mask = (torch.arange(LENGTH) < lengths[:, None]).long()
        ids = torch.randint(4, 60, (N, LENGTH), generator=draw) * mask + (1 - mask)
        ids[torch.arange(N), lengths - 1] = 2  # the end: Bart reads it
        batch |= {"input_ids": ids, "attention_mask": mask}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # parameters outside the rules: slow, and exact all the same
        norms = grad_norms(model, batch, loss)
    torch.testing.assert_close(norms, reference_grad_norms(model, batch, loss), rtol=1e-9, atol=0)
    assert len(norms.unique()) == N
