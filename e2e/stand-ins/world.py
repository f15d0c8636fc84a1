"""Documents that outlive a sandbox, for the stand-ins: see e2e/src/world.rs."""

import json
import socket
import struct
import sys
import urllib.error
import urllib.request


class World:
    def __init__(self, url):
        self.url = url.rstrip("/")

    def _ask(self, method, path, data=None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"{self.url}/{path.lstrip('/')}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def get(self, path, default=None):
        """A document, or what is said in its place."""
        try:
            return json.loads(self._ask("GET", path))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return default
            raise

    def put(self, path, data):
        self._ask("PUT", path, data)

    def post(self, path, data):
        self._ask("POST", path, data)


def reach(host):
    """Where a registry of this machine is for a sandbox: 127.0.0.1 is the sandbox itself, its gateway the machine."""
    if not host.startswith("127.0.0.1:"):
        return host
    with open("/proc/net/route", encoding="ascii") as routes:
        gateways = [fields[2] for fields in map(str.split, routes) if fields[1] == "00000000"]
    address = socket.inet_ntoa(struct.pack("<L", int(gateways[0], 16)))
    return host.replace("127.0.0.1", address)


def fail(text, code=1):
    """Ends as a program does that was asked for something it cannot do."""
    print(text, file=sys.stderr)
    sys.exit(code)
