"""Sketches, decision slots and populations of schedules for TensorIR programs."""
