# SPDX-License-Identifier: Apache-2.0
"""The status page in a real browser: make check-browser. Pictures of each scene, in light and dark,
wide and narrow, go to the folder RLC_PICTURES names, for people to look at."""

import http.server
import os
import pathlib
import subprocess
import threading
import urllib.parse

import pytest

import browser_env

BUILD = pathlib.Path(os.environ["RLC_BUILDDIR"])
PICTURES = pathlib.Path(os.environ.get("RLC_PICTURES", "/tmp/status-pictures"))
SCENES = ["none", "quiet", "busy", "hostile", "full", "away", "dry"]
CSP = ("default-src 'none'; style-src 'nonce-sample'; base-uri 'none'; form-action 'none'; "
       "frame-ancestors 'none'")
CONF = """
RateLimit "3/365day" name=three
<Location "/ratelimit-status">
  SetHandler ratelimit-status
  RateLimitMode off
</Location>
"""


class Samples(http.server.BaseHTTPRequestHandler):
    """Serves made-up pages, under the rules that httpd sends with the real one."""

    def do_GET(self):
        scene = urllib.parse.urlsplit(self.path).path[1:]
        body = b""
        if scene in SCENES:
            body = subprocess.run([BUILD / "tests/integration/status_sample", scene, "html"],
                                  check=True, capture_output=True).stdout
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", CSP)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def samples():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Samples)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    assert browser_env.find(), ("no Chromium was found: install chromium-headless-shell or chromium, "
                                "or name one in RLC_CHROMIUM")
    browser = browser_env.Browser()
    yield browser
    browser.close()


# Each scene in each look: nothing is blocked, nobody else is asked, nothing sticks out at the side,
# and the colours are the scheme's.
@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scene", SCENES)
def test_looks(browser, samples, scene, scheme, width):
    page = browser.page()
    page.look(scheme, width)
    page.open(f"{samples}/{scene}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.picture(PICTURES / f"{scene}-{scheme}-{width}.png")
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert page.complaints() == []
    assert all(url.startswith(samples) for url in page.requests())
    ground = page.ask("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(244, 246, 248)" if scheme == "light" else "rgb(17, 22, 28)")


# Text from clients stays text: no script ran, no element came of it.
def test_hostile(browser, samples):
    page = browser.page()
    page.open(samples + "/hostile")
    assert page.ask("document.title") == 'Rate limits: a"><script>alert(1)</script>'
    assert page.ask("document.querySelectorAll('script,img,iframe').length") == 0
    assert page.ask("getComputedStyle(document.querySelector('main')).display") == "grid"
    assert "<script>document.title='owned'</script>" in page.ask("document.body.innerText")


# What assistive technology is told: headings, tables with their names, pictures with theirs.
def test_accessibility_tree(browser, samples):
    page = browser.page()
    page.open(samples + "/busy")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]

    def names(role):
        return [node.get("name", {}).get("value") for node in nodes
                if node.get("role", {}).get("value") == role and not node["ignored"]]
    assert "Rate limits" in names("heading")
    assert {"Limits", "Top offenders"} <= set(names("table"))
    assert {"Limit", "Allowed", "Denied", "Share denied"} <= set(names("columnheader"))
    assert any(name.startswith("login") for name in names("rowheader"))
    pictures = names("image") + names("img")
    assert any(name and "The last 10 minutes" in name and "denied" in name for name in pictures)
    assert all(pictures)


# The real page, without JavaScript: it is clicked through, loads itself anew and pauses, and no
# request leaves its own origin.
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_click(browser, start, ip, scheme):
    httpd = start(CONF)
    httpd.statuses(5, "/page.html", ip=ip)
    home = f"http://127.0.0.1:{httpd.port}"
    page = browser.page()
    page.look(scheme)
    page.scripts(False)
    page.open(home + "/ratelimit-status?refresh=1")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.picture(PICTURES / f"httpd-{scheme}.png")
    assert page.ask("document.querySelector('.tile dd').textContent") == "3"
    httpd.get("/page.html", ip + "9")
    page.wait("Page.loadEventFired", 2)  # by itself, within a second or so
    assert page.ask("document.querySelector('.tile dd').textContent") == "4"
    page.click('a[href="?refresh=off"]')
    assert page.ask("location.search") == "?refresh=off"
    assert page.ask("document.querySelector('meta[http-equiv]')") is None
    assert "paused" in page.ask("document.body.innerText")
    page.click('a[href="?refresh=5"]')
    assert page.ask("document.querySelector('meta[http-equiv]').content") == "5"
    page.click('a[href="?format=json"]')
    assert '"denied":2' in page.ask("document.body.innerText")
    assert page.complaints() == []
    assert page.requests() and all(url.startswith(home + "/") for url in page.requests())
