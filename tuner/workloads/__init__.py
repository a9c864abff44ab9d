"""Operators that can be tuned by name, such as ``gmm:1,512,512,512``."""

from tuner.workloads.named import is_named, named_workload
from tuner.workloads.operators import OPERATORS, Operator

__all__ = ["OPERATORS", "Operator", "is_named", "named_workload"]
