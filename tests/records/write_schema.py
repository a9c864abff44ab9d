"""Remake ``records/schema.json`` after a change of ``records/schema.py``."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from records.schema import json_schema  # noqa: E402

(ROOT / "records" / "schema.json").write_text(json.dumps(json_schema(), indent=1, sort_keys=True) + "\n")
