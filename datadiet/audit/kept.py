"""Work of an audit that is kept until the audit is through, so that a call after a killed one goes on where that stopped.

A step is a dict of arrays in a file of its own, ``audits/AUDIT/STEP.npz`` in the live store. The name of the audit says what it
was made from; a seal in each file says that it is whole. A file without its seal is computed again, never used.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from datadiet import paths

SEAL = "seal"
STALE = 30 * 24 * 3600  # seconds after which no call is expected to go on


class Kept:
    """Steps of one audit. Without `identity` nothing is kept, and every step is made.

    Parameters
    ----------
    identity : list, optional
        Everything that the steps depend on: content of the table, settings, versions. Anything that JSON holds.
    until_written : bool
        Whether steps stay when the audit is through, until their owner has written the result and lets them go.

    Attributes
    ----------
    stopped : bool
        Whether the audit was stopped by hand, so that its steps stay for the next call.
    used, torn : list of str
        Steps that were there already, and those that were there but not whole.
    """

    def __init__(self, identity: list | None = None, until_written: bool = False):
        self.used, self.torn, self.folder, self.until_written, self.stopped = [], [], None, until_written, False
        if identity is not None:
            self.of(identity)

    def of(self, identity: list) -> None:
        """Keep steps from here on, as those of an audit that `identity` describes; steps of others that are a month old go."""
        self.audit = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
        self.folder = paths.store() / "audits" / self.audit
        for other in self.folder.parent.glob("*/"):
            with suppress(OSError):
                if other != self.folder and time.time() - other.stat().st_mtime > STALE:
                    shutil.rmtree(other, ignore_errors=True)

    def there(self) -> bool:
        """Whether finished steps are there."""
        return self.folder is not None and any(self.folder.glob("*.npz"))

    def step(self, name: str, make: Callable[[], dict]) -> dict:
        """Arrays of a step: those that are kept, else those of ``make()``, which are kept from then on.

        A folder that cannot be written, or a full disk, costs the next call this step and nothing else.
        """
        if (found := self.found(name)) is not None:
            return found
        made = make()
        self.put(name, made)
        return made

    def found(self, name: str) -> dict | None:
        """Arrays of a step that is kept; None where there is none, or none that is whole."""
        if self.folder is None or not self._file(name).is_file():
            return None
        found = self._whole(self._file(name), name)
        (self.torn if found is None else self.used).append(name)
        return found

    def put(self, name: str, made: dict) -> None:
        """Keep the arrays of a step, in place of those that it had."""
        if self.folder is None:
            return
        half = self._file(name).with_suffix(f".{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as stream:
                np.savez(stream, **made, **{SEAL: np.array(self._seal(name, made))})
            half.replace(self._file(name))
        except OSError:
            with suppress(OSError):
                half.unlink()

    def drop(self, name: str) -> None:
        """A step that no call will ask for again."""
        if self.folder is not None:
            with suppress(OSError):
                self._file(name).unlink()

    def forget(self) -> None:
        """The audit is through: its steps go, unless it was stopped by hand."""
        if self.folder is not None and not self.stopped:
            shutil.rmtree(self.folder, ignore_errors=True)

    def said(self) -> list[str]:
        """Sentences on what was used again, and on what could not be."""
        out = []
        if self.used:
            out.append(f"An earlier call on these rows and settings was stopped: {len(self.used)} of its steps were used again.")
        if self.torn:
            out.append(f"{len(self.torn)} steps of an earlier call were not whole, and were computed again.")
        return out

    def _file(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"

    def _whole(self, file: Path, name: str) -> dict | None:
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                found = {key: stored[key] for key in stored.files}
        except Exception:  # a damaged archive raises many kinds; whichever it is, the file is not whole
            return None
        seal = found.pop(SEAL, None)
        return found if seal is not None and str(seal) == self._seal(name, found) else None

    def _seal(self, name: str, arrays: dict) -> str:
        digest = hashlib.sha256(f"{self.audit} {name}".encode())
        for key in sorted(arrays):
            values = np.ascontiguousarray(arrays[key])
            digest.update(f"{key} {values.dtype.str} {np.shape(arrays[key])}".encode())
            digest.update(values.tobytes())
        return digest.hexdigest()


def steps(keep, content, *, encoder: str | None, **settings) -> Kept:
    """Steps of an audit of `content`, with `settings`.

    Parameters
    ----------
    keep : bool or Kept
        Whether to keep them, or the :class:`Kept` that is to.
    content : anything that JSON holds
        The rows that are scored, or a checksum of them.
    """
    kept = keep if isinstance(keep, Kept) else Kept()
    if keep:
        kept.of(identity(content, encoder=encoder, **settings))
    return kept


def identity(content, *, encoder: str | None, **settings) -> list:
    """Everything that the steps of an audit depend on: rows, settings, the encoder's files, code, releases, threads."""
    import sklearn
    import torch

    from datadiet import __version__
    from datadiet.nets import device
    from datadiet.runs import provenance

    files = [] if encoder is None else stamps(sorted(each for each in Path(encoder).rglob("*") if each.is_file()))
    return [content, encoder, files, settings, __version__, provenance.commit(), provenance.versions(), np.__version__,
            sklearn.__version__, torch.get_num_threads(), device.name_of(device.best())]  # fmt: skip


def stamps(files) -> list:
    """Name, size and times of each file, one of which changes with its content; the name alone where it cannot be reached."""
    out = [[str(file)] for file in files]
    for each, file in zip(out, files, strict=True):
        with suppress(OSError):
            known = file.stat()
            each += [known.st_size, known.st_mtime_ns, known.st_ctime_ns]
    return out
