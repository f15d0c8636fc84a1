"""How high the water stands: harmonic constituents, datums, and an HTTP door to both."""
