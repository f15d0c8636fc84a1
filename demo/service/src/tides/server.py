"""The HTTP door."""

import json
import os
import signal
import sys
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tides.datums import above
from tides.model import STATIONS, UnknownStation, height


class Settings:
    """What the surroundings say."""

    def __init__(self, environ):
        self.datum = environ.get("TIDES_DATUM", "msl")
        self.environment = environ.get("TIDES_ENVIRONMENT", "development")
        self.revision = environ.get("TIDES_REVISION", "unknown")


def answer(settings, target, now):
    """Status and JSON body for a request target."""
    url = urlsplit(target)
    parts = [unquote(part) for part in url.path.split("/") if part]
    if parts == ["health"]:
        return health(settings, now)
    if parts == ["version"]:
        return 200, {
            "service": "tides",
            "revision": settings.revision,
            "environment": settings.environment,
        }
    if parts == ["stations"]:
        return 200, {"stations": sorted(STATIONS)}
    if len(parts) == 2 and parts[0] == "tides":
        return tides(settings, parts[1], parse_qs(url.query), now)
    return 404, {"error": "no such page"}


def health(settings, now):
    """Whether a height can be computed with these settings."""
    try:
        above(settings.datum, height("cuxhaven", now))
    except LookupError as problem:
        return 503, {"status": "failing", "reason": f"no height above datum {problem}"}
    return 200, {"status": "ok"}


def tides(settings, station, query, now):
    """The height at one station."""
    try:
        at = datetime.fromisoformat(query["at"][0].replace("Z", "+00:00")) if "at" in query else now
        if at.tzinfo is None:
            return 400, {"error": "`at` needs a time zone, for example 2026-01-01T12:00:00Z"}
        metres = above(settings.datum, height(station, at))
    except UnknownStation:
        return 404, {"error": f"no station {station}", "stations": sorted(STATIONS)}
    except ValueError as problem:
        return 400, {"error": str(problem)}
    return 200, {"station": station, "at": at.isoformat(), "datum": settings.datum, "metres": round(metres, 3)}


def handler(settings):
    """The request handler class for these settings."""

    class Handler(BaseHTTPRequestHandler):
        server_version = "tides"

        def do_GET(self):
            status, body = answer(settings, self.path, datetime.now(timezone.utc))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format, *args):
            sys.stdout.write(f"{self.address_string()} {format % args}\n")
            sys.stdout.flush()

    return Handler


def main():
    """Serve until told to stop."""
    settings = Settings(os.environ)
    port = int(os.environ.get("PORT", "8080"))
    server = ThreadingHTTPServer(("", port), handler(settings))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"tides {settings.revision} on port {port}, heights above {settings.datum}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
