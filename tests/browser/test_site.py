"""The site in a real browser, on a phone's width and in the dark; nothing but it is reached."""

import functools
import http.server
import threading
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "build" / "site"
FOUND = [path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")]
NAMES = sorted(name for name in FOUND if not name.startswith("_static"))
pytestmark = pytest.mark.browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    """The address of the site, served on this machine."""
    if not NAMES:
        pytest.skip("build/site is not there: make site")
    serve = functools.partial(Quiet, directory=SITE)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def phone(page, address):
    """A dark page as wide as a phone, and what it could not load or run."""
    context = page.context.browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme="dark"
    )
    phone = context.new_page()
    phone.faults = []

    def note(request):
        # a font that is still on its way when the next page is opened is no fault of the site's
        if not (request.url.startswith(address) and request.failure == "net::ERR_ABORTED"):
            phone.faults.append(f"{request.url}: {request.failure}")

    phone.on("requestfailed", note)
    phone.on("pageerror", lambda error: phone.faults.append(str(error)))
    phone.route(lambda url: not url.startswith((address, "data:")), lambda route: route.abort())
    yield phone
    context.close()


def test_every_page_fits_a_phone_and_needs_no_network(address, phone, screenshots):
    too_wide = {}
    for name in NAMES:
        phone.goto(f"{address}/{name}")
        width = phone.evaluate("document.documentElement.scrollWidth")
        if width > 390:
            too_wide[name] = width
        if name in ("index.html", "labs/02_mlp.html", "glossary.html"):
            phone.screenshot(path=screenshots / f"site_{Path(name).stem}.png")
    assert phone.faults == []
    assert too_wide == {}


def test_formulas_are_drawn_and_the_search_finds(address, phone):
    for name in [name for name in NAMES if name.startswith("labs/")]:
        phone.goto(f"{address}/{name}")
        if phone.locator(".math").count():
            phone.locator("mjx-container").first.wait_for(state="attached")
        assert phone.locator("mjx-merror").count() == 0, name
    phone.goto(f"{address}/search.html?q=temperature")
    phone.locator("#search-results li a", has_text="Lab").first.wait_for()
    assert phone.faults == []
