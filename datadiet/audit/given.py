"""Probabilities and labels that stand in columns of a table in partitions, a batch at a time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datadiet.audit import parts as pieces
from datadiet.errors import InputError
from datadiet.tables.columns import plain_column
from datadiet.tables.table import listed


def of_columns(settings: dict, at: int, batch: pa.RecordBatch):
    """The rows that have a label and every probability: which, their probabilities [n, K], their class numbers [n]."""
    label, probs, names = plain_column(batch, settings["label"]), settings["probs"], settings["names"]
    if isinstance(probs, str):
        lists = plain_column(batch, probs)
        if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type) or pa.types.is_fixed_size_list(lists.type)):
            raise InputError(f"partitions.score: {probs!r} has type {lists.type}; give a column of lists, or a list of columns.")
        complete = pieces.valid(label) & pieces.valid(lists)
        lengths = np.unique(pc.list_value_length(lists).to_numpy(zero_copy_only=False)[complete]) if len(batch) else []
        if len(lengths) > 1:
            raise InputError(
                f"partitions.score: lists of {int(lengths[0])} and of {int(lengths[-1])} numbers in {probs!r}; give one "
                "number for each class."
            )
        chosen = lists.filter(pa.array(complete))
        table = numbers(chosen.flatten(), probs, "partitions.score").to_numpy(zero_copy_only=False)
        table = table.reshape(len(chosen), *map(int, lengths)) if len(chosen) else np.empty((0, 0))
        whole = ~np.isnan(table.astype(np.float64)).any(1)
        complete[np.flatnonzero(complete)[~whole]] = False
        table = table[whole]
    else:
        columns = [numbers(batch[each], each, "partitions.score") for each in probs]
        complete = pieces.valid(label) & np.logical_and.reduce([pieces.valid(each) for each in columns])
        table = np.stack([each.filter(pa.array(complete)).to_numpy(zero_copy_only=False) for each in columns], 1)
    if names is not None and len(table) and table.shape[1] != len(names):
        raise InputError(
            f"partitions.score: {table.shape[1]} probabilities a row for {len(names)} classes ({listed(names, 10)}); give one "
            "for each class, in their order."
        )
    return complete, table, codes_of(label.filter(pa.array(complete)), names), {}


def numbers(values: pa.Array, name: str, operation: str) -> pa.Array:
    """The values, refused where they are no numbers; decimals as float64."""
    kind = values.type
    if pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return values.cast(pa.float64())
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise InputError(f"{operation}: {name!r} has type {kind}; give a column of numbers.")
    return values


def codes_of(labels: pa.Array, names) -> np.ndarray:
    """Class numbers: those given, or positions of labels, written as they are typed, in `names`."""
    if names is None:
        if not pa.types.is_integer(labels.type):
            raise InputError(
                f"partitions.score: labels have type {labels.type}; give class numbers, or `names`, the classes in the order "
                "of the probabilities."
            )
        return labels.to_numpy(zero_copy_only=False)
    codes = pc.index_in(pc.cast(labels, pa.string()), pa.array(names, pa.string()))
    if codes.null_count:
        odd = labels.filter(pc.is_null(codes))[0].as_py()
        raise InputError(
            f"partitions.score: the label {odd!r} is none of the {len(names)} classes ({', '.join(map(str, names[:10]))}); name "
            "every class, or empty these labels."
        )
    return codes.to_numpy(zero_copy_only=False).astype(np.int64)
