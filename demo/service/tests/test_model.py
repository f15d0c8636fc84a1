from datetime import datetime, timedelta, timezone

import pytest

from tides.datums import above
from tides.model import PERIODS, STATIONS, UnknownStation, height

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("station", sorted(STATIONS))
def test_the_water_stays_within_the_sum_of_the_amplitudes(station):
    most = sum(amplitude for amplitude, _ in STATIONS[station].values())
    for hour in range(24 * 30):
        assert abs(height(station, NOON + timedelta(hours=hour))) <= most


def test_the_tide_turns_about_twice_a_day():
    heights = [height("cuxhaven", NOON + timedelta(minutes=10 * step)) for step in range(6 * 24)]
    turns = sum(1 for a, b, c in zip(heights, heights[1:], heights[2:]) if b > a and b > c)
    assert turns in (1, 2)


def test_the_main_constituent_repeats():
    assert PERIODS["M2"] * 2 == pytest.approx(24.84, abs=0.01)


def test_an_unknown_station_is_named():
    with pytest.raises(UnknownStation, match="atlantis"):
        height("atlantis", NOON)


def test_a_datum_shifts_the_height():
    assert above("lat", 1.0) > above("msl", 1.0)
