"""Tables that are no file: a folder that ``datasets`` saved, a set of the hub, a folder of images with a folder for each "
"class."""

import copy
from pathlib import Path

import pyarrow as pa

from datadiet.errors import InputError
from datadiet.tables import files
from datadiet.tables.columns import Columns
from datadiet.tables.table import listed, some

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")


class Saved(Columns):
    """A ``datasets.Dataset`` as a table.

    Attributes
    ----------
    dataset : datasets.Dataset
        Its rows, columns and features; written as a folder again, or as Parquet.
    """

    kind = "folder"

    def __init__(self, dataset, notes=()):
        self.dataset = dataset
        arrow = dataset.with_format("arrow")[:] if len(dataset) else dataset.data.table
        super().__init__(arrow.cast(dataset.features.arrow_schema), notes)

    def take(self, positions):
        return Saved(self.dataset.select(self.at(positions)), self.notes)

    def added(self, new):
        dataset = self.dataset
        for name, values in new.items():
            column = Columns.added(copy.copy(self), {name: values}).arrow.column(name)
            dataset = dataset.add_column(name, column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
        return Saved(dataset, self.notes)

    def fits(self, ending):
        return ending == ".parquet" or ending not in (*files.ENDINGS, *files.EXCEL)

    def write(self, file, force=False):
        file = Path(file)
        if files.ending(file)[0] == ".parquet":
            return super().write(file, force)
        files.refuse_existing(file, force)
        try:
            with files.growing(file, folder=True) as part:
                self.dataset.save_to_disk(part)
                if file.exists():
                    with files.growing(file, folder=True) as aside:  # and gone with it, once the new one is in its place
                        file.rename(aside / "old")
                        part.rename(file)
                else:
                    part.rename(file)
        except OSError as problem:
            raise InputError(
                f"tables.write: {file} could not be written: {problem.strerror or problem}. Nothing was left behind."
            ) from None


class Pictures(Columns):
    """Images in a folder for each class as a table.

    Attributes
    ----------
    folder : Path
        Folder that the column ``path`` starts from.
    """

    def __init__(self, folder: Path, arrow: pa.Table, notes=()):
        super().__init__(arrow, notes)
        self.folder = folder


def is_saved(folder: Path) -> bool:
    """Whether ``datasets`` saved a set, or a set in parts, into a folder."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def read(folder: Path) -> Columns:
    """A table from a folder: of ``datasets``, or of images.

    Raises
    ------
    InputError
        Neither of both; a set in parts (name the folder of one); fewer than two classes of images; no row.
    """
    if (folder / "dataset_dict.json").is_file():
        parts = sorted(path.parent.name for path in folder.glob("*/state.json"))
        raise InputError(
            f"tables.read: {folder} holds a set in parts ({', '.join(parts)}); name the folder of one, such as "
            f"{folder / (parts or ['train'])[0]}."
        )
    if not is_saved(folder):
        return images(folder)
    import datasets

    try:
        found = Saved(datasets.load_from_disk(str(folder)))
        found.arrow.validate(full=True)  # cells of a file that was damaged may lie anywhere in memory
    except Exception as problem:  # a description that was damaged raises errors of a dozen kinds
        said = " ".join(str(problem).split())[:300]
        raise InputError(
            f"tables.read: {folder} could not be read as a folder of datasets: {type(problem).__name__}: {said}. Save it again."
        ) from None
    return checked(found, str(folder))


def hub(name: str) -> Saved:
    """A table from a set of the hub, or from a folder of files that ``datasets`` reads: ``hf://OWNER/NAME[@REVISION][:SPLIT]``.

    The split is train where none is named. A configuration goes behind the name: ``hf://OWNER/NAME/CONFIG``.

    Raises
    ------
    InputError
        A set or a split that cannot be had, and why.
    """
    address, _, split = name.removeprefix(files.HUB).partition(":")
    address, _, revision = address.partition("@")
    owner, *rest = address.split("/")
    path, config = "/".join([owner, *rest[:1]]), "/".join(rest[1:]) or None
    import datasets

    try:
        found = datasets.load_dataset(path, config, split=split or "train", revision=revision or None)
    except Exception as problem:  # datasets raises errors of a dozen packages
        raise InputError(
            f"tables.read: the set {name!r} could not be had: {type(problem).__name__}: {str(problem)[:300]}. Look "
            "at the name, the split (hf://OWNER/NAME:SPLIT) and the network, or give a file."
        ) from None
    said = (
        f"{name}: {split or 'train'}, revision {revision}"
        if revision
        else (f"{name}: {split or 'train'}, no revision named; hf://OWNER/NAME@REVISION repeats it.")
    )
    return checked(Saved(found, (said,)), name)


def checked(table: Columns, name: str) -> Columns:
    """The table, if it has rows."""
    if not len(table):
        raise InputError(f"tables.read: {name} holds no rows.")
    return table


def images(folder: Path) -> "Pictures":
    """Images in a folder for each class as a table with columns ``path`` (below the folder) and ``label``, sorted by both."""
    # The folder of a class may be a link to elsewhere. Links below are not followed: they may lead in rings.
    tops = (folder, *(top for top in folder.iterdir() if top.is_symlink() and top.is_dir()))
    every = sorted(
        (path.relative_to(folder) for top in tops for path in top.rglob("*") if path.suffix.lower() in IMAGES and path.is_file()),
        key=lambda path: path.parts,
    )
    found = [path for path in every if len(path.parts) == 2 and not path.parts[0].startswith(".")]
    for path in found:
        if not path.parts[0].strip():
            raise InputError(f"tables.read: a folder in {folder} has a blank name ({path.parts[0]!r}), and so no class; name it.")
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"tables.read: the name of {str(path)!r} in {folder} is not UTF-8, so no table can hold it; rename the file or "
                "folder (convmv -f latin1 -t utf8 does many)."
            ) from None
    classes = {path.parts[0] for path in found}
    if len(classes) < 2 and any(folder.rglob("*.parquet")):
        raise InputError(
            f"tables.read: {folder} is a folder of Parquet files; score and prune it partition by partition with --engine here, "
            "processes or dask://host:port, or give one file."
        )
    if len(classes) < 2:
        raise InputError(
            f"tables.read: {folder} is a folder, but neither one that datasets saved nor one with images in a "
            f"folder for each class (CLASS/NAME.png): {len(classes)} folders in it hold images."
        )
    notes, rows = [], set(found)
    elsewhere = [path for path in every if path not in rows]
    if elsewhere:
        notes.append(
            f"{folder}: {some(len(elsewhere), 'image')} in it (the first is {elsewhere[0].as_posix()}) not right below a folder "
            "for a class, and no row."
        )
    others = sum(path.is_file() and path.suffix.lower() not in IMAGES for path in folder.glob("*/*"))
    if others:
        notes.append(f"{folder}: {some(others, 'file')} in the folders of classes, no image ({', '.join(IMAGES)}), no row.")
    empty = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in classes and path.name[0] != "."]
    if empty:
        notes.append(f"{folder}: no image lies right below {listed(empty, 5)}, so {listed(empty, 5)} is no class here.")
    columns = {"path": [path.as_posix() for path in found], "label": [path.parts[0] for path in found]}
    return Pictures(folder, pa.table(columns), notes)
