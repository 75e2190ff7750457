"""The config of a run, the key that its result is stored under, and the runs that it leans on.

config(task="trec6", seed=3)                          # a complete config: the defaults, with changes
key(config(task="trec6", seed=3))                     # 64 hex digits; equal configs have equal keys
scoring_runs(config(keep={...}))                      # configs of the runs whose scores choose its examples
"""

import copy
import hashlib
import json
import math
from functools import lru_cache

from datadiet import dynamic, prune
from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.runs import typed
from datadiet.runs.recorded import NAMES
from datadiet.runs.typed import choice, flag, number, point, points, seeds, text, whole
from datadiet.training import fairness, growth, landscape

PROTOCOL = 1  # raised when the same config comes to mean another run
INPUTS = ("unit range", "standardised", "per image", "whitened")  # those of pictures.INPUTS, which loads torch

FIRST = {
    "task": text("docstrings", "a set"),
    "noise": number(0.0, "the share of training labels flipped on purpose", low=0, below=1),  # symmetric, by seed 0 in all runs
    "validation": number(0.1, "the share of train held out where a set has no validation split", low=0, below=1),
    "size": whole(None, "training examples, a stratified draw", 1, none="all"),
    "encoder": text("minilm", "an encoder of text, or a net for images"),
    "layers": whole(None, "the first layers of the encoder that are kept", 1, none="all"),
    "max_length": whole(64, "tokens that are read of a text", 1),
    "epochs": whole(3, "passes over the examples that are trained on", 0),
    "budget": choice("epochs", "what a pruned run spends: the passes of the full set, or its updates", ("epochs", "steps")),
    "batch_size": whole(32, "examples of an update", 1),
    "learning_rate": number(5e-5, "the highest learning rate", above=0, below=math.inf),
    "seed": whole(0, "the seed of a run", 0, below=2**32),
    "score_at": points([], "the scoring points"),
    "grand_size": whole(0, "examples whose full-parameter GraNd is recorded at each scoring point", 0, none="all"),
}
# Settings that came after the first published runs. At its default such a setting is left out of the key, so that runs
# computed before it existed keep their keys: the run is the same.
SINCE = {
    "optimizer": choice("adamw", "the optimizer; sgd has Nesterov momentum 0.9 and weight decay 5e-4", ("adamw", "sgd")),
    "inputs": choice("unit range", "how an image is normalised", INPUTS),
    "shifts": flag(False, "whether training images are shifted by up to 4 pixels and mirrored at random"),
    "watch": flag(False, "whether each epoch's end records which training examples are right: forgetting is counted on that"),
    "decay": flag(True, "whether the learning rate rises over the first tenth of the updates and falls to zero, or is constant"),
    "folds": whole(0, "folds of a regression on frozen features, which then stands for fine-tuning: 0, or at least 2 folds", 0),
    "precision": choice("float32", "the precision of passes that train nothing, scoring among them", device.PRECISIONS),
    "vog": flag(False, "whether the gradient in the input is followed between scoring points (VoG)"),
    "test_only": flag(False, "whether an official validation split is left out, where nothing is chosen on it"),
    "quick": flag(False, "whether a run takes shortcuts with other random draws: on a CPU quick dropout masks and batches cut "
                  "where that saves padding, on a CUDA GPU batches of few shapes and captured updates"),
    "draw": whole(0, "which draw of a training set that is larger than size", 0),
    "device": choice("cpu", "the device that a run trains on", tuple(device.PRECISION)),
    "training_precision": choice("float32", "the precision of training; not given, that of the device", device.PRECISIONS),
}
# What some runs are besides, each a dict or None: names and defaults of the last four stand in the modules that carry them out.
CHOSEN_BY = {
    "score": choice(None, "what examples are ranked by", NAMES, none="a rule that looks at no score"),
    "at": point(None, "the scoring point", none="a rule that looks at no score"),
    "seeds": seeds([], "seeds of the scoring runs whose scores are averaged"),
}
WITHIN = {
    "keep": CHOSEN_BY | {
        "rule": choice("random", "the rule", prune.RULES),
        "fraction": number(0.5, "the share to keep", above=0, high=1),
        "offset": number(0.0, "the share that is skipped first", low=0, below=1),
        "balanced": flag(False, "whether the classes keep their shares"),
    },
    "schedule": {
        "rule": choice("hardest", "the rule", tuple(dynamic.SETTINGS)),
        "fraction": number(0.5, "the share to keep", above=0, high=1),
        "warmup": whole(1, "epochs on everything", 0),
        "every": whole(2, "epochs of a cycle", 1),
        "offset": number(0.0, "the share of the hardest that is skipped first", low=0, below=1),
        "alpha": number(1.0, "the weight of the newest score", above=0, high=1),
        "spread": number(0.0, "the weight of the spread bonus", low=0, below=math.inf),
        "dropout": flag(False, "whether dropout is on while scoring"),
        "reuse": flag(False, "whether scores come from the passes that train"),
        "drop": number(0.5, "the share of the learned examples to leave out", low=0, below=1),
        "full_last": number(0.125, "the share of epochs on everything at the end", low=0, high=1),
    },
    "augment": CHOSEN_BY | {
        "factuals": number(1.0, "the share of the sentences as they are"),
        "counterfactuals": number(0.0, "the share of the swapped sentences"),
        "factual_rule": choice("random", "the rule", prune.RULES),
        "counterfactual_rule": choice("random", "the rule", prune.RULES),
    },
    "pool": {
        "start": whole(100, "examples of the seed set", 1),
        "by": choice(None, "which of the confident examples are added", growth.BY, none="the weak run itself"),
        "confident": number(0.5, "the share of the pool that is kept", above=0, high=1),
        "add": whole(200, "examples added", 1),
        "labels": choice("hypotheses", "what the added examples are trained with", ("hypotheses", "truth")),
    },
    "branch": CHOSEN_BY | {
        "spawn": points([0, "1ep"], "the moments at which a second future begins"),
        "alphas": whole(5, "places on the line between two futures", 0),
        "share": number(0.1, "the share of the training set in a group"),
        "block": whole(50, "examples of a block", 0),
    },
}  # fmt: skip
COMPLETE = {"schedule": dynamic.settings, "augment": lambda given: fairness.settings(**given), "pool": growth.settings,
            "branch": landscape.settings}  # fmt: skip
SETTINGS = FIRST | SINCE
DEFAULTS = typed.defaults(FIRST) | {"keep": None}
LATER = typed.defaults(SINCE) | dict.fromkeys(COMPLETE)
KEEP = typed.defaults(WITHIN["keep"]) | {"source": None}  # source: config of the scoring runs, without its seed


def config(keep: dict | None = None, **changes) -> dict:
    """A complete run config: the defaults with `changes`, and with `keep` for a pruned run.

    Every value is checked by its setting and stored in one form: 0 and 0.0 are one noise, with one key.

    Raises
    ------
    InputError
        An unknown key, naming the known ones, or a value that its setting does not allow; also within a keep, a schedule, a mix,
        a pool or branches. Two of these that do not go together. A rule that ranks without runs to rank by, or at a scoring point
        that they have not. A scoring point that is known to lie beyond the end.
    """
    _known("config", changes, DEFAULTS | LATER)
    out = DEFAULTS | LATER | {"score_at": []} | typed.stored(SETTINGS, changes) | {"keep": _within("keep", keep)}
    out |= {name: _within(name, changes[name]) for name in COMPLETE if name in changes}
    if "training_precision" not in changes:
        out["training_precision"] = device.PRECISION[out["device"]]
    if out["folds"] == 1:
        raise InputError("runs.config: folds 1; give 0 for fine-tuning, or at least 2 folds for a regression on frozen features.")
    if out["draw"] and out["size"] is None:
        raise InputError(f"runs.config: draw {out['draw']} of all training examples; a draw is of a size: set that, or leave out "
                         "draw.")
    sources = {name: out[name]["source"] for name in ("keep", *COMPLETE) if out[name] and out[name].get("source")}
    for name, source in sources.items():
        if source["draw"] != out["draw"]:
            raise InputError(f"runs.config: {name}: a run on draw {out['draw']} and a source on draw {source['draw']}, which are "
                             "other examples; give both the same draw.")
    if keep is not None and out["augment"] is not None:
        raise InputError("runs.config: a run trains on a pruned set (keep) or on a mix (augment), not both; leave one out.")
    beside = [name for name in ("keep", "schedule", "augment") if out[name] is not None]
    if out["pool"] is not None and beside:
        raise InputError("runs.config: a pool says what is trained on; it goes with no keep, schedule or mix.")
    if out["branch"] is not None and (beside or out["pool"] is not None):
        raise InputError("runs.config: branches are of a run on everything; they go with no keep, schedule, mix or pool.")
    _check_reach(out)
    return out


def _known(what: str, given: dict, known: dict) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"runs.config: unknown {what} key(s) {', '.join(unknown)}; known: {', '.join(known)}.")


def _within(name: str, given: dict | None) -> dict | None:
    """A keep, schedule, mix, pool or branches: complete, and each value in its stored form."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InputError(f"runs.config: {name} {given!r}; give a dict of settings, or None.")
    if name == "keep":
        _known("keep", given, KEEP)
    given = typed.stored(WITHIN[name], given, f"{name}: ")
    out = KEEP | {"seeds": []} | given if name == "keep" else copy.deepcopy(COMPLETE[name](given))
    if out.get("source") is not None:
        out["source"] = _source(name, out["source"])
    rules = [out[each] for each in ("rule", "factual_rule", "counterfactual_rule") if each in out] if "seeds" in out else []
    _check_ranking(name, out, set(rules) - {"random"})
    return out


def _source(name: str, given: dict) -> dict:
    """The config of scoring runs, complete, without its seed."""
    if not isinstance(given, dict):
        raise InputError(f"runs.config: {name}: source {given!r}; give the config of the scoring runs, without its seed.")
    content = _content(given)
    complete = config(**given) if content is None else json.loads(_completed(content))
    if scoring_runs(complete):
        raise InputError(f"runs.config: {name}: source leans on runs itself; scoring runs have no source of their own.")
    return {setting: value for setting, value in complete.items() if setting != "seed"}


def _content(given: dict) -> str | None:
    """A dict as text that only an equal dict of equal types has; None where it holds a number of numpy or the like."""
    try:
        return json.dumps(given, allow_nan=False)
    except (TypeError, ValueError):
        return None


@lru_cache(maxsize=2**10)  # the arms of a chapter have a few sources, each named by hundreds of runs
def _completed(content: str) -> str:
    return json.dumps(config(**json.loads(content)))


def _check_ranking(name: str, out: dict, rules: set) -> None:
    """A rule that ranks has runs to rank by, and they are scored at its scoring point."""
    absent = [each for each in ("score", "at", "seeds", "source") if each in out and out[each] in (None, [])]
    if rules and absent:
        raise InputError(f"runs.config: {name}: rule {' and '.join(sorted(rules))} ranks by scores; give {', '.join(absent)}: "
                         "the score, its scoring point, and the config and seeds of the runs that it is taken from.")
    if out.get("source") and "at" in out and out["at"] not in out["source"]["score_at"]:
        raise InputError(f"runs.config: {name}: at {out['at']!r}; its source is scored at {out['source']['score_at']}: choose "
                         "one of these scoring points, or score there too.")


def _check_reach(run: dict) -> None:
    """No scoring point lies beyond the end, as far as the config says where that is."""
    if any(run[name] is not None for name in COMPLETE) or run["folds"]:
        return
    epochs, updates = run["epochs"], run["size"] and run["epochs"] * math.ceil(run["size"] / run["batch_size"])
    for at in run["score_at"]:
        if int(at[:-2]) > epochs if isinstance(at, str) else updates is not None and at > updates:
            last = f"{epochs} epochs" if isinstance(at, str) else f"{updates} updates"
            raise InputError(f"runs.config: score_at has the scoring point {at!r}, which lies beyond the last of {last}; "
                             "train for more epochs or score earlier.")


def key(run: dict) -> str:
    """SHA-256 of the canonical JSON of a config and the protocol number, 64 hex digits.

    Raises
    ------
    InputError
        What :func:`config` refuses.
    """
    content = _content(run)
    return _key(PROTOCOL, config(**run)) if content is None else _key_of_content(PROTOCOL, content)


@lru_cache(maxsize=2**15)  # a ledger asks for the keys of the same few thousand configs a dozen times
def _key_of_content(protocol: int, content: str) -> str:
    return _key(protocol, config(**json.loads(content)))


def _key(protocol: int, run: dict) -> str:
    return hashlib.sha256(json.dumps([protocol, _named(run)], sort_keys=True, allow_nan=False).encode()).hexdigest()


def _named(run: dict) -> dict:
    """The part of a config that its key is made of: all but later settings at their defaults, in its source too."""
    out = {name: value for name, value in run.items() if name not in LATER or value != LATER[name]}
    for name in WITHIN:
        if out.get(name) and out[name].get("source"):
            out[name] = out[name] | {"source": _named(out[name]["source"])}
    return out


def chosen_by(run: dict) -> dict | None:
    """The part that says which scoring runs choose the examples of `run`: its keep, mix or branches; None where it has none."""
    return run["keep"] or run["augment"] or run["branch"]


def scoring_runs(run: dict) -> list[dict]:
    """The runs that `run` leans on: whose scores it prunes or mixes with, whose hypotheses it trains on. Most lean on none."""
    if run["pool"]:
        weak = run["pool"].get("source")
        return [weak | {"seed": run["seed"]}] if weak else []
    chosen = chosen_by(run)
    return [chosen["source"] | {"seed": seed} for seed in chosen["seeds"]] if chosen and chosen["source"] else []
