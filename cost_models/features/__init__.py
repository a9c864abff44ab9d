"""Features of schedules, computed from loop nests without lowering."""

from cost_models.features.columns import COLUMNS, FEATURE_VERSION, Column
from cost_models.features.extract import extract, extract_with_draft

__all__ = ["COLUMNS", "FEATURE_VERSION", "Column", "extract", "extract_with_draft"]
