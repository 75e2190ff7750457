"""What it costs: rounds of the benchmarks, the time on the machine that builds the page, and the cost of published experiments.

``python -m benchmarks`` writes ``results/benchmarks/*.parquet``, a row for each contestant and round. Contestants took turns, so
a ratio is taken within a round; what is reported is the median over rounds, with the least and the greatest.
"""

import io
import time
from functools import partial

import numpy as np
import pandas as pd

from datadiet import paths
from datadiet.chapters.dynamic_pruning.runs import SCORED, TRAINED, planned_cost
from datadiet.errors import InputError
from datadiet.runs import sealed

PLAIN, OURS, ONE, LIMIT = "forward and backward", "datadiet", "batch of one", "limit: no gradients of weights"
ALIKE, STEP = "the same, as ours", "training step"  # a plain one with all that ours has but the norms; one of quick training


def benchmark(name: str) -> pd.DataFrame:
    """Every round that a suite measured: "gradients", "architectures", "training", "tables", "growth" or "cluster".

    Raises
    ------
    InputError
        No such suite in ``results/benchmarks``, or a file that is not the one that was measured.
    """
    file = paths.root() / "results" / "benchmarks" / f"{name}.parquet"
    if not file.is_file():
        raise InputError(f"what_it_costs.benchmark: {file} is not there; measure it with: python -m benchmarks {name}")
    return pd.read_parquet(io.BytesIO(sealed.opened(file.parent.parent, f"benchmarks/{file.name}")))


def ratios(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Seconds of each peer over those of `reference` in the same round, a row a case and peer: median, least and greatest.

    Beside them the median seconds, the largest ``peak_mib`` (memory above that before) and ``error`` (largest relative
    difference from the truth), the mean test ``accuracy`` where the peers say it, and the first reason why a peer ``failed``.
    """
    out = []
    for case, rows in table.groupby("case", sort=False):
        base = rows[rows["peer"] == reference].set_index("round")["seconds"]
        for peer, mine in rows.groupby("peer", sort=False):
            ratio = mine.set_index("round")["seconds"] / base
            measured = {name: mine[name].max() for name in ("peak_mib", "error") if name in mine}
            measured |= {"accuracy": mine["test_accuracy"].mean()} if "test_accuracy" in mine else {}
            out.append({"case": case, "peer": peer, "rounds": int(ratio.notna().sum()), "seconds": mine["seconds"].median(),
                        "ratio": ratio.median(), "least": ratio.min(), "greatest": ratio.max(), **measured,
                        "failed": next(iter(mine["failed"].dropna()), None) if "failed" in mine else None})
    return pd.DataFrame(out)


def norms_over(gradients: pd.DataFrame) -> pd.DataFrame:
    """Median time of our gradient norms over that of each of four others, a row a case."""
    peers = (PLAIN, ALIKE, STEP, LIMIT)
    return pd.DataFrame({peer: ratios(gradients, peer).set_index(["case", "peer"])["ratio"].unstack()[OURS]
                         for peer in peers}).reset_index()


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Slopes of log seconds and log peak memory over log size, by least squares, a row for each thing that grows.

    NaN where memory was not seen to grow. ``_last`` is the slope between the two largest sizes, where fixed costs have faded.
    """
    out = []
    for case, rows in table.groupby("case", sort=False):
        middle = rows.groupby("size")[["seconds", "peak_mib"]].median()
        size, row = np.log(middle.index.to_numpy(float)), {"case": case}
        for name in ("seconds", "peak_mib"):
            seen = middle[name].to_numpy()
            grows = len(seen) > 1 and (seen > 0).all()
            row[name] = np.polyfit(size, np.log(seen), 1)[0] if grows else np.nan
            row[f"{name}_last"] = (np.log(seen[-1] / seen[-2]) / (size[-1] - size[-2])) if grows else np.nan
            row[f"{name}_at_most"] = seen.max()
        out.append(row | {"sizes": ", ".join(f"{each:,}" for each in middle.index)})
    return pd.DataFrame(out)


def time_here(settings: dict) -> pd.DataFrame:
    """Gradient norms of one batch, timed in this process: the columns case, peer, round and seconds of a benchmark.

    Parameters
    ----------
    settings : dict
        encoder, layers, examples and tokens of the batch, rounds, engine. Where the engine is "stored", nothing is timed and the
        table is empty.

    Raises
    ------
    InputError
        No examples, tokens or rounds.
    """
    columns = ["case", "peer", "round", "seconds", "error"]
    if settings["engine"] == "stored":
        return pd.DataFrame(columns=columns)
    if min(settings[name] for name in ("examples", "tokens", "rounds")) < 1:
        raise InputError(f"what_it_costs.time_here: examples={settings['examples']}, tokens={settings['tokens']}, "
                         f"rounds={settings['rounds']}; each is at least 1. To time nothing, set engine to 'stored'.")
    import torch

    from datadiet import gradnorm
    from datadiet.nets import encoders
    from datadiet.training import kinds

    n, length = settings["examples"], settings["tokens"]
    draw, model = torch.Generator().manual_seed(0), encoders.classifier(settings["encoder"], 6, settings["layers"])
    usual = encoders.classifier(settings["encoder"], 6, settings["layers"], every_token=True)
    batch = {"input_ids": torch.randint(5, 30_000, (n, length), generator=draw),
             "attention_mask": torch.ones(n, length, dtype=torch.int64), "labels": torch.randint(0, 6, (n,), generator=draw)}

    def plain(_, batch, loss):  # of the model as transformers makes it
        usual.zero_grad(set_to_none=True)
        loss(usual, batch).sum().backward()

    peers = {PLAIN: plain, OURS: partial(gradnorm.grad_norms, alone={}), ONE: gradnorm.reference_grad_norms}
    truth, rows, case = None, [], f"{settings['encoder']}, {n} x {length} tokens"
    for number in range(-1, settings["rounds"]):  # the first round warms up
        for peer, work in reversed(peers.items()):
            start = time.perf_counter()
            norms = work(model, batch, kinds.example_loss)
            seconds = time.perf_counter() - start
            truth = norms if peer == ONE else truth
            error = None if norms is None else float((norms / truth - 1).abs().max())
            rows += [] if number < 0 else [{"case": case, "peer": peer, "round": number, "seconds": seconds, "error": error}]
    return pd.DataFrame(rows[::-1], columns=columns)


def multiplications(settings: dict) -> pd.DataFrame:
    """Multiplications in matrix products and convolutions, over those of a forward and backward: counted, so the same everywhere.

    A row for each network, one of text and one of images; columns "forward" and "grad_norms". Twice the forward is what a forward
    and a backward through the activations take.

    Parameters
    ----------
    settings : dict
        encoder, layers, examples and tokens of the batch.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode, conv_backward_flop

    from datadiet import gradnorm
    from datadiet.nets import encoders
    from datadiet.nets.images import picture_classifier
    from datadiet.training import kinds

    def of_groups(*args, out_shape, **rest) -> int:  # torch counts convolutions in groups as if each group saw all channels
        return conv_backward_flop(*args, out_val=out_shape, **rest) // args[9]

    def counted(work) -> int:
        with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: of_groups}) as counter:
            work()
        return counter.get_total_flops()

    def shares(model, batch) -> dict:
        def loss():
            return kinds.example_loss(model, batch).sum()

        scored = partial(gradnorm.grad_norms, model, batch, kinds.example_loss, alone={})
        scored()  # the first example alone, once for many batches
        whole, norms = counted(lambda: loss().backward()), counted(scored)
        with torch.no_grad():
            return {"forward": counted(loss) / whole, "grad_norms": norms / whole}

    n, length = settings["examples"], settings["tokens"]
    labels, ids = torch.zeros(n, dtype=torch.int64), torch.arange(n * length).view(n, length) % 1000 + 5
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    return pd.DataFrame({
        settings["encoder"]: shares(encoders.classifier(settings["encoder"], 6, settings["layers"]), text),
        "resnet18": shares(picture_classifier("resnet18", 6), {"image": torch.zeros(n, 3, 32, 32), "labels": labels}),
    }).T


# The price that the papers paid to choose, in epochs over their own set. A pass looks at every example and trains nothing.
EXPERIMENTS = pd.DataFrame(
    [
        ("Paul et al. 2021", "EL2N, epoch 20 of 200, 10 runs", 200, 200, 10, "EL2N"),
        ("Paul et al. 2021", "GraNd, epoch 20 of 200, 10 runs", 200, 200, 10, "GraNd"),
        ("Kirsch 2023, PyTorch", "EL2N, epoch 1 of 12.6, 10 runs", 12.6, 10, 10, "EL2N"),
        ("Kirsch 2023, PyTorch", "GraNd, epoch 1 of 12.6, 10 runs", 12.6, 10, 10, "GraNd"),
        ("BERT on a Data Diet", "head-only GraNd or EL2N, epoch 1, 5 runs", np.nan, 5, 5, "EL2N"),
        ("Influence scores", "EL2N, epoch 2 of 10, 10 runs", 10, 20, 10, "EL2N"),
        ("Healthy data diet", "GE, after one epoch: two passes", np.nan, 1, 2, "EL2N"),
        ("Healthy data diet", "GraNd, after one epoch", np.nan, 1, 1, "GraNd"),
    ],
    columns=["paper", "chooses by", "epochs of full training", "epochs to score", "passes", "pass"],
)


def bills(gradients: pd.DataFrame, case: str) -> pd.DataFrame:
    """The cost of each paper's scores before anything is pruned, in epochs of training on everything.

    A pass of EL2N is one forward, a third of an epoch. A pass of GraNd costs what `case` of the benchmark says, relative to a
    forward and backward: with our norms, and one example at a time. ``of full`` is the bill with our norms as a share of the full
    training where its length is known.
    """
    ratio = ratios(gradients[gradients["case"] == case], PLAIN).set_index("peer")["ratio"]
    out = EXPERIMENTS.copy()
    for name, peer in {"with our norms": OURS, "one at a time": ONE}.items():
        each = out["pass"].map({"EL2N": SCORED / TRAINED, "GraNd": ratio[peer]})
        out[name] = out["epochs to score"] + out["passes"] * each
    return out.assign(**{"of full": out["with our norms"] / out["epochs of full training"]})


def shares_of_training(epochs: int, fraction: float) -> pd.Series:
    """Costs of four ways to train on `fraction` of the examples, as shares of training on everything for as many epochs.

    Dynamic pruning trains its first epoch on everything and chooses anew after each. A static subset is chosen by one run, or by
    the average of five, that each train for an epoch on everything and pass once over it.
    """
    chosen = (TRAINED + SCORED) / (TRAINED * epochs)
    dynamic = planned_cost(epochs, fraction=fraction, warmup=1, every=1)
    return pd.Series({"dynamic": dynamic, "static by one run": fraction + chosen, "static by five": fraction + 5 * chosen,
                      "random": fraction})
