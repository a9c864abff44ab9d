import sys
from pathlib import Path

# The benchmark is no installed package: it lives in the repository only.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
