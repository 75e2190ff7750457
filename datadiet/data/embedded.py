"""Three sets that need no download: sentences from the installed packages, handwritten digits, an authored voice assistant.

    docstrings  which of 8 scientific packages wrote this sentence?  5,200 train, 400 validation, 800 test
    digits      scikit-learn's 1,797 real handwritten digits, 8 x 8  1,197 train, 200 validation, 400 test
    assistant   intents and slots of commands, from a grammar below  2,000 train, 300 validation, 500 test

The first two are real. The third is authored: its plants (near-duplicates, rare intents, wrong intents) are known,
so scores can be checked against it; accuracies on it say nothing about real assistants.
"""

import ast
import contextlib
import gc
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from datadiet import paths
from datadiet.data.sources import Raw, Split, stratified, wrong_labels
from datadiet.errors import InputError

SEED = 20_210_715  # draws the splits of the digits and the utterances of the assistant

# --- docstrings ---------------------------------------------------------------------------------------------------------

# Import name -> name to install. All are requirements of this book, or (networkx) of torch.
PACKAGES = {"matplotlib": "matplotlib", "networkx": "networkx", "numpy": "numpy", "pandas": "pandas", "scipy": "scipy",
            "sklearn": "scikit-learn", "torch": "torch", "transformers": "transformers"}
DOCSTRING_SPLITS = {"train": 650, "validation": 50, "test": 100}  # sentences a package
CANDIDATES = 900  # stop reading a package once it has this many: torch and transformers alone would take half a minute
PER_FILE = 40  # so that the candidates of a package span its modules
LEFT_OUT = {"tests", "test", "testing", "_testing", "externals", "_vendor", "vendor"}
# A sentence must not say who wrote it. Short aliases are masked as words, long names inside words too (NumPy's, is_torch).
NAMED = re.compile(r"numpy|scipy|pandas|sklearn|scikit[- ]learn|matplotlib|pytorch|torch|networkx|hugging ?face|transformers"
                   r"|(?<![A-Za-z])(?:np|pd|plt|mpl|pyplot|pylab|nx|hf)(?![A-Za-z])", re.IGNORECASE)
ROLE = re.compile(r":[a-z:]+:`([^`]*)`")  # :class:`~pandas.DataFrame` -> ~pandas.DataFrame
WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*[,;:.?!]?")


def clean(docstring: str) -> str | None:
    """First sentence of a docstring, without markup and package names; None where it is no plain sentence of 5 to 30 words.

    >>> clean("Return :class:`~numpy.ndarray` of *evenly* spaced values.\\n\\nMore on numpy.")
    'Return ndarray of evenly spaced values'
    """
    paragraph = " ".join(re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)[0].split())
    sentence = re.match(r".+?[.!?](?=\s+[A-Z(`:*]|$)|.+", paragraph)
    if sentence is None or re.search(r">>>|::|\b(Args|Returns|Parameters|Yields|Raises|Examples?):", sentence[0]):
        return None
    text = ROLE.sub(lambda role: role[1].split("<")[0].lstrip("~!.").rsplit(".", 1)[-1], sentence[0])
    text = re.sub(r"[`*]|\\s?|(?<![\w.])[~!.]+(?=[A-Za-z])", "", text)  # also the marks of shortened references: ~.Axes
    text = NAMED.sub("library", text).rstrip(".").strip()
    words = text.split()
    plain = sum(WORD.fullmatch(word) is not None for word in words)
    return text if 5 <= len(words) <= 30 and plain >= 0.7 * len(words) else None


def _order(text: str) -> str:
    """Sorts files and sentences as if shuffled, the same on every file system and in every release that still has them."""
    return hashlib.sha256(text.encode()).hexdigest()


def _statements(tree: ast.Module):
    """A module and its statements, outermost first. (ast.walk would visit every expression, at several times the cost.)"""
    level = [tree]
    while level:
        yield from level
        level = [child for node in level for field in ("body", "orelse", "handlers", "finalbody")
                 for child in getattr(node, field, ())]


@contextlib.contextmanager
def _no_garbage_collection():
    """Syntax trees hold no cycles; collecting while a million nodes are made takes twice as long as making them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def sentences(folder: Path) -> dict[str, str]:
    """Up to `CANDIDATES` distinct sentences of the package in `folder`: letters and digits of the sentence -> sentence."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
    found: dict[str, str] = {}
    for name in sorted(files, key=_order):
        parts = name.split("/")
        if LEFT_OUT & set(parts) or parts[-1].startswith(("test_", "conftest")):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd escapes in other people's strings
                tree = ast.parse(files[name].read_bytes())
        except SyntaxError as problem:
            raise InputError(f"data.load: {files[name]} is not valid Python ({problem.msg}); reinstall the package.") from None
        taken = 0
        for node in _statements(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and taken < PER_FILE:
                text = clean(ast.get_docstring(node) or "")
                key = "".join(filter(str.isalnum, text.casefold())) if text else ""
                if key and key not in found:
                    found[key], taken = text, taken + 1
        if len(found) >= CANDIDATES:
            break
    return found


def _candidates() -> dict[str, dict[str, str]]:
    """:func:`sentences` of every package. Kept in the live store: reading them takes seconds, and every process needs them."""
    folders = {}
    for package, install in PACKAGES.items():
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.origin:
            raise InputError(f"data.load: 'docstrings' reads the package {package}, which is not installed; "
                             f"mend it with: pip install {install}")
        folders[package] = Path(spec.origin).parent
    read_from = [sys.version, *(f"{folders[package]} {_release(package)}" for package in PACKAGES)]
    digest = hashlib.sha256(Path(__file__).read_bytes() + json.dumps(read_from).encode()).hexdigest()
    try:
        kept = paths.store() / f"docstrings-{digest[:16]}.json"
    except InputError:  # outside a clone of the book there is no store
        kept = None
    if kept and kept.is_file():
        return json.loads(kept.read_text())
    with _no_garbage_collection():
        candidates = {package: sentences(folder) for package, folder in folders.items()}
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.part")  # several processes may get here at once
        part.write_text(json.dumps(candidates))
        os.replace(part, kept)
    return candidates


def _release(package: str) -> str:
    return f"{package} {importlib.metadata.version(PACKAGES[package])}"


@cache
def docstrings() -> Raw:
    """Which package wrote the sentence? Read from the installed source files; nothing is imported."""
    candidates = _candidates()
    shared = Counter(key for found in candidates.values() for key in found)
    need, rows = sum(DOCSTRING_SPLITS.values()), {split: [] for split in DOCSTRING_SPLITS}
    for label, (package, found) in enumerate(candidates.items()):
        own = sorted((key for key in found if shared[key] == 1), key=_order)
        if len(own) < need:
            raise InputError(f"data.load: 'docstrings' needs {need} sentences of {package}, its installed release has "
                             f"{len(own)}; mend it with: pip install --force-reinstall --upgrade {PACKAGES[package]}")
        start = 0
        for split, size in DOCSTRING_SPLITS.items():
            rows[split] += [(_order(key), found[key], label) for key in own[start:start + size]]
            start += size
    splits = {}
    for split, found in rows.items():
        _, texts, labels = zip(*sorted(found), strict=True)
        splits[split] = Split(np.arange(len(texts)), np.array(labels), {"text": list(texts)})
    releases = ", ".join(map(_release, PACKAGES))
    return Raw("text", tuple(PACKAGES), splits, "embedded: docstrings of the installed packages",
               (f"Sentences depend on the installed releases: {releases}.",
                "Sentences that several packages share, and repeats, were removed; package names are replaced by 'library'."))


# --- digits -------------------------------------------------------------------------------------------------------------


@cache
def digits() -> Raw:
    """Real handwritten digits (Alpaydin and Kaynak 1998, as shipped with scikit-learn), 8 x 8 pixels in [0, 1]."""
    from sklearn.datasets import load_digits

    found = load_digits()
    everything = Split(np.arange(len(found.target)), found.target.astype(np.int64),
                       {"image": (found.images[:, None] / 16).astype(np.float32)})
    rest, splits = everything, {}
    for split, size in {"test": 400, "validation": 200}.items():
        chosen = stratified(rest.labels, size, SEED, "data.load: digits")
        splits[split] = rest.take(chosen)
        rest = rest.take(np.setdiff1d(np.arange(len(rest)), chosen))
    return Raw("image", tuple(map(str, range(10))), {"train": rest} | splits, "embedded: scikit-learn's handwritten digits",
               ("Ids are rows of sklearn.datasets.load_digits; scikit-learn ships the 1,797 images of the original's test part, "
                "so the splits are our own, and the same writers occur in all of them.",))


# --- assistant ----------------------------------------------------------------------------------------------------------

# Intent -> (weight, templates). {slot} is filled from FILLERS; a filler of several words is tagged B- and I-.
GRAMMAR = {
    "set_alarm": (14, ["wake me up at {time}", "set an alarm for {time} {date}", "alarm at {time}", "get me up {date} at {time}",
                       "i need to be up by {time} {date}"]),
    "cancel_alarm": (8, ["cancel my {time} alarm", "delete the alarm for {time} {date}", "no alarm {date}",
                         "turn off the alarm at {time}"]),
    "set_timer": (10, ["set a timer for {duration}", "count down {duration}", "tell me when {duration} are over",
                       "{duration} for the {dish}"]),
    "add_reminder": (14, ["remind me to {task} at {time}", "remind me {date} to {task}", "do not let me forget to {task} {date}",
                          "i need to {task} by {time} {date}"]),
    "play_music": (14, ["play {song} by {artist}", "put on some {artist}", "i want to hear {song}", "play {artist} in the {room}",
                        "turn on {song}"]),
    "get_weather": (13, ["will it rain in {city} {date}", "weather for {city}", "how cold is it in {city} {date}",
                         "do i need a coat {date} in {city}"]),
    "light_on": (10, ["turn on the light in the {room}", "lights on in the {room} at {time}", "make the {room} brighter"]),
    "light_off": (9, ["turn off the light in the {room}", "lights out in the {room} at {time}", "make the {room} dark"]),
    "send_message": (9, ["tell {contact} i will {task}", "text {contact} that i am late", "write to {contact} about the {dish}",
                         "message {contact} that i land in {city} {date}"]),
    "call_contact": (8, ["call {contact}", "ring {contact} at {time}", "get {contact} on the phone", "call {contact} {date}"]),
    "order_food": (5, ["order {dish} for {time}", "get me {dish} from {city}", "i want {dish} {date}"]),
    "book_train": (4, ["a train to {city} {date}", "book me from {city} to {city} at {time}",
                       "i need to be in {city} by {time}"]),
    "report_leak": (1, ["there is water on the floor of the {room}", "the tap in the {room} drips since {time}"]),
    "find_device": (1, ["where did i leave my {device}", "ring my {device}", "i lost my {device} in the {room}"]),
}
FILLERS = {
    "time": ["noon", "six", "half past seven", "quarter to nine", "eight thirty", "five in the morning", "ten tonight",
             "midnight", "four", "two fifteen"],
    "date": ["today", "tomorrow", "on monday", "next friday", "this weekend", "on the third of may", "the day after tomorrow",
             "on my birthday"],
    "duration": ["ten minutes", "an hour", "ninety seconds", "half an hour", "three hours", "twenty minutes", "a minute"],
    "task": ["water the plants", "call the bank", "buy milk", "pay the rent", "feed the cat", "finish the report", "bake bread",
             "ring the dentist"],
    "song": ["blue river", "midnight train", "no alarm", "call me tomorrow", "rain in may", "the long way home", "lights out"],
    "artist": ["the tin foxes", "anna berg", "friday club", "milo", "old harbour choir", "paris and sons", "the night lights"],
    "city": ["paris", "oslo", "lima", "new delhi", "cape town", "kyoto", "santa clara", "leeds"],
    "room": ["kitchen", "bedroom", "living room", "hall", "cellar", "guest room"],
    "contact": ["anna", "my brother", "doctor wu", "milo", "grandma", "the office", "aunt may"],
    "dish": ["soup", "two pizzas", "green curry", "bread", "noodles", "roast"],
    "device": ["phone", "watch", "left earbud", "tablet"],
}
OPENERS = ["", "", "", "please", "hey", "could you", "ok now"]
CLOSERS = ["", "", "", "please", "thanks", "if you can"]
NEAR_DUPLICATES, PLANTED_FLIPS = 0.15, 0.05  # shares of the training split
ASSISTANT_SPLITS = {"train": 2_000, "validation": 300, "test": 500}


def _utterance(rng, intent: str) -> tuple[list[str], list[str]]:
    """Tokens of one command without politeness, and their BIO tags."""
    tokens, tags = [], []
    for word in rng.choice(GRAMMAR[intent][1]).split():
        slot = word.strip("{}")
        words = rng.choice(FILLERS[slot]).split() if word != slot else [word]
        tokens += words
        tags += [f"B-{slot}"] + [f"I-{slot}"] * (len(words) - 1) if word != slot else ["O"]
    return tokens, tags


def _polite(rng, command):
    """The command with an opening and a closing phrase, either of which may be empty."""
    before, after = rng.choice(OPENERS).split(), rng.choice(CLOSERS).split()
    return before + command[0] + after, ["O"] * len(before) + command[1] + ["O"] * len(after)


@cache
def assistant() -> Raw:
    """Commands to a voice assistant, written by the grammar above, with its plants on record."""
    rng = np.random.default_rng(SEED)
    intents, slot_names = tuple(GRAMMAR), ("O", *(f"{mark}-{slot}" for slot in FILLERS for mark in "BI"))
    code = {slot: i for i, slot in enumerate(slot_names)}
    weights = np.array([weight for weight, _ in GRAMMAR.values()], dtype=float)
    seen, commands, splits = set(), [], {}
    near = round(NEAR_DUPLICATES * ASSISTANT_SPLITS["train"])
    for split, size in ASSISTANT_SPLITS.items():
        rows = []  # (intent, (tokens, tags), row of the original or -1)
        fresh = size - near if split == "train" else size
        while len(rows) < size:
            original = int(rng.integers(fresh)) if len(rows) >= fresh else -1
            intent = rows[original][0] if original >= 0 else int(rng.choice(len(intents), p=weights / weights.sum()))
            command = commands[original] if original >= 0 else _utterance(rng, intents[intent])
            row = _polite(rng, command)
            if (text := " ".join(row[0])) not in seen:
                seen.add(text)
                rows.append((intent, row, original))
                commands.append(command)
        place = rng.permutation(size)  # place[i]: where row i goes, so that near-duplicates do not stand at the end
        at = np.argsort(place)
        originals = np.array([place[rows[i][2]] if rows[i][2] >= 0 else -1 for i in at])
        splits[split] = Split(np.arange(size), np.array([rows[i][0] for i in at]), {
            "tokens": [rows[i][1][0] for i in at], "slots": [[code[tag] for tag in rows[i][1][1]] for i in at],
            "duplicate_of": originals})
    train = splits["train"]
    labels = wrong_labels(train.labels, len(intents), PLANTED_FLIPS, SEED)
    splits["train"] = Split(train.ids, labels, train.inputs)
    rare = [name for name, count in zip(intents, np.bincount(train.labels), strict=True) if count < 30]
    return Raw("joint", intents, splits, "embedded: utterances from the project's own grammar",
               ("AUTHORED, not collected: accuracies say nothing about real assistants.",
                f"Planted in train: {near} near-duplicates (column duplicate_of holds the id of the original, or -1), "
                f"{round(PLANTED_FLIPS * len(labels))} wrong intents (task.truth holds the right ones), rare intents: "
                f"{', '.join(rare)}."),
               slot_names, train.labels)


SETS = {"docstrings": docstrings, "digits": digits, "assistant": assistant}
