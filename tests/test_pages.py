"""The built pages in a browser: they load whole without a network, serve both colour modes, the keyboard and a phone."""

import contextlib
import functools
import http.server
import shutil
import threading
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from bs4 import BeautifulSoup
from conftest import CHAPTERS, ROOT

from datadiet.book import render

PAGES = render.pages(ROOT)
FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1300,1000").split()
AA = 4.5  # WCAG 2: contrast of text with what is behind it


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site(html):
    """Address of the book, served from this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
                 "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]:  # nothing outside can be reached
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


def wait(driver, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 30).until(lambda d: d.execute_script(f"return {condition}"))


def show(driver, address):
    driver.get_log("browser")  # what earlier pages said
    driver.get(address)
    wait(driver, "document.readyState === 'complete' && !!window.MathJax && !!MathJax.startup "
                 "|| !document.querySelector('.math')")
    driver.execute_async_script("(window.MathJax ? MathJax.startup.promise : Promise.resolve()).then(arguments[0])")


@contextlib.contextmanager
def at(browser, width):
    """The browser as wide as a phone or a desktop."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


UNFOLD = "document.querySelectorAll('.bd-article details').forEach(each => { each.open = true; })"

# Contrast of every text with the ground behind it, tints laid over each other as a browser does; those below the limit come back.
PALE = """
const parts = c => { const [r, g, b, a = 1] = c.match(/[\\d.]+/g).map(Number); return [[r, g, b], a]; };
const over = (c, ground) => { const [colour, a] = parts(c); return colour.map((x, i) => a * x + (1 - a) * ground[i]); };
const light = c => { const [r, g, b] = c.map(x => x / 255)
    .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ground = e => e ? over(getComputedStyle(e).backgroundColor, ground(e.parentElement)) : [255, 255, 255];
return [...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent && e.innerText.trim()).map(e => {
    const behind = ground(e), [low, high] = [light(over(getComputedStyle(e).color, behind)), light(behind)].sort((x, y) => x - y);
    return [(high + 0.05) / (low + 0.05), e.innerText.slice(0, 60)];
}).filter(([ratio]) => ratio < arguments[1]);
"""
TEXTS = ", ".join(f".bd-article {each}" for each in "p li td th caption figcaption pre summary a".split())


@pytest.mark.parametrize("page", PAGES)
def test_page_loads_whole_without_a_network(page, browser, site):
    show(browser, f"{site}/{page}.html")
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    outside = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in outside if not name.startswith((site, "data:"))] == []
    math = browser.execute_script("return [document.querySelectorAll('.bd-article .math').length,"
                                  "document.querySelectorAll('.bd-article mjx-container').length,"
                                  "document.querySelectorAll('mjx-merror').length]")
    assert math[1] >= math[0] and math[2] == 0
    broken = ("return [...document.querySelectorAll('.bd-article img')].filter(e => !e.naturalWidth || !e.alt.trim())"
              ".map(e => e.src)")
    assert browser.execute_script(broken) == [], "images that are broken or have no text alternative"


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_a_phone(page, browser, site):
    """The page itself never scrolls sideways; wide tables do so by themselves."""
    with at(browser, 390):
        show(browser, f"{site}/{page}.html")
        browser.execute_script(UNFOLD)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 392


@pytest.mark.parametrize("page", PAGES)
def test_text_is_readable_in_both_colour_modes(page, browser, site):
    show(browser, f"{site}/{page}.html")
    browser.execute_script(UNFOLD)
    for mode in ("light", "dark"):
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", mode)
        wait(browser, "document.getAnimations().every(a => a.playState === 'finished')")
        assert browser.execute_script(PALE, TEXTS, AA) == [], mode


# What axe-core, set to the rules of WCAG 2 A and AA, finds wrong with a page: rule -> the first elements that break it.
AXE = """
const done = arguments[arguments.length - 1];
const some = v => [v.id, v.nodes.slice(0, 5).map(n => n.html.slice(0, 160))];
axe.run(document, { runOnly: ["wcag2a", "wcag2aa"], resultTypes: ["violations"] }).then(
    ({ violations }) => done(Object.fromEntries(violations.map(some))), e => done({ error: [String(e)] }));
"""


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_no_violation(page, browser, site):
    source = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    show(browser, f"{site}/{page}.html")
    browser.set_script_timeout(120)
    browser.execute_script(source)
    browser.execute_script(UNFOLD)
    for mode in ("light", "dark"):
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", mode)
        wait(browser, "document.getAnimations().every(a => a.playState === 'finished')")
        assert browser.execute_async_script(AXE) == {}, mode


def test_colour_mode_can_be_switched(browser, site):
    show(browser, f"{site}/{PAGES[0]}.html")
    button = next(each for each in browser.find_elements("css selector", "button.theme-switch-button") if each.is_displayed())
    seen = set()
    for _ in range(3):
        browser.execute_script("arguments[0].click()", button)
        seen.add(browser.execute_script("return document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}


# Height in pixels, as shown, of the smallest letters of the charts of a page, legends included.
SMALLEST = """
return Math.min(99, ...[...document.querySelectorAll(".dd-figure text, .dd-figure li, .dd-panel-title")]
    .filter(e => e.getClientRects().length && e.textContent.trim()).map(e => {
        const m = e.getScreenCTM ? e.getScreenCTM() : { a: 1, b: 0 };
        return parseFloat(getComputedStyle(e).fontSize) * Math.hypot(m.a, m.b); }));
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_letters_of_charts_are_legible(width, browser, site):
    with at(browser, width):
        for page in ("score-timing", "who-is-right", "what-all-runs-say", "healthy-diet"):
            show(browser, f"{site}/chapters/{page}.html")
            browser.execute_script(UNFOLD)  # letters in a closed fold have no size yet
            assert 9 <= browser.execute_script(SMALLEST) < 99, page


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_not_endless(page, browser, site):
    with at(browser, 1280):
        show(browser, f"{site}/{page}.html")
        # Bars of runs, and parameters in full, are on the pages of these tests; `make book` leaves them out or folds them.
        extra = ".output.stderr, .tag_injected-parameters:not(.tag_hide-input)"
        browser.execute_script("document.querySelectorAll(arguments[0]).forEach(each => each.remove())", extra)
        wait(browser, "document.documentElement.scrollHeight < 10000")  # once fonts, formulas and folds have their places


# Names of functions in tables that are broken, arrows of a pipeline out of its box, cards that touch, numbers without room.
TIGHT = """
const article = document.querySelector(".bd-article"), box = e => e.getBoundingClientRect();
const all = query => [...article.querySelectorAll(query)].filter(e => e.offsetParent);
return [
    ...all(":is(td, th) code.literal").filter(e => !e.textContent.includes(" ") && e.getClientRects().length > 1),
    ...all(".dd-pipeline li + li").filter(e => box(e).left - 21 < box(article).left),
    ...all(".output + .output").filter(e => box(e).top - box(e.previousElementSibling).bottom < 8),
    ...all("table.dataframe td").filter(e => parseFloat(getComputedStyle(e).paddingLeft) < 8),
].map(e => e.outerHTML.slice(0, 120));
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_broken_or_touches(width, browser, site):
    with at(browser, width):
        for page in ("glossary", "more-scores", "score-timing", "my-csv", "grand-at-init"):
            show(browser, f"{site}/chapters/{page}.html")
            assert browser.execute_script(TIGHT) == [], page


def test_charts_follow_the_colour_mode_and_open_at_full_size(browser, site):
    show(browser, f"{site}/chapters/score-timing.html")
    inks = set()
    for mode in ("light", "dark"):
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", mode)
        wait(browser, "document.getAnimations().every(a => a.playState === 'finished')")
        inks.add(browser.execute_script("return getComputedStyle(document.querySelector('.dd-drawing text')).fill"))
    assert len(inks) == 2
    button = browser.find_element("css selector", ".dd-figure .dd-full")
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", button)
    button.click()  # as a finger does: nothing may lie over it
    assert browser.execute_script("return document.querySelector('dialog.dd-whole[open] svg') !== null")


OPEN = "return [...document.querySelectorAll('.dd-work')].filter(each => each.open).map(each => each.id)"
AT = "const top = document.getElementById(arguments[0]).getBoundingClientRect().top; return top >= 0 && top < innerHeight / 2"


def test_exercises_are_closed_until_a_link_or_a_key_opens_them(browser, site):
    from selenium.webdriver.common.keys import Keys

    page = f"{site}/chapters/label-noise.html"
    show(browser, page)
    assert browser.execute_script(OPEN) == []
    show(browser, f"{page}?#ex-label-noise-3")
    assert browser.execute_script(OPEN) == ["ex-label-noise-3"]
    assert browser.execute_script(AT, "ex-label-noise-3")
    browser.execute_script("document.getElementById('ex-label-noise-3').open = false; location.hash = '#ex-label-noise-2'")
    wait(browser, "document.getElementById('ex-label-noise-2').open")
    line = browser.find_element("css selector", "#ex-label-noise-2 > .solution > summary")
    answer = browser.find_element("css selector", "#ex-label-noise-2 > .solution > p")
    assert not answer.is_displayed()
    line.send_keys(Keys.ENTER)
    assert answer.is_displayed() and line.find_element("xpath", "..").get_attribute("open")


def test_an_exercise_is_printed_open(browser, site):
    show(browser, f"{site}/chapters/label-noise.html")
    seen = "return document.querySelector('.solution > p').checkVisibility()"
    assert not browser.execute_script(seen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.execute_script(seen)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_one_button_shows_the_code_that_a_page_keeps_back(browser, site):
    show(browser, f"{site}/chapters/label-noise.html")
    seen = ("return [...document.querySelectorAll('.dd-call, .tag_hide-input:not(.tag_injected-parameters) > .above-input')]"
            ".filter(each => each.checkVisibility()).length")
    button = browser.find_element("css selector", ".dd-code")
    for shown in (False, True, False):
        assert (browser.execute_script(seen) > 5) == shown and (browser.execute_script(seen) == 0) != shown
        assert button.get_attribute("aria-pressed") == str(shown).lower()
        button.click()


def test_a_quiz_says_beside_an_answer_whether_it_is_right(browser, site):
    from selenium.webdriver.common.keys import Keys

    show(browser, f"{site}/chapters/label-noise.html")
    question = browser.find_element("css selector", ".dd-question details")
    question.find_element("css selector", "summary").send_keys(Keys.ENTER)
    for kind, word in (("dd-wrong", "No."), ("dd-right", "Right.")):
        question.find_element("css selector", f".{kind} input").send_keys(Keys.SPACE)
        said = [each.text for each in question.find_elements("css selector", ".dd-because") if each.is_displayed()]
        assert len(said) == 1 and said[0].startswith(word)


def test_a_first_visit_is_light_and_so_is_the_folder(browser, site, html):
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    show(browser, f"{site}/{PAGES[0]}.html")
    sizes = "return performance.getEntries().map(e => e.transferSize || 0).reduce((a, b) => a + b)"
    assert browser.execute_script(sizes) < 1.5e6
    assert sum(file.stat().st_size for file in html.rglob("*") if file.is_file()) < 15e6


def test_keyboard_reaches_the_skip_link_first_and_it_works(browser, site):
    from selenium.webdriver.common.keys import Keys

    show(browser, f"{site}/{PAGES[1]}.html")
    browser.find_element("css selector", "body").send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert "Skip to main content" in focused.get_attribute("textContent")
    wait(browser, "document.activeElement.getBoundingClientRect().top >= 0")  # it slides in
    focused.send_keys(Keys.ENTER)
    assert browser.current_url.endswith("#main-content")


def test_wide_tables_can_be_reached_by_keyboard(browser, site):
    show(browser, f"{site}/chapters/data.html")
    assert browser.execute_script("const t = document.querySelector('.dd-table'); t.focus(); return document.activeElement === t")


def test_search_finds_a_term(browser, site):
    browser.get(f"{site}/search.html?q=GraNd")
    wait(browser, "document.querySelectorAll('#search-results li').length > 1")


def test_first_page_leads_to_the_landing_page(browser, site):
    browser.get(f"{site}/index.html")
    wait(browser, f"location.pathname === '/{PAGES[0]}.html'")


def test_internal_links_lead_somewhere(html):
    soups = {path: BeautifulSoup(path.read_text(), "html.parser") for path in html.rglob("*.html") if "_static" not in path.parts}
    broken = []
    for path, soup in soups.items():
        for link in soup.select("a[href], img[src], link[href], script[src]"):
            address = link.get("href") or link.get("src")
            if urlparse(address).scheme or address.startswith(("//", "data:")):
                continue
            target, fragment = urldefrag(urljoin(path.as_uri(), address))
            file = Path(unquote(urlparse(target).path))
            if not file.exists():
                broken.append(f"{path.name}: {address}")
            elif fragment and file in soups and not soups[file].find(id=unquote(fragment)):
                broken.append(f"{path.name}: {address}")
    assert broken == []


def test_book_has_every_page_and_every_promised_figure(html, executed):
    assert render.check(ROOT, executed.build) == []
    assert CHAPTERS
