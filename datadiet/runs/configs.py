"""What a run is asked for by: a config, the key that its result is stored under, and the runs that it leans on.

config(task="trec6", seed=3)                          # a complete config: the defaults, with changes
key(config(task="trec6", seed=3))                     # 64 hex digits; equal configs have equal keys
scoring_runs(config(keep={...}))                      # configs of the runs whose scores choose its examples
"""

import hashlib
import json

from datadiet import dynamic
from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.training import fairness, growth, landscape

PROTOCOL = 1  # raised when the same config comes to mean another run

DEFAULTS = {
    "task": "docstrings",
    "noise": 0.0,  # share of training labels flipped on purpose (symmetric, seed 0: the same flips in every run)
    "validation": 0.1,  # share of train held out where a set has no official validation split
    "size": None,  # training examples, a stratified draw; None = all
    "encoder": "minilm",
    "layers": None,  # first layers of the encoder that are kept; None = all
    "max_length": 64,  # tokens
    "epochs": 3,
    "budget": "epochs",  # what a pruned run spends: the same "epochs", or as many update "steps" as the full set
    "batch_size": 32,
    "learning_rate": 5e-5,
    "seed": 0,
    "score_at": [],  # scoring points: update steps (0, 10, ...) or epochs ("1ep", ...)
    "grand_size": 0,  # examples whose full-parameter GraNd is recorded at each scoring point; None = all
    "keep": None,
}
# Settings that came after the first published runs. At its default such a setting is left out of the key, so that what was
# computed before it existed keeps its key: the run is the same.
LATER: dict = {
    "schedule": None,  # pruning while training: a dict of dynamic.SETTINGS
    "optimizer": "adamw",  # or "sgd": Nesterov momentum 0.9, weight decay 5e-4
    "inputs": "unit range",  # how an image is normalised: a name of pictures.INPUTS
    "shifts": False,  # training images shifted by up to 4 pixels and mirrored at random
    "watch": False,  # record at the end of every epoch which training examples are right: what forgetting is counted on
    "decay": True,  # the learning rate rises over the first tenth of the updates and falls to zero; False: constant
    "folds": 0,  # above 0: nothing is fine-tuned; out-of-fold probabilities of a regression on frozen features instead
    "augment": None,  # train on a mix of factual and gender-swapped sentences: a dict of fairness.SETTINGS
    "precision": "float32",  # of passes that train nothing, scoring among them; or "bfloat16"
    "pool": None,  # a training set that grows from a pool with weak labels: a dict of growth.START or growth.ADD
    "vog": False,  # record how the gradient in the input moves between scoring points (VoG), of every training example
    "test_only": False,  # leave an official validation split out, where nothing is chosen on it: half the judging of SNLI
    "quick": False,  # batches cut where that saves padding, dropout by quick masks: the same training, other draws
    "device": "cpu",  # what it trains on: "cpu", "cuda" or "mps"
    "training_precision": "float32",  # of the training passes; on "cuda" it is "bfloat16" where nothing else is asked
    "branch": None,  # second futures that begin while training, and what they share: a dict of landscape.SETTINGS
}
KEEP = {
    "rule": "random",
    "fraction": 0.5,
    "offset": 0.0,
    "balanced": False,
    "score": None,  # a name of scores.SCORES or "grand_head"; None for the random rule
    "at": None,  # the scoring point
    "seeds": [],  # scoring runs whose scores are averaged
    "source": None,  # config of the scoring runs, without its seed
}


def config(keep: dict | None = None, **changes) -> dict:
    """A complete run config: the defaults with `changes`, and with `keep` for a pruned run.

    Raises
    ------
    InputError
        An unknown key, naming the known ones; also within a schedule, a mix, a pool or branches. A mix beside a `keep`; a pool or
        branches beside anything else that says what is trained on.
    """
    for given, known, what in ((changes, DEFAULTS | LATER, "config"), (keep or {}, KEEP, "keep")):
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise InputError(f"runs.config: unknown {what} key(s) {', '.join(unknown)}; known: {', '.join(known)}.")
    if changes.get("schedule") is not None:
        changes["schedule"] = dynamic.settings(changes["schedule"])
    if changes.get("augment") is not None:
        if keep is not None:
            raise InputError("runs.config: a run trains on a pruned set (keep) or on a mix (augment), not both; leave one out.")
        changes["augment"] = fairness.settings(**changes["augment"])
    if changes.get("pool") is not None:
        changes["pool"] = growth.settings(changes["pool"])
        if keep is not None or changes.get("schedule") is not None or changes.get("augment") is not None:
            raise InputError("runs.config: a pool says what is trained on; it goes with no keep, schedule or mix.")
    if changes.get("branch") is not None:
        changes["branch"] = landscape.settings(changes["branch"])
        if keep is not None or any(changes.get(name) is not None for name in ("schedule", "augment", "pool")):
            raise InputError("runs.config: branches are of a run on everything; they go with no keep, schedule, mix or pool.")
    if changes.get("device", "cpu") != "cpu":
        changes = {"training_precision": device.PRECISION.get(changes["device"])} | changes
    return DEFAULTS | LATER | changes | {"keep": None if keep is None else KEEP | keep}


def key(run: dict) -> str:
    """SHA-256 of the canonical JSON of a config and the protocol number, 64 hex digits."""
    return hashlib.sha256(json.dumps([PROTOCOL, _named(run)], sort_keys=True, allow_nan=False).encode()).hexdigest()


def _named(run: dict) -> dict:
    """What of a config is part of its key: all but later settings at their defaults, in its scoring runs' config too."""
    out = {name: value for name, value in run.items() if name not in LATER or value != LATER[name]}
    for what in ("keep", "augment", "pool", "branch"):
        if out.get(what) and out[what].get("source"):
            out[what] = out[what] | {"source": _named(out[what]["source"])}
    return out


def chosen_by(run: dict) -> dict | None:
    """What says which scoring runs choose the examples of `run`: its keep, its mix, its branches; None where nothing does."""
    return run["keep"] or run["augment"] or run["branch"]


def scoring_runs(run: dict) -> list[dict]:
    """The runs that `run` leans on: whose scores it prunes or mixes with, whose hypotheses it trains on. Most lean on none."""
    if run["pool"]:
        weak = run["pool"].get("source")
        return [weak | {"seed": run["seed"]}] if weak else []
    chosen = chosen_by(run)
    return [chosen["source"] | {"seed": seed} for seed in chosen["seeds"]] if chosen and chosen["source"] else []
