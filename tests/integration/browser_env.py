# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium of the tests' own, driven through its debugging pipe: messages in JSON, each
ended by a NUL, as https://chromedevtools.github.io/devtools-protocol/ describes them."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]


def find():
    """The browser's path, or None."""
    names = [os.environ["RLC_CHROMIUM"]] if os.environ.get("RLC_CHROMIUM") else NAMES
    return next((path for path in map(shutil.which, names) if path), None)


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="ratelimit-browser-")
        theirs_in, self.out = os.pipe()
        self.into, theirs_out = os.pipe()
        # The child's ends are to be 3 and 4, which may be taken here.
        ends = [os.dup(theirs_in), os.dup(theirs_out)]

        def place():
            os.dup2(ends[0], 10)
            os.dup2(ends[1], 11)
            os.dup2(10, 3)
            os.dup2(11, 4)
        self.process = subprocess.Popen(
            [find(), "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--disable-sync",
             "--disable-background-networking", "--disable-component-update",
             f"--user-data-dir={self.folder}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=place, close_fds=False)
        for fd in [theirs_in, theirs_out, *ends]:
            os.close(fd)
        self.buffer = b""
        self.last = 0
        self.events = []

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.into)
        os.close(self.out)
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, until):
        """One message; raises when there is none in time."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.into], [], [], max(0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self.into, 1 << 20)
            assert more, "the browser has ended"
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, seconds=30, **params):
        self.last += 1
        number = self.last
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + seconds
        while True:
            answer = self.read(until)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def page(self):
        return Page(self)


class Page:
    def __init__(self, browser):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target,
                                    flatten=True)["sessionId"]
        for domain in ["Page", "Network", "Runtime", "Log", "Accessibility"]:
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def events(self, method):
        return [e["params"] for e in self.browser.events
                if e.get("sessionId") == self.session and e.get("method") == method]

    def wait(self, method, n, seconds=30):
        """Waits until |n| events of this kind have come."""
        until = time.monotonic() + seconds
        while len(self.events(method)) < n:
            self.browser.events.append(self.browser.read(until))

    def look(self, scheme="light", width=1280, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def scripts(self, on):
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def open(self, url):
        loads = len(self.events("Page.loadEventFired"))
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired", loads + 1)

    def ask(self, expression):
        """What an expression of JavaScript gives, evaluated from outside the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector):
        """A mouse's click into the middle of an element, and the wait for where it leads."""
        x, y = self.ask(f"(()=>{{const e=document.querySelector({json.dumps(selector)});"
                        "e.scrollIntoView({block:'center'});const b=e.getBoundingClientRect();"
                        "return [b.x+b.width/2,b.y+b.height/2]})()")
        loads = len(self.events("Page.loadEventFired"))
        for kind in ["mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
                      clickCount=1)
        self.wait("Page.loadEventFired", loads + 1)

    def requests(self):
        """The addresses that were asked for."""
        return [e["request"]["url"] for e in self.events("Network.requestWillBeSent")]

    def complaints(self):
        """What the browser has logged: blocked content, errors."""
        logged = [e["entry"]["text"] for e in self.events("Log.entryAdded")]
        return logged + [str(e) for e in self.events("Runtime.exceptionThrown")]

    def picture(self, path):
        """The whole page, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip=clip)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
