import json
import threading
import urllib.error
import urllib.request
from datetime import datetime, timezone
from http.server import ThreadingHTTPServer

import pytest

from tides.server import Settings, answer, handler

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def test_health_is_good_with_the_default_datum():
    assert answer(Settings({}), "/health", NOW) == (200, {"status": "ok"})


def test_health_says_what_is_wrong():
    status, body = answer(Settings({"TIDES_DATUM": "moon"}), "/health", NOW)
    assert status == 503
    assert "moon" in body["reason"]


def test_version_tells_the_revision():
    settings = Settings({"TIDES_REVISION": "abc", "TIDES_ENVIRONMENT": "staging"})
    assert answer(settings, "/version", NOW) == (
        200,
        {"service": "tides", "revision": "abc", "environment": "staging"},
    )


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/tides/cuxhaven", 200),
        ("/tides/cuxhaven?at=2026-06-01T12:00:00Z", 200),
        ("/tides/cuxhaven?at=2026-06-01T12:00:00", 400),
        ("/tides/cuxhaven?at=noon", 400),
        ("/tides/atlantis", 404),
        ("/stations", 200),
        ("/elsewhere", 404),
    ],
)
def test_statuses(target, status):
    assert answer(Settings({}), target, NOW)[0] == status


def test_over_http():
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(Settings({})))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        with urllib.request.urlopen(f"{base}/stations") as response:
            assert "cuxhaven" in json.load(response)["stations"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/elsewhere")
    finally:
        server.shutdown()
        server.server_close()
