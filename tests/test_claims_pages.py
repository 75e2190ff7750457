"""The ledger and the landing page: what they say of the published runs, what is escaped, and both in a browser from file://."""

import re
import shutil
import subprocess
from html import unescape

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from datadiet import paths
from datadiet.chapters import forest, history, ledger, listing, pages
from datadiet.chapters.what_all_runs_say import landing

PLAIN = ("<!doctype html><html lang='en' data-theme='light'><head><meta charset='utf-8'>"
         "<meta name='viewport' content='width=device-width'>")


@pytest.fixture(scope="module")
def found():
    return ledger.ledger()


@pytest.fixture(scope="module")
def whole():
    return listing.whole()


# --- Papers, verdicts, settings

def test_the_names_of_papers_are_those_of_the_bibliography():
    text = (ROOT / "references.bib").read_text()
    for key, (abbreviation, name, authors) in ledger.PAPERS.items():
        entry = re.search(rf"{{{key},(.*?)\n}}", text, re.DOTALL)[1]
        plain = re.sub(r"[{}`'\u201c\u201d]", "", entry)
        assert re.sub("[\u201c\u201d]", "", name).split(" reproduce")[0] in plain
        assert authors.split(",")[0].split(" ")[0] in plain and authors[-4:] in plain
        mine = [claim for claim, each in ledger.claims().items() if each["paper"] == key]
        assert mine and all(claim.startswith(f"{abbreviation}-") for claim in mine)
    assert {each["paper"] for each in ledger.claims().values()} == set(ledger.PAPERS)


@pytest.mark.parametrize("verdict, kind", [
    ("reproduced", "agrees"), ("hint: reduced setting: agrees", "agrees"), ("analogue: partly", "partly"),
    ("not reproduced", "disagrees"), ("reduced setting: undecided", "undecided"),
    ("could not have shown it", "open"), ("no runs yet", "open"),
    ("not testable here", "open")])
def test_what_a_verdict_comes_to(verdict, kind):
    assert ledger.kind_of(verdict) == kind


def test_every_claim_stands_somewhere(found):
    assert set(found["setting"]) <= set(ledger.SETTINGS) and set(found["kind"]) <= set(listing.VERDICTS)
    open_ones = found[found["kind"] == "open"]
    assert set(open_ones["setting"]) <= {"outside its regime", "no runs yet", "not testable here"}
    assert (found["verdict"].str.startswith("reduced") == (found["setting"] == "reduced setting")).all()


# --- History

@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A book in git whose claim A-1 got a rule in the second commit, other words in the third, other breaks in the fourth."""
    (tmp_path / "profiles").mkdir()
    rules = ("", "  rule: a < b, because\n", "  rule: >-\n    a < c,\n    because\n", "  rule: >-\n    a < c, because\n")
    for place, rule in enumerate(rules):
        (tmp_path / "claims.yml").write_text(f"- id: A-1\n  claim: x\n{rule}\n- id: B-1\n  rule: other\n")
        if place == 0:
            git(tmp_path, "init", "-q")
        git(tmp_path, "add", "claims.yml")
        git(tmp_path, "commit", "-qm", str(place), "--date", f"2026-01-0{place + 1}T12:00:00Z")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    history.written.cache_clear()
    yield tmp_path
    history.written.cache_clear()


def git(folder, *words):
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_rule_has_the_commits_that_wrote_it(repository):
    commits = git(repository, "log", "--reverse", "--format=%H").split()
    one, other = (history.written()[claim] for claim in ("A-1", "B-1"))
    assert (one.first, one.first_day, one.present, one.present_day) == (commits[1], "2026-01-02", commits[2], "2026-01-03")
    assert other.first == other.present == commits[0]
    said = history.dates("A-1", [pd.DataFrame({"started": ["2026-02-03T10:00:00", "2026-02-01T10:00:00"]}), pd.DataFrame()])
    assert commits[1][:7] in said and "2026-02-01" in said and "<a " not in said, "no address of the repository is known"
    (repository / "_config.yml").write_text("sphinx: {config: {html_theme_options: {repository_url: 'https://example.org/a\"b/'}}}")
    assert f'<a href="https://example.org/a&quot;b/commit/{commits[1]}">' in history.dates("A-1", [])
    (repository / "_config.yml").write_text("sphinx: {config: {html_theme_options: {repository_url: 'javascript:alert()'}}}")
    assert "javascript" not in history.dates("A-1", [])


def test_without_history_the_card_says_so(repository, tmp_path):
    shutil.rmtree(repository / ".git")
    assert history.written() == {}
    assert "no git history" in history.dates("A-1", []) and "first run is not stored" in history.dates("A-1", [])


def test_rules_are_read_from_the_text_as_yaml_reads_them():
    found = history.rules_in((ROOT / "claims.yml").read_text())
    assert found == {claim: " ".join(each["rule"].split()) for claim, each in ledger.claims().items() if "rule" in each}


# --- What the pages say

def test_the_ledger_shows_every_claim_once_by_paper_and_ours_apart(whole):
    page, entries = BeautifulSoup(whole.html, "html.parser"), ledger.claims()
    lines = {line["id"]: line for line in page.select(".dd-line")}
    assert set(lines) == {f"ledger-{claim.lower()}" for claim in entries} and len(page.select(".dd-line")) == len(entries)
    for claim, entry in entries.items():
        line = lines[f"ledger-{claim.lower()}"]
        assert line["data-paper"] == entry["paper"] and entry["claim"] in line.get_text()
        assert next(line.stripped_strings)[0] in {*pages.MARKS.values(), pages.DOT}, "the verdict comes first"
        assert (line.find_previous(class_="dd-ours") is not None) == bool(entry.get("ours"))
        if claim in ledger.rules():
            assert f"{entry['chapter'].removesuffix('.md')}.html#{claim.lower()}" in str(line)
    order = [line["data-paper"] for line in page.select(".dd-line") if line.find_previous(class_="dd-ours") is None]
    assert order == sorted(order, key=list(ledger.PAPERS).index)


def test_the_forest_has_a_link_for_each_claim_to_its_cell(found):
    page = BeautifulSoup(forest.forest(found).html, "html.parser")
    rows = {row["data-id"]: row for row in page.select("a.dd-row")}
    assert set(rows) == set(found["id"])
    for row in found.to_dict("records"):
        drawn = rows[row["id"]]
        assert drawn["href"] == listing.place_of(row) and row["claim"] in drawn["aria-label"]
        assert f"dd-{row['kind']}" in drawn["class"]
        if row["part"]:
            low, high = (float(drawn.find(class_="dd-bar")[end].rstrip("%")) for end in ("x1", "x2"))
            assert 0 <= low <= high <= 100 and (row["low"] == row["high"] or low < high)
    zero = float(page.find(class_="dd-zero")["x1"].rstrip("%"))
    marks = {claim: float(mark.parent["x"].rstrip("%")) for claim, row in rows.items() if (mark := row.find(class_="dd-mark"))}
    effects = found.set_index("id")["effect"]
    assert all((marks[claim] > zero) == (effects[claim] > 0) for claim in marks if abs(effects[claim]) > 0.01)


def test_what_is_found_begins_with_the_hardest_half(found):
    said = landing.sentences(found)
    theirs = found[~found["ours"]]  # our own inferences are not counted
    assert len(said) == 3 and "hardest half of MNLI" in said[0] and f"{len(theirs)} claims" in said[2]
    kinds = theirs["kind"].value_counts()
    assert f"{kinds['agrees']} agree with" in said[2] and f"{kinds['disagrees']} do not" in said[2]
    below, chance, random = (float(each) for each in re.findall(r"([\d.]+)%", said[0]))
    assert below < chance < random


def test_text_of_claims_cannot_script_a_page(found, monkeypatch):
    hostile = "<img src=x onerror=alert(1)>\" onfocus=\"alert(2)"
    said = {"claim": hostile, "published": hostile, "known": hostile}
    entries = {claim: entry | said for claim, entry in ledger.claims().items()}
    rows = found.assign(claim=hostile, part=hostile, published=hostile, why=hostile, experiments=[[hostile]] * len(found))
    monkeypatch.setattr(ledger, "claims", lambda: entries)
    monkeypatch.setattr(pages, "claims", lambda: entries)
    monkeypatch.setattr(ledger, "ledger", lambda profiles=None: rows)
    monkeypatch.setattr(listing, "dates", lambda claim, tables: "")
    for html in (listing.whole().html, forest.forest(rows).html):
        page = BeautifulSoup(html, "html.parser")
        assert not page.find_all(["img", "script"]) and not page.find_all(attrs={"onfocus": True}) and hostile in unescape(html)


# --- In a browser, from file://

@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,1000",
                 f"--user-data-dir={tmp_path_factory.mktemp('chromium')}", "--host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, whole, found):
    """Both pages with the style sheets and the script of the book, without its theme."""
    place = tmp_path_factory.mktemp("pages")
    for name in ("datadiet.css", "claims.css", "claims.js"):
        shutil.copy(ROOT / "_static" / name, place)
    links = "<link rel='stylesheet' href='datadiet.css'><link rel='stylesheet' href='claims.css'>"
    script = "<script src='claims.js' defer></script>"
    (place / "claims.html").write_text(f"{PLAIN}{links}{script}<title>Claims</title></head><body>{whole.html}</body></html>")
    (place / "bare.html").write_text(f"{PLAIN}{links}<title>Claims</title></head><body>{whole.html}</body></html>")
    plot = forest.forest(found).html
    (place / "index.html").write_text(f"{PLAIN}{links}{script}<title>Index</title></head><body>{plot}</body></html>")
    return place


def shown(browser):
    return browser.execute_script("return [...document.querySelectorAll('.dd-line')].filter(e => e.offsetParent).map(e => e.id)")


def choose(browser, name, value):
    browser.execute_script("const e = document.querySelector(`[name=${arguments[0]}]`); e.value = arguments[1];"
                           "e.dispatchEvent(new Event('input', {bubbles: true}))", name, value)


def test_filters_and_search_leave_the_claims_that_fit(browser, folder, found):
    from selenium.webdriver.common.keys import Keys

    browser.get((folder / "claims.html").as_uri())
    assert len(shown(browser)) == len(found)
    for name in ("paper", "kind", "setting"):
        for value, some in found.groupby(name):
            choose(browser, name, value)
            assert set(shown(browser)) == {f"ledger-{claim.lower()}" for claim in some["id"]}, (name, value)
        choose(browser, name, "")
    two = found[(found["paper"] == "kirsch2023does") & (found["kind"] == "agrees")]
    choose(browser, "paper", "kirsch2023does"), choose(browser, "kind", "agrees")
    assert len(shown(browser)) == len(two) and browser.find_element("class name", "dd-count").text.startswith(f"{len(two)} of ")
    browser.find_element("css selector", "[type=reset]").send_keys(Keys.ENTER)  # by keyboard
    box = browser.find_element("css selector", "[type=search]")
    box.send_keys("BDD-4N")
    assert shown(browser) == ["ledger-bdd-4n"]
    box.send_keys(" no such word <b>" + Keys.ENTER)
    assert shown(browser) == [] and "None of" in browser.find_element("class name", "dd-count").text
    browser.execute_script("location.hash = 'ledger-k23-1'")
    browser.execute_async_script("setTimeout(arguments[0], 200)")
    assert len(shown(browser)) == len(found), "a link to a hidden claim shows it"
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE" and "favicon" not in line["message"]]


def test_without_the_script_the_ledger_is_whole_and_has_no_dead_filters(browser, folder, found):
    browser.get((folder / "bare.html").as_uri())
    assert len(shown(browser)) == len(found) and not browser.find_element("class name", "dd-filters").is_displayed()


def test_the_forest_tells_a_claim_on_focus_and_on_hover_and_fits_a_phone(browser, folder, found):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.get((folder / "index.html").as_uri())
    box, rows = browser.find_element("class name", "dd-told"), browser.find_elements("css selector", "a.dd-row")
    claims = found.set_index("id")["claim"]
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    first = browser.switch_to.active_element
    assert first == rows[0] and claims[first.get_attribute("data-id")] in box.text
    first.send_keys(Keys.ESCAPE)
    assert not box.is_displayed()
    ActionChains(browser).move_to_element(rows[5].find_element("class name", "dd-id")).perform()
    assert claims[rows[5].get_attribute("data-id")] in box.text
    phone = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        wide, letters, high = browser.execute_script(
            "const text = document.querySelector('.dd-id'); return [document.documentElement.scrollWidth, "
            "parseFloat(getComputedStyle(text).fontSize), document.querySelector('.dd-hit').getBoundingClientRect().height]")
        assert wide <= 390 and letters >= 11 and high >= 24
        led_on = browser.execute_script(
            "const row = document.querySelectorAll('a.dd-row')[3];"
            "row.dispatchEvent(new PointerEvent('pointerdown', {pointerType: 'touch', bubbles: true}));"
            "return row.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))")
        assert led_on is False and claims[rows[3].get_attribute("data-id")] in box.text
        assert box.find_element("tag name", "a").get_attribute("href").endswith(f"#{rows[3].get_attribute('data-id').lower()}")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
