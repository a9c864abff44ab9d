"""Measurement: isolated builds, racing timings, correctness checks, replay and remote devices."""
