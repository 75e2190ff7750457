"""Before a large sweep: does each kind of run pass, with the true architectures, where neither the hub nor a GPU is at hand?

rehearse(wanted)          # a row a kind of run: how many runs are of its kind, seconds, and "passed" or why not

Sets are replaced by a few made rows of the same columns and classes, weights by random ones of the same configuration, and a
training by a few updates of small batches. The code that runs is that of the sweep.
"""

import io
import json
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from datadiet import runs
from datadiet.errors import InputError
from datadiet.runs import configs

ROWS = 4  # of a class in the training split of a stand-in
# The kind and the number of classes of each set that the hub or a folder would give.
SETS = {
    "ag_news": ("text", 4), "mnli": ("pair", 3), "sst2": ("text", 2), "cola": ("text", 2), "rte": ("pair", 2),
    "snli": ("pair", 3), "imdb": ("text", 2), "cifar10": ("image", 10),
    "atis": ("joint", 18), "snips": ("joint", 7), "facebook_tod_en": ("joint", 12),
}  # fmt: skip
# What the hub's configuration of each encoder says that differs from the defaults of its class in transformers.
BERT = {
    "bert-base-uncased": {},
    "bert-base-cased": {"vocab_size": 28996},
    "google/bert_uncased_L-4_H-512_A-8": {
        "num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048,
    },
}  # fmt: skip
ROBERTA = {
    "roberta-base": {
        "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "bos_token_id": 0,
        "pad_token_id": 1, "eos_token_id": 2,
    },
}  # fmt: skip
SLOTS = ["O", "B-thing", "I-thing"]
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()


def rehearse(wanted, batch_size: int = 8) -> pd.DataFrame:
    """Carry out one small run of each kind among `wanted`, in a store of its own that is thrown away.

    Parameters
    ----------
    wanted : iterable of dict
        Made by :func:`datadiet.runs.config`.
    batch_size : int
        Examples of an update.

    Returns
    -------
    DataFrame
        A row a kind: ``task``, ``encoder``, ``kind`` in words, ``runs`` of that kind among `wanted`, ``parameters`` of the
        network, ``seconds``, and ``outcome``: "passed", or the error.

    Raises
    ------
    InputError
        A set or an encoder that no stand-in is known for.
    """
    small: dict[str, tuple[dict, list]] = {}
    with tempfile.TemporaryDirectory(prefix="datadiet-rehearsal-") as folder, elsewhere(Path(folder)):
        for run in wanted:
            mine = reduced(run, Path(folder), batch_size)
            small.setdefault(runs.key(mine), (mine, []))[1].append(run)
        rows = [_outcome(mine, theirs) for mine, theirs in tqdm(small.values(), desc="rehearsal", unit="kind", leave=False)]
    return pd.DataFrame(rows)


def reduced(run: dict, folder: Path, batch_size: int = 8) -> dict:
    """The small run of the same kind: one seed, stand-ins in `folder`, few epochs, half of what is kept, one draw."""
    epochs = min(run["epochs"], 3)
    grand = run["grand_size"] and 2
    out = run | {
        "task": _set_in(folder, run["task"]), "encoder": _encoder_in(folder, run["encoder"]), "epochs": epochs, "seed": 0,
        "batch_size": batch_size, "size": None, "draw": 0, "validation": 0.0, "noise": 0.25 if run["noise"] else 0.0,
        "score_at": _points(run["score_at"], epochs), "grand_size": grand,
        "folds": run["folds"] and 2,
    } | {name: configs.LATER[name] for name in ("device", "training_precision")}  # fmt: skip
    if run["task"] == "feedback":  # embedded, and read as it is
        out["size"] = 16
    for name in ("keep", "augment", "branch", "pool"):
        chosen = run.get(name)
        if chosen is None:
            continue
        chosen = dict(chosen)
        if chosen.get("source"):
            source = reduced(chosen["source"] | {"seed": 0}, folder, batch_size)
            chosen["source"] = {key: value for key, value in source.items() if key != "seed"}
        if chosen.get("at") is not None:
            chosen["at"] = _points([chosen["at"]], epochs)[0]
        short = {
            "seeds": [0] if chosen.get("seeds") else [], "fraction": 0.5, "start": 12, "add": 6, "alphas": 3, "block": 2,
            "share": 0.25, "spawn": [0, "1ep"], "offset": 0.25 if chosen.get("offset") else 0.0,
        }  # fmt: skip
        chosen |= {key: value for key, value in short.items() if key in chosen}
        out[name] = chosen
    if run["schedule"] is not None:
        short = {"fraction": 0.5, "warmup": 1, "every": 1, "offset": 0.25}
        out["schedule"] = {name: short[name] if name in short and value else value for name, value in run["schedule"].items()}
    return runs.config(**out)


def _points(points: list, epochs: int) -> list:
    """Scoring points within a short run: the start, the first update, ends of epochs."""
    short = [f"{min(int(point[:-2]), epochs)}ep" if isinstance(point, str) else min(point, 1) for point in points]
    return list(dict.fromkeys(short))


def _outcome(mine: dict, theirs: list[dict]) -> dict:
    start, run = time.perf_counter(), theirs[0]
    try:
        table = runs.sweep([mine])
        outcome, parameters = "passed", table["parameters"][0] if "parameters" in table else np.nan
    except Exception as problem:  # whatever it is, the next kind is tried
        outcome, parameters = f"{type(problem).__name__}: {problem}", np.nan
    return {"task": run["task"], "encoder": run["encoder"], "kind": kind_of(run), "runs": len(theirs), "parameters": parameters,
            "seconds": time.perf_counter() - start, "outcome": outcome}  # fmt: skip


def kind_of(run: dict) -> str:
    for name in ("keep", "schedule", "augment", "pool", "branch"):
        if chosen := run.get(name):
            words = [name, chosen.get("rule") or chosen.get("by"), chosen.get("score") and f"by {chosen['score']}"]
            return " ".join(filter(None, words))
    return "untrained" if not run["epochs"] else "out of fold" if run["folds"] else "full"


@contextmanager
def elsewhere(folder: Path):
    """The data and the store are those of `folder` meanwhile; nothing of the hub is asked for."""
    names = {"DATADIET_DATA": str(folder / "data"), "DATADIET_STORE": str(folder / "store"), "HF_HUB_OFFLINE": "1"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    runs._task.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        runs._task.cache_clear()


def _set_in(folder: Path, task: str) -> str:
    """The name of a stand-in for the set `task`, which is made at the first call."""
    if task == "feedback":
        return task
    name = task.removeprefix("hub:")
    if name not in SETS:
        raise InputError(f"rehearsal: no stand-in is known for the set {task!r}; known: feedback, {', '.join(SETS)}.")
    place = folder / "data" / name
    if not place.is_dir():
        place.mkdir(parents=True)
        kind, classes = SETS[name]
        rng = np.random.default_rng(0)
        for split, each in (("train", ROWS), ("test", 1)):
            table = _rows(kind, np.repeat(np.arange(classes), each), rng)
            names = {"label_names": json.dumps([f"class {k}" for k in range(classes)])}
            if kind == "joint":
                names["slot_labels"] = json.dumps(SLOTS)
            pq.write_table(table.replace_schema_metadata(names), place / f"{split}.parquet")
    return name


def _rows(kind: str, labels: np.ndarray, rng: np.random.Generator) -> pa.Table:
    if kind == "image":
        from PIL import Image

        def encoded():
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(stream, "PNG")
            return stream.getvalue()

        return pa.table({"image": [encoded() for _ in labels], "label": labels})
    said = [[f"{word}" for word in rng.choice(WORDS, 6)] + [str(number)] for number in range(len(labels))]
    if kind == "joint":
        slots = [rng.choice(SLOTS, len(words)).tolist() for words in said]
        return pa.table({"tokens": said, "slots": slots, "intent": [f"class {k}" for k in labels]})
    columns = {"text": [" ".join(words) for words in said]}
    if kind == "pair":
        columns["text_pair"] = [" ".join(words[::-1]) for words in said]
    return pa.table(columns | {"label": labels})


def _encoder_in(folder: Path, encoder: str) -> str:
    """A folder with random weights of the encoder's own configuration, made at the first call; nets for images are untrained."""
    from datadiet.nets.images import PICTURE_NETS

    if encoder in PICTURE_NETS:
        return encoder
    if encoder not in BERT | ROBERTA:
        raise InputError(f"rehearsal: the configuration of the encoder {encoder!r} is not known here; known: "
                         f"{', '.join([*BERT, *ROBERTA, *PICTURE_NETS])}.")
    place = folder / "encoders" / encoder.replace("/", "--")
    if not place.is_dir():
        _write_encoder(place, encoder)
    return str(place)


def architecture(encoder: str):
    """The class of `encoder` in transformers, and its configuration."""
    import transformers

    if encoder in ROBERTA:
        return transformers.RobertaModel, transformers.RobertaConfig(**ROBERTA[encoder])
    return transformers.BertModel, transformers.BertConfig(**BERT[encoder])


def _write_encoder(place: Path, encoder: str) -> None:
    import torch

    from datadiet.nets import device, encoders

    place.mkdir(parents=True)
    if encoder in ROBERTA:
        _byte_pairs(place)
    else:
        encoders.tokenizer("tiny").save_pretrained(place)  # BERT's own word pieces
    model, config = architecture(encoder)
    with device.seeded(configs.LATER["device"], 0), torch.no_grad():
        model(config).save_pretrained(place)


def _byte_pairs(place: Path) -> None:
    """A tokenizer of RoBERTa's kind, with the pairs of a few words."""
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator([" ".join(WORDS)], vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    made.save_model(str(place))
    transformers.RobertaTokenizerFast(str(place / "vocab.json"), str(place / "merges.txt")).save_pretrained(place)
