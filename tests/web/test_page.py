"""The page, in a real browser."""

import http.client
import http.server
import os
import pathlib
import shutil
import sqlite3
import subprocess
import threading
import time

import pytest

from support.waiting import stays, wait_until

TID = "6907c830-eed9-4ce9-81ae-76daf8d88f0f"
MARKUP = '<img src=x onerror="document.title=1">'


def post(collector, payload=b"hello\n", **changes):
    fields = {
        "record_format_version": "4", "classification": "org.example/test/one", "severity": "1",
        "machine_id": "machine-1", "creation_timestamp": str(int(time.time())), "arch": "x86_64",
        "host_type": "Example Inc.|Laptop 13|1.0", "build": "12", "kernel_version": "6.1.0-28-amd64",
        "payload_format_version": "1", "system_name": "debian", "board_name": "BRD-1|Example Inc.",
        "cpu_model": "Example CPU @ 1.90GHz", "bios_version": "1.23 (Example)",
        "event_id": os.urandom(16).hex(), "X-Telemetry-TID": TID, **changes,
    }
    host, port = collector.url.split("/")[2].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("POST", "/v2/collector", payload, fields)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()
    return fields


def rows(browser):
    """The classifications in the list, as shown."""
    return browser.texts("#records .classification")


def has_rows(browser, *expected):
    return lambda: rows(browser) == list(expected)


def test_says_how_to_begin_while_nothing_has_come_in(browser):
    browser.open()
    lines = wait_until(lambda: browser.text("#howto")).splitlines()
    assert len(lines) == 3
    assert f"server = {browser.origin}/v2/collector" in lines[0]
    assert browser.text("#state") == "live"


class Prefixed(http.server.BaseHTTPRequestHandler):
    """A reverse proxy that has the collector behind /telemetry/."""

    collector = None

    def do_GET(self):
        host, port = self.collector.url.split("/")[2].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        connection.request("GET", self.path.removeprefix("/telemetry"))
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def log_message(self, *_):
        pass


def test_says_how_to_begin_behind_a_proxy_with_a_folder_of_its_own(browser, collector):
    handler = type("Handler", (Prefixed,), {"collector": collector})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{proxy.server_address[1]}/telemetry/"
        try:
            browser.driver.get(page + "?machine=x")
            wait_until(lambda: browser.text("#nomatch"))
            browser.click("#clear")
            assert f"server = {page}v2/collector" in wait_until(lambda: browser.text("#howto"))
        finally:
            browser.driver.get("about:blank")
            proxy.shutdown()


def test_records_appear_by_themselves(browser, collector):
    browser.open()
    wait_until(lambda: browser.text("#howto"))
    browser.run("window.sameDocument = true")
    post(collector)
    wait_until(has_rows(browser, "org.example/test/one"))
    assert browser.text("#howto") is None
    post(collector, classification="org.example/test/two", severity="4")
    post(collector, classification="org.example/test/three")
    wait_until(has_rows(browser, "org.example/test/three", "org.example/test/two",
                        "org.example/test/one"))
    assert browser.texts("#records .severity") == ["1 low", "4 critical", "1 low"]
    assert browser.run("return window.sameDocument")


def test_the_first_hour_of_a_day_is_00(tmp_path):
    """Asked for no am and pm, browsers of 2023 and Node of today call it 24 in American English."""
    node, esbuild = shutil.which("node"), shutil.which("esbuild")
    if node is None or esbuild is None:
        pytest.skip("node and esbuild are not both here")
    source = pathlib.Path(__file__).parents[2] / "web/src/format.ts"
    subprocess.run([esbuild, source, "--format=cjs", "--log-level=warning",
                    f"--outfile={tmp_path}/format.js"], check=True)
    told = subprocess.run(
        [node, "-p", "const f = require('./format.js'); [f.shortTime(0), f.longTime(0)].join('\\n')"],
        cwd=tmp_path, env={**os.environ, "TZ": "UTC", "LC_ALL": "en_US.UTF-8"},
        check=True, capture_output=True, text=True).stdout
    assert "00:00:00" in told
    assert "24:00" not in told


def test_a_time_says_its_day_once_that_is_over(browser, collector):
    post(collector)
    browser.open()
    time_alone = wait_until(lambda: browser.text("#records .received"))
    assert len(time_alone) == 8
    browser.run("const D = Date; window.Date = class extends D {"
                " constructor(...a) { if (a.length) super(...a); else super(D.now() + 86400e3); } }")
    wait_until(lambda: browser.text("#records .received").endswith(", " + time_alone))


def test_a_time_of_another_year_says_which(browser, collector):
    post(collector)
    with sqlite3.connect(collector.store) as store:
        store.execute("UPDATE records SET received = 1000000000000")
    store.close()
    browser.open()
    assert wait_until(lambda: browser.text("#records .received")) == "Sep 9, 2001"


def test_a_record_shows_every_header_and_its_payload(browser, collector):
    payload = b"Crash Report:\n\ttab \0 nul \x1b[31m\n<b>bold</b>\xe2\x80\xae \xd8\x9c \xc2\xad end"
    fields = post(collector, payload)
    browser.open()
    wait_until(lambda: rows(browser))
    browser.click("#records a")
    wait_until(lambda: browser.text("#details-title") == "Record 1")
    names = browser.texts("#headers dt")
    values = browser.texts("#headers dd > span:first-child")
    shown = dict(zip(names, values))
    assert len(names) == 16
    fields["severity"] = "1 low"
    for name in names[1:]:
        assert shown[name] == fields[name], name
    assert browser.run("return document.getElementById('payload').textContent") == (
        "Crash Report:\n\ttab \\x00 nul \\x1b[31m\n<b>bold</b>\\u202e \\u061c \\xad end")
    [link] = browser.run("return [document.getElementById('raw').getAttribute('href')]")
    assert link == "api/records?from_id=1&cursor=2"


def test_a_payload_that_is_no_utf8_says_so(browser, collector):
    post(collector, b"gr\xfc\xdfe")
    browser.open("#1")
    wait_until(lambda: browser.text("#payload") == "grüße")
    assert "Latin-1" in browser.text("#payload-note")


def test_markup_in_any_field_stays_text(browser, collector):
    short = "<b>x<hr>"  # fits where only 32 or 40 characters do
    fields = post(
        collector, (MARKUP + "<script>document.title=1</script>").encode(),
        classification=f"<i>a<br>/{short}/<u>c", machine_id=short, host_type=MARKUP,
        board_name=MARKUP, cpu_model=MARKUP, bios_version=MARKUP, system_name=MARKUP,
        kernel_version=f"6.1{MARKUP}", build="12")
    browser.open("#1")
    wait_until(lambda: browser.text("#details-title") == "Record 1")
    wait_until(lambda: rows(browser))
    assert rows(browser) == [fields["classification"]]
    shown = browser.texts("#headers dd > span:first-child")
    for name in ("classification", "machine_id", "host_type", "board_name", "cpu_model",
                 "bios_version", "kernel_version"):
        assert fields[name] in shown, name
    assert browser.text("#payload").startswith(MARKUP)
    assert browser.run(
        "return document.querySelectorAll('main img, main script, main b, main i, main u, main hr')"
        ".length") == 0
    assert browser.driver.title == "Telemetry records"
    assert browser.complaints() == []


def test_markup_in_the_address_stays_text(browser):
    browser.open("?classification=%3Cimg%20src%3Dx%3E&machine=%3Cb%3E#%3Cb%3E")
    wait_until(lambda: browser.text("#nomatch"))
    assert browser.run("return document.querySelectorAll('img, b').length") == 0


def test_the_policy_lets_no_inline_script_run(browser):
    browser.open()
    wait_until(lambda: browser.text("#howto"))
    browser.run("const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
                "document.body.append(s);"
                "document.body.insertAdjacentHTML('beforeend', '<p onclick=\"window.ran = 1\" id=p>')"
                "; document.getElementById('p').click()")
    assert browser.run("return window.ran") is None
    assert len(browser.complaints()) >= 2


def fill(browser, selector, value):
    browser.run("const e = document.querySelector(arguments[0]); e.value = arguments[1];"
                "e.dispatchEvent(new Event('input', {bubbles: true}))", selector, value)


def test_filters(browser, collector):
    post(collector, classification="org.example/test/one", machine_id="m-1")
    post(collector, classification="org.example/test/two", machine_id="m-2", severity="3")
    post(collector, classification="org.other/test/three", machine_id="m-2")
    browser.open()
    everything = ("org.other/test/three", "org.example/test/two", "org.example/test/one")
    wait_until(has_rows(browser, *everything))
    fill(browser, "#classification", "org.ex")
    wait_until(has_rows(browser, "org.example/test/two", "org.example/test/one"))
    fill(browser, "#machine", "m-2")
    wait_until(has_rows(browser, "org.example/test/two"))
    fill(browser, "#severity", "1")
    wait_until(lambda: browser.text("#nomatch"))
    post(collector, classification="org.example/test/four", machine_id="m-2")
    wait_until(has_rows(browser, "org.example/test/four"))
    browser.click("#clear")
    wait_until(has_rows(browser, "org.example/test/four", *everything))


def test_a_filter_that_matches_nothing_looks_at_each_record_once(browser, collector):
    """The page asked for all records since the first, every two seconds, while the list was empty."""
    post(collector)
    browser.open("?severity=4")
    wait_until(lambda: browser.text("#nomatch"))
    for classification in ("org.example/test/two", "org.example/test/three"):
        post(collector, classification=classification)
    seen = []

    def asks_for_the_next():
        seen.extend(browser.requested())
        return any("from_id=4&" in url + "&" for url in seen)

    wait_until(asks_for_the_next)
    assert not any("from_id=1&" in url + "&" for url in seen)
    post(collector, classification="org.example/test/four", severity="4")
    wait_until(has_rows(browser, "org.example/test/four"))


def test_a_filter_is_in_the_address(browser, collector):
    post(collector, machine_id="m-1")
    post(collector, classification="org.example/test/two", machine_id="m-2")
    browser.open("?machine=m-1")
    wait_until(has_rows(browser, "org.example/test/one"))
    fill(browser, "#machine", "m-2")
    wait_until(has_rows(browser, "org.example/test/two"))
    assert browser.driver.current_url.endswith("/?machine=m-2")


def test_details_lead_to_the_same_machine(browser, collector):
    post(collector, machine_id="m-1")
    post(collector, classification="org.example/test/two", machine_id="m-2")
    browser.open("#1")
    wait_until(lambda: browser.text("#details-title") == "Record 1")
    browser.run("[...document.querySelectorAll('#headers button')]"
                ".find(b => b.textContent === 'only this machine').click()")
    wait_until(has_rows(browser, "org.example/test/one"))


def test_only_these_leaves_out_what_merely_starts_so(browser, collector):
    post(collector, classification="org.example/test/one")
    post(collector, classification="org.example/test/one-more")
    browser.open("#1")
    wait_until(lambda: browser.text("#details-title") == "Record 1")
    browser.run("[...document.querySelectorAll('#headers button')]"
                ".find(b => b.textContent === 'only these').click()")
    wait_until(has_rows(browser, "org.example/test/one"))
    browser.driver.refresh()
    wait_until(has_rows(browser, "org.example/test/one"))


def test_details_that_cover_the_list_make_way_for_what_they_filter(browser, collector):
    """On a telephone the button seemed to do nothing."""
    post(collector, machine_id="m-1")
    post(collector, classification="org.example/test/two", machine_id="m-2")
    browser.resize(390, 800)
    browser.open("#1")
    wait_until(lambda: browser.text("#details-title") == "Record 1")
    browser.run("[...document.querySelectorAll('#headers button')]"
                ".find(b => b.textContent === 'only this machine').click()")
    wait_until(lambda: browser.text("#details") is None)
    wait_until(has_rows(browser, "org.example/test/one"))
    assert browser.driver.current_url.endswith("/?machine=m-1")
    browser.driver.back()
    wait_until(lambda: browser.text("#details-title") == "Record 1")


def test_back_leads_to_the_filter_that_the_address_says(browser, collector):
    post(collector, machine_id="m-1")
    post(collector, classification="org.example/test/two", machine_id="m-2")
    browser.open("?machine=m-1")
    wait_until(has_rows(browser, "org.example/test/one"))
    browser.click("#records a")
    wait_until(lambda: browser.text("#details-title") == "Record 1")
    fill(browser, "#machine", "m-2")
    wait_until(has_rows(browser, "org.example/test/two"))
    browser.driver.back()
    assert browser.driver.current_url.endswith("/?machine=m-1")
    wait_until(has_rows(browser, "org.example/test/one"))
    assert browser.run("return document.getElementById('machine').value") == "m-1"
    wait_until(lambda: browser.text("#details") is None)


def answer(browser, status, kind, text):
    """Has the page get this answer to all that it asks from now on."""
    browser.run("const [status, kind, text] = arguments; window.fetch = () => Promise.resolve("
                "new Response(text, {status, headers: {'Content-Type': kind}}))", status, kind, text)


def test_rows_of_the_last_filter_do_not_look_like_those_of_this_one(browser, collector):
    post(collector)
    browser.open()
    wait_until(lambda: rows(browser))
    look = ("const l = document.getElementById('records');"
            "return [l.getAttribute('aria-busy'), getComputedStyle(l).opacity]")
    assert browser.run(look) == ["false", "1"]
    browser.run("window.fetch = () => new Promise(() => {})")
    fill(browser, "#machine", "m-2")
    wait_until(lambda: browser.run(look) == ["true", "0.5"])


def test_says_why_the_collector_will_not_search(browser, collector):
    post(collector)
    browser.open()
    wait_until(lambda: rows(browser))
    fill(browser, "#classification", "\u00e4")
    wait_until(lambda: browser.text("#trouble"))
    assert browser.text("#trouble").startswith("The collector says: classification: ")
    assert browser.text("#state") == "trouble"
    browser.click("#clear")
    wait_until(lambda: browser.text("#state") == "live")
    answer(browser, 503, "application/json", '{"message": "too many searches at once"}')
    browser.click("#records a")
    wait_until(lambda: browser.text("#payload") == "The collector says: too many searches at once")


def test_says_that_a_proxy_wants_a_log_in_again(browser, collector):
    """It said that the collector does not answer, for which there is nothing that a reader can do."""
    post(collector)
    browser.open()
    wait_until(lambda: rows(browser))
    for status in (401, 200):  # asked for a password, or led to a page with a form
        answer(browser, status, "text/html", "<h1>Log in</h1>")
        wait_until(lambda: f"answered {status}" in (browser.text("#trouble") or ""))
        assert "Reload" in browser.text("#trouble")
        assert browser.text("#state") == "trouble"
    answer(browser, 502, "text/html", "<h1>Bad Gateway</h1>")
    wait_until(lambda: "answered 502" in browser.text("#trouble"))
    assert "not to reach the collector" in browser.text("#trouble")


def test_older_records_are_a_click_away(browser, collector):
    for number in range(130):
        post(collector, b"%d" % number, classification=f"org.example/test/n{number}")
    browser.open()
    wait_until(lambda: len(rows(browser)) == 100)
    browser.click("#older")
    wait_until(lambda: len(rows(browser)) == 130)
    assert rows(browser) == [f"org.example/test/n{number}" for number in range(129, -1, -1)]
    assert browser.text("#older") is None


def test_older_records_come_without_the_keyboard_being_lost(browser, collector):
    for number in range(210):
        post(collector, b"%d" % number)
    browser.open()
    wait_until(lambda: len(rows(browser)) == 100)
    browser.run("document.getElementById('older').focus()")
    browser.press("\ue007")
    wait_until(lambda: len(rows(browser)) == 200)
    assert browser.run("return document.activeElement.id") == "older"
    browser.press("\ue007")
    wait_until(lambda: len(rows(browser)) == 210)


def test_a_search_that_ends_early_goes_on_by_itself(browser, collector):
    """As that for something rare in a store of millions does."""
    post(collector)
    browser.open()
    wait_until(lambda: rows(browser))
    browser.run("const real = window.fetch; window.fetch = url => url.includes('cursor=')"
                " ? new Promise(resolve => window.goOn = () => resolve(real(url)))"
                " : Promise.resolve(new Response('{\"records\":[],\"next\":2,\"newest\":1}',"
                " {headers: {'Content-Type': 'application/json'}}))")
    fill(browser, "#severity", "1")
    wait_until(lambda: browser.text("#older") == "Searching older records…")
    wait_until(lambda: rows(browser) == [])
    assert browser.text("#nomatch") is None
    wait_until(lambda: browser.run("return window.goOn !== undefined"))
    browser.run("window.goOn()")
    wait_until(has_rows(browser, "org.example/test/one"))
    assert browser.text("#older") is None


def test_more_news_than_a_page_leaves_no_gap_and_the_reader_in_place(browser, collector):
    post(collector)
    browser.open()
    wait_until(lambda: rows(browser))
    browser.run("document.querySelector('#records a').focus()")
    browser.click("#pause")
    for number in range(120):
        post(collector, b"%d" % number, classification=f"org.example/test/n{number}")
    browser.click("#pause")
    wait_until(lambda: len(rows(browser)) == 121)
    assert rows(browser) == [f"org.example/test/n{number}" for number in range(119, -1, -1)] + [
        "org.example/test/one"]
    assert browser.run("return document.activeElement.hash") == "#1"


def multiply(collector, times):
    """Has so many copies of its records come in."""
    with sqlite3.connect(collector.store) as store:
        columns, = store.execute("SELECT group_concat(name) FROM pragma_table_info('records')"
                                 " WHERE name != 'id'").fetchone()
        store.execute(f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {times})"
                      f" INSERT INTO records ({columns}) SELECT {columns} FROM records, n")
    store.close()


def test_a_list_that_can_hold_no_more_says_so(browser, collector):
    """It ended like one that is complete."""
    post(collector)
    multiply(collector, 2000)
    browser.open()
    wait_until(lambda: len(rows(browser)) == 100)
    assert browser.text("#full") is None
    for count in range(200, 2001, 100):
        browser.click("#older")
        wait_until(lambda: len(rows(browser)) == count)
    assert browser.text("#older") is None
    assert "2000" in browser.text("#full")


def test_more_news_than_the_list_holds_begins_it_anew(browser, collector):
    post(collector)
    browser.open()
    wait_until(lambda: rows(browser))
    browser.click("#pause")
    multiply(collector, 2100)
    browser.click("#pause")
    wait_until(lambda: len(rows(browser)) == 100)
    assert browser.run("return document.querySelector('#records a').hash") == "#2101"
    browser.click("#older")
    wait_until(lambda: len(rows(browser)) == 200)


def test_pauses_and_goes_on(browser, collector):
    post(collector)
    browser.open()
    wait_until(lambda: rows(browser))
    browser.click("#pause")
    assert browser.text("#state") == "paused"
    # A button whose name says what it does is not "pressed" as well.
    assert browser.run("const b = document.getElementById('pause');"
                       "return [b.textContent, b.getAttribute('aria-pressed')]") == ["Resume", None]
    browser.requested()
    post(collector, classification="org.example/test/two")
    assert stays(lambda: len(rows(browser)) == 1, 3)
    assert browser.requested() == []
    browser.click("#pause")
    wait_until(lambda: len(rows(browser)) == 2)
    assert browser.text("#state") == "live"


def test_a_hidden_page_asks_for_nothing(browser, collector):
    browser.open()
    wait_until(lambda: browser.text("#howto"))
    hide = ("Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))")
    browser.run(hide, True)
    post(collector)
    wait_until(lambda: browser.requested() == [])
    assert stays(lambda: browser.requested() == [], 3)
    browser.run(hide, False)
    wait_until(lambda: rows(browser))


def test_says_that_the_collector_is_away_and_comes_back(browser, collector):
    post(collector)
    browser.open()
    wait_until(lambda: rows(browser))
    collector.stop()
    wait_until(lambda: browser.text("#trouble"))
    assert browser.text("#state") == "away"
    assert len(rows(browser)) == 1
    collector.start()
    post(collector, classification="org.example/test/two")
    wait_until(lambda: len(rows(browser)) == 2)
    assert browser.text("#trouble") is None
    assert browser.text("#state") == "live"


def test_asks_no_other_host(browser, collector):
    post(collector, MARKUP.encode(), host_type="<link href=http://other.example/x>")
    browser.open("#1")
    wait_until(lambda: browser.text("#details-title") == "Record 1")
    wait_until(lambda: rows(browser))
    asked = [url for url in browser.requested() if url != "about:blank"]
    assert {f"{browser.origin}/", f"{browser.origin}/page.js", f"{browser.origin}/page.css"} <= {
        url.split("#")[0] for url in asked}
    assert [url for url in asked if not url.startswith(browser.origin + "/")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1600])
def test_nothing_is_wider_than_the_window(browser, collector, width, scheme):
    browser.resize(width, 800, scheme)
    long = "x" * 199
    post(collector, b"y" * 5000, classification="/".join(["c" * 40] * 3), machine_id="m" * 32,
         cpu_model=long, host_type=long, board_name=long, bios_version=long, build=long,
         kernel_version="6.1" + long[:190])
    overflow = ("return [...document.querySelectorAll('body, body *')].filter(e =>"
                " e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 0.5)"
                ".map(e => e.tagName + '.' + e.className).concat("
                " document.documentElement.scrollWidth > innerWidth ? ['page'] : [])")
    browser.open()
    wait_until(lambda: browser.text("#records .row"))
    assert browser.run(overflow) == []
    browser.open("#1")
    wait_until(lambda: browser.text("#payload"))
    assert browser.run(overflow) == []
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground[4:-1].split(",")) / 3
    assert (brightness > 128) == (scheme == "light")


def test_works_with_the_keyboard_alone(browser, collector):
    post(collector)
    post(collector, classification="org.example/test/two")
    browser.open()
    wait_until(lambda: len(rows(browser)) == 2)
    down, up, escape, enter = "\ue015", "\ue013", "\ue00c", "\ue007"
    focused = "return document.activeElement.hash || document.activeElement.id"
    browser.press("/")
    assert browser.run(focused) == "classification"
    browser.press(escape)
    browser.press(down)
    assert browser.run(focused) == "#2"
    browser.press(down)
    assert browser.run(focused) == "#1"
    browser.press(up)
    browser.press(enter)
    wait_until(lambda: browser.text("#details-title") == "Record 2")
    wait_until(lambda: browser.run(focused) == "details")
    browser.press(escape)
    assert browser.text("#details") is None
    assert browser.run(focused) == "#2"


def test_what_a_record_covers_is_out_of_reach_of_the_keyboard(browser, collector):
    post(collector)
    browser.resize(390, 800)
    browser.open("#1")
    wait_until(lambda: rows(browser))
    wait_until(lambda: browser.run("return document.activeElement.id") == "details")
    reached = set()
    for _ in range(12):
        browser.press("\ue004")
        reached.add(browser.run("return document.activeElement.closest('#details, body').id"))
        reached.add(browser.run("return document.activeElement.id"))
    assert "close" in reached
    assert not reached & {"pause", "classification", "older"}
    assert not browser.run("return document.querySelector('#records a').checkVisibility("
                           "{visibilityProperty: true})")
    browser.press("\ue00c")
    wait_until(lambda: browser.run("return document.activeElement.hash") == "#1")


def test_a_record_that_is_not_there_says_so(browser):
    browser.open("#99")
    wait_until(lambda: browser.text("#payload") == "There is no such record.")
