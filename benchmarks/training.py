"""Fine-tuning and scoring of the MiniLM encoder: our loop and Hugging Face's Trainer, same examples, same hyper-parameters.

A round is a seed: each contestant trains from the pretrained encoder and is judged on the test split. Seconds are those of the
training alone, as each loop reports them; all pad a batch, or a part of it, to its longest sentence. Ours trains as `datadiet
score` does ("quick"), and as the published runs were trained.
"""

import tempfile
import time

import numpy as np

from benchmarks.harness import Contestant
from datadiet import data, runs
from datadiet.nets import device, encoders
from datadiet.training import kinds, loop, pruning, recording

REFERENCE = "datadiet"
SETTINGS = {"task": "docstrings", "encoder": "minilm", "max_length": 64, "batch_size": 32, "learning_rate": 5e-5}


def _config(size: int, **changes) -> dict:
    return runs.config(**SETTINGS, device=device.best(), size=size, **changes)


def ours(size: int, epochs: int, quick: bool):
    def once(number):
        config = _config(size, epochs=epochs, seed=number, quick=quick)
        found = loop.fit(config, runs.task_of(config)).metrics
        return {"seconds": found["train_seconds"], "examples": found["examples"], "test_accuracy": found["test_accuracy"]}

    return once


def trainer(size: int, epochs: int, by_length: bool, encoder: str = SETTINGS["encoder"]):
    """Hugging Face's Trainer as its documentation has it; `by_length`: with its option to group sentences of similar length."""
    import datasets
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    task = runs.task_of(_config(size))
    tokenizer = encoders.tokenizer(encoder)

    def encoded(split):
        rows = tokenizer(split.inputs["text"], truncation=True, max_length=SETTINGS["max_length"])
        lengths = [len(row) for row in rows["input_ids"]]
        return datasets.Dataset.from_dict({**rows, "labels": split.labels.tolist(), "length": lengths})

    examples, test = encoded(task.train), encoded(task.test)

    def once(number):
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, num_train_epochs=epochs, per_device_train_batch_size=SETTINGS["batch_size"],
                per_device_eval_batch_size=256, learning_rate=SETTINGS["learning_rate"], weight_decay=0.0,
                warmup_steps=loop.WARMUP, lr_scheduler_type="linear", max_grad_norm=loop.CLIP, seed=number,
                bf16=device.gpu() is not None, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
                **({"train_sampling_strategy": "group_by_length"} if by_length else {}))
            model = encoders.classifier(encoder, task.n_classes, seed=number, every_token=True)
            theirs = Trainer(model, arguments, train_dataset=examples, processing_class=tokenizer,
                             data_collator=DataCollatorWithPadding(tokenizer))
            seconds = theirs.train().metrics["train_runtime"]
            said = theirs.predict(test)  # grouped by length, it is in another order than was given; labels come back in the same
            right = said.predictions.argmax(1) == said.label_ids
        return {"seconds": seconds, "examples": epochs * len(task.train), "test_accuracy": float(right.mean())}

    return once


def _ready(size: int, precision: str = "float32"):
    config = _config(size, precision=precision)
    problem = kinds.prepare(config, runs.task_of(config), config["device"])
    return config, problem, problem.splits["train"]


def one_epoch(size: int):
    """What a quick training epoch costs: the rate that scoring is compared with."""
    def once(number):
        config = _config(size, epochs=1, seed=max(0, number), quick=True)
        found = loop.fit(config, runs.task_of(config)).metrics
        return {"seconds": found["train_seconds"], "examples": found["examples"]}

    return once


def el2n(size: int, precision: str = "float32"):
    """EL2N of every example, ids kept: one pass in eval mode."""
    _, problem, examples = _ready(size, precision)

    def once(number):
        pruning.el2n(problem, dropout=False)
        return {"examples": len(examples.labels)}

    return once


def grand(size: int):
    """GraNd of every example, over all parameters."""
    _, problem, examples = _ready(size)

    def once(number):
        recording.grand(problem, np.arange(len(examples.labels)))
        return {"examples": len(examples.labels)}

    return once


def predict(size: int):
    """The Trainer's own way to a prediction for every example."""
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    import datasets

    task, tokenizer = data.shrink(data.load(SETTINGS["task"]), size), encoders.tokenizer(SETTINGS["encoder"])
    rows = tokenizer(task.train.inputs["text"], truncation=True, max_length=SETTINGS["max_length"])
    examples = datasets.Dataset.from_dict({**rows, "labels": task.train.labels.tolist()})
    arguments = TrainingArguments(tempfile.mkdtemp(), per_device_eval_batch_size=256, report_to=[], disable_tqdm=True,
                                  bf16_full_eval=device.gpu() is not None)
    model = encoders.classifier(SETTINGS["encoder"], task.n_classes, every_token=True)
    theirs = Trainer(model, arguments, processing_class=tokenizer, data_collator=DataCollatorWithPadding(tokenizer))

    def once(number):
        start = time.perf_counter()
        theirs.predict(examples)
        return {"seconds": time.perf_counter() - start, "examples": len(task.train)}

    return once


def contestants(quick: bool) -> list[Contestant]:
    size, epochs = (16, 1) if quick else (600, 3)
    case, both = f"fine-tuning, {size:,} sentences, {epochs} epochs", {"size": size, "epochs": epochs}
    out = [Contestant(case, REFERENCE, ours, both | {"quick": True}, warm=False),
           Contestant(case, "datadiet, as published runs", ours, both | {"quick": False}, warm=False),
           Contestant(case, "HF Trainer", trainer, both | {"by_length": False}, warm=False),
           Contestant(case, "HF Trainer, by length", trainer, both | {"by_length": True}, warm=False)]
    case, one = f"a pass over {size:,} sentences", {"size": size}
    return out + [Contestant(case, "training epoch", one_epoch, one), Contestant(case, "EL2N", el2n, one),
                  Contestant(case, "EL2N, bfloat16", el2n, one | {"precision": "bfloat16"}),
                  Contestant(case, "GraNd", grand, one), Contestant(case, "HF Trainer, predict", predict, one)]
