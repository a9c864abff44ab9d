"""Comparison on a GPU with PyTorch and MetaSchedule; ``scripts/bench/gpu.py`` runs it."""
