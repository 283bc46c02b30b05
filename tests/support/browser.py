"""Headless Chromium by its driver: one for the session, each test in a window of its own."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.node import node_modules
from tests.support.programs import find_program
from tests.support.waiting import wait_until

PHONE, DESKTOP = (390, 844), (1440, 900)
_ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
              "--disable-background-networking", "--disable-component-update", "--no-first-run")  # fmt: skip


class Browser:
    """A browser, and what tests ask of it."""

    def __init__(self, profile: Path) -> None:
        options = Options()
        options.binary_location = find_program("chromium", "chromium")
        for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(
            options=options, service=Service(find_program("chromedriver", "chromium-driver"))
        )
        self.driver.set_page_load_timeout(30)

    def quit(self) -> None:
        """End it and its driver."""
        self.driver.quit()

    def command(self, name: str, **params: Any) -> Any:
        """Send one command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, params)

    def set_up(self, *, size: tuple[int, int] = DESKTOP, dark: bool = False, scripts: bool = True) -> None:
        """Make the window as a person's: its size, light or dark, with or without JavaScript."""
        width, height = size
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)

    def open(self, address: str) -> None:
        """Go to a page."""
        self.driver.get(address)

    def one(self, selector: str) -> WebElement:
        """Return the element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "main") -> str:
        """Return what stands in an element; one that a live update replaced meanwhile is read anew."""
        while True:
            with suppress(StaleElementReferenceException):
                return str(self.one(selector).text)

    def wait_text(self, word: str, selector: str = "main", deadline: float = 15.0) -> None:
        """Wait until a word stands in an element, without the page being loaded anew."""
        wait_until(lambda: word in self._text_now(selector), deadline, what=f'"{word}" in {selector}', every=0.1)

    def _text_now(self, selector: str) -> str:
        script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : ''"
        return str(self.driver.execute_script(script, selector))

    def press(self, text: str) -> None:
        """Click the first button or link with this text, once the page that a click before asked for has it."""
        wanted = (By.XPATH, f"//*[self::button or self::a][starts-with(normalize-space(), '{text}')]")

        def pressed() -> bool:
            with suppress(NoSuchElementException, StaleElementReferenceException):
                self.driver.find_element(*wanted).click()
                return True
            return False

        wait_until(pressed, 15, what=f'a button or link "{text}"', every=0.05)

    def type_into(self, selector: str, text: str) -> WebElement:
        """Type into a field; one that a live update replaced before it had the focus is looked for anew."""
        while True:
            with suppress(StaleElementReferenceException):
                field = self.one(selector)
                field.send_keys(text)
                return field

    def keys(self, *keys: str) -> None:
        """Type into what has the focus."""
        for key in keys:
            # To the page, not to an element: a live update may have put another one in its place.
            ActionChains(self.driver).send_keys(key).perform()

    def focused(self) -> str:
        """Return the text or name of what has the focus."""
        return str(
            self.driver.execute_script(
                "const e = document.activeElement; return (e.innerText || e.name || e.id || '').trim()"
            )
        )

    def requested(self) -> list[str]:
        """Return the addresses that were asked for since the last call."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found

    def complaints(self) -> list[str]:
        """Return what the console has complained of since the last call, refused answers apart."""
        messages = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [message for message in messages if "Failed to load resource" not in message]

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong with the page, minor things apart."""
        self.driver.execute_script((node_modules() / "axe-core" / "axe.min.js").read_text())
        found = self.driver.execute_async_script("axe.run().then(arguments[0])")
        return [
            f"{rule['impact']} {rule['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for rule in found["violations"]
            if rule["impact"] in ("serious", "critical", "moderate")
            for node in rule["nodes"][:3]
        ]

    def overflows(self) -> bool:
        """Return whether the page is wider than the window."""
        return bool(
            self.driver.execute_script(
                "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )
