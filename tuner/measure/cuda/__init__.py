"""CUDA: machine code without a GPU, what the compiler reports, and the process that owns the device."""
