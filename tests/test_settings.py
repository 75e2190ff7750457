"""Settings of a chapter as people write them: 1e-3 is a number, whoever read the YAML."""

import random

import pytest
import yaml

from datadiet import runs
from datadiet.chapters import score_timing, settings
from datadiet.errors import InputError

CHAPTER = "pruning-fractions"


def papermill(text: str) -> dict:
    """What papermill makes of ``-y`` and ``-f``: it reads YAML 1.1, where 1e-3 is text."""
    return yaml.safe_load(text)


def numbers(count: int):
    """Numbers as people write them with an exponent, drawn anew each time."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(count):
        head = draw.choice([f"{draw.randint(1, 99)}", f"{draw.randint(1, 9)}.{draw.randint(0, 99)}", f"{draw.randint(1, 9)}.",
                            f".{draw.randint(1, 99)}"])
        yield f"{head}{draw.choice('eE')}{draw.choice(['-', '', '+'])}{draw.randint(0, 5)}"


def test_a_number_with_an_exponent_is_that_number_in_a_profile_and_by_papermill():
    own = settings.settings_of("smoke", CHAPTER)
    for text in numbers(50):
        assert settings.parsed(text) == float(text)
        for line in (f"learning_rate: {text}", f"fractions: [0.5, {text}]"):
            (name, value), = settings.parsed(line).items()
            for read in (settings.parsed, papermill):
                assert settings.of_notebook(own | read(line), CHAPTER)[name] == value
        line = f"per_task: {{docstrings: {{learning_rate: {text}, fractions: [{text}]}}}}"
        for read in (settings.parsed, papermill):
            found = settings.of_notebook(own | read(line), CHAPTER)["per_task"]
            assert found == {"docstrings": {"learning_rate": float(text), "fractions": [float(text)]}}


def test_runs_are_the_same_however_a_number_was_written():
    own = settings.settings_of("smoke", "score-timing")
    keys = [[runs.key(run) for run in score_timing.runs.wanted(settings.checked(own | papermill(line), "score-timing"))]
            for line in ("{learning_rate: 2.0e-3, noise: 0.5}", "{learning_rate: 2e-3, noise: 5e-1}")]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("line, said", [
    ("learning_rate: fast", "learning_rate='fast'"), ("learning_rate: 1e-3x", "learning_rate='1e-3x'"),
    ("fractions: [0.5, half]", "fractions="), ("encoder: 3", "encoder=3"),
    ("per_task: {docstrings: {learning_rate: fast}}", "learning_rate='fast'"),
    ("per_task: {docstrings: {learning_rat: 0.1}}", "'learning_rat': 0.1"), ("per_task: {docstrings: 0.1}", "'docstrings': 0.1"),
    ("seeds: null", "seeds=None"), ("seeds: 0", "seeds=0"), ("score_at: []", "score_at=[]"), ("batch_size: 0", "batch_size=0"),
    ("tasks: [[1]]", "tasks=[[1]]"),
])
def test_a_word_where_a_number_belongs_is_refused(line, said):
    with pytest.raises(InputError, match="settings: ") as problem:
        settings.checked(settings.settings_of("smoke", CHAPTER) | papermill(line), CHAPTER)
    assert said in str(problem.value)


@pytest.mark.parametrize("chapter, name, value", [
    ("healthy-diet", "mixes", ["x"]), ("healthy-diet", "mixes", [0.5, 0.5]), ("healthy-diet", "mixes", [[1]]),
    ("grand-at-init", "probes", {"convnet": 1}), ("grand-at-init", "inits", 0), ("grand-at-init", "inits", None),
])
def test_a_value_of_another_shape_is_refused(chapter, name, value):
    right = settings.settings_of("standard", chapter)
    assert settings.checked(right, chapter) == right
    with pytest.raises(InputError, match=f"settings: {name}=.* in '{chapter}'"):
        settings.checked(right | {name: value}, chapter)


def test_a_name_that_looks_like_a_number_stays_a_name():
    own = settings.settings_of("smoke", CHAPTER)
    assert settings.checked(own | {"tasks": ["1e3"], "encoder": "1e3"}, CHAPTER)["tasks"] == ["1e3"]
