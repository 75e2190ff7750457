"""A tiny classifier of random weights and a data set for it, for the tests of callbacks; run as a script, one training of it.

python tests/hooked.py FOLDER RULE PROCESSES SOURCE       also under torchrun and accelerate launch; writes into FOLDER
"""

import sys
from pathlib import Path

import datasets
import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

from datadiet.hooks import DynamicPruningCallback, ScoreCallback

N, CLASSES, WORDS = 48, 3, 30


def data(n=N, seed=0) -> datasets.Dataset:
    """Texts of seven tokens, whose first says the class, with a column that the model does not take."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    tokens = rng.integers(CLASSES, WORDS, (n, 7))
    tokens[:, 0] = labels
    return datasets.Dataset.from_dict(
        {"id": [f"row-{i}" for i in range(n)], "input_ids": tokens.tolist(), "labels": labels.tolist()}
    )


def model(dropout=0.0, classes=CLASSES) -> BertForSequenceClassification:
    set_seed(1)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=classes,
            max_position_embeddings=8,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def trainer(folder, callbacks=(), net=None, train=None, test=None, kind=Trainer, **changes) -> Trainer:
    """A Trainer with its defaults, but for a learning rate that shows on so few rows, and quiet.

    Averaging over devices is off: the Trainer then multiplies the loss by the number of processes, and this model has averaged
    it.
    """
    given = {
        "output_dir": str(folder),
        "num_train_epochs": 4,
        "per_device_train_batch_size": 8,
        "learning_rate": 5e-3,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_steps": 1,
        "dataloader_pin_memory": False,
        "average_tokens_across_devices": False,
    } | changes
    return kind(
        net if net is not None else model(),
        TrainingArguments(**given),
        train_dataset=data() if train is None else train,
        eval_dataset=test,
        callbacks=list(callbacks),
    )


def weights(net) -> np.ndarray:
    """All weights, in a row."""
    return torch.cat([each.detach().flatten() for each in net.state_dict().values()]).numpy()


def once(place: Path, rule: str, world: int, source: str) -> None:
    """Train, with or without pruning by `rule`, as one of `world` processes; what came out goes into `place`."""
    scored = ScoreCallback(out=place / "scores.parquet" if rule == "none" else None, ids=data()["id"], source=source)
    pruning = [] if rule == "none" else [DynamicPruningCallback({"rule": rule})]
    run = trainer(place / "out", [scored, *pruning], per_device_train_batch_size=8 // world)
    assert run.args.world_size == world
    run.train()
    if run.is_world_process_zero():
        np.savez(
            place / "end.npz",
            weights=weights(run.model),
            logits=np.stack(scored._kept._logits),
            sizes=np.array(pruning[0].sizes if pruning else [], np.int64),
        )


if __name__ == "__main__":
    once(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
