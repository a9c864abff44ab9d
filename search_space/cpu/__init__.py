"""The CPU's ordered list of sketch rules."""

from search_space.cpu.rules import CPU_RULES

__all__ = ["CPU_RULES"]
