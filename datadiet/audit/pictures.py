"""Images in a folder for each class, audited by features that no label has touched: patches, edges, pixels, or an encoder.

    audit = of_folder(read("pets/"), budget=300)      # pets/cat/1.jpg, pets/dog/7.png, ...
    audit.accuracy                                    # how much the features know of the classes
"""

import hashlib
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np
import PIL
from PIL import Image, ImageOps
from tqdm import tqdm

from datadiet.audit import engine
from datadiet.audit import kept as keeping
from datadiet.audit.clock import Clock
from datadiet.audit.found import Audit
from datadiet.audit.kept import Kept
from datadiet.errors import InputError
from datadiet.tables import classes

SIDE = 32  # pixels that an image is made for the simple features
BATCH = 64
BLOCK = 4 * BATCH  # images that are kept together
CELLS, ANGLES = 8, 9  # cells along a side, and directions, of the edges
PATCH, CENTRES, DRAWN = 6, 200, 20_000  # side of a patch, patches that others are compared with, patches that these are found in
PATIENCE, SHARE = 4.0, 0.6  # as for texts: seconds before the time is judged, and the share of the time left that it may take
MODEST = 1 / 3  # share of the way from the largest class to always right, below which features are called weak


@dataclass(frozen=True)
class Features:
    """Matrices by name, float32 [n, d] each; which images were read, bool; sentences on what was left out."""

    matrices: dict
    read: np.ndarray
    notes: tuple[str, ...]


def of_folder(table, *, score=None, budget=300.0, encoder=None, seed=0, keep=False, progress=False, start=None) -> Audit:
    """Audit of the images of a folder, out of fold, as :func:`datadiet.audit.engine.of_table` audits texts.

    Parameters
    ----------
    table : datadiet.tables.folders.Pictures
        As :func:`datadiet.tables.read` gives it of a folder of folders.
    score : str, optional
        A name of ``scores.SCORES``; the one that finds most planted flips where not given.
    budget : float
        Seconds.
    start : float, optional
        Reading of ``time.monotonic()`` from which the budget runs; that of this call where not given.
    encoder : str, optional
        Folder, or id of the hub, of an image model of ``transformers`` with its image processor. Without one the features are
        simple ones of images made 32 pixels wide: how often patches look like each of 200 typical ones (Coates, Ng and Lee 2011),
        the directions of edges in 64 cells (Dalal and Triggs 2005), and the pixels.
    keep : bool or Kept
        As for texts.

    Returns
    -------
    Audit
        An image that cannot be read is no row of it; its warnings count these, and say how good the features are.

    Raises
    ------
    InputError
        Fewer than ten images that can be read, or of one class; an unknown score; an encoder that cannot be loaded.
    """
    clock = Clock(budget, start)
    engine.known(score)
    groups = classes(table, "label")
    files = [table.folder / path for path in table.cells("path")]
    content = ["pictures", keeping.stamps(files), table.cells("path")]
    steps = keeping.steps(keep, content, encoder=encoder, seed=seed, pillow=PIL.__version__)
    if encoder is None:
        found = simple(files, clock=clock, kept=steps, progress=progress, seed=seed)
    else:
        found = encoded(files, encoder, clock=clock, kept=steps, progress=progress)
    rows, said = np.flatnonzero(found.read), list(found.notes)
    if len(rows) < len(files):
        broken = [str(files[row].relative_to(table.folder)) for row in np.flatnonzero(~found.read)]
        said.append(f"{len(broken)} files could not be read as images ({', '.join(broken[:3])}) and have no score.")
    present, given = np.unique(groups.of[rows], return_inverse=True)
    if len(rows) < 10 or len(present) < 2:
        steps.forget()
        raise InputError(
            f"datadiet score: {len(rows)} of {len(files)} images in {table.folder} can be read, of {len(present)} class(es); ten "
            "images of two classes are the fewest that can be told apart by models that did not see them."
        )
    names = tuple(groups.names[c] for c in present)
    digest = hashlib.sha256(repr(table.cells("path")).encode("utf-8", "surrogatepass")).hexdigest()
    how = {"folder": str(table.folder), "encoder": encoder or "patches, edges, pixels", "digest": digest}
    asked = {"clock": clock, "score": score, "seed": seed, "said": said, "how": how, "kept": steps}
    audit = engine.examine(found.matrices, given, names, rows, **asked)
    return replace(audit, warnings=(known(audit, encoder), *audit.warnings))


def known(audit: Audit, encoder) -> str:
    """Sentence on how much of the classes the features know."""
    weak = audit.accuracy < audit.majority + MODEST * (1 - audit.majority)
    said = (
        f"The features tell {audit.accuracy:.0%} of the images' classes out of fold; always saying the largest would be right in "
        f"{audit.majority:.0%}."
    )
    if weak and encoder is None:
        return f"{said} That is weak: name an image model of transformers, a folder or an id of the hub, with --encoder."
    return f"{said} That is weak: this encoder does not suit these images." if weak else said


def opened(file, side: int | None = None) -> Image.Image | None:
    """An image in RGB, upright, `side` pixels wide and high where that is given; None where it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of odd EXIF data, which does not keep an image from being read
            with Image.open(file) as image:
                if side is not None:
                    image.draft("RGB", (2 * side, 2 * side))  # a JPEG is read at a fraction of its size
                image = ImageOps.exif_transpose(image).convert("RGB")
                return image if side is None else image.resize((side, side), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # of PIL, for files that are cut or no image
        return None


class _TooLong(Exception):
    """The images would take `whole` seconds, those that are left `rest`, longer than there is time."""

    def __init__(self, whole: float, rest: float):
        super().__init__(whole, rest)
        self.whole, self.rest = whole, rest


def in_blocks(what: str, total: int, made, fits, *, batch: int, kept: Kept, progress: bool) -> dict:
    """Arrays by name of `total` images, by ``made(slice)`` of a batch of them; a step for each block of batches.

    ``fits(whole, rest)``: whether there is time for the seconds that all images take which are not kept, and those of them that
    are left. Where it says no, :class:`_TooLong` is raised.
    """
    took, new = 0.0, 0

    def block(first: int, bar) -> dict:
        nonlocal took, new
        parts = []
        for i in range(first, min(first + BLOCK, total), batch):
            start, some = time.monotonic(), slice(i, min(i + batch, first + BLOCK, total))
            parts.append(made(some))
            took, new = took + time.monotonic() - start, new + some.stop - i
            bar.update(some.stop - i)
            rest = took * (total - some.stop) / new  # blocks that an earlier call has kept are not ahead
            if took > PATIENCE and not fits(took + rest, rest):
                raise _TooLong(took + rest, rest)
        return joined(parts)

    def joined(parts: list) -> dict:
        names = {name for part in parts for name in part}  # of files none of which is an image there is less to say
        return {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}

    with tqdm(total=total, disable=not progress, desc=what, unit="image", leave=False) as bar:
        firsts = range(0, total, BLOCK)
        return joined([kept.step(f"{what} {first}", lambda first=first: block(first, bar)) for first in firsts])


def simple(files, *, clock: Clock, kept: Kept | None = None, progress: bool = False, seed: int = 0) -> Features:
    """``patches`` [n, 800], ``edges`` [n, 576] and ``pixels`` [n, 3072], in the order in which they are worth most."""
    kept = kept or Kept()

    def made(some: slice) -> dict:
        images = [opened(file, SIDE) for file in files[some]]
        there = [np.asarray(image, np.uint8) for image in images if image is not None]
        return {"read": np.array([image is not None for image in images])} | ({"pixels": np.stack(there)} if there else {})

    try:
        seen = in_blocks("reading", len(files), made, lambda whole, rest: whole <= clock.budget, batch=1, kept=kept,
                         progress=progress)  # fmt: skip
    except _TooLong as late:
        raise InputError(
            f"datadiet score: to read {len(files)} images takes about {late.whole:.0f} seconds, more than the budget; give more "
            "with --budget, or a folder with fewer or smaller images."
        ) from None
    if "pixels" not in seen:
        return Features({}, seen["read"], ())
    stack = seen["pixels"].astype(np.float32) / 255  # [n, side, side, 3]
    found = {"edges": edges(stack), "pixels": stack.reshape(len(stack), -1)}
    first = patches(stack, clock=clock, kept=kept, progress=progress, seed=seed)
    if first is None:
        return Features(found, seen["read"], ("For want of time patches were left out. Give more with --budget.",))
    return Features({"patches": first, **found}, seen["read"], ())


def edges(stack: np.ndarray) -> np.ndarray:
    """How strong edges of nine directions are in each of 64 cells: images [n, S, S, 3] in [0, 1] -> float32 [n, 576].

    A pixel's gradient, of the colour where it is longest, counts by its length for the direction nearest to it, opposite ones as
    one; the counts of a cell have length one together with a small constant.

    >>> stack = np.zeros((1, 8, 8, 3), np.float32); stack[:, :, 4:] = 1     # a vertical edge: the gradient points to the right
    >>> edges(stack).reshape(8, 8, 9)[0, 3:5].argmax(-1).tolist(), round(float(edges(stack).max()), 2)
    ([0, 0], 0.98)
    """
    rows, columns = np.gradient(stack, axis=(1, 2))
    length = np.hypot(rows, columns)
    most = length.argmax(-1)[..., None]
    rows, columns, length = (np.take_along_axis(each, most, -1)[..., 0] for each in (rows, columns, length))
    angle = np.arctan2(rows, columns) % np.pi
    which = np.rint(angle / np.pi * ANGLES).astype(np.int64) % ANGLES
    n, side = len(stack), stack.shape[1]
    at = np.arange(side) * CELLS // side
    cell = (np.arange(n)[:, None, None] * CELLS + at[:, None]) * CELLS + at
    counts = np.bincount((cell * ANGLES + which).ravel(), length.ravel(), n * CELLS * CELLS * ANGLES).reshape(n, -1, ANGLES)
    return (counts / np.sqrt((counts**2).sum(-1, keepdims=True) + 0.01)).reshape(n, -1).astype(np.float32)


def patches(
    stack: np.ndarray, *, clock: Clock, kept: Kept | None = None, progress: bool = False, seed: int = 0
) -> np.ndarray | None:
    """How much the patches of each quarter look like each of 200 typical ones: images [n, S, S, 3] -> float32 [n, 800].

    Patches of equal brightness and contrast are whitened; the typical ones are the centres that k-means finds. A patch counts for
    a centre by how much nearer it is than to centres on average, if it is. None where the clock forbids it.
    """
    import torch
    from sklearn.cluster import MiniBatchKMeans
    from torch.nn.functional import unfold

    from datadiet.nets import device

    kept, place = kept or Kept(), device.best()

    def cut(images):
        """Patches [B, P, d] of equal brightness and contrast."""
        flat = unfold(torch.as_tensor(images).permute(0, 3, 1, 2), PATCH).transpose(1, 2)
        flat = flat - flat.mean(-1, keepdim=True)
        return flat / (flat.var(-1, keepdim=True) + 10 / 255**2).sqrt()

    def typical() -> dict:
        rng = np.random.default_rng(seed)
        some = rng.permutation(len(stack))[:1000]
        each = -(-DRAWN // len(some))
        drawn = torch.cat([cut(stack[[i]])[0, rng.integers(0, (SIDE - PATCH + 1) ** 2, each)] for i in some]).numpy()
        middle = drawn.mean(0)
        values, vectors = np.linalg.eigh(np.cov((drawn - middle).T))
        whiten = (vectors / np.sqrt(np.maximum(values, 0) + 0.1)) @ vectors.T
        means = MiniBatchKMeans(min(CENTRES, len(drawn) // 10), random_state=seed, n_init=1, batch_size=2048)
        return {"middle": middle, "whiten": whiten, "centres": means.fit((drawn - middle) @ whiten).cluster_centers_}

    found, across = kept.step("typical patches", typical), SIDE - PATCH + 1
    half = -(-across // 2)
    halves = ((0, half), (half, across))
    middle, whiten, centres = (
        torch.as_tensor(found[name], dtype=torch.float32, device=place) for name in ("middle", "whiten", "centres")
    )

    @torch.inference_mode()
    def made(some: slice) -> dict:
        seen = (cut(stack[some]).to(place) - middle) @ whiten
        near = torch.cdist(seen, centres.expand(len(seen), -1, -1))
        near = (near.mean(-1, keepdim=True) - near).clamp(min=0).reshape(-1, across, across, len(centres))
        quarters = [near[:, a:b, c:d].sum((1, 2)) for a, b in halves for c, d in halves]
        return {"patches": torch.cat(quarters, 1).cpu().numpy()}

    try:
        return in_blocks("patches", len(stack), made, lambda whole, rest: rest <= SHARE * clock.left, batch=BATCH, kept=kept,
                         progress=progress)["patches"]  # fmt: skip
    except _TooLong:
        return None


def encoded(files, encoder: str, *, clock: Clock, kept: Kept | None = None, progress: bool = False) -> Features:
    """The mean over the last layer of an image model of transformers, float32 [n, d], for each image that can be read."""
    import torch

    from datadiet.nets import device, images

    processor, model = images.pretrained(encoder)
    place = device.best()
    model = model.to(place)

    @torch.inference_mode()
    def made(some: slice) -> dict:
        read = [opened(file) for file in files[some]]
        out = {"read": np.array([image is not None for image in read])}
        if out["read"].any():
            pixels = processor([image for image in read if image is not None], return_tensors="pt")["pixel_values"].to(place)
            state = model(pixel_values=pixels).last_hidden_state.float()  # [B, d, H, W] or [B, T, d]
            out["encoder"] = (state.flatten(2).mean(-1) if state.ndim == 4 else state.mean(1)).cpu().numpy()
        return out

    try:
        found = in_blocks("encoding", len(files), made, lambda whole, rest: whole <= clock.budget, batch=BATCH,
                          kept=kept or Kept(), progress=progress)  # fmt: skip
    except _TooLong as late:
        raise InputError(
            f"datadiet score: {encoder} takes about {late.whole:.0f} seconds for {len(files)} images, more than the budget; give "
            "more with --budget, or leave --encoder away."
        ) from None
    read = found.pop("read")
    return Features(found, read, ())
