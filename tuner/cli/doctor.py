"""``tirtune doctor``: is this machine fit for tuning?"""

from __future__ import annotations

import click
from rich.text import Text

from tuner.cli.output import only_json, people, print_json, table
from tuner.cli.parameters import (
    with_debug,
    with_json,
    with_machine,
)

_STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}


@click.command("doctor", short_help="Check this machine and this installation.")
@with_machine
@click.option("--log", metavar="LOG", help="A log that is to be written; one in this folder when absent.")
@click.option("--speed/--no-speed", default=True, show_default=True, help="Whether to measure the peak rate.")
@with_json
@with_debug
def doctor(target: str | None, threads: int | None, log: str | None, speed: bool, as_json: bool) -> int:
    """Check this machine and this installation; exit with 1 if something will not work."""
    with only_json(as_json):
        from tuner.doctor import examine

        checks = list(examine(target, threads, log, speed))
    bad = any(check.state == "bad" for check in checks)
    if as_json:
        values = {
            check.name: {
                "state": check.state,
                "value": check.value,
                "remedy": check.remedy,
                "data": check.data,
            }
            for check in checks
        }
        print_json({"is_fit": not bad, "checks": values})
    else:
        rows = [[c.name, Text(c.state, style=_STYLES[c.state]), c.value, c.remedy] for c in checks]
        people(False).print(table(None, ["checked", "state", "found", "what to do"], rows))
    return 1 if bad else 0
