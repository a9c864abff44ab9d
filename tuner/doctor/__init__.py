"""Checks of a machine and an installation, each a question with an answer and a remedy."""

from tuner.doctor.check import Check, State
from tuner.doctor.examine import examine

__all__ = ["Check", "State", "examine"]
