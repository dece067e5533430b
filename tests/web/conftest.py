"""A headless Chromium that talks to nobody but the collector under test."""

import json
import os
import pathlib
import shutil
import socket
import tempfile

import pytest

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None


@pytest.fixture(scope="session")
def chromium():
    missing = [name for name, found in (("python3-selenium", webdriver), ("chromium", CHROMIUM),
                                        ("chromium-driver", DRIVER)) if not found]
    if missing:
        pytest.skip("not installed: " + ", ".join(missing))
    try:
        socket.getaddrinfo("localhost", None)
    except OSError as error:
        pytest.skip(f"the driver needs the name localhost: {error}")
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            del os.environ[name]
    profile = pathlib.Path(tempfile.mkdtemp(prefix="telem-chromium-"))
    options = Options()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update",
                     "--disable-sync", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
                     "--window-size=1600,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


class Browser:
    """The page as a reader sees it."""

    def __init__(self, driver, origin):
        self.driver = driver
        self.origin = origin

    def open(self, where=""):
        # Leaving first makes a mere change of the fragment a whole new page, too.
        self.driver.get("about:blank")
        self.driver.get(f"{self.origin}/{where}")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector):
        """The text of the first element that matches and is shown, or None."""
        return self.run(
            "const e = [...document.querySelectorAll(arguments[0])].find(e => e.checkVisibility());"
            "return e ? e.innerText : null", selector)

    def texts(self, selector):
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)

    def click(self, selector):
        self.run("document.querySelector(arguments[0]).click()", selector)

    def press(self, key):
        self.driver.switch_to.active_element.send_keys(key)

    def resize(self, width, height, scheme="light"):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def requested(self):
        """The URLs that were asked for since the last call."""
        urls = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                urls.append(message["params"]["request"]["url"])
        return urls

    def complaints(self):
        """What the browser wrote to its console since the last call: refused scripts, errors."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def browser(chromium, collector):
    page = Browser(chromium, collector.url.removesuffix("/v2/collector"))
    page.resize(1600, 900)
    page.requested()
    page.complaints()
    yield page
    chromium.get("about:blank")
