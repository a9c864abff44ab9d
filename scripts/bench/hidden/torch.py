"""Stands in the way of PyTorch in the processes that run TVM.

TVM imports PyTorch where it is installed, and with PyTorch's modules loaded TVM's script parser is slow
enough that MetaSchedule's builder processes can time out before they have built anything. A comparison in
which the baseline fails for that would be worthless: no side that runs TVM sees PyTorch.
"""

raise ImportError("PyTorch is hidden from processes that run TVM")
