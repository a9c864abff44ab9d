"""One HTML page about a log: no scripts, no links to elsewhere, readable in any browser."""

from __future__ import annotations

import time
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from records.store import RecordStore
from tuner.report.curves import curves_of, tuning_seconds
from tuner.report.failures import causes_of
from tuner.report.figures import task_svg
from tuner.units import counted, per_cent, rate, seconds, times

_CAUSES_SHOWN = 30


def page_of(store: RecordStore) -> str:
    """Return the page about everything that a store holds."""
    view = store.view()
    curves = curves_of(view)
    machines: dict[str, Any] = {}
    for summary in view.summaries:
        there = summary.environment
        machines.setdefault(f"{there.cpu}, {counted(there.threads, 'thread')}, TVM {there.tvm}", there)
    templates = Templates(
        loader=PackageLoader("tuner.report", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"seconds": _seconds, "rate": rate, "times": times, "per_cent": per_cent}
    stages = sorted({stage for curve in curves for stage in curve.failures})
    return templates.get_template("page.html.jinja").render(
        where=view.where,
        made=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        machines=list(machines),
        records=counted(len(view.summaries), "record"),
        sessions=counted(
            len({s.session for s in view.summaries} | {h.session for h in view.headers}), "session"
        ),
        tasks=counted(len(curves), "task"),
        tuning_seconds=tuning_seconds(view),
        curves=[(f"task{i}", curve, Markup(task_svg(curve))) for i, curve in enumerate(curves)],
        stages=stages,
        causes=causes_of(store, view)[:_CAUSES_SHOWN],
        problems=[str(problem) for problem in view.problems],
    )


def _seconds(value: float | None) -> str:
    """Return a duration with the sign for micro, which pages have and some terminals lack."""
    return seconds(value).replace(" us", " µs")
