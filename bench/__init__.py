"""Measurements: each row is one module that prints one JSON line; tests never assert on time."""
