"""Headless Chromium, driven over its DevTools pipe: no driver, no package, no port.

with Browser(tmp_path / "profile") as browser:
    browser.open("http://127.0.0.1:8321/#token")
    browser.type("#question", "1 + 1?")
    browser.wait_for("document.querySelector('.text')?.textContent === '2'")
"""

import base64
import json
import os
import shutil
import subprocess
import time

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the page with")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync "
    "--disable-component-update --disable-dev-shm-usage --remote-debugging-pipe about:blank"
)


class BrowserError(Exception):
    """The browser can't do a command; while it goes to another page it can run none."""


class Browser:
    """One page. ``console`` has what the page wrote there, errors included."""

    def __init__(self, profile, width=1000, height=800):
        self._profile, self._size = profile, (width, height)
        self._number = 0
        self.console = []

    def __enter__(self):
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={self._profile}"]
        # Chromium reads commands on descriptor 3 and writes to 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "browser", *command]
        log = self._profile.with_suffix(".log").open("w")
        self._process = subprocess.Popen(shell, pass_fds=(to_read, to_write), stdout=log, stderr=log)
        for descriptor in (to_read, to_write):
            os.close(descriptor)
        self._rest = b""
        self._session = None
        page = next(t for t in self.do("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self.do("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")
        self.resize(*self._size)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        for descriptor in (self._read, self._write):
            os.close(descriptor)

    def do(self, method, **parameters):
        """The result of one DevTools command; events that come before it are noted."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        while (message := self._message()).get("id") != self._number:
            if message.get("method") == "Runtime.exceptionThrown":
                self.console.append(message["params"]["exceptionDetails"]["exception"].get("description"))
            elif message.get("method") == "Log.entryAdded":
                self.console.append(message["params"]["entry"]["text"])
        if "error" in message:
            raise BrowserError(method, message["error"]["message"])
        return message["result"]

    def _message(self):
        while b"\0" not in self._rest:
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def resize(self, width, height, scheme="light"):
        """Window and colour scheme."""
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.do("Emulation.setEmulatedMedia", features=features)

    def open(self, url):
        self.do("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        """The value of a JavaScript expression on the page."""
        done = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, condition, seconds=60):
        until = time.monotonic() + seconds
        while not self._holds(condition):
            assert time.monotonic() < until, (condition, self.run("document.body.innerText"), self.console)
            time.sleep(0.05)

    def _holds(self, condition):
        try:
            return self.run(f"Boolean({condition})")
        except BrowserError:
            return False

    def click(self, selector):
        """A click of the mouse in the middle of an element."""
        script = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'nearest'}); "
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        place = self.run(script)
        for kind in ("mousePressed", "mouseReleased"):
            self.do(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )

    def type(self, selector, text, enter=True):
        """Text into a field, as by the keyboard."""
        self.click(selector)
        self.do("Input.insertText", text=text)
        if enter:
            for kind in ("keyDown", "keyUp"):
                self.do(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    key="Enter",
                    windowsVirtualKeyCode=13,
                    text="\r" * (kind == "keyDown"),
                )

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot")["data"]))
