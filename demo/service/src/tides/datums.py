"""Zero levels: metres of each below mean sea level."""

DATUMS = {
    "msl": 0.0,
    "nap": 0.02,
    "lat": 1.31,
}


def above(datum, height):
    """A height above mean sea level, as a height above this datum."""
    return height + DATUMS[datum]
