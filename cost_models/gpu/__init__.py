"""Features and draft model of GPU kernels, from numeric nests; no compiler behind them."""

from cost_models.gpu.features import GPU_COLUMNS, GPU_FEATURE_VERSION, extract_gpu

__all__ = ["GPU_COLUMNS", "GPU_FEATURE_VERSION", "extract_gpu"]
