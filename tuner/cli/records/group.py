"""The group ``tirtune records``."""

from __future__ import annotations

import click

from tuner.cli.lazy import LazyGroup

COMMANDS = {
    "best": ("tuner.cli.records.best:best", "List the best schedules of every task."),
    "show": ("tuner.cli.records.show:show", "Print records in full."),
    "stats": ("tuner.cli.records.stats:stats", "Count records, failures and times."),
    "merge": ("tuner.cli.records.merge:merge", "Add logs to another log."),
    "prune": ("tuner.cli.records.prune:prune", "Keep the best schedules of every task."),
    "verify": ("tuner.cli.records.verify:verify", "Check every byte of a log, or measure its best again."),
    "export": ("tuner.cli.records.export:export", "Write records for other programs."),
    "import": ("tuner.cli.records.import_log:import_log", "Read records of other tuners."),
}


@click.group(
    "records", cls=LazyGroup, lazy=COMMANDS, short_help="Look at, merge, check and exchange tuning logs."
)
def records() -> None:
    """Look at, merge, check and exchange tuning logs.

    LOG is a file, a database file (.db, .sqlite) or a URL such as postgresql://user@host/name.
    """
