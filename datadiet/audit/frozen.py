"""Features of texts that no label has touched: layers of an encoder as it is, words, and how two texts of a pair match.

    found = of_texts(texts, encoder="minilm")       # {"layer 6": [n, 384], "words": [n, 150], "first word": ..., ...}

A cell beyond `max_length` tokens is cut; ``cut`` counts them.
"""

import time
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from datadiet.audit.clock import Clock, rounded
from datadiet.audit.kept import Kept

BATCH = 32  # texts encoded at once, of similar length
BLOCK = 32  # batches that are kept together
SHARE = 0.8  # of the time until the budget is passed by a fifth, that encoding may take; beyond it less is read
SHORTER = (64, 32, 16)  # tokens of a text that are read where there is no time for more; below them the words alone
PATIENCE = 4.0  # seconds before the time it takes is judged
WIDTH = 200  # principal components that a regression sees
SAMPLE = 5000  # rows that the components are read off
WORDS = 150  # components of the words
FIRST = "first word"


class _TooLong(Exception):
    """Encoding the texts that are left would take `rest` seconds, longer than there is time; a token takes `each`."""

    def __init__(self, rest: float, each: float):
        super().__init__(rest, each)
        self.rest, self.each = rest, each


@dataclass(frozen=True)
class Features:
    """Matrices by name, float32 [n, d] each; how many texts were cut; sentences on what was left out."""

    matrices: dict
    cut: int
    notes: tuple[str, ...]


def of_texts(texts, pairs=None, *, encoder="minilm", max_length=128, clock=None, kept=None, progress=False) -> Features:
    """Features of `texts`, or of pairs of texts.

    Parameters
    ----------
    texts, pairs : list of str
        First and second texts; `pairs` None where a row holds one text.
    encoder : str
        As :func:`datadiet.nets.encoders.classifier` takes it.
    max_length : int
        Tokens read of a text.
    clock : Clock, optional
        Where the encoder would take most of the time until the budget is passed by a fifth, fewer tokens of a text are read,
        or the words alone, and a note says how long it would take to read all.
    kept : Kept, optional
        Where encoded blocks of texts are kept until the audit is through.

    Returns
    -------
    Features
        ``words``, principal components of TF-IDF; then for single texts the mean token of three layers and the ``first word``
        as the last layer sees it, for pairs ``match`` (how well tokens of one text find a partner in the other), ``rest`` (the
        tokens that find none) and ``both`` (u, v, ``|u - v|``, ``u v`` of the mean tokens). In the order in which they are worth
        most, should time run short.
    """
    clock, kept = clock or Clock(float("inf")), kept or Kept()
    columns = [texts] if pairs is None else [texts, pairs]
    words = _words(columns)
    found, cut, note = _encoded(columns, encoder, max_length, clock, kept, progress)
    found |= {} if words is None else {"words": words}
    layers = sorted((name for name in found if name.startswith(("layer", "rest"))), key=lambda name: int(name.split()[-1]))
    first = ["match", *layers[-1:], *(["words", FIRST] if pairs is None else ["both"])]
    order = sorted(found, key=lambda name: first.index(name) if name in first else len(first))
    return Features({name: found[name] for name in order}, cut, (note,) if note else ())


def _words(columns) -> np.ndarray | None:
    """Principal components of the TF-IDF of words and pairs of words; None where the texts share none."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    found = []
    for column in columns:
        try:
            found.append(
                TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=50_000).fit_transform(column)
            )
        except ValueError:  # no word occurs twice
            continue
    if not found:
        return None
    matrix = hstack(found).tocsr()
    width = min(WORDS, min(matrix.shape) - 1)
    if width < 1:
        return None
    with threadpool_limits(1):  # on matrices this small threads wait for each other
        left, sizes, _ = randomized_svd(matrix, width, random_state=0)
    return (left * sizes).astype(np.float32)


def _encoded(columns, encoder: str, max_length: int, clock: Clock, kept: Kept, progress: bool):
    """(matrices by name, texts longer than `max_length`, note): of as many tokens as there is time for, or of none."""
    import torch

    from datadiet.nets import device, encoders

    tokenizer = encoders.tokenizer(encoder)
    name = "minilm" if encoder == "minilm-mean" else encoder
    place = device.best()

    def loaded(layers: int | None = None):
        return encoders.classifier(name, 2, layers, every_token=True).base_model.to(place).eval()

    model = loaded()
    depth = model.config.num_hidden_layers
    limit = min(max_length, getattr(model.config, "max_position_embeddings", max_length) - 2)
    ids, cut = [], 0
    for column in columns:
        whole = tokenizer(column, add_special_tokens=True, verbose=False)["input_ids"]
        cut += sum(len(each) > limit for each in whole)
        ids.append([len(each) for each in whole])
    length = np.max([np.minimum(each, limit) for each in ids], axis=0)
    order = np.argsort(-length, kind="stable")  # the longest first: the time they take bounds that of the rest

    longest = length[order[::BATCH]]  # of each batch
    sizes = np.diff([*range(0, len(order), BATCH), len(order)])

    def work(most: int, first: int = 0) -> int:
        """Tokens of the batches from the row at place `first` on, with their padding, where `most` of a text are read."""
        some = slice(first // BATCH, None)
        return len(columns) * int((np.minimum(longest[some], most) * sizes[some]).sum())

    done, start = 0, None

    @torch.inference_mode()
    def encoded(first: int, most: int, bar) -> dict:
        """Features of a block of batches, by the first `most` tokens of a text; stops where the rest would take too long."""
        nonlocal done, start
        deep, parts = model.config.num_hidden_layers, []
        layers = sorted({deep, (2 * deep + 2) // 3, (deep + 2) // 3} if len(columns) == 1 else {0, deep // 2, deep})
        for i in range(first, min(first + BLOCK * BATCH, len(order)), BATCH):
            some = order[i : i + BATCH]
            hidden = []
            for column in columns:
                batch = tokenizer(
                    [column[row] for row in some], truncation=True, max_length=most, padding=True, return_tensors="pt"
                )
                batch = {key: value.to(place) for key, value in batch.items()}
                states = model(**batch, output_hidden_states=True).hidden_states
                hidden.append(([states[layer].float() for layer in layers], batch["attention_mask"].float()))
            found = _single(layers, *hidden[0]) if len(columns) == 1 else _matched(layers, *hidden)
            parts.append({key: value.cpu().numpy() for key, value in found.items()})
            bar.update(len(some))
            if start is not None:
                done += len(columns) * min(length[some[0]], most) * len(some)
                took = time.monotonic() - start
                rest = took * (work(most, i + BATCH) / done)  # blocks that an earlier call has kept are not ahead
                if took > PATIENCE and rest > SHARE * clock.bound:
                    raise _TooLong(rest, took / done)
            start = start or time.monotonic()  # the first batch pays for what is made once
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def every(most: int) -> list[dict]:
        firsts, how = range(0, len(order), BLOCK * BATCH), f"{most} tokens, {model.config.num_hidden_layers} layers"
        with tqdm(total=len(order), disable=not progress, desc="encoding", unit="row", leave=False) as bar:
            return [kept.step(f"encoded {at}, {how}", lambda at=at: encoded(at, most, bar)) for at in firsts]

    parts, out, note = [], {}, ""
    # Two texts are matched token by token: half of the layers tell more of them than the beginnings of both.
    halves = [depth // 2] if len(columns) == 2 and depth > 1 else []
    ways = [(deep, most) for deep in (depth, *halves) for most in (limit, *(each for each in SHORTER if each < limit))]
    ways.sort(key=lambda way: min(way[1], SHORTER[0]) < SHORTER[0])  # half of the layers before fewer tokens than that
    while ways and not parts:
        deep, most = ways.pop(0)
        if deep != model.config.num_hidden_layers:
            model = loaded(deep)
        try:
            parts = every(most)
        except _TooLong as late:
            until, each = clock.spent + late.rest, late.each / deep
            ways = [(deep, most) for deep, most in ways if each * deep * work(most) < SHARE * clock.bound]
            note = note or (
                f"Encoding {len(order)} texts would take until second {until:.0f} of the {clock.budget:g} that there are: "
                f"{{}}, and wrong labels are found less well. Give --budget {rounded(until / SHARE)}."
            )
            done, start = 0, None
    if not parts:
        note = note.format("words alone were read")
    elif note:
        said = [f"at most {most} tokens of a text were read"] * (most < limit)
        said += [f"{deep} of the encoder's {depth} layers were computed"] * (deep < depth)
        note = note.format(" and ".join(said))
    for key in parts[0] if parts else ():
        out[key] = np.empty((len(order), parts[0][key].shape[1]), np.float32)
        out[key][order] = np.concatenate([part[key] for part in parts])
    return out, cut if parts else 0, note


def _single(layers, states, mask) -> dict:
    """Mean token of each layer, of length one; and the first word in the last, as that of a question says what is asked for."""
    from torch.nn.functional import normalize

    count = mask.sum(1, keepdim=True)
    found = {
        f"layer {layer}": normalize((state * mask[..., None]).sum(1) / count, dim=-1)
        for layer, state in zip(layers, states, strict=True)
    }
    return found | {FIRST: normalize(states[-1][:, min(1, mask.shape[1] - 1)], dim=-1)}  # token 0 marks the beginning


def _matched(layers, first, second) -> dict:
    """How the tokens of two texts find each other, from the cosines of their vectors in each layer."""
    import torch
    from torch.nn.functional import normalize

    stats, out = [], {}
    (left, left_mask), (right, right_mask) = first, second
    inner = [_inner(mask) for mask in (left_mask, right_mask)]
    for layer, a, b in zip(layers, left, right, strict=True):
        u, v = normalize(a, dim=-1), normalize(b, dim=-1)
        cosines = u @ v.transpose(1, 2)  # [B, S, T]
        cosines = cosines.masked_fill((inner[0][:, :, None] * inner[1][:, None, :]) == 0, -1.0)
        best_right, partner = cosines.max(1)  # of each token of the second text, in the first
        best_left = cosines.max(2).values
        stats += _summary(best_right, inner[1]) + _summary(best_left, inner[0])
        if layer:  # the embeddings say little about meaning
            count_right, count_left = (mask.sum(1, keepdim=True).clamp(min=1) for mask in (inner[1], inner[0]))
            alone_right = (((1 - best_right) * inner[1])[..., None] * v).sum(1) / count_right
            alone_left = (((1 - best_left) * inner[0])[..., None] * u).sum(1) / count_left
            moved = (v - torch.gather(u, 1, partner[..., None].expand(-1, -1, u.shape[-1]))) * inner[1][..., None]
            out[f"rest {layer}"] = torch.cat(
                [alone_right, alone_left, moved.sum(1) / count_right, moved.abs().sum(1) / count_right], 1
            )
    sizes = [inner[0].sum(1), inner[1].sum(1)]
    out["match"] = torch.stack([*stats, *sizes, sizes[0] - sizes[1]], 1)
    u, v = (_single(layers[-1:], states[-1:], mask)[f"layer {layers[-1]}"] for states, mask in (first, second))
    out["both"] = torch.cat([u, v, (u - v).abs(), u * v], 1)
    return out


def _inner(mask):
    """The mask without the first and the last token, which mark the ends of a text."""
    import torch

    inner = mask.clone()
    inner[:, 0] = 0
    inner[torch.arange(len(mask), device=mask.device), mask.sum(1).long() - 1] = 0
    return inner


def _summary(best, mask) -> list:
    """Mean, spread, lowest, mean of the three lowest, count below 0.5 and share above 0.9 of the best cosines, [B] each."""
    import torch

    count = mask.sum(1).clamp(min=1)
    mean = (best * mask).sum(1) / count
    spread = (((best - mean[:, None]) ** 2 * mask).sum(1) / count).sqrt()
    rising = torch.where(mask > 0, best, 1.0).sort(1).values
    return [mean, spread, rising[:, 0], rising[:, :3].mean(1), ((best < 0.5) * mask).sum(1), ((best > 0.9) * mask).sum(1) / count]


def components(matrix: np.ndarray) -> np.ndarray:
    """Standardised principal components of features, float32 [n, at most 200], scaled to a mean length of one."""
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    matrix = np.asarray(matrix, np.float32)
    spread = matrix.std(0)
    matrix = (matrix[:, spread > 1e-9] - matrix[:, spread > 1e-9].mean(0)) / spread[spread > 1e-9]
    if not matrix.shape[1]:
        return np.zeros((len(matrix), 1), np.float32)
    if matrix.shape[1] > WIDTH:
        rows = np.random.default_rng(0).permutation(len(matrix))[:SAMPLE]
        width = min(WIDTH, len(rows) - 1)
        with threadpool_limits(1):
            matrix = matrix @ randomized_svd(matrix[rows], width, random_state=0)[2].T
    return matrix / np.sqrt((matrix**2).sum(1).mean())
