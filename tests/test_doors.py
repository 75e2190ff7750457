"""Ways into ``datadiet score`` beside texts: images, tokens with tags, training, saved sets, partitions; and bad inputs."""

import json

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from datadiet import cli, scores, tables
from datadiet.audit import parts as pieces
from datadiet.audit import pictures, planted, tagged, trained
from datadiet.cli import parted
from datadiet.errors import InputError
from datadiet.nets import images
from datadiet.tables import tagged as cells


def call(*arguments):
    return CliRunner().invoke(cli.main, [str(each) for each in arguments])


def refused(result, *said):
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), (result.output, result.exception)
    message = result.stderr.strip()
    assert "Traceback" not in message
    for each in said:
        assert each in message, message


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """Bright images in one folder and dark ones in another; one of each stands in the wrong one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for k in range(40):
        light = k % 2 == 0
        label = "light" if light != (k in (4, 5)) else "dark"
        pixels = rng.integers(150, 250, (20, 24, 3)) if light else rng.integers(0, 100, (20, 24, 3))
        (tmp_path / "pets" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pets" / label / f"{k:02d}.png")
    return tmp_path / "pets"


# --- Images


def test_a_folder_of_images_is_scored_and_reported(pets):
    (pets / "dark" / "broken.jpg").write_bytes(b"no image")
    result = call("score", "pets", "--report", "pets.html")
    assert result.exit_code == 0, result.output
    assert "The features tell" in result.stdout and "1 files could not be read as images (dark/broken.jpg)" in result.stdout
    assert "1 row has no image that can be read" in result.stdout
    scored = pd.read_csv("pets.scored.csv")
    assert scored["path"].is_monotonic_increasing and scored["datadiet_wrong"].isna().sum() == 1
    used = next(name for name in scored if name.startswith("datadiet_") and name not in ("datadiet_wrong", "datadiet_class"))
    assert set(scored.nlargest(2, used)["path"]) == {"dark/04.png", "light/05.png"}
    assert "data:image" in (pets.parent / "pets.html").read_text()


def test_features_of_images_that_know_nothing_are_called_weak(tmp_path):
    rng = np.random.default_rng(1)
    for k in range(40):
        (tmp_path / "n" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(tmp_path / "n" / "ab"[k % 2] / f"{k}.png")
    audit = pictures.of_folder(tables.read(tmp_path / "n"), budget=60)
    assert "That is weak: name an image model" in audit.warnings[0]


def test_edges_equal_the_slow_count():
    """Pixel by pixel, on random images; the seed is printed where it fails."""
    seed = np.random.default_rng().integers(1_000_000)
    stack = np.random.default_rng(seed).random((2, 16, 16, 3)).astype(np.float32)
    slow = np.zeros((2, 8, 8, 9))
    rows, columns = np.gradient(stack, axis=(1, 2))
    for i, r, c in np.ndindex(2, 16, 16):
        length = np.hypot(rows[i, r, c], columns[i, r, c])
        at = length.argmax()
        angle = np.arctan2(rows[i, r, c, at], columns[i, r, c, at]) % np.pi
        slow[i, r // 2, c // 2, int(np.rint(angle / np.pi * 9)) % 9] += length[at]
    slow /= np.sqrt((slow**2).sum(-1, keepdims=True) + 0.01)
    np.testing.assert_allclose(pictures.edges(stack), slow.reshape(2, -1), atol=1e-5, err_msg=f"seed {seed}")


def test_an_image_model_of_transformers(pets, monkeypatch, tmp_path):
    from transformers import ViTConfig, ViTModel

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(**small, image_size=16, patch_size=8)).save_pretrained(tmp_path / "vit")
    about = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 16, "width": 16},
             "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_rescale": True}  # fmt: skip
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(about))
    audit = pictures.of_folder(tables.read(pets), budget=60, encoder=str(tmp_path / "vit"))
    assert list(audit.how["members"]) == ["encoder"] and audit.accuracy > 0.8
    with pytest.raises(InputError, match="no encoder of images alone"):
        _text_model(tmp_path)
    refused(call("score", "pets", "--encoder", tmp_path / "nowhere"), "images.pretrained", "could not be loaded")


def _text_model(folder):
    """A model of texts with an image processor beside it."""
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 20}
    BertModel(BertConfig(**sizes)).save_pretrained(folder / "bert")
    (folder / "bert" / "preprocessor_config.json").write_text((folder / "vit" / "preprocessor_config.json").read_text())
    return images.pretrained(str(folder / "bert"))


@pytest.mark.parametrize(
    "options, said",
    [(["--trained"], "--trained does not go with a folder of images"), (["--text", "path"], "--text does not go"),
     (["--score", "el3n"], "unknown score 'el3n'"), (["--sep", ";"], "mean nothing to"),
     (["--max-length", "128"], "--max-length does not go with a folder of images")],
)  # fmt: skip
def test_options_that_images_do_not_have(pets, options, said):
    refused(call("score", "pets", *options), said)
    assert not list(pets.parent.glob("*.csv"))


def test_too_few_images_that_can_be_read(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(b"")
    refused(call("score", tmp_path / "p"), "0 of 3 images", "ten images of two classes")


# --- Tokens with tags


def utterances(n=80, wrong=()):
    """Rows whose tag follows the word; in the rows `wrong` one tag does not."""
    rng, out = np.random.default_rng(0), []
    for k in range(n):
        places = rng.choice(["ulm", "bonn", "kiel"], 2)
        tokens = ["from", places[0], "to", places[1], "please"]
        tags = ["O", "B-from", "O", "B-to", "O"]
        if k in wrong:
            tags[0] = "B-to"
        out.append({"id": f"{k:03d}", "tokens": tokens, "tags": tags, "intent": "fly" if k % 3 else "drive"})
        out[-1]["tokens"][4] = "flight" if k % 3 else "train"
    return out


def test_tokens_with_tags_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = utterances(wrong=(7, 30))
    rows[3]["tags"] = None
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    result = call("score", "a.jsonl", "--label", "intent", "--encoder", "tiny", "--budget", "30s")
    assert result.exit_code == 0, result.output
    assert "Columns found: the tokens 'tokens' and their tags 'tags'" in result.stdout
    assert "1 row has no tokens, no tags or no label, and so no score" in result.stdout
    back = [json.loads(line) for line in (tmp_path / "a.scored.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in rows[0]} for row in back] == rows and back[3]["datadiet_wrong"] is None
    name = next(name for name in back[0] if name.startswith(("datadiet_joint", "datadiet_worst")))
    order = sorted((row for row in back if row[name] is not None), key=lambda row: -row[name])
    assert {row["id"] for row in order[:2]} == {"007", "030"} and order[0]["datadiet_word"] == 1
    assert order[0]["datadiet_tags"] == "O B-from O B-to O" and order[0]["datadiet_class"] == order[0]["intent"]


def test_tokens_and_tags_as_texts_give_the_same_scores(tmp_path):
    rows = utterances(40)
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = ["words,marks"] + [f"{' '.join(row['tokens'])},{' '.join(row['tags'])}" for row in rows]
    (tmp_path / "b.csv").write_text("\n".join(lines))
    how = {"encoder": "tiny", "budget": 1e6}
    first = tagged.of_table(tables.read(tmp_path / "a.jsonl"), tokens="tokens", tags="tags", **how)
    second = tagged.of_table(tables.read(tmp_path / "b.csv"), tokens="words", tags="marks", **how)
    assert first.used == second.used and all((first.scores[name] == second.scores[name]).all() for name in tagged.NAMES)
    assert first.classes is None and "datadiet_class" not in tagged.columns(first, 40)


def test_joint_scores_equal_those_of_padded_rows():
    """Against scores.joint_el2n on random rows of unequal length."""
    seed = np.random.default_rng().integers(1_000_000)
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 30)
    row = np.repeat(np.arange(30), sizes)
    of_tags, of_classes = rng.dirichlet(np.ones(4), len(row)), rng.dirichlet(np.ones(3), 30)
    given = tagged.Labels(rng.integers(0, 4, len(row)), row, rng.integers(0, 3, 30))
    mask = np.arange(5) < sizes[:, None]
    slots, probs = np.zeros((30, 5), int), np.zeros((30, 5, 4))
    slots[mask], probs[mask] = given.tags, of_tags
    made = tagged.joint(of_tags, of_classes, given)[0]
    for how in tagged.COMBINED:
        slow = scores.joint_el2n(of_classes, given.classes, probs, slots, mask, how)
        np.testing.assert_allclose(made[f"joint_{how}"], slow, err_msg=f"seed {seed}")
    slow = [max(scores.el2n(of_classes, given.classes)[i], *scores.el2n(of_tags, given.tags)[row == i]) for i in range(30)]
    np.testing.assert_allclose(made["worst"], slow, err_msg=f"seed {seed}")


def test_rows_with_a_planted_flip_have_one_wrong_label():
    rng = np.random.default_rng(3)
    row = np.repeat(np.arange(50), 4)
    given = tagged.Labels(rng.integers(0, 3, 200), row, rng.integers(0, 2, 50))
    copy, where = tagged.planted_rows(given, 3, 2, np.random.default_rng(0))
    changed = np.bincount(row[copy.tags != given.tags], minlength=50) + (copy.classes != given.classes)
    assert (changed == where).all() and where.sum() == 10


@pytest.mark.parametrize(
    "change, options, said",
    [({"tags": ["O"]}, [], "line 2 has 5 tokens in 'tokens' and 1 tags in 'tags'"),
     ({}, ["--score", "el2n"], "unknown score 'el2n' of tokens"),
     ({}, ["--tokens", "tokens"], "--tokens and --tags go together"),
     ({}, ["--tokens", "tokenz", "--tags", "tags"], "did you mean 'tokens'"),
     ({}, ["--trained"], "--trained does not go with tokens"),
     ({}, ["--report", "r.html"], "--report shows rows of one class each")],
)  # fmt: skip
def test_bad_tokens_and_tags(tmp_path, monkeypatch, change, options, said):
    monkeypatch.chdir(tmp_path)
    rows = utterances(20)
    rows[1] |= change
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    refused(call("score", "a.jsonl", "--encoder", "tiny", *options), said)
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_columns_that_are_no_tags(tmp_path):
    for name, rows, said in (
        ("one", [("a b", "O O")] * 12, "one tag only"),
        ("many", [(f"a{k} b{k}", f"x{k} y{k}") for k in range(12)], "does not look like tags"),
        ("none", [("a b", "")] * 3, "no row has tokens"),
        ("few", [("a b", "O B")] * 6, "6 rows have tokens"),
    ):
        (tmp_path / f"{name}.csv").write_text("tokens,tags\n" + "".join(f"{a},{b}\n" for a, b in rows))
        with pytest.raises(InputError, match=said):
            tagged.of_table(tables.read(tmp_path / f"{name}.csv"), tokens="tokens", tags="tags", encoder="tiny")
    assert cells.found(tables.read(tmp_path / "one.csv")) is None  # texts are not guessed to be tokens


# --- Models that train on the rows


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    words = {"weather": "rain sun cloud wind storm".split(), "music": "song band tune drum choir".split()}
    kinds = rng.choice(list(words), 80)
    lines = ["id,text,kind"] + [f"{k:03d},{' '.join(rng.choice(words[kind], 3))},{kind}" for k, kind in enumerate(kinds)]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "mine.csv"


def test_trained_scores_are_compared_by_planted_flips(mine, monkeypatch):
    monkeypatch.setattr(trained, "MOST_RUNS", 2)
    audit = trained.score(tables.read(mine), text="text", label="kind", encoder="tiny", seconds=600)
    assert set(audit.check["score"]) == set(trained.NAMES) == set(audit.scores)
    assert audit.how["epochs"] == 5 and audit.how["models"] == 2 and audit.used == audit.check["score"][0]
    assert np.isfinite(audit.scores["forgetting"]).all()
    best = audit.check["low"].max()  # where no score finds planted flips, none says which labels are wrong
    assert ((audit.wrong >= 0) & (audit.wrong <= 1)).all() if best > 0.5 else np.isnan(audit.wrong).all()
    monkeypatch.setattr(trained, "MOST_RUNS", 1)
    named = trained.score(tables.read(mine), text="text", label="kind", encoder="tiny", seconds=600, score="aum")
    assert named.used == "aum" and named.how["models"] == 1


def test_without_time_there_is_no_second_epoch_to_compare(mine):
    audit = trained.score(tables.read(mine), text="text", label="kind", encoder="tiny", seconds=1e-6)
    assert audit.how["epochs"] == 1 and not {"aum", "forgetting"} & set(audit.scores)
    assert any("AUM and forgetting compare epochs" in said for said in audit.warnings)
    refused(call("score", mine, "--score", "aum", "--encoder", "tiny", "--budget", "0.0001s"), "aum compares epochs", "--budget")


def test_training_stopped_by_hand_keeps_what_is_finished(mine, monkeypatch):
    real, calls = trained._run, []

    def run(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(trained, "_run", run)
    audit = trained.score(tables.read(mine), text="text", label="kind", encoder="tiny", seconds=600)
    assert audit.how["models"] == 1 and audit.planted == 0 and np.isnan(audit.wrong).all() and audit.used == "el2n"
    assert any("Stopped by hand" in said for said in audit.warnings)


def test_trained_from_the_command_line(mine, monkeypatch):
    monkeypatch.setattr(trained, "MOST_RUNS", 1)
    result = call("score", mine, "--trained", "--encoder", "tiny", "--budget", "10min", "--report", "r.html")
    assert result.exit_code == 0, result.output
    assert "Area under the curve of the other scores" in result.stdout and "forgetting" in result.stdout
    scored = pd.read_csv(mine.with_name("mine.scored.csv"), dtype={"id": str})
    assert {"datadiet_wrong", "datadiet_class", "datadiet_runs"} <= set(scored) and scored["id"][0] == "000"
    refused(call("score", mine, "--trained", "--probs", "p_*", "--out", "x.csv"), "does not go with --probs")


def test_the_probability_that_a_label_is_wrong_depends_on_the_order_alone():
    rng = np.random.default_rng(0)
    values, copy, where = rng.normal(size=300), rng.normal(size=300), np.arange(300) < 20
    copy[where] += 3
    wrong, count = planted.judged(values, [copy], [where])
    again, same = planted.judged(np.exp(values), [copy], [where])
    assert (wrong == again).all() and count == same and (np.diff(wrong[np.argsort(values)]) >= 0).all()


# --- Saved sets, sets of the hub


def test_a_saved_set_is_scored_and_pruned_end_to_end(mine, tmp_path):
    table = pd.read_csv(mine, dtype=str)
    features = {"id": datasets.Value("string"), "text": datasets.Value("string"),
                "kind": datasets.ClassLabel(names=["music", "weather"])}  # fmt: skip
    table["kind"] = (table["kind"] == "weather").astype(int)
    made = datasets.Dataset.from_pandas(table, features=datasets.Features(features), preserve_index=False)
    made.save_to_disk(tmp_path / "saved")
    assert call("score", "saved", "--encoder", "tiny", "--budget", "5s").exit_code == 0
    scored = datasets.load_from_disk(tmp_path / "saved.scored")
    assert scored["id"][:] == made["id"][:] and {name: scored.features[name] for name in features} == features
    result = call("prune", "saved.scored", "--keep", "0.5", "--balanced", "kind")
    assert result.exit_code == 0 and len(datasets.load_from_disk(tmp_path / "saved.scored.kept")) == 40, result.output


def test_a_set_of_the_hub_is_scored(mine, monkeypatch):
    made = datasets.Dataset.from_pandas(pd.read_csv(mine, dtype=str), preserve_index=False)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: made)  # no network: a stand-in
    result = call("score", "hf://owner/name@abc", "--encoder", "tiny", "--budget", "5s")
    assert result.exit_code == 0 and "train, revision abc" in result.stdout, result.output
    assert len(pd.read_parquet(mine.parent / "owner-name.scored.parquet")) == 80
    refused(call("score", "owner/name"), "hf://owner/name")


# --- Partitions


@pytest.fixture
def parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(2), 60)
    labels = rng.choice(["cat", "cow"], 60)
    table = pd.DataFrame({"id": np.arange(60), "label": labels, "p_cat": probs[:, 0], "p_cow": probs[:, 1]})
    (tmp_path / "table").mkdir()
    for number in range(3):
        table.iloc[20 * number : 20 * number + 20].to_parquet(tmp_path / "table" / f"{number}.parquet", index=False)
    return table


def test_a_folder_of_parquet_files_is_scored_and_pruned(parts, tmp_path):
    result = call("score", "table", "--label", "label", "--probs", "p_*", "--engine", "here")
    assert result.exit_code == 0 and "p_cat is cat; p_cow is cow." in result.stdout and "60 rows in 3 partitions" in result.stdout
    scored = pd.concat([pd.read_parquet(file) for file in sorted((tmp_path / "table.scored").glob("*.parquet"))])
    labels = (parts["label"] == "cow").astype(int)
    assert np.allclose(scored["datadiet_el2n"], scores.el2n(parts[["p_cat", "p_cow"]].to_numpy(), labels.to_numpy()))
    result = call("prune", "table.scored", "--score", "datadiet_el2n", "--keep", "0.5", "--rule", "easiest", "--engine", "here")
    assert result.exit_code == 0 and "30 of 60 rows kept, in 3 partitions" in result.stdout, result.output


@pytest.mark.parametrize(
    "options, said",
    [(["--probs", "p_*"], "name them with --label"), (["--label", "label"], "either --text or --probs"),
     (["--label", "label", "--probs", "q_*"], "'q_*' names 0 columns"),
     (["--label", "label", "--probs", "p_*", "--report", "r.html"], "--report does not go with --engine"),
     (["--label", "label", "--probs", "p_*", "--max-length", "128"], "--max-length does not go with --probs, where no text"),
     (["--label", "label", "--probs", "p_*", "--budget", "1min"], "--budget does not go with --probs, where"),
     (["--label", "label", "--probs", "p_cat,p_dog"], "no column 'p_dog'")],
)  # fmt: skip
def test_bad_requests_of_partitions(parts, options, said, tmp_path):
    refused(call("score", "table", "--engine", "here", *options), said)
    assert [file.name for file in tmp_path.iterdir()] == ["table"]


def test_what_partitions_do_not_have_is_said(parts):
    refused(call("score", "table", "--label", "label", "--probs", "p_*"), "--engine")
    refused(call("score", "table", "--label", "label", "--probs", "p_*", "--engine", "spark"), "'spark'", "dask://")
    refused(call("prune", "table", "--keep", "0.5", "--engine", "here"), "--score")
    refused(call("prune", "table", "--keep", "0.5", "--balanced", "label", "--engine", "here"), "--balanced does not go")
    assert parted.classes_of(["prob.a_b", "prob.a_c"]) == ["b", "c"]
    assert parted.classes_of(["prob.a_b", "prob.a_c"], {"a_b", "z"}) == ["a_b", "a_c"]
    assert parted.classes_of(["a_b", "a_c"], {"a_b", None}) == ["a_b", "a_c"]


def test_classes_that_only_late_rows_have_are_matched_with_their_columns(parts, tmp_path):
    for number, file in enumerate(sorted((tmp_path / "table").glob("*.parquet"))):
        old = pd.read_parquet(file).rename(columns={"p_cat": "P_CAT", "p_cow": "P_COW"})
        old.assign(label=old["label"] if number == 2 else "cat").to_parquet(file, index=False)
    result = call("score", "table", "--label", "label", "--probs", "P_*", "--engine", "here")
    assert result.exit_code == 0 and "P_CAT is cat; P_COW is cow." in result.stdout, result.output


@pytest.mark.parametrize("kind", [str, "category", "class numbers"])
def test_lists_of_probabilities_of_partitions(parts, tmp_path, kind):
    for number, file in enumerate(sorted((tmp_path / "table").glob("*.parquet"))):
        old = pd.read_parquet(file)
        label = (old["label"] == "cow").astype(int) if kind == "class numbers" else old["label"].astype(kind)
        lists = old[["p_cat", "p_cow"]].to_numpy().tolist() if number else [None] * len(old)  # no row of the first has any
        table = pa.table({"label": pa.Array.from_pandas(label), "p": pa.array(lists, pa.list_(pa.float64()))})
        pq.write_table(table, file)
    result = call("score", "table", "--label", "label", "--probs", "p", "--engine", "here")
    order = "the order of the class numbers" if kind == "class numbers" else "alphabetical order: cat, cow"
    assert result.exit_code == 0 and f"The numbers in 'p' are the classes in {order}." in result.stdout, result.output
    assert "20 of them without a score" in result.stdout
    found = pd.concat([pd.read_parquet(file) for file in sorted((tmp_path / "table.scored").glob("*.parquet"))])
    right = scores.el2n(parts[["p_cat", "p_cow"]].to_numpy(), (parts["label"] == "cow").astype(int).to_numpy())
    np.testing.assert_allclose(found["datadiet_el2n"][20:], right[20:])


def test_lists_of_probabilities_that_are_no_order_of_the_classes_are_refused(parts, tmp_path):
    one = parts.assign(p=parts[["p_cow", "p_cat"]].to_numpy().tolist())
    one["label"] = np.where(one["p_cow"] > 0.5, "cow", "cat")
    one[["label", "p"]].to_parquet("one.parquet")
    options = ("--label", "label", "--probs", "p", "--engine", "here")
    refused(call("score", "one.parquet", *options), "predictions agree with 0% of the labels", "cow, cat it would be 100%")
    one.assign(p=[[*each, 0.0] for each in one["p"]]).to_parquet("one.parquet")
    refused(call("score", "one.parquet", *options), "3 probabilities a row for 2 classes (cat, cow)")
    one.assign(label=[[each] for each in one["label"]]).to_parquet("one.parquet")
    refused(call("score", "one.parquet", *options), "'label' has type list", "name a column of classes")
    refused(call("score", "one.parquet", "--label", "labels", *options[2:]), "no column 'labels'")


def test_a_column_of_more_values_than_classes_is_refused(parts, monkeypatch):
    monkeypatch.setattr(pieces, "MOST", 1)
    options = ("--label", "label", "--probs", "p_*", "--engine", "here")
    refused(call("score", "table", *options), "'label' holds more than 1 different values; name a column of classes")


def test_names_of_classes_that_begin_alike_are_those_of_the_labels(parts, tmp_path):
    names = {"cat": "new-york", "cow": "new-delhi"}
    for file in (tmp_path / "table").glob("*.parquet"):
        old = pd.read_parquet(file)
        new = old.assign(label=old["label"].map(names)).rename(columns={f"p_{old}": f"p_{new}" for old, new in names.items()})
        new.iloc[: 0 if file.stem == "0" else None].to_parquet(file, index=False)  # the first partition is empty
    result = call("score", "table", "--label", "label", "--probs", "p_*", "--engine", "here")
    assert result.exit_code == 0 and "p_new-york is new-york; p_new-delhi is new-delhi." in result.stdout, result.output


@pytest.mark.parametrize(
    "names, labels",
    [({"p_cat": "cat_prob", "p_cow": "cow_prob"}, {}), ({"p_cat": "P_CAT", "p_cow": "P_COW"}, {}),
     ({"p_cat": "p_False", "p_cow": "p_True"}, {"cat": False, "cow": True})],
)  # fmt: skip
def test_columns_of_partitions_match_classes_as_those_of_a_whole_table(parts, tmp_path, names, labels):
    table = parts.assign(label=[labels.get(each, each) for each in parts["label"]]).rename(columns=names)
    table.to_parquet("one.parquet", row_group_size=20)
    asked = ("score", "one.parquet", "--label", "label", "--probs", ",".join(list(names.values())[::-1]), "--score", "el2n")
    assert "matched with classes by their names" in call(*asked).stdout
    result = call(*asked, "--engine", "here")
    assert result.exit_code == 0, result.output
    found = pd.concat(pd.read_parquet(file) for file in sorted((tmp_path / "one.scored").glob("*.parquet")))
    np.testing.assert_allclose(found["datadiet_el2n"], pd.read_parquet("one.scored.parquet")["datadiet_el2n"])


@pytest.fixture
def news(tmp_path, monkeypatch):
    """Labels of ClassLabel, whose order is not that of the alphabet, with poor probabilities as columns and as lists."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    codes, names = rng.integers(0, 3, 60), ["world", "sports", "arts"]
    probs = rng.dirichlet(np.ones(3), 60)
    probs[np.arange(60), codes] += 0.2
    probs /= 1.2
    rows = {"label": codes.tolist(), "all": probs.tolist(), **{f"p_{k}": probs[:, k] for k in range(3)}}
    datasets.Dataset.from_dict(rows).cast_column("label", datasets.ClassLabel(names=names)).to_parquet("news.parquet")
    np.save("all.npy", probs)
    return scores.el2n(probs, codes)


@pytest.mark.parametrize("probs", ["p_*", "p_2,p_0,p_1", "all", "all.npy"])
def test_probabilities_of_class_labels_are_in_the_order_of_their_numbers(news, probs):
    result = call("score", "news.parquet", "--label", "label", "--probs", probs, "--score", "el2n")
    assert result.exit_code == 0 and "3 classes in 'label'" in result.stdout, result.output
    np.testing.assert_allclose(pd.read_parquet("news.scored.parquet")["datadiet_el2n"], news)
    result = call("score", "news.parquet", "--label", "label", "--probs", probs, "--score", "el2n", "--engine", "here")
    if probs == "all.npy":
        return refused(result, "an array file does not go with --engine")
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(pd.read_parquet("news.scored")["datadiet_el2n"], news)


@pytest.mark.parametrize("command, option", [("score", ("--budget", "1min")), ("score", ("--precision", "float32")),
                                             ("prune", ("--seed", "1"))])  # fmt: skip
def test_options_that_partitions_would_ignore_are_refused(parts, command, option):
    refused(call(command, "table", "--engine", "here", *option), f"{option[0]} does not go with --engine")


def test_a_column_that_only_folders_have_is_named(parts, tmp_path):
    for label, rows in parts.groupby("label"):
        (tmp_path / "by" / f"label={label}").mkdir(parents=True)
        rows.drop(columns="label").to_parquet(tmp_path / "by" / f"label={label}" / "a.parquet")
    refused(call("score", "by", "--engine", "here", "--label", "label", "--probs", "p_*"), "Only the names of its folders have")
