"""Published runs for others: one tidy table of all runs, a table of scores for each set, and what every column means.

    files()                     # file name -> bytes; index.csv lists the others with their size and SHA-256
    tidy()                      # a row a run, the columns of COLUMNS

Ids, labels and numbers of runs only: no texts, no images.
"""

import gzip
import hashlib
import io
import json
import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from datadiet import paths, runs
from datadiet.errors import InputError
from datadiet.runs import store
from datadiet.runs.recorded import values_from


class Column(NamedTuple):
    """What a column holds, its unit, and which of its ends is hard, where one is."""

    meaning: str
    unit: str = ""
    hard: str = ""


SHARE, SECONDS, WORD, COUNT = "share, 0 to 1", "seconds", "word", "number"
# A row of runs.csv.gz is a run: what was asked for, what it was chosen by, what came out, where it was computed.
COLUMNS = {
    "key": Column("SHA-256 of the config: the name of the run", "64 hex digits"),
    "arm": Column("equal in runs that differ in their seed and draw alone", "12 hex digits"),
    "kind": Column("full: on everything, with 0 epochs untrained; pruned; dynamic: pruned while training; mix: of swapped "
                   "sentences; pool: a growing set; branch: two futures of one run", WORD),
    "scores_file": Column("file with the scores of the runs that chose the examples; of a full run, with its own", "file name"),
    "random_key": Column("of a pruned or dynamic run: that on as many random examples, all else equal; empty where none is "
                         "published", "64 hex digits"),
    "task": Column("the set", WORD),
    "data_source": Column("where the set came from, with the revision where it is from a hub", WORD),
    "data_checksum": Column("SHA-256 of the examples and labels of all splits", "64 hex digits"),
    "noise": Column("training labels flipped on purpose", SHARE),
    "validation": Column("held out where the set has no validation split", SHARE),
    "size": Column("training examples drawn, stratified; empty: all", COUNT),
    "draw": Column("which draw of that size; 0 unless each seed has its own", COUNT),
    "test_only": Column("whether an official validation split was left out", "True or False"),
    "encoder": Column("the network", WORD),
    "layers": Column("first layers of it that are kept; empty: all", COUNT),
    "max_length": Column("tokens read of a text", COUNT),
    "epochs": Column("passes over the examples trained on, of the full set", COUNT),
    "budget": Column("what a pruned run spends as the full run does: epochs, or steps (updates)", WORD),
    "batch_size": Column("examples of an update", COUNT),
    "learning_rate": Column("the highest learning rate", COUNT),
    "optimizer": Column("adamw or sgd", WORD),
    "inputs": Column("how an image is normalised", WORD),
    "quick": Column("whether training took shortcuts with other random draws", "True or False"),
    "shifts": Column("whether images are shifted and mirrored at random", "True or False"),
    "decay": Column("whether the learning rate falls to zero", "True or False"),
    "folds": Column("folds of a regression on frozen features in place of training; 0: training", COUNT),
    "device": Column("cpu, cuda or mps", WORD),
    "training_precision": Column("precision of training", WORD),
    "seed": Column("of initialisation, order and, in random pruning, of the draw", COUNT),
    "rule": Column("which examples are kept: hardest, easiest, middle, stratified, random; full or another kind: no rule", WORD),
    "fraction": Column("share of the training examples that is kept; of a dynamic run, in a cycle; empty: mix, pool", SHARE),
    "offset": Column("share skipped first at the rule's own end", SHARE),
    "balanced": Column("whether every class keeps the same share of its own", "True or False"),
    "score": Column("what the examples are ranked by; empty: nothing, or in a dynamic run the model that trains", WORD),
    "at": Column("scoring point: update step, or ep = end of an epoch", WORD),
    "score_seeds": Column("scoring runs whose scores are averaged", COUNT),
    "score_encoder": Column("their network", WORD),
    "schedule_warmup": Column("dynamic runs: epochs on everything before the first cycle", COUNT),
    "schedule_every": Column("epochs of a cycle", COUNT),
    "schedule_alpha": Column("weight of the newest score among those of all cycles; 1: no other counts", SHARE),
    "schedule_spread": Column("weight of the bonus for a score that varies", COUNT),
    "schedule_dropout": Column("whether dropout is on while scoring", "True or False"),
    "schedule_reuse": Column("whether kept examples are scored by their training pass; empty: no", "True or False"),
    "schedule_drop": Column("soft pruning: share of the learned examples that is left out of an epoch", SHARE),
    "schedule_full_last": Column("soft pruning: share of the epochs, at the end, on everything", SHARE),
    "augment_factuals": Column("mixes: share of the sentences as they are", SHARE),
    "augment_counterfactuals": Column("share of the swapped sentences", SHARE),
    "augment_factual_rule": Column("which of the former are taken", WORD),
    "augment_counterfactual_rule": Column("which of the latter", WORD),
    "pool_start": Column("pools: examples of the seed set", COUNT),
    "pool_by": Column("which of the confident examples are added; empty: none", WORD),
    "pool_confident": Column("share of the pool that counts as confident", SHARE),
    "pool_labels": Column("what the added examples are trained with: hypotheses of the model, or truth", WORD),
    "n_kept": Column("training examples kept", COUNT),
    "examples": Column("examples trained on, each as often as it was seen", COUNT),
    "updates": Column("updates of the weights", COUNT),
    "cut": Column("training texts longer than max_length, which lost their end; empty: not counted", SHARE),
    "scored": Column("examples scored while training", COUNT),
    "grand_scored": Column("examples whose GraNd over all weights was recorded", COUNT),
    "vog_scored": Column("gradients in the input recorded for VoG", COUNT),
    "ranked_epoch": Column("epoch of branches at whose end examples were ranked", "epochs"),
    "test_accuracy": Column("share right of the test split; of utterances, their intent", SHARE),
    "test_matthews": Column("Matthews' correlation on the test split, where recorded; 0: names one class", "-1 to 1"),
    "test_tag_accuracy": Column("share of right slot tags", SHARE),
    "test_span_f1": Column("F1 of slots", SHARE),
    "test_frame_accuracy": Column("utterances with intent and all slots right", SHARE),
    "test_unseen": Column("test utterances with a label that is nowhere in training", SHARE),
    "test_auc": Column("area under the ROC curve", SHARE),
    "test_flips": Column("sentences whose answer changes with the gender", SHARE),
    "test_gap": Column("share predicted positive, female versions less male ones; 0: equal", "-1 to 1"),
    "test_odds": Column("equality of odds between genders; 1: equal", SHARE),
    "test_parity": Column("demographic parity between genders; 1: equal", SHARE),
    "out_of_fold_accuracy": Column("accuracy on training examples by models that had not seen them", SHARE),
    "added": Column("examples that a growing set was given", COUNT),
    "added_label_error": Column("wrong intents among those", SHARE),
    "added_frame_error": Column("wrong intents or slots among those", SHARE),
    "added_words": Column("words of those, mean", COUNT),
    "train_seconds": Column("time of training", SECONDS),
    "scoring_seconds": Column("time of scoring", SECONDS),
    "seconds": Column("time of the whole run", SECONDS),
    "hardware": Column("where it was computed", WORD),
    "threads": Column("threads of the processor", COUNT),
    "torch": Column("release of torch", WORD),
    "commit": Column("of the code; a + means that the package had changed since", WORD),
    "started": Column("date and time, UTC", "ISO 8601"),
}  # fmt: skip
VALIDATION = re.compile("validation_.+")  # numbers on the validation split: nothing in the book is decided by them
WITHIN = ("schedule", "augment", "pool")  # parts of a config whose settings are columns of their own
NESTED = ("errors", "spawn_epochs", "velocity")  # lists of numbers, which no row holds

# Bits of the mantissas in the files of scores, that is four and two digits: a spread over five seeds is not known to more. The
# ranks, by which runs were chosen, are exact.
BITS = {"mean": 13, "sd": 7}
SHARED = ("el2n", "grand_head", "margin", "entropy", "cross_entropy", "grand")
# A row of scores-NAME.parquet is a training example, in the public order of the set. POINT is a scoring point.
SCORE_COLUMNS = {
    "id": Column("of the example in its set, which its publisher's files give", COUNT),
    "label": Column("place of its class in label_names, in the file's metadata; flipped where noise was asked for", COUNT),
    "truth": Column("the label before flips, where there were any", COUNT),
    "el2n@POINT mean": Column("length of the error vector, mean over seeds, four digits as all means", "0 to 1.41", "high"),
    "grand_head@POINT mean": Column("length of the gradient of the last layer", "loss per unit of weight", "high"),
    "margin@POINT mean": Column("largest probability of another class less that of the label", "-1 to 1", "high"),
    "entropy@POINT mean": Column("of the predicted probabilities", "nats", "high"),
    "cross_entropy@POINT mean": Column("loss of the label", "nats", "high"),
    "grand@POINT mean": Column("length of the gradient over all weights, where recorded for all", "as grand_head", "high"),
    "SCORE@POINT sd": Column("standard deviation over seeds of each score above, n - 1 in the denominator, two "
                               "digits", "as its score"),
    "rank@POINT without SEED": Column("place from the hardest, 0 first, by EL2N, mean over all seeds but SEED: what the run of "
                                      "that seed was ranked by", COUNT, "low"),
}  # fmt: skip


def tidy() -> pd.DataFrame:
    """Every published run, a row each, in the order of their keys; the columns are those of COLUMNS."""
    rows = store.published()
    configs = {k: runs.config(**row["config"]) for k, row in rows.items()}
    table = runs.published(configs.values()).set_index("key", drop=False)
    if table.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    table["kind"] = [_kind(run) for run in configs.values()]
    table["torch"] = [row["provenance"]["versions"]["torch"] for row in rows.values()]
    sources = {name: file for file, group in _scored(rows, configs).items() for name in group}
    leans = {k: [runs.key(source) for source in runs.scoring_runs(run)] or [k] for k, run in configs.items()}
    table["scores_file"] = [sources.get(leans[k][0]) for k in configs]
    table["arm"] = [_arm(run) for run in configs.values()]
    chosen = [runs.configs.chosen_by(run) or {} for run in configs.values()]
    table["score_encoder"] = [(one.get("source") or {}).get("encoder") for one in chosen]
    for part in WITHIN:
        for name in (column for column in COLUMNS if column.startswith(f"{part}_")):
            table[name] = [(run[part] or {}).get(name.removeprefix(f"{part}_")) for run in configs.values()]
    shares = {"dynamic": [(run["schedule"] or {}).get("fraction", 1.0) for run in configs.values()], "mix": None, "pool": None}
    for kind, share in shares.items():
        table["fraction"] = table["fraction"].mask(table["kind"] == kind, share)
    twins = {k: _twin(run) for k, run in configs.items()}
    table["random_key"] = [twin if (twin := twins[k]) in rows and twin != k else None for k in configs]
    table.loc[table["score"].isna(), ["at"]] = None
    return table.reindex(columns=list(COLUMNS)).sort_index().reset_index(drop=True)


def _kind(run: dict) -> str:
    named = {"keep": "pruned", "schedule": "dynamic", "augment": "mix", "pool": "pool", "branch": "branch"}
    return next((word for name, word in named.items() if run[name]), "full")


def _arm(run: dict) -> str:
    """The config without seed and draw, and with the number of scoring runs for their seeds, as a short name."""
    plain = json.loads(json.dumps(run)) | {"seed": None, "draw": None}
    for part in filter(None, (plain[name] for name in ("keep", "augment", "pool", "branch"))):
        part["seeds"] = len(part.get("seeds", ()))
        if part.get("source"):
            part["source"]["draw"] = None
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def _twin(run: dict) -> str | None:
    schedule = run["schedule"]
    if schedule and schedule["rule"] == "hardest":
        sizes = {name: schedule[name] for name in ("fraction", "warmup", "every")}
        return runs.key(run | {"schedule": sizes | {"rule": "random"}})
    if not run["keep"] or run["keep"]["rule"] == "random":
        return None
    return runs.key(run | {"keep": {"rule": "random", "fraction": run["keep"]["fraction"]}})


def _scored(rows: dict, configs: dict) -> dict[str, list[str]]:
    """File name -> keys, by seed, of the full runs that differ in nothing else and recorded logits."""
    found: dict = {}
    for k, run in configs.items():
        if _kind(run) == "full" and run["score_at"] and run["epochs"] and not run["folds"]:
            found.setdefault(json.dumps(run | {"seed": None}, sort_keys=True), []).append(k)
    out = {}
    for content, keys in found.items():
        run = configs[keys[0]]
        name = re.sub(r"\W+", "-", run["task"]) + (f"-noise-{run['noise']:g}" if run["noise"] else "")
        digest = hashlib.sha256(content.encode()).hexdigest()[:6]
        out[f"scores-{name}-{run['encoder']}-{digest}.parquet"] = sorted(keys, key=lambda k: configs[k]["seed"])
    return dict(sorted(out.items()))


def scored_by(file: str) -> list[str]:
    """Keys, by seed, of the published runs whose scores a file of scores holds.

    Raises
    ------
    InputError
        No such file is released.
    """
    rows = store.published()
    found = _scored(rows, {k: runs.config(**row["config"]) for k, row in rows.items()})
    if file not in found:
        raise InputError(f"released.scored_by: no file {file!r} is released; choose one of {', '.join(found) or 'none'}.")
    return found[file]


def score_table(keys: list[str]) -> pa.Table:
    """Scores of one set, a row an example: mean and spread over the runs `keys`, and the ranks that pruned runs were chosen by.

    Of the scoring points, the earliest end of an epoch and the last point are kept. Metadata: task, config without its seed,
    seeds, data_source, data_checksum, label_names.

    Raises
    ------
    InputError
        A key that is not published; runs that differ in more than their seed.
    """
    rows = store.published(keys)
    if absent := sorted(set(keys) - set(rows)):
        raise InputError(f"released.score_table: the run {absent[0][:12]} is not published; give keys of published runs.")
    configs = [runs.config(**rows[k]["config"]) for k in keys]
    if len({json.dumps(run | {"seed": None}, sort_keys=True) for run in configs}) > 1:
        raise InputError("released.score_table: the runs differ in more than their seed; give those of one set and one config.")
    recorded, run = [store.arrays(k, "published") for k in keys], configs[0]
    ends = [at for at in run["score_at"] if isinstance(at, str)]
    points = dict.fromkeys([*ends[:1], run["score_at"][-1]])
    columns = {"id": recorded[0]["ids"], "label": recorded[0]["labels"]}
    columns |= {"truth": recorded[0]["truth"]} if "truth" in recorded[0] else {}
    for place, at in enumerate(points):
        t, ranked = run["score_at"].index(at), {}
        for name in SHARED:
            if name == "grand" and len(recorded[0].get("grand_positions", ())) < len(columns["id"]):
                continue
            values = np.array([values_from(arrays, name, t) for arrays in recorded])
            columns[f"{name}@{at} mean"] = _rounded(values.mean(0), BITS["mean"])
            if len(keys) > 1:
                columns[f"{name}@{at} sd"] = _rounded(values.std(0, ddof=1), BITS["sd"])
            if name == "el2n" and place == 0 and len(keys) > 1:
                ranked = {f"rank@{at} without {each['seed']}": _ranks(np.mean(np.delete(values, own, axis=0), axis=0))
                          for own, each in enumerate(configs)}  # fmt: skip
        columns |= ranked
    said = rows[keys[0]]["provenance"]
    facts = {
        "task": run["task"],
        "config": runs.config(**run) | {"seed": None},
        "seeds": [each["seed"] for each in configs],
        "label_names": said["label_names"],
        "data_source": said["data_source"],
        "data_checksum": said["data_checksum"],
    }
    return pa.table(columns).replace_schema_metadata({name: json.dumps(value, sort_keys=True) for name, value in facts.items()})


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Numbers whose binary mantissas have so many bits: the zeros after them take no room in a file."""
    mantissas, exponents = np.frexp(values)
    return np.ldexp(np.round(mantissas * 2**bits) / 2**bits, exponents).astype(np.float32)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of each example from the hardest, equals by position, as :func:`datadiet.prune.keep` ranks them."""
    out = np.empty(len(values), np.int32)
    out[np.argsort(-values, kind="stable")] = np.arange(len(values))
    return out


def dictionary() -> pd.DataFrame:
    """Every column of the files, a row each: file, column, meaning, unit, and the end that is hard."""
    parts = {"runs.csv.gz": COLUMNS, "scores-*.parquet": SCORE_COLUMNS}
    return pd.DataFrame(
        [{"file": file, "column": name, **one._asdict()} for file, table in parts.items() for name, one in table.items()]
    )


def pattern(column: str) -> str:
    """The entry of SCORE_COLUMNS that a column of a score table is explained by.

    >>> pattern("margin@2ep mean"), pattern("margin@2ep sd"), pattern("rank@1ep without 3")
    ('margin@POINT mean', 'SCORE@POINT sd', 'rank@POINT without SEED')
    """
    score, _, rest = column.partition("@")
    if not rest:
        return column
    if score == "rank":
        return "rank@POINT without SEED"
    return "SCORE@POINT sd" if rest.endswith(" sd") else f"{score}@POINT mean"


@lru_cache(maxsize=1)
def _files(*changed) -> dict[str, bytes]:
    rows = store.published()
    if not rows:
        return {}
    groups = _scored(rows, {k: runs.config(**row["config"]) for k, row in rows.items()})
    out = {"runs.csv.gz": gzip.compress(tidy().to_csv(index=False).encode(), mtime=0),
           "dictionary.csv": dictionary().to_csv(index=False).encode()}  # fmt: skip
    listed = [{"file": "runs.csv.gz", "rows": len(rows)}, {"file": "dictionary.csv", "rows": len(dictionary())}]
    for name, keys in groups.items():
        table, sink = score_table(keys), io.BytesIO()
        floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
        pq.write_table(table, sink, compression="zstd", use_dictionary=["label"], use_byte_stream_split=floats)
        out[name], facts = sink.getvalue(), {field: json.loads(value) for field, value in table.schema.metadata.items()}
        listed.append({"file": name, "rows": len(table), "set": facts[b"task"], "seeds": len(facts[b"seeds"]),
                       "data_source": facts[b"data_source"], "data_checksum": facts[b"data_checksum"]})  # fmt: skip
    index = [each | {"bytes": len(out[each["file"]]), "sha256": hashlib.sha256(out[each["file"]]).hexdigest()} for each in listed]
    return out | {"index.csv": pd.DataFrame(index).to_csv(index=False).encode()}


def files() -> dict[str, bytes]:
    """Every released file by its name; none where nothing is published. The same results give the same bytes."""
    results = paths.root() / "results" / "runs.parquet"
    stat = results.stat() if results.is_file() else None
    return dict(_files(str(results), stat and stat.st_mtime_ns, stat and stat.st_size))


def index() -> pd.DataFrame:
    """The released files, a row each: file, rows, set, seeds, data_source, data_checksum, bytes, sha256."""
    found = files()
    return pd.read_csv(io.BytesIO(found["index.csv"])) if found else pd.DataFrame(columns=["file", "rows", "bytes", "sha256"])
