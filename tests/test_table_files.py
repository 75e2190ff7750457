"""Files of tables come back byte for byte: random cells through every kind of file, and the everyday files that people have."""

import bz2
import codecs
import csv
import datetime
import gzip
import io
import json
import lzma

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datadiet import tables
from datadiet.errors import InputError
from datadiet.tables import scan


def saved(table) -> bytes:
    stream = io.BytesIO()
    table.save(stream)
    return stream.getvalue()


@pytest.fixture
def file(tmp_path):
    """A function: bytes or text -> a file with them."""

    def made(content, name="mine.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return made


def body(rows=12, sep=",", end="\n", text="great film {}") -> str:
    lines = [sep.join(["id", "text", "label"])]
    lines += [sep.join([f"{i:05d}", text.format(i), ("neg", "pos")[i % 2]]) for i in range(rows)]
    return end.join(lines) + end


# --- Records and cells: the fast way beside the slow one, and beside Python's own reader

PIECES = st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", "\r", "a", "b c", " ", "\t", "", 'x"y', '"q"', '"q,r"', '"q\nr"', "é", "\0"]
)
CELLS = st.lists(PIECES, max_size=5).map("".join)


@given(st.lists(PIECES, max_size=40).map("".join), st.sampled_from(",\t;"), st.sampled_from("\n\r"), st.booleans())
@settings(max_examples=600, deadline=None)
@example('a,"b\n', ",", "\n", True)
@example('"a"\r\n"b"\r\n', ",", "\n", True)
@example('"a"\r', ",", "\n", True)
def test_the_fast_scan_finds_what_the_slow_one_finds(text, sep, end, quotes):
    data = text.encode()
    quick = scan.fast(data, sep.encode(), end.encode(), quotes)
    truth = scan.slow(data, sep.encode(), end.encode(), quotes)
    if quick is not None:
        for found, expected in zip(quick, truth, strict=True):
            np.testing.assert_array_equal(found, expected)
    else:
        assert quotes and '"' in text


def test_files_without_odd_quotes_are_scanned_the_fast_way():
    for data in (b"a,b\nc,d\n", b'"a","b,\nc"\r\n"d ""e""",""\r\n', b'"",""\n'):
        assert scan.fast(data, b",", b"\n") is not None
    assert scan.fast(b'a,5" disk\n', b",", b"\n") is None


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@settings(max_examples=300, deadline=None)
def test_cells_are_those_that_pythons_writer_wrote(rows, sep, end, quoting):
    """Its writer leaves a carriage return without quotes, on which its reader stumbles: at the end of a line it is a line end."""
    rows = [(one, two, three.rstrip("\r") or "x") for one, two, three in rows]
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=sep, lineterminator=end, quoting=quoting).writerows([("one", "two", "three"), *rows])
    data = stream.getvalue()
    table = parsed(data.encode(), sep, quotes=True)
    assert list(zip(*map(table.cells, table.columns), strict=True)) == rows and table.columns == ("one", "two", "three")


def parsed(data: bytes, sep=None, quotes=None, name="mine.csv", encoding=None):
    """A table from bytes, without a disk."""
    from pathlib import Path
    from unittest import mock

    from datadiet.tables import files, text

    with mock.patch.object(files, "content", lambda file: data):
        return text.read(Path(name), sep, encoding, quotes)


# --- Byte for byte

MARKS = st.sampled_from(
    [("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)]
)
LETTERS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | CELLS


@given(
    st.lists(st.tuples(LETTERS, LETTERS), min_size=1, max_size=6),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    MARKS,
    st.booleans(),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_columns_of_text_files_come_back_byte_for_byte(rows, sep, end, mark, last, data):
    encoding, bom = mark
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=sep, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("one", "two"), *rows])
    typed = stream.getvalue() if last else stream.getvalue()[: -len(end)]
    content = bom + typed.encode(encoding)
    table = parsed(content, sep, quotes=True)
    assert saved(table) == content
    new = {"datadiet_a": [i / 3 if i % 3 else None for i in range(len(rows))], "b,;\t": ['"x", \r\n é'] * len(rows)}
    wider = saved(table.with_columns(new))
    again = parsed(wider, sep, quotes=True)
    assert list(zip(again.cells("one"), again.cells("two"), strict=True)) == rows
    assert again.cells("datadiet_a") == ["" if value is None else repr(value) for value in new["datadiet_a"]]
    assert again.cells("b,;\t") == new["b,;\t"]
    records = typed.removesuffix(end).encode(encoding)
    if not any(end in cell for row in rows for cell in row):  # each row begins as it was typed
        assert len(wider[len(bom) :].decode(encoding).split(end)) >= len(typed.removesuffix(end).split(end)) and records
        kept = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True).map(sorted))
        some = parsed(saved(again.take(kept)), sep, quotes=True) if kept else None
        assert some is None or some.cells("two") == [rows[i][1] for i in kept]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "é", ""]), JSON, max_size=3), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\n\n", " \n"]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_json_objects_come_back_as_they_were(rows, compact, end, last, array):
    from pathlib import Path
    from unittest import mock

    from datadiet.tables import files, lines

    typed = [json.dumps(row, separators=(",", ":") if compact else None) for row in rows]
    content = "[" + ("," + end).join(typed) + "]" if array else end.join(typed) + (end if last else "")
    new = {"datadiet_a": [None if i % 2 else i / 7 for i in range(len(rows))], "c": ['"}{é\n'] * len(rows)}
    with mock.patch.object(files, "content", lambda file: content.encode()):
        table = lines.read(Path("mine.json"))
    assert saved(table) == content.encode() and len(table) == len(rows)
    wider = saved(table.with_columns(new)).decode()
    objects = [text.strip() for text in wider.split("\n") if text.strip()] if not array else map(json.dumps, json.loads(wider))
    for text, was, row, *values in zip(objects, typed, rows, *new.values(), strict=True):
        if not array:
            assert text.startswith(was[:-1])
        found = json.loads(text)
        assert json.dumps({**row, "datadiet_a": values[0], "c": values[1]}) == json.dumps(found)
    assert "NaN" not in saved(table.with_columns({"d": [float("nan")] * len(rows)})).decode().replace("".join(typed), "") or any(
        "NaN" in text for text in typed
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_parquet_keeps_types_metadata_and_the_index_of_pandas(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    frame = pd.DataFrame(
        {
            "text": [f"row {i}" for i in range(n)],
            "small": rng.integers(0, 9, n).astype(np.int8),
            "maybe": pd.array([None if rng.random() < 0.5 else True for _ in range(n)], dtype="boolean"),
            "when": pd.to_datetime(rng.integers(0, 10**9, n), unit="s", utc=True),
            "kind": pd.Categorical(rng.choice(["a", "b"], n)),
            "list": [list(range(i)) for i in range(n)],
        },
        index=pd.Index([f"doc-{i}" for i in range(n)], name="doc_id"),
    )
    stream = io.BytesIO()
    frame.to_parquet(stream)
    arrow = pq.read_table(io.BytesIO(stream.getvalue()))
    from datadiet.tables.columns import Columns

    kept = np.sort(rng.permutation(n)[: max(1, n // 2)])
    done = saved(Columns(arrow).with_columns({"datadiet_a": rng.random(n).tolist(), "datadiet_b": [None] * n}).take(kept))
    back = pq.read_table(io.BytesIO(done))
    assert back.select(arrow.column_names).equals(arrow.take(pa.array(kept))) and back.schema.metadata == arrow.schema.metadata
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(done))[frame.columns], frame.iloc[kept])


@pytest.mark.parametrize("name, column", [("key", "key"), (None, "__index_level_0__")])
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_an_index_that_is_a_range_goes_into_other_kinds(tmp_path, name, column, ending):
    pd.DataFrame({"a": ["x", "y"]}, index=pd.RangeIndex(1000, 1002, name=name)).to_parquet(tmp_path / "mine.parquet")
    table = tables.like(tables.read(tmp_path / "mine.parquet"), tmp_path / f"mine{ending}")
    assert table.columns == ("a", column) and list(map(int, table.cells(column))) == [1000, 1001]
    pd.DataFrame({"a": ["x", "y"]}).to_parquet(tmp_path / "usual.parquet")
    assert tables.like(tables.read(tmp_path / "usual.parquet"), tmp_path / f"usual{ending}").columns == ("a",)


@pytest.mark.parametrize("start, step, name", [(100, 1, None), (0, 2, None), (0, 1, "row"), (0, 1, None)])
def test_an_index_that_is_a_range_survives_pruning(tmp_path, start, step, name):
    index = pd.RangeIndex(start, start + 6 * step, step, name=name)
    frame = pd.DataFrame({"text": list("abcdef")}, index=index)
    frame.to_parquet(tmp_path / "t.parquet")
    table = tables.read(tmp_path / "t.parquet").with_columns({"datadiet_a": [0.5] * 6})
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(saved(table)))[["text"]], frame)
    back = pd.read_parquet(io.BytesIO(saved(table.take([1, 4]))))[["text"]]
    expected = frame.iloc[[1, 4]]
    usual = (start, step, name) == (0, 1, None)
    pd.testing.assert_frame_equal(back, expected.reset_index(drop=True) if usual else expected)


# --- The everyday files


@pytest.mark.parametrize("name", ["mine.csv", "MINE.CSV", "mine.csv.gz", "mine.tsv", "mine.txt", "mine.TSV.GZ"])
def test_endings(tmp_path, name):
    content = body(sep="\t" if "csv" not in name.lower() else ",").encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    table = tables.read(path)
    out = tables.placed(None, path, "scored")
    assert out.suffix == path.suffix and ".scored." in out.name and not table.notes
    table.with_columns({"datadiet_a": [1.5] * 12}).write(out)
    raw = gzip.decompress(out.read_bytes()) if name.lower().endswith("gz") else out.read_bytes()
    assert raw.splitlines()[1] == content.splitlines()[1] + (b"\t" if b"\t" in content else b",") + b"1.5"
    assert tables.read(out).cells("datadiet_a") == ["1.5"] * 12


def test_names_of_columns_that_are_not_utf_8_are_refused(tmp_path):
    """One bit of a name was lost: the file is read, and the name is not."""
    from datadiet import data
    from datadiet.audit import parts

    (tmp_path / "set").mkdir()
    for file in (tmp_path / "t.parquet", tmp_path / "set" / "train.parquet"):
        pq.write_table(pa.table({"text": ["a", "b"], "xyz": [0, 1]}), file, store_schema=False)
        file.write_bytes(file.read_bytes().replace(b"xyz", b"\xc0yz"))
    for call in (
        lambda: tables.read(tmp_path / "t.parquet"),
        lambda: parts.parts(tmp_path / "t.parquet", "partitions.score"),
        lambda: data.load("set", tmp_path),
    ):
        with pytest.raises(InputError, match="read as Parquet.*utf-8"):
            call()


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson", ".jsonl.gz", ".json", ".parquet", ".parquet.gz"])
def test_other_endings(tmp_path, ending):
    frame = pd.DataFrame({"text": ["a b", "c d"], "label": ["x", "y"], "n": [1, 2]})
    stream = io.BytesIO()
    if "parquet" in ending:
        frame.to_parquet(stream)
    else:
        frame.to_json(stream, orient="records", lines=ending != ".json")
    path = tmp_path / f"mine{ending}"
    path.write_bytes(gzip.compress(stream.getvalue()) if ending.endswith("gz") else stream.getvalue())
    table = tables.read(path)
    assert table.columns == ("text", "label", "n") and table.cells("n") == [1, 2]
    table.with_columns({"datadiet_a": [0.5, None]}).write(tmp_path / f"out{ending}")
    assert tables.read(tmp_path / f"out{ending}").cells("datadiet_a") == [0.5, None]


@pytest.mark.parametrize("name, why", [("x" * 3000 + ".csv", "File name too long"), ("a\0b.csv", "null (byte|character)")])
def test_a_name_that_no_system_has_is_refused(tmp_path, file, name, why):
    with pytest.raises(InputError, match=f"tables.read: .* cannot be looked up: .*{why}; name another file"):
        tables.read(tmp_path / name)
    with pytest.raises(InputError, match=f"--out: .* cannot be looked up: .*{why}; name another file"):
        tables.placed(tmp_path / name, file(body()), "kept")


@pytest.mark.parametrize("sep, said", [(";", "a semicolon"), ("\t", "a tab"), ("|", "a bar")])
def test_the_separator_is_found_and_kept(file, sep, said):
    table = tables.read(file(body(sep=sep, text="great, film; no {}" if sep == "\t" else "great film {}")))
    assert table.columns == ("id", "text", "label") and said in table.notes[0]
    assert saved(table.with_columns({"a": [1] * 12})).splitlines()[1].endswith(f"neg{sep}1".encode())


def test_a_separator_may_be_named_or_declared(file):
    assert tables.read(file(body(sep="^")), sep="^").columns == ("id", "text", "label")
    assert tables.read(file(body(sep="\t")), sep="tab").columns == ("id", "text", "label")
    content = "sep=;\n" + body(sep=";", text="a, b {}")
    table = tables.read(file(content))
    assert table.columns == ("id", "text", "label") and saved(table) == content.encode() and table.where(0) == "line 3"
    with pytest.raises(InputError, match="':;' is not a separator"):
        tables.read(file(body()), sep=":;")
    with pytest.raises(InputError, match="'::' does not stand between all cells of mine.csv"):
        tables.read(file(body()), sep="::")


@pytest.mark.parametrize("sep, asked", [("||", None), ("||", "||"), ("::", "::")])
def test_a_separator_of_two_letters_is_read_and_written(file, sep, asked):
    content = body(sep=sep, text='"great: {} |"').replace("00003", "")
    table = tables.read(file(content), sep=asked)
    assert table.columns == ("id", "text", "label") and table.cells("id")[2:4] == ["00002", ""]
    assert table.cells("text")[:2] == ["great: 0 |", "great: 1 |"] and set(table.cells("label")) == {"neg", "pos"}
    assert asked or table.notes == ("mine.csv is separated by two bars; the result is too.",)
    lines = [f"{line}{sep}{'x' if n else 'a'}{sep}{'y' if n else 'b'}" for n, line in enumerate(content.splitlines())]
    assert saved(table.with_columns({"a": ["x"] * 12, "b": ["y"] * 12})).decode().splitlines() == lines
    assert saved(table.take([3, 5])).decode().splitlines() == [content.splitlines()[line] for line in (0, 4, 6)]
    assert tables.read(file("a||b\n1||2\n"), sep="|").columns == ("a", "", "b")  # asked for, one bar is the separator
    assert tables.read(file("a||b\n1|x|2\n")).columns == ("a", "", "b")


def test_decimal_commas_and_semicolons(file):
    content = "id;text;price\n" + "".join(f"{i};well, it is fine, yes;{i},5\n" for i in range(9))
    assert tables.read(file(content)).columns == ("id", "text", "price")


@pytest.mark.parametrize(
    "encoding, said",
    [("cp1252", "Windows-1252"), ("latin-1", "Windows-1252"), ("utf-8-sig", None), ("utf-16", "UTF-16-LE"), ("utf-8", None)],
)
def test_encodings_are_found_and_kept(file, encoding, said):
    content = body(text="un café à {}").encode(encoding)
    table = tables.read(file(content))
    assert table.columns[0] == "id" and table.cells("text")[3] == "un café à 3"
    assert said in table.notes[0] if said else table.notes == ()
    assert saved(table) == content
    assert saved(table.with_columns({"datadiet_class": ["é"] * 12})).decode(encoding).splitlines()[1] == "00000,un café à 0,neg,é"


def test_bytes_without_a_meaning_in_windows_1252_are_latin_1(file):
    content = body(text="x\x81\xe9 {}").encode("latin-1")
    table = tables.read(file(content))
    assert "Latin-1" in table.notes[0] and table.cells("text")[0] == "x\x81é 0" and saved(table) == content


def test_mixed_encodings_are_said_and_kept(file):
    content = body(3, text="café {}").encode() + "9,né,pos\n8,olé,neg\n".encode("cp1252")
    table = tables.read(file(content))
    assert table.cells("text") == ["café 0", "café 1", "café 2", "né", "olé"] and saved(table) == content
    assert "3 lines are UTF-8 beyond ASCII, 2 are not (first: byte 0xe9 in line 5)" in table.notes[0]


def test_an_encoding_may_be_named(file):
    content = body(text="日本 {}").encode("shift_jis")
    table = tables.read(file(content), encoding="shift_jis")
    assert table.cells("text")[0] == "日本 0" and saved(table) == content
    no_mark = body(text="é {}").encode("utf-16-le")
    assert tables.read(file(no_mark), encoding="utf-16").cells("text")[0] == "é 0"
    for bad in ("a\0b", "undefined", "é"):
        with pytest.raises(InputError, match="--encoding: .* is not known"):
            tables.read(file(content), encoding=bad)
    for given_, message in (("utf-9", "'utf-9' is not known"), ("ascii", "not ascii throughout"), ("base64", "not known")):
        with pytest.raises(InputError, match=message):
            tables.read(file(content), encoding=given_)
    with pytest.raises(InputError, match="--encoding utf-16-le"):
        tables.read(file(body(text="\u0394 {}").encode("utf-16-le") + b"\xd8\x00\xff"))
    with pytest.raises(InputError, match="cannot be written as cp1252"):
        tables.read(file("id,text\n1,é\n".encode("cp1252"))).with_columns({"c": ["日"]})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_stay(file, end):
    content = body(end=end)
    table = tables.read(file(content.rstrip(end)))
    assert len(table) == 12 and saved(table) == content.rstrip(end).encode()
    lines = saved(table.with_columns({"a": range(12)})).decode().split(end)
    assert lines[0] == "id,text,label,a" and lines[-1] == "00011,great film 11,pos,11"


def test_line_feeds_in_cells_of_an_old_mac(file):
    table = tables.read(file('id,text\r1,"a\nb"\r2,"c\nd"\r'))
    assert table.cells("text") == ["a\nb", "c\nd"]


@pytest.mark.parametrize("quote", ['"', ""])
def test_a_bare_carriage_return_is_a_letter(file, tmp_path, quote):
    """Case 10: our own output is read again with as many rows."""
    content = body(60, text=f"{quote}great\rfilm {{}}{quote}").encode()
    table = tables.read(file(content))
    assert len(table) == 60 and table.cells("text")[0] == "great\rfilm 0"
    table.with_columns({"datadiet_el2n": np.arange(60) / 7}).write(tmp_path / "out.csv")
    assert len(tables.read(tmp_path / "out.csv")) == 60


def test_blank_lines_are_no_rows_and_stay(file):
    content = "\n\nid,text\n\n1,a\n\n  \n2,b\n\n"
    table = tables.read(file(content))
    assert len(table) == 2 and saved(table) == content.encode() and "3 blank lines" in table.notes[0]
    assert table.where(1) == "line 8"
    assert saved(table.with_columns({"c": [1, 2]})) == b"\n\nid,text,c\n\n1,a,1\n\n  \n2,b,2\n\n"
    assert saved(table.take([1])) == b"\n\nid,text\n\n2,b\n\n"


def test_zero_bytes_and_a_cell_of_five_megabytes(file):
    limit = csv.field_size_limit()
    long = "x" * 5_000_000
    content = f'id,text\n1,"{long}\n"\n2,a\0b\n'
    table = tables.read(file(content))
    assert table.cells("text") == [long + "\n", "a\0b"] and saved(table) == content.encode()
    assert csv.field_size_limit() == limit


def test_trailing_separators(file):
    """Case 05: in every row but not in the names, or in the names alone, or in both."""
    rows = "question,topic\n" + "a b,billing,\n" * 5
    table = tables.read(file(rows))
    assert (
        table.columns == ("question", "topic")
        and table.cells("topic") == ["billing"] * 5
        and "ends in a separator" in table.notes[0]
    )
    assert saved(table) == rows.encode()
    assert saved(table.with_columns({"a": [1] * 5, "b": [2] * 5})).splitlines()[:2] == [b"question,topic,a,b", b"a b,billing,1,2"]
    head = "question,topic,\n" + "a b,billing\n" * 5
    table = tables.read(file(head))
    assert table.columns == ("question", "topic") and saved(table) == head.encode()
    assert saved(table.with_columns({"a": [1] * 5})).splitlines()[:2] == [b"question,topic,a", b"a b,billing,1"]
    both = "question,topic,\n" + "a b,billing,\n" * 5
    assert tables.read(file(both)).columns == ("question", "topic", "") and saved(tables.read(file(both))) == both.encode()
    with pytest.raises(InputError, match="line 2 of mine.csv has 3 cells under 2 names.*its last cell is empty"):
        tables.read(file("question,topic\na,b,\nc,d\n"))
    with pytest.raises(InputError, match="line 3 of mine.csv has 2 cells under 3 names"):
        tables.read(file("question,topic,\na,b,\nc,d\n"))


@pytest.mark.parametrize(
    "content, said",
    [
        ("question,topic\n" + "hello, you,billing\n" * 4, "line 2 .* 3 cells under 2 names \\(as every row has"),
        ("question,topic\na,b\n" + "hello, you,billing\n", "line 3 .* 3 cells under 2 names \\(alone"),
        ("question,topic\na,b\nc\nd,e\n", "line 3 .* 1 cell under 2 names"),
        ('question,topic\na,b\n"open, text,b\nd,e\n', "line 3 .* 3 cells"),
        ('question,topic\n"a\n\nb",c\nd\n', "line 5 .* 1 cell "),
    ],
)
def test_rows_of_another_length_are_refused_by_line(file, content, said):
    with pytest.raises(InputError, match=said):
        tables.read(file(content))


def swallowing(sep: str, opened: str = '"great film 5') -> str:
    """Line 7 opens a quote that line 22 happens to close."""
    lines = body(40, sep=sep).splitlines()
    lines[6] = lines[6].replace("great film 5", opened)
    lines[21] = lines[21].replace("great film 20", 'the disk of 5"')
    return "\n".join(lines) + "\n"


def test_an_open_quote_swallows_no_rows_of_a_tsv(file):
    content = swallowing("\t")
    table = tables.read(file(content, "mine.tsv"))
    assert len(table) == 40 and saved(table) == content.encode() and "line 7" in table.notes[0] and "line 22" in table.notes[0]
    assert table.cells("text")[5] == '"great film 5' and table.cells("text")[20] == 'the disk of 5"'
    again = saved(table.with_columns({"a": [1] * 40}))
    assert len(parsed(again, name="again.tsv")) == 40


def test_an_open_quote_swallows_no_rows_of_a_csv(file):
    path = file(swallowing(","))
    with pytest.raises(InputError, match="opens in line 7 closes in line 22.*--quotes letters"):
        tables.read(path)
    assert len(tables.read(path, quotes=False)) == 40 and len(tables.read(path, quotes=True)) == 25


@pytest.mark.parametrize("sep", [",", "\t"])
def test_a_quote_that_never_closes_is_a_letter_and_said(file, sep):
    content = swallowing(sep).replace('5"', "5")
    table = tables.read(file(content, "mine.tsv" if sep == "\t" else "mine.csv"))
    assert len(table) == 40 and "1 cell with a quote" in table.notes[0] and "line 7" in table.notes[0]


def test_letters_with_commas_in_cells_of_two_lines_are_no_rows(file):
    """Two names, and a greeting with one comma in each line: cells all the same."""
    content = "text,label\n" + "".join(f'"Dear {i}, hello\nThanks, bye",{"ab"[i % 2]}\n' + f"short {i},a\n" for i in range(9))
    assert len(tables.read(file(content))) == 18


def test_quotes_with_a_backslash_before_them(file):
    content = 'text,label\n"he said \\"yes, no\\" and went",a\n"C:\\",b\n"x \\"y\\"\nz",a\n'
    table = tables.read(file(content))
    assert table.cells("text") == ['he said "yes, no" and went', "C:\\", 'x "y"\nz'] and saved(table) == content.encode()


def test_a_first_line_that_is_a_row_is_refused(file):
    rows = body(30).splitlines(keepends=True)
    with pytest.raises(InputError, match="first line of mine.csv looks like a row.*'00000'.*'neg' is a cell of 14 rows"):
        tables.read(file("".join(rows[1:])))
    assert len(tables.read(file("0,1\na,0\nb,1\nc,1\n"))) == 3  # names that pandas gives
    assert len(tables.read(file("".join([*rows, rows[0], *rows[1:]])))) == 61  # two files, one behind the other


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_found(file, encoding):
    content = body().encode(encoding)
    table = tables.read(file(content))
    assert table.columns == ("id", "text", "label") and saved(table) == content and encoding.upper() in table.notes[0]


def test_names_that_come_again_are_said(file):
    content = body(3) + body(3)
    table = tables.read(file(content))
    assert (
        len(table) == 7
        and "line 5 repeats the names (1 such lines in all)" in table.notes[0]
        and saved(table) == content.encode()
    )


@pytest.mark.parametrize(
    "content, said",
    [
        (b"PK\x03\x04", "a workbook or a zip archive"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "ends in .gz"),
        (b"PAR1\x15", "ends in .parquet"),
        (bz2.compress(b"a,b\n"), "a bzip2 file.*unpack it"),
        (lzma.compress(b"a,b\n"), "an xz file.*unpack it"),
        (b"\x28\xb5\x2f\xfd\x04", "a Zstandard file.*unpack it"),
        (b"ARROW1\0\0\xff", "an Arrow .*write it as Parquet"),
        (b"<!doctype html>", "a web page"),
        (b'{"a": 1}\n', "ends in .jsonl"),
        (b'[{"a": 1}]\n', "ends in .json"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_other_kinds_under_the_name_of_a_text_file(file, content, said):
    with pytest.raises(InputError, match=f"mine.csv is .*{said}"):
        tables.read(file(content))


@pytest.mark.parametrize("names", ["par1,par2", "PAR1,PAR2", "arrow1,b", "pk,b"])
def test_names_that_begin_as_other_kinds_do_are_names(file, names):
    assert tables.read(file(names + "\n1,2\n")).columns == tuple(names.split(","))


def test_latin_1_json_lines(file):
    content = '{"text": "café"}\n'.encode("latin-1")
    table = tables.read(file(content, "t.jsonl"))
    assert table.cells("text") == ["café"] and saved(table) == content and "Windows-1252" in table.notes[0]


def test_an_array_of_objects_keeps_its_digits(file, tmp_path):
    path = file('[\n  {"n": 1.50, "big": 1344800117571200000},\n  {"n": 2.0,\n   "b": null}\n]\n', "t.jsonl")
    tables.read(path).with_columns({"c": [1, None]}).write(tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == (
        '[\n  {"n": 1.50, "big": 1344800117571200000, "c": 1},\n  {"n": 2.0,\n   "b": null, "c": null}\n]\n'
    )
    assert saved(tables.read(path).take([1])) == b'[\n  {"n": 2.0,\n   "b": null}\n]\n'


def test_long_texts_in_quotes_are_never_cut_and_seldom_asked_about():
    """Few words, many commas and line ends: the hardest for telling texts from rows."""
    rng, asked = np.random.default_rng(0), 0
    words = ["dear", "bob", "thanks", "yes", "no", "hello", "the", "box"]
    for _ in range(200):
        sep, n = str(rng.choice(list(",;\t"))), int(rng.integers(2, 60))
        texts = [
            "".join(f"{rng.choice(words)}{rng.choice(list(' ,;') + [chr(10), chr(34)])}" for _ in range(12)) for _ in range(n)
        ]
        rows = [(str(i), text, "pn"[i % 2]) for i, text in enumerate(texts)]
        stream = io.StringIO(newline="")
        csv.writer(stream, delimiter=sep, lineterminator="\n").writerows([("id", "text", "label"), *rows])
        try:
            table = parsed(stream.getvalue().encode(), name="mine.tsv" if sep == "\t" else "mine.csv")
            assert list(zip(*map(table.cells, table.columns), strict=True)) == rows
        except InputError as problem:
            assert "look like rows of their own" in str(problem)
            asked += 1
    assert asked <= 4


def test_tables_in_cells_are_cells_where_most_rows_have_several_lines(file):
    """No column of classes, and lines with as many commas as there are: texts nevertheless."""
    content = "id,text,price\n" + "".join(f'{i},"a, b{i}\nc, d, e\nf, g",{i}.5\n' for i in range(30))
    assert len(tables.read(file(content))) == 30
    rare = "id,text,price\n" + "".join(f"{i},a b{i},{i}.5\n" for i in range(30)) + '31,"a, b\nc, d, e\nf, g",9\n'
    with pytest.raises(InputError, match="opens in line 32 closes in line 34"):
        tables.read(file(rare))


def test_inch_marks_are_letters(file):
    table = tables.read(file('id,text\n1,a 5" disk\n2,"a ""6"" disk"\n3, "blank, before" \n'))
    assert table.cells("text") == ['a 5" disk', 'a "6" disk', "blank, before"]


def test_names_stay_as_typed(file):
    content = ' Text ,"La,bel",text,text,\n' + "a,b,c,d,e\n"
    table = tables.read(file(content))
    assert table.columns == (" Text ", "La,bel", "text", "text", "") and table.cells("La,bel") == ["b"]
    with pytest.raises(InputError, match="2 columns are named 'text'"):
        table.cells("text")
    assert saved(table.with_columns({"x": [1]})) == b' Text ,"La,bel",text,text,,x\na,b,c,d,e,1\n'
    with pytest.raises(InputError, match="' Text '"):
        table.cells("Text")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.xlsx", "", "a workbook; save its sheet as CSV"),
        ("t.doc", "", "ends in '.doc'; give a file"),
        ("t.csv.zip", "", "ends in '.zip'; unpack it, and give a file"),
        ("t.feather", "", "ends in '.feather'; write it as Parquet, and give a file"),
        ("-", None, "/-. Standard input is not read: save it"),
        ("t.csv", None, "no file"),
        ("t.csv", "a,b\n", "no rows"),
        ("t.csv", "", "could not be read: it is empty"),
        ("t.csv", "\n\r\n", "it is empty"),
        ("t.csv", "sep=;\n", "it is empty"),
        ("t.csv", "  \n \n", "it is empty"),
        ("t.csv", "\0\0,\0\n1,2\n", "zero bytes"),
        ("t.csv.gz", "not packed", "could not be read"),
        ("t.jsonl", "{", "could not be read: line 1 is no JSON"),
        ("t.jsonl", '{"a": 1}\n[1]\n', "line 2 of t.jsonl is a JSON list"),
        ("t.jsonl", '{"a": 1}\n\n{"a": 1,}\n', "line 3 is no JSON"),
        ("t.jsonl", '{\n"a": 1\n}\n', "one object over several lines"),
        ("t.jsonl", "\n", "no rows"),
        ("t.json", "[1]", "element 0 of the array"),
        ("t.json", '[{"a": 1} {"a": 2}]', "element 1 of the array is no JSON"),
        ("t.json", "[]", "no rows"),
        ("t.jsonl", '{"a": "caf\udce9"}\n{"a": "é"}', "JSON is UTF-8 throughout"),
        ("t.parquet", "no", "could not be read as Parquet"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        tables.read(tmp_path / name)


@pytest.mark.parametrize("word", ["letters", "enclose", 2])
def test_quotes_are_true_or_false(file, word):
    """The words are those of the command; as a truth value "letters" would mean the opposite."""
    with pytest.raises(InputError, match="quotes=.* False where they are letters"):
        tables.read(file(body()), quotes=word)


def test_two_columns_of_one_name_in_parquet(tmp_path):
    arrow = pa.Table.from_arrays([pa.array([1, 2]), pa.array(["a", "b"]), pa.array([3, 4])], names=["x", "y", "x"])
    pq.write_table(arrow, tmp_path / "a.parquet")
    table = tables.read(tmp_path / "a.parquet")
    assert table.arrow.equals(arrow) and table.cells("y") == ["a", "b"]
    with pytest.raises(InputError, match="2 columns are named 'x'"):
        table.cells("x")


def test_options_that_mean_nothing_are_refused(file):
    for options in ({"sep": ";"}, {"quotes": True}):
        with pytest.raises(InputError, match="no text file with separators"):
            tables.read(file('{"a": 1}', "t.jsonl"), **options)


def test_json_digits_and_types_stay(file):
    """Cases 06, 08, 15: what a line says is what the result says."""
    line = (
        '{"id": "00000", "tweet": 1344800117571200000, "p": 1.5e-12, "lat": 52.52000659998765, "big": 1e+300, "neg": -0.0, '
        '"ok": true, "price": "1.50", "day": "2024-01-05", "n": 1.0, "text": "a", "label": 0}\n'
    )
    table = tables.read(file(line * 3, "t.jsonl"))
    wider = saved(table.with_columns({"datadiet_a": [0.5, np.nan, None]})).decode().splitlines(keepends=True)
    assert wider == [line[:-2] + f', "datadiet_a": {value}}}\n' for value in ("0.5", "null", "null")]


# --- Writing


def test_new_columns_are_checked(file):
    table = tables.read(file(body()))
    with pytest.raises(InputError, match="3 values for 12 rows"):
        table.with_columns({"a": [1, 2, 3]})
    with pytest.raises(InputError, match="a column 'text' already"):
        table.with_columns({"text": [1] * 12})


def test_a_file_that_is_there_stays_without_force(file, tmp_path):
    table = tables.read(file(body()))
    out = file("precious", "out.csv")
    with pytest.raises(InputError, match="there already.*--force"):
        table.write(out)
    assert out.read_text() == "precious"
    out.chmod(0o640)
    table.write(out, force=True)
    assert out.read_text() == body() and out.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.csv", "out.csv"]


@pytest.mark.parametrize("fails", [OSError(28, "No space left on device"), RuntimeError("anything")])
def test_nothing_is_left_half_written(file, tmp_path, monkeypatch, fails):
    table = tables.read(file(body()))

    def half(stream):
        stream.write(b"half")
        raise fails

    monkeypatch.setattr(table, "save", half)
    with pytest.raises((InputError, RuntimeError), match="disk is full|anything"):
        table.write(tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_a_full_disk_is_one_paragraph(file):
    """/dev/full refuses every byte; the stream is flushed before the file gets its name."""
    from datadiet.tables import files

    with pytest.raises(OSError, match="No space"), open("/dev/full", "wb") as stream:
        tables.read(file(body())).save(stream)
    assert files.placed(None, file(body()), "kept").name == "mine.kept.csv"


@pytest.mark.parametrize(
    "out, message",
    [
        ("no/such/out.csv", "no folder"),
        ("mine.csv", "name another file"),
        ("out.xlsx", "no workbook is written"),
        ("out", "ends in ''"),
        ("there.csv", "there already"),
        ("folder.csv", "is a folder"),
        ("/proc/x.csv", "nothing can be written"),
    ],
)
def test_places_that_cannot_be_written_are_found_before_any_work(file, tmp_path, out, message):
    source = file(body())
    file("x", "there.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=message):
        tables.placed(tmp_path / out, source, "scored")


def test_other_kinds_are_converted_or_refused(file, tmp_path):
    table = tables.read(file(body()))
    for name in ("out.tsv", "out.jsonl", "out.json", "out.parquet", "out.csv.gz", "out.txt"):
        other = tables.like(table, name)
        other.write(tmp_path / name)
        back = tables.read(tmp_path / name)
        assert back.columns == table.columns and all(back.cells(each) == table.cells(each) for each in table.columns), name
    with pytest.raises(InputError, match="convert"):
        table.write(tmp_path / "new.parquet")
    mixed = tables.read(file('{"a": "x", "b": {"c": [1]}}\n{"a": 1, "b": null}\n', "t.jsonl"))
    with pytest.raises(InputError, match="cells of 'a' have no one type"):  # case 16
        tables.like(mixed, "out.parquet")
    assert saved(tables.like(mixed, "out.csv")) == b'a,b\nx,"{""c"": [1]}"\n1,\n'
    awkward = pa.table({"a": ["x\r", "", " ", 'q"', "a,b\n"]})
    pq.write_table(awkward, tmp_path / "awkward.parquet")
    for name in ("one.csv", "one.tsv"):
        tables.like(tables.read(tmp_path / "awkward.parquet"), name).write(tmp_path / name)
        assert tables.read(tmp_path / name).cells("a") == awkward["a"].to_pylist()
    pq.write_table(pa.table({"a": [b"\0"]}), tmp_path / "b.parquet")
    for ending in ("csv", "jsonl"):
        with pytest.raises(InputError, match="bytes"):
            tables.like(tables.read(tmp_path / "b.parquet"), f"out.{ending}")


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl", "mine.parquet"])
def test_rows_are_taken_by_position_and_new_values_are_simple(tmp_path, name):
    """A mask is no list of positions, and what is no number prints itself, which is not what was meant."""
    pd.DataFrame({"id": ["a", "b", "c"]}).to_csv(tmp_path / "made.csv", index=False)
    table = tables.like(tables.read(tmp_path / "made.csv"), tmp_path / name)
    assert table.take(np.array([2, 0], np.uint8)).cells("id") == ["c", "a"] and len(table.take([])) == 0
    for wrong in ([True, False, True], [0.5], [3], [-1], [[0]]):
        with pytest.raises(InputError, match="give whole numbers from 0 to 2"):
            table.take(wrong)
    empty = "" if name.endswith("csv") else None
    more = table.with_columns({"n": pd.array([1, None, 2], "Int64")}).cells("n")
    assert list(map(str, more)) == ["1", str(empty), "2"]
    if not name.endswith("parquet"):
        for wrong in ([[1], [2], [3]], [datetime.date(2024, 1, 1)] * 3, torch.arange(3)):
            with pytest.raises(InputError, match="give numbers, strings or None"):
                table.with_columns({"n": wrong})


def test_an_infinity_is_written_to_json_as_a_new_column_has_it(tmp_path):
    pd.DataFrame({"id": ["a", "b"], "s": [np.inf, 0.5]}).to_parquet(tmp_path / "mine.parquet")
    tables.like(tables.read(tmp_path / "mine.parquet"), tmp_path / "mine.jsonl").write(tmp_path / "mine.jsonl")
    assert tables.read(tmp_path / "mine.jsonl").cells("s") == [np.inf, 0.5]
    assert "Infinity" in (tmp_path / "mine.jsonl").read_text()
