"""Ways into the tuner: model files, named operators, a user's own functions."""

from tuner.frontends.load import load, parse
from tuner.frontends.program import Model, Operators, Program, TensorSpec

__all__ = ["Model", "Operators", "Program", "TensorSpec", "load", "parse"]
