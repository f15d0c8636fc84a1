"""The height of the tide as a sum of harmonic constituents."""

import math
from datetime import datetime, timezone

# Hours a constituent takes for one turn.
PERIODS = {"M2": 12.4206012, "S2": 12.0, "K1": 23.93447213, "O1": 25.81933871}

# Amplitude in metres and phase in degrees, by station and constituent.
STATIONS = {
    "cuxhaven": {"M2": (1.34, 335.0), "S2": (0.36, 44.0), "K1": (0.07, 32.0), "O1": (0.11, 264.0)},
    "vlissingen": {"M2": (1.75, 59.0), "S2": (0.48, 117.0), "K1": (0.07, 16.0), "O1": (0.11, 190.0)},
    "den-helder": {"M2": (0.66, 161.0), "S2": (0.18, 222.0), "K1": (0.08, 348.0), "O1": (0.10, 185.0)},
}

EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)


class UnknownStation(LookupError):
    """Nobody measured there."""


def height(station, at):
    """Metres above mean sea level at `station` at the time `at`."""
    try:
        constituents = STATIONS[station]
    except KeyError:
        raise UnknownStation(station) from None
    hours = (at - EPOCH).total_seconds() / 3600
    return sum(
        amplitude * math.cos(2 * math.pi * hours / PERIODS[name] - math.radians(phase))
        for name, (amplitude, phase) in constituents.items()
    )
