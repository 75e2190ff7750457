"""The explorer: its page holds what was published and keeps what `prune.keep` keeps, and no text can script it."""

import json
import re
import secrets
import shutil
import subprocess
import time

import numpy as np
import pytest
from test_pages import browser  # noqa: F401

from datadiet import paths, runs
from datadiet.chapters.arms import by_seed, pruned
from datadiet.chapters.explorer import figures
from datadiet.chapters.explorer import runs as explorer
from datadiet.chapters.parts import interval
from datadiet.chapters.settings import settings_of
from datadiet.errors import InputError
from datadiet.prune import keep
from datadiet.runs import released, store

KEPT = figures.FOLDER / "kept.js"
HOSTILE = '</script><img src=x onerror="window.hurt=1"><script>window.hurt=1</script>\u2028<!--'
WHOLE = 60_000  # bytes of a page of the book around the explorer


def draw() -> np.random.Generator:
    seed = secrets.randbelow(2**32)
    print("seed", seed)
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def sets():
    """The published sets as the page has them where no data folder is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("DATADIET_DATA", raising=False)
        runs._task.cache_clear()
        return explorer.every()


def from_digits(text: str) -> np.ndarray:
    planes = np.array([explorer.DIGITS.index(letter) for letter in text]).reshape(3, -1)
    return planes[0] * 4096 + planes[1] * 64 + planes[2]


def in_node(script: str, given) -> object:
    """What a script prints as JSON; it finds the explorer's arithmetic as `kept` and `given`."""
    if not shutil.which("node"):
        pytest.skip("needs node: apt-get install nodejs")
    head = f"const kept = require({json.dumps(str(KEPT))}); const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
    done = subprocess.run(["node", "-e", f"{head}{script}"], input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- What the page holds


@pytest.mark.parametrize("file", explorer.SETS)
def test_the_page_holds_the_published_scores(file, sets):
    """Ranks to the last, values to one part in a thousand of the range; labels, ids and answers as they are."""
    one, keys = sets[explorer.SETS[file]], released.scored_by(file)
    configs = [runs.config(**row["config"]) for row in store.published(keys).values()]
    arrays = store.arrays(keys[0], "published")
    n, points = len(arrays["labels"]), {str(at): at for at in configs[0]["score_at"]}
    seen = 0
    for held in one["columns"]:
        if held["ranked"]:
            values = np.mean([runs.score_values(run, held["score"], points[held["at"]], "published") for run in configs], axis=0)
            ranks = from_digits(held["ranks"])
            np.testing.assert_array_equal(np.argsort(ranks), np.argsort(-values, kind="stable"))
            knots = np.array(held["knots"])
            found = np.interp(ranks, knots[:, 0], knots[:, 1])
            assert np.abs(found - values).max() <= np.ptp(values) / explorer.FINE
            seen += 1
    assert seen >= 2 and one["columns"][0]["score"] == "el2n"
    assert one["ids"] == arrays["ids"].tolist() or (one["ids"] is None and np.array_equal(arrays["ids"], np.arange(n)))
    assert one["labels"] == explorer.in_bytes(arrays["labels"]) and (one["truth"] is None) == ("truth" not in arrays)
    assert explorer.unpacked(explorer.packed(one)) == one


def test_an_arm_of_the_page_has_the_numbers_of_the_chapter(sets):
    settings = settings_of("standard", "pruning-fractions")
    table = runs.published([run for name in ("hardest", "random") for run in pruned(settings, "trec6", name, 0.1)])
    own, random = (by_seed(table, pruned(settings, "trec6", name, 0.1)) for name in ("hardest", "random"))
    found = [
        arm
        for arm in sets["TREC-6: questions"]["arms"]
        if (arm["rule"], arm["fraction"], arm["offset"], arm["at"]) == ("hardest", 0.1, 0.0, "1ep")
        and not arm["balanced"]
        and not arm["single"]
        and arm["budget"] == "epochs"
    ]
    assert len(found) == 1 and found[0]["seeds"] == len(own) == 5
    for name, values in (("accuracy", own), ("random", random), ("gain", own - random)):
        np.testing.assert_allclose(found[0][name], interval(values), atol=1e-6)
    assert (paths.root() / "chapters" / f"{found[0]['chapter']}.md").is_file()


def test_at_least_four_sets_have_runs_beside_random_and_every_arm_leads_to_a_chapter(sets):
    beside = [name for name, one in sets.items() if any(arm["random"] for arm in one["arms"])]
    assert len(beside) >= 4
    assert all(arm["chapter"] for one in sets.values() for arm in one["arms"])
    assert all(
        any(column["score"] == "variability" for column in one["columns"]) or len(one["columns"]) == 4 for one in sets.values()
    )


def test_lines_between_knots_stay_within_the_tolerance():
    rng = draw()
    for _ in range(30):
        values = np.sort(rng.choice([rng.normal(size=50), rng.gamma(0.3, size=50), rng.integers(0, 4, 50)]))[::-1].astype(float)
        values = values[: rng.integers(1, 51)]
        tolerance = max(np.ptp(values) / 200, 1e-9)
        found = np.array(explorer.knots(values, tolerance))
        line = np.interp(np.arange(len(values)), found[:, 0], found[:, 1])
        assert np.abs(line - values).max() <= 1.0051 * tolerance


def test_texts_are_shown_only_where_the_set_is_the_one_trained_on(sets, monkeypatch, tmp_path):
    file = "scores-trec6-minilm-f98651.parquet"
    assert sets[explorer.SETS[file]]["texts"] is None and "data folder" in sets[explorer.SETS[file]]["why"]
    run = runs.config(**store.published(released.scored_by(file)[:1]).popitem()[1]["config"])
    monkeypatch.setenv("DATADIET_DATA", str(tmp_path))
    assert explorer._inputs(run, "0" * 64)[0] is None
    digits = next(name for name in explorer.SETS if "digits" in name)
    run = runs.config(**store.published(released.scored_by(digits)[:1]).popitem()[1]["config"])
    texts, pictures, why = explorer._inputs(run, "0" * 64)
    assert texts is None and pictures is None and "is not that of the published runs" in why
    assert sets[explorer.SETS[digits]]["pictures"] is not None


def test_the_page_stays_small():
    """With the texts of all sets where the data folder is here, without them otherwise."""
    assert len(figures.explorer().html.encode()) + WHOLE < 1e6


def test_a_file_that_is_not_released_is_refused():
    with pytest.raises(InputError, match="no file 'scores-none.parquet'"):
        released.scored_by("scores-none.parquet")


# --- What the script keeps


def test_the_script_keeps_what_prune_keeps():
    """Slow truth: `prune.keep`, on fresh scores with equals among them, every end, with and without classes."""
    rng, cases, truth = draw(), [], []
    for _ in range(400):
        n = int(rng.integers(1, 70))
        scores = rng.integers(0, 9, n).astype(float) if rng.random() < 0.5 else rng.normal(size=n)
        rule = str(rng.choice(["hardest", "easiest", "middle", "random"]))
        fraction = int(rng.integers(1, 101)) / 100
        offset = int(rng.integers(0, 101 - round(100 * fraction))) / 100 if rule in ("hardest", "easiest") else 0.0
        labels = rng.integers(0, 4, n).tolist() if rule != "random" and rng.random() < 0.5 else None
        seed = int(rng.integers(100))
        if round(fraction * n):
            cases.append({"scores": scores.tolist(), "rule": rule, "fraction": fraction, "offset": offset, "labels": labels,
                          "state": figures.draw_of(seed)})  # fmt: skip
            truth.append(keep(scores, fraction, rule, offset=offset, labels=labels, seed=seed).tolist())
    script = """console.log(JSON.stringify(given.map(one => {
        const order = one.rule === "random" ? kept.permutation(one.state, one.scores.length) : kept.ranking(one.scores);
        const marks = kept.keep(order, one.fraction, one.rule, one.offset, one.labels);
        return [...marks.keys()].filter(i => marks[i]);
    })))"""
    found = in_node(script, cases)
    assert len(found) > 300 and {one["rule"] for one in cases} == {"hardest", "easiest", "middle", "random"}
    for one, mine, wanted in zip(cases, found, truth, strict=True):
        assert mine == wanted, one


def test_the_script_reads_a_published_set_as_it_is(sets):
    """Unpacked and decoded by the script: its kept examples are those of `prune.keep` on the published scores."""
    file = "scores-snli_subset-minilm-mean-4d47c3.parquet"
    one = sets[explorer.SETS[file]]
    script = """kept.unpacked(given.packed).then(raw => { const set = kept.opened(raw);
        console.log(JSON.stringify(raw.columns.map((column, k) => { const { order, values } = set.column(k);
            const marks = kept.keep(order, 0.3, "hardest", 0.05, set.labels);
            return [[...marks.keys()].filter(i => marks[i]), [...values]]; }))); })"""
    found = in_node(script, {"packed": explorer.packed(one)})
    configs = [runs.config(**row["config"]) for row in store.published(released.scored_by(file)).values()]
    labels = store.arrays(runs.key(configs[0]), "published")["labels"]
    for held, (mine, values) in zip(one["columns"], found, strict=True):
        if held["ranked"]:
            truth = np.mean([runs.score_values(run, held["score"], held["at"], "published") for run in configs], axis=0)
            assert mine == keep(truth, 0.3, offset=0.05, labels=labels).tolist(), held["title"]
            np.testing.assert_allclose(values, truth, atol=np.ptp(truth) / explorer.FINE)


def test_the_nearest_run_is_of_the_same_end_and_score():
    arms = [{"rule": rule, "fraction": fraction, "offset": offset, "score": None if rule == "random" else score, "at": "1ep"}
            for rule, offset in (("hardest", 0.0), ("hardest", 0.1), ("random", 0.0)) for fraction in (0.1, 0.5)
            for score in ("el2n", "aum")]  # fmt: skip
    asked = [("hardest", 0.42, 0.08, "el2n", "1ep"), ("hardest", 0.12, 0.0, "aum", "1ep"), ("random", 0.29, 0.0, "aum", "1ep"),
             ("easiest", 0.1, 0.0, "el2n", "1ep"), ("hardest", 0.1, 0.0, "el2n", "3ep")]  # fmt: skip
    given = {"arms": arms, "asked": [dict(zip(("rule", "fraction", "offset", "score", "at"), one, strict=True)) for one in asked]}
    found = in_node("console.log(JSON.stringify(given.asked.map(one => kept.nearest(given.arms, one))))", given)
    said = [{(arm["rule"], arm["fraction"], arm["offset"], arm["score"]) for arm in one} for one in found]
    assert said == [{("hardest", 0.5, 0.1, "el2n")}, {("hardest", 0.1, 0.0, "aum")}, {("random", 0.1, 0.0, None)}, set(), set()]


# --- The page


def test_points_stand_out_from_the_ground_of_their_mode():
    """WCAG 2: three to one for what is no text. The grounds are the theme's."""

    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return np.dot(parts, [0.2126, 0.7152, 0.0722])

    script = (figures.FOLDER / "explorer.js").read_text()
    for mode, ground in (("light", "#ffffff"), ("dark", "#121212")):
        colours = [
            found for line in re.findall(rf"\b{mode}: (\[[^\]]*\]|\"#\w+\")", script)[:2] for found in re.findall(r"#\w{6}", line)
        ]
        assert len(set(colours)) == 11
        for colour in colours:
            high, low = sorted([light(colour), light(ground)], reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 3, (mode, colour)


def made(rng, n: int, text=lambda i: f"example {i}", classes: int = 4) -> dict:
    """A set that nobody trained on, as :func:`datadiet.chapters.explorer.runs.one` gives one."""
    labels, early = rng.integers(0, classes, n), rng.gamma(2, 0.2, n)
    columns = {("el2n", "1ep"): early, ("el2n", "3ep"): early * rng.random(n), ("confidence", None): 1 - early,
              ("variability", None): rng.random(n)}  # fmt: skip
    arm = {"rule": "hardest", "fraction": 0.3, "offset": 0.0, "balanced": False, "score": "el2n", "at": "1ep", "budget": "epochs",
           "single": False, "seeds": 5, "accuracy": [0.25, 0.2, 0.3], "random": [0.5, 0.4, 0.6], "gain": [-0.25, -0.4, -0.1],
           "chapter": "score-timing"}  # fmt: skip
    return {"net": "none", "seeds": 5, "last": "end of epoch 3", "classes": [f"class {k}" for k in range(classes)],
            "labels": explorer.in_bytes(labels), "said": explorer.in_bytes((labels + (early > 0.8)) % classes), "truth": None,
            "ids": (np.arange(n) + 7).tolist(), "arms": [arm], "full": [0.9, 0.8, 1.0], "why": "", "pictures": None, "side": None,
            "columns": [explorer.column(*name, values, name[0] == "el2n") for name, values in columns.items()],
            "texts": [text(i) for i in range(n)]}  # fmt: skip


@pytest.fixture
def shown(browser, tmp_path):  # noqa: F811
    """A function: sets -> the browser with their page, opened from a file."""

    def show(sets: dict):
        page = tmp_path / "page.html"
        page.write_text(
            '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width,initial-scale=1"><title>Explorer</title><main>{figures.page(sets)}</main></html>'
        )
        browser.get_log("browser")
        browser.get(page.as_uri())
        browser.execute_async_script("datadietExplorer.ready.then(() => setTimeout(arguments[0], 400))")
        return browser

    yield show
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def said(driver, wanted: str) -> str:
    """The live region, once it says `wanted`."""
    for _ in range(100):
        text = driver.execute_script("return document.querySelector('#ddx-status').textContent")
        if wanted in text:
            return text
        time.sleep(0.05)
    raise AssertionError(f"the live region says {text!r}, not {wanted!r}")


def test_the_map_by_mouse_and_keyboard(shown):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    one = made(draw(), 300)
    driver = shown({"made": one})
    part = lambda name: driver.find_element("css selector", f"#ddx-{name}")  # noqa: E731
    order = np.argsort(from_digits(one["columns"][0]["ranks"])).tolist()
    marks = part("marks")

    marks.send_keys(Keys.HOME)
    said(driver, f"Position {order[0]}.")
    marks.send_keys(Keys.PAGE_DOWN)
    said(driver, f"Position {order[1]}.")
    marks.send_keys(Keys.END)
    said(driver, f"Position {order[-1]}.")
    before = driver.execute_script("return datadietExplorer.place(datadietExplorer.view.selected)")
    marks.send_keys(Keys.ARROW_RIGHT)
    after = driver.execute_script("return datadietExplorer.place(datadietExplorer.view.selected)")
    assert after[0] > before[0], "the neighbour on the right"
    outline = driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert driver.switch_to.active_element == marks and outline == "solid"

    x, y = driver.execute_script("return datadietExplorer.place(arguments[0])", order[0])
    middle = driver.execute_script("const b = arguments[0].getBoundingClientRect(); return [b.width / 2, b.height / 2]", marks)
    ActionChains(driver).move_to_element_with_offset(marks, round(x - middle[0]), round(y - middle[1])).perform()
    assert part("tip").is_displayed() and f"example {order[0]}" in part("tip").text
    ActionChains(driver).click().perform()
    assert f"example {order[0]}" in part("example").text and str(order[0] + 7) in part("example").text

    driver.execute_script("datadietExplorer.select(0)")  # no hit of the search: from one, Enter would go to the next
    part("search").send_keys("example 29", Keys.ENTER)
    assert part("hits").text == "11 hits" and driver.execute_script("return datadietExplorer.view.selected") == 29
    part("next").click()
    assert driver.execute_script("return datadietExplorer.view.selected") == 290
    part("position").clear()
    part("position").send_keys("17", Keys.TAB)
    said(driver, "Position 17.")
    part("position").clear()
    part("position").send_keys("300", Keys.TAB)
    said(driver, "Give a whole number from 0 to 299.")

    part("fraction").send_keys(*[Keys.ARROW_LEFT] * 17)
    said(driver, "99 of 300 examples are kept; nearest run, hardest, 30 % kept: accuracy 0.250, random 0.500.")
    kept = driver.execute_script("return [...datadietExplorer.view.kept.keys()].filter(i => datadietExplorer.view.kept[i])")
    assert kept == sorted(order[:99])
    assert (
        "0.250 [0.200, 0.300]" in part("measured").text and part("measured").find_element("tag name", "a").text == "score-timing"
    )
    rows = [row.text.split() for row in part("classes").find_elements("css selector", "tbody tr")][:4]
    assert sum(int(row[-3]) for row in rows) == 99, "the kept of all classes"
    ends = part("ends").text
    assert all(f"example {i}" in ends for i in [*order[:20], *order[-20:], 17])


def test_text_cannot_script_the_page(shown):
    one = made(draw(), 60, text=lambda i: HOSTILE, classes=2) | {
        "classes": [HOSTILE, "b"],
        "why": HOSTILE,
        "net": HOSTILE,
        "last": HOSTILE,
    }
    driver = shown({HOSTILE: one})
    driver.find_element("css selector", "#ddx-marks").send_keys("\ue011")
    assert HOSTILE in driver.execute_script("return document.querySelector('#ddx-example .ddx-text').textContent")
    driver.execute_script(
        "const m = document.querySelector('#ddx-marks'), b = m.getBoundingClientRect(), [x, y] = datadietExplorer.place(3);"
        "m.dispatchEvent(new PointerEvent('pointermove', { clientX: b.left + x, clientY: b.top + y }))"
    )
    assert HOSTILE in driver.execute_script("return document.querySelector('#ddx-tip').textContent")
    assert driver.execute_script("return [window.hurt === undefined, document.querySelectorAll('img').length]") == [True, 0]
    assert figures.in_script(HOSTILE).isascii() and not set("<>&") & set(figures.in_script(HOSTILE))


def test_twenty_thousand_points_are_drawn_on_a_phone_in_both_modes(shown):
    driver = shown({"many": made(draw(), 20_000)})
    phone = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        for mode in ("light", "dark"):
            driver.execute_script("document.documentElement.dataset.theme = arguments[0]", mode)
            time.sleep(0.4)
            drawn = driver.execute_script(
                "const c = document.querySelector('#ddx-points'), d = c.getContext('2d').getImageData(0, 0, c.width,"
                "c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n"
            )
            assert drawn > 10_000 and driver.execute_script("return datadietExplorer.view.set.n") == 20_000
            assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        small = driver.execute_script(
            "return [...document.querySelectorAll('#ddx :is(button, select, input[type=search], input[type=range]"
            ", summary)')].filter(e => e.offsetParent && e.getBoundingClientRect().height < 31).length"
        )
        assert small == 0, "targets that a thumb misses"
        names = driver.execute_script(
            "return [...document.querySelectorAll('#ddx :is(select, input)')].filter(e => !e.labels.length).length"
        )
        assert names == 0, "controls without a label"
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_is_asked_of_another_host(shown):
    driver = shown({"made": made(draw(), 50)})
    assert driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    for name in ("explorer.html", "explorer.css", *figures.SCRIPTS):
        assert not re.search(
            r"https?:|innerHTML|insertAdjacentHTML|document\.write|\beval\b", (figures.FOLDER / name).read_text()
        ), name
