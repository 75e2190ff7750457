"""The report of an audit: every number in it, hostile texts, near-duplicates beside a slow truth, and the page in a browser."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from test_pages import AA, PALE, browser, wait  # noqa: F401  (a fixture of that file)

from datadiet import prune, scores
from datadiet.audit import Audit
from datadiet.audit import twins as room
from datadiet.audit.report import report
from datadiet.audit.twins import twins
from datadiet.errors import InputError

WORDS = "who where when what is was the a river mountain city king number name of in year first last invented".split()
TEXTS = "main p, main li, main td, main th, main dt, main dd, figcaption, caption, summary, a"
HOSTILE = [
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "</style><svg onload=window.ran=1>",
    "</title></textarea><!-- ' ` &lt;b&gt;",
    "right \u202eto left\u202c and \u2066isolated",
    "nul\0 and \x1b escape, half a pair \ud83d, no \ufffe character",
    "=HYPERLINK(\"http://evil.example\",\"click\")",
    "@SUM(A1)", "+1+1", "-2+3", "\t=1",
    "", "  \n ",
    "word" * 1_250_000,
    "<b>" * 3000,
    "é😀👩‍👩‍👧 العربية हिन्दी",
]


def made(n=60, k=3, seed=0, names=None, **other) -> tuple[Audit, list[str]]:
    rng = np.random.default_rng(seed)
    given = rng.integers(0, k, n)
    given[:k] = np.arange(k)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), given] += 1.5
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    both = {"el2n": scores.el2n(probs, given), "margin": scores.margin(probs, given)}
    wrong = (both["margin"] + 1) / 2 * 0.9
    check = pd.DataFrame({"score": ["el2n", "margin"], "auc": [0.912, 0.934], "low": [0.88, 0.9], "high": [0.94, 0.96],
                          "found": [0.5, 2 / 3]})
    rows = np.sort(rng.choice(2 * n, n, replace=False))
    how = {"command": ["datadiet", "score", "my file.csv"], "digest": "9f86d0", "seconds": 1.25, "folds": 5}
    audit = Audit(names or tuple(f"class {c}" for c in range(k)), rows, given, probs, both, used="margin", wrong=wrong,
                  count=(7.2, 3.0, 12.6), check=check, planted=6, accuracy=float((probs.argmax(1) == given).mean()),
                  majority=float(np.bincount(given).max() / n), warnings=("Only sixty rows.",), how=how)
    return replace(audit, **other), [" ".join(rng.choice(WORDS, 9)) for _ in range(n)]


def page(audit, texts, **other) -> BeautifulSoup:
    asked = {"title": "Which labels look wrong?", "table_name": "mine.csv"} | other
    return BeautifulSoup(report(audit, texts, **asked), "html.parser")


def words(part) -> str:
    return " ".join(part.get_text(" ").split())


def cells(part) -> list[list[str]]:
    return [[words(cell) for cell in row.find_all(["th", "td"])] for row in part.select("tbody tr")]


def test_headline_says_what_was_found():
    audit, texts = made()
    soup = page(audit, texts, total=64)
    said = words(soup.main)
    assert "About 7 labels of 60 are estimated to be wrong (95 % interval 3 to 13)" in said
    assert "60 of 64; the others have no text or no label" in said and "Only sixty rows." in words(soup.select_one(".warn"))
    assert "6 labels were changed on purpose: the 6 rows it then ranked first held 67 % of them (by chance 10 %)" in said
    assert f"{100 * audit.accuracy:.1f} % of models that never saw the row" in said
    assert cells(soup.select_one("#check")) == [["margin (used)", "0.934", "0.900 to 0.960", "67 %"],
                                                ["EL2N", "0.912", "0.880 to 0.940", "50 %"]]
    bars = [float(bar["width"][:-1]) for bar in soup.select("#check rect.used, #check rect.other")]
    assert bars == [66.67, 50.0]


def test_suspicious_rows_are_those_of_highest_score_and_are_numbered_as_in_the_file():
    audit, texts = made(n=200, seed=1)
    soup = page(audit, texts)
    shown = cells(soup.select_one("#rows"))
    ranking = np.argsort(-audit.scores["margin"], kind="stable")[:100]
    assert [row[0] for row in shown] == [str(audit.rows[i] + 1) for i in ranking]
    assert [row[1] for row in shown] == [texts[i] for i in ranking]
    assert [row[2].split(" at ")[0] for row in shown] == [audit.names[audit.given[i]] for i in ranking]
    best = [audit.names[audit.probs[i].argmax()] for i in ranking]
    assert [row[3].split(" at ")[0] if row[3] != "the same" else row[2].split(" at ")[0] for row in shown] == best
    assert len(soup.select("#rows > table tbody tr")) == 30 and len(soup.select("#rows > details tbody tr")) == 70
    assert "Row 1 is the first row of the table" in words(soup.select_one("#rows"))


def test_classes_confusion_and_histogram_add_up():
    audit, texts = made(n=150, k=4, seed=2)
    soup = page(audit, texts)
    rows = {row[0]: row for row in cells(soup.select_one("#scores"))}
    best = audit.probs.argmax(1)
    for c, title in enumerate(audit.names):
        mine = audit.given == c
        assert rows[title][1:3] == [str(mine.sum()), f"{100 * (best == c)[mine].mean():.0f} %"]
        assert rows[title][3].startswith(f"{audit.wrong[mine].sum():.1f} ")
    counts = {(row[0]): int(row[1]) for row in cells(soup.select_one("#confusion"))}
    assert counts == {f"{a} → {b}": count for i, a in enumerate(audit.names) for j, b in enumerate(audit.names)
                      if i != j and (count := int(((audit.given == i) & (best == j)).sum()))}
    tips = [words(tip) for tip in soup.select("svg.histogram title")]
    assert sum(int(re.search(r": (\d+) row", tip)[1]) for tip in tips) == 150


@pytest.mark.parametrize("balanced", [False, True])
def test_class_shares_are_those_of_the_pruning(balanced):
    audit, texts = made(n=90, seed=3)
    kept = prune.keep(audit.scores["margin"], 0.4, "hardest", labels=audit.given if balanced else None)
    rows = {row[0]: row for row in cells(page(audit, texts, keep=0.4, rule="hardest", balanced=balanced).select_one("#pruning"))}
    for c, title in enumerate(audit.names):
        after = int((audit.given[kept] == c).sum())
        assert rows[title][2] == f"{after} ({100 * after / len(kept):.1f} %)"
    assert page(audit, texts).select_one("#pruning") is None


def test_a_class_lost_by_pruning_is_named():
    audit, texts = made(n=60)
    hard = np.where(audit.given == 2, 5.0, 0.0)
    soup = page(replace(audit, scores={"margin": hard}), texts, keep=0.3, rule="easiest")
    assert "1 class loses every row: class 2" in words(soup.select_one("#pruning .warn"))


def test_texts_of_other_people_stay_text():
    audit, texts = made(names=tuple(HOSTILE[:3]), warnings=(HOSTILE[0],),
                        how={"command": HOSTILE[1], HOSTILE[2]: {HOSTILE[0]: [HOSTILE[1]]}})
    texts[:len(HOSTILE)] = HOSTILE
    texts[len(HOSTILE)] = HOSTILE[0].upper()
    text = report(audit, texts, title=HOSTILE[3], table_name=HOSTILE[1], keep=0.5)
    soup = BeautifulSoup(text, "html.parser")
    assert soup.find_all(["script", "img", "iframe", "object", "form"]) == [] and len(soup.find_all(["style", "title"])) >= 2
    assert len(soup.find_all("style")) == 1 and soup.head.title.get_text() == HOSTILE[3] == soup.h1.get_text()
    named = {key for tag in soup.find_all() for key in tag.attrs}
    assert {key for key in named if key.startswith("on") or key in ("style", "src")} == set()
    assert {tag["href"][0] for tag in soup.find_all("a")} == {"#"}
    assert not re.search("[\0-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ufffe\ud800-\udfff]", text)
    assert len(text.encode()) < 400_000  # a cell of 5 MB does not come along
    # The strictest parser there is: a page whose own tags all close, whatever the texts hold.
    from xml.etree import ElementTree

    body = re.sub(r"<(meta|link)[^>]*>|<br>", "", text.removeprefix("<!doctype html>\n"))
    ElementTree.fromstring(re.sub(r"<style>.*?</style>", "", body, flags=re.S))


@pytest.mark.parametrize("cell", HOSTILE)
def test_a_hostile_cell_is_shown_whole_or_its_length_is(cell):
    audit, texts = made(n=3)
    texts[1] = cell
    row = next(row for row in page(audit, texts).select("#rows tbody tr") if words(row.th) == str(audit.rows[1] + 1))
    shown = row.find(attrs={"class": "wide"}).get_text()
    if cell.startswith(("=", "+", "-", "@", "\t")):
        assert shown == "'" + cell
    elif not cell.strip():
        assert shown in ("empty", "blanks only")
    elif len(cell) > 20_000:
        assert "4,980,000 more characters are only in the table" in shown
    elif len(cell) > 320:
        assert shown.replace(" …", "").replace("the other 8,720 characters", "") == cell
    elif "\u202e" in cell:
        assert shown == "right ⟨U+202E⟩to left⟨U+202C⟩ and ⟨U+2066⟩isolated"
    elif "\0" in cell:
        assert shown == "nul␀ and ␛ escape, half a pair ⟨U+D83D⟩, no ⟨U+FFFE⟩ character"
    else:
        assert shown == cell


def test_numbers_keep_their_sign_without_a_mark():
    audit, texts = made(names=("-1", "+1", "-cmd"))
    said = words(page(audit, texts).select_one("#scores"))
    assert "-1" in said and "'-1" not in said and "'+1" not in said and "'-cmd" in said


def test_same_audit_same_file():
    audit, texts = made()
    assert report(audit, texts, title="t", table_name="n", keep=0.5) == report(*made(), title="t", table_name="n", keep=0.5)


def test_how_it_was_done_is_all_there():
    audit, texts = made()
    said = words(page(audit, texts).select_one("#how"))
    for part in ("datadiet score 'my file.csv'", "digest of the table (SHA-256) 9f86d0", "seconds 1.25", "folds 5", "datadiet"):
        assert part in said


def test_without_a_check_or_an_estimate_the_page_says_so():
    audit, texts = made()
    bare = replace(audit, check=audit.check.iloc[:0], planted=0, count=(np.nan,) * 3, warnings=(),
                   scores={"margin": np.where(np.arange(60) < 4, np.inf, 1.0)})
    soup = page(bare, texts)
    said = words(soup.main)
    assert "could not be estimated" in said and "No check with planted flips was made" in said and not soup.select(".warn")
    assert "Not drawn: 4 rows whose score is infinite" in said


def test_where_no_probability_is_known_the_page_says_so():
    """A training that was stopped before its copy with planted flips, or whose ranking finds none of them."""
    audit, texts = made(wrong=np.full(60, np.nan), count=(np.nan,) * 3)
    soup = page(audit, texts, keep=0.5)
    assert "nan" not in words(soup.main).lower().replace("finance", "")
    assert {each.text for each in soup.select("#rows .bad")} == {"unknown"} and not soup.select("#scores .key.wrong")
    assert "unknown" in words(soup.select_one("#scores .classes")) and "unknown" in words(soup.select_one("#confusion table"))
    assert "of the labels expected to be wrong" not in words(soup.main)


@pytest.mark.parametrize(("change", "asked", "seen"), [
    ({}, {"texts": ["one"]}, "60 rows were scored and 1 texts"),
    ({}, {"texts": [None] * 60}, "text 0 is NoneType"),
    ({"used": "aum"}, {}, "'aum', is not among el2n, margin"),
    ({"wrong": np.zeros(3)}, {}, "wrong has 3"),
    ({"wrong": np.where(np.arange(60) == 3, np.nan, 0.5)}, {}, "NaN"),
    ({}, {"keep": 1.5}, "prune.keep"),
    ({}, {"most": 0}, "most=0"),
])
def test_bad_input_is_refused(change, asked, seen):
    audit, texts = made()
    with pytest.raises(InputError, match=re.escape(seen)):
        report(replace(audit, **change), asked.pop("texts", texts), title="t", table_name="n", **asked)


def test_pairs_and_pictures(tmp_path):
    audit, texts = made(n=8)
    first = words(page(audit, [(text, f"and {text}") for text in texts]).select_one("#rows tbody .wide"))
    assert re.fullmatch("first (.+) second and \\1", first)
    files = [tmp_path / f"{place}.png" for place in range(8)]
    for place, file in enumerate(files[:-1]):
        Image.new("RGB", (300, 200), (20 * place, 0, 0)).save(file)
    files[-1].write_bytes(b"no picture")
    files[1].write_bytes(files[0].read_bytes())
    soup = page(replace(audit, given=np.arange(8) % 3), files)
    pictures = soup.select("#rows img")
    assert len(pictures) == 7 and "could not be opened as a picture" in words(soup.select_one("#rows"))
    for tag in pictures:
        assert Image.open(io.BytesIO(base64.b64decode(tag["src"].split(",")[1]))).size == (224, 149)
        assert tag["alt"].startswith("Picture ") and (tag["width"], tag["height"]) == ("112", "74")
    assert "0.png" in words(soup.select_one("#twins .group")) and "bytes only" in words(soup.select_one("#twins"))


def slow_pairs(texts, given, least):
    """Every pair compared, weights by scikit-learn."""
    plain = [f" {text} " if text else "" for text in map(room.normal, texts)]
    weights = TfidfVectorizer(analyzer="char", ngram_range=(4, 4), sublinear_tf=True, lowercase=False).fit_transform(plain)
    cosine = (weights @ weights.T).toarray()
    rows = list(zip(plain, given.tolist(), strict=True))
    alone = [place for place, row in enumerate(rows) if row not in rows[:place]]
    return {(a, b): cosine[a, b] for a in alone for b in alone
            if a < b and given[a] != given[b] and plain[a] != plain[b] and cosine[a, b] >= least}


def test_twins_are_those_of_the_slow_search(monkeypatch):
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print("seed", seed)
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(room, "AT_ONCE", 400)
    texts = [" ".join(rng.choice(WORDS, rng.integers(4, 30))) for _ in range(150)]
    for place in range(0, 120, 2):  # a letter changed, a word more, case and blanks only
        letters = list(texts[place])
        letters[rng.integers(len(letters))] = "q"
        texts[place + 1] = ["".join(letters), texts[place] + " again", f"  {texts[place].upper()}!"][place // 2 % 3]
    texts[145:149] = [texts[1]] * 4
    texts[140:145] = ["", "", "?!", "?!", "?."]
    given = rng.integers(0, 3, 150)
    found = twins(texts, given)
    slow = slow_pairs(texts, given, room.NEAR)
    edge = {pair for pair, value in slow.items() if value > room.NEAR + 1e-5}
    quick = {(a, b): value for a, b, value in found.near}
    assert edge <= set(quick) <= set(slow_pairs(texts, given, room.NEAR - 1e-5)) and len(edge) > 5
    assert all(abs(value - slow[pair]) < 1e-5 for pair, value in quick.items() if pair in slow)
    groups = {}
    for place, text in enumerate(texts):
        groups.setdefault(room.normal(text), []).append(place)
    groups.pop("")
    assert set(found.exact) == {tuple(group) for group in groups.values() if len({int(given[i]) for i in group}) > 1}
    assert found.copies == sum((given[group] == given[i]).sum() > 1 for group in groups.values() for i in group)


def test_twins_by_features_are_those_of_the_slow_search(monkeypatch):
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print("seed", seed)
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(room, "CHUNK", 11)
    features = rng.normal(size=(60, 5))
    features[30:] = features[:30] + 0.1 * rng.normal(size=(30, 5))
    given = rng.integers(0, 2, 60)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = unit @ unit.T
    texts = [f"text {n}" for n in range(60)]
    quick = {(a, b) for a, b, _ in twins(texts, given, features).near}

    def slow(least):
        return {(a, b) for a in range(60) for b in range(a + 1, 60) if given[a] != given[b] and cosine[a, b] >= least}

    assert slow(room.NEAR_FEATURES + 1e-5) <= quick <= slow(room.NEAR_FEATURES - 1e-5) and quick


def test_twins_left_out_or_cut_are_said(monkeypatch):
    texts, given = [f"the same words in every row, and then {n}" for n in range(40)], np.arange(40) % 2
    monkeypatch.setattr(room, "LETTERS", 400)
    assert "40 texts are longer than 10 letters" in twins(texts, given).notes[0]
    monkeypatch.setattr(room, "WORK", 10)
    assert twins(texts, given).near == () and "not looked for" in twins(texts, given).notes[0]
    monkeypatch.setattr(room, "DENSE", 10)
    assert "not looked for" in twins(texts, given, np.ones((40, 2))).notes[0]
    with pytest.raises(InputError, match="40 texts, 3 labels"):
        twins(texts, given[:3])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    audit, texts = made(n=120, k=5, seed=5, names=("=1+1", "a class with a rather long name " * 4, "NUM", "x" * 300, "</b>"))
    texts[:len(HOSTILE)] = HOSTILE
    texts[40:60] = [text.upper() for text in texts[60:80]]
    texts[80], texts[81] = "unbroken" * 200, "unbroken" * 200 + "?"
    order = np.argsort(-audit.scores["margin"])
    for place, hostile in zip(order, HOSTILE, strict=False):  # in the open
        texts[place] = hostile
    place = tmp_path_factory.mktemp("report") / "report.html"
    title = "Which labels of " + "mine" * 30 + " look wrong?"
    place.write_text(report(audit, texts, title=title, table_name="mine.csv", keep=0.5, total=130), encoding="utf-8")
    return place


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_page_in_a_browser(file, browser, width, mode):  # noqa: F811
    browser.get_log("browser")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": mode}]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500})
    try:
        browser.get(file.as_uri())
        wait(browser, "document.readyState === 'complete'")
        for opened in (False, True):
            browser.execute_script("document.querySelectorAll('details').forEach(e => e.open = arguments[0])", opened)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            wide = ("return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
                    " && !e.closest('thead, svg, .more > .text')).map(e => e.outerHTML.slice(0, 80))")
            assert browser.execute_script(wide) == []
            assert browser.execute_script(PALE, TEXTS, AA) == []
        assert [entry["message"] for entry in browser.get_log("browser")] == []
        assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
        assert browser.execute_script("return window.ran === undefined && document.scripts.length") == 0
        figures = browser.find_elements("css selector", "svg")
        assert figures and all(each.get_attribute("role") == "img" and each.get_attribute("aria-label") for each in figures)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_page_by_keyboard(file, browser):  # noqa: F811
    from selenium.webdriver.common.keys import Keys

    browser.get(file.as_uri())
    browser.find_element("css selector", "body").send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to the findings"
    focused.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.activeElement.id") == "main"
    summary = browser.find_element("css selector", "#rows > details > summary")
    assert summary.text == "70 more rows"
    summary.send_keys(Keys.ENTER)
    assert summary.find_element("xpath", "..").get_attribute("open") is not None
