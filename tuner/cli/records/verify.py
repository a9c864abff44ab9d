"""``tirtune records verify``: is every byte sound, and do the best schedules still hold here?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from records.errors import without_password
from records.opening import opened
from records.verify import verify as verify_store
from tuner.cli.output import only_json, people, print_json, table
from tuner.cli.parameters import (
    COUNT,
    THREADS,
    with_debug,
    with_json,
)
from tuner.cli.records.stores import refuse_to_overwrite, tell_problems
from tuner.errors import UserError
from tuner.units import counted, seconds, times

if TYPE_CHECKING:
    from records.store import RecordStore


REPLAYED = 3
"""Schedules of each task: the best was perhaps lucky, and those behind it are nearly as good."""


@click.command("verify", short_help="Check every byte of a log, or measure its best again.")
@click.argument("log", metavar="LOG")
@click.option("--revalidate", is_flag=True, help="Replay and measure the best schedules on this machine.")
@click.option(
    "--top", type=COUNT, metavar="K", help="Schedules of each task that --revalidate replays; 3 when absent."
)
@click.option(
    "--output", "-o", metavar="LOG", help="Where the schedules that survive --revalidate are written."
)
@click.option(
    "--threads", type=THREADS, metavar="N", help="Replay with this many threads; as recorded when absent."
)
@with_json
@with_debug
def verify(
    log: str, revalidate: bool, top: int | None, output: str | None, threads: int | None, as_json: bool
) -> int:
    """Decode everything in LOG and check identities and references; exit with 1 if anything is wrong.

    With --revalidate the best schedules are replayed, checked and timed on this machine too.
    """
    for name, value in (("--output", output), ("--top", top), ("--threads", threads)):
        if value is not None and not revalidate:
            raise UserError(f"{name} {value} needs --revalidate: a check alone replays and writes nothing")
    if output is not None:
        refuse_to_overwrite(output, [log])
    with opened([log]) as (store,):
        found = verify_store(store)
        tell_problems(found.problems)
        values: dict[str, Any] = {
            "log": without_password(log),
            "is_sound": found.is_sound,
            "records": found.records,
            "replayable": found.replayable,
            "programs": found.programs,
            "headers": found.headers,
            "problems": [str(problem) for problem in found.problems],
        }
        if not as_json:
            state = "sound" if found.is_sound else counted(len(found.problems), "problem")
            click.echo(
                f"{values['log']}: {state}, {counted(found.records, 'record')} "
                f"({found.replayable} replayable), {counted(found.programs, 'program')}, "
                f"{counted(found.headers, 'session')}"
            )
            if not found.is_sound:
                click.echo(f"What is whole goes to a new log with: tirtune records merge {log} -o NEW.jsonl")
        held = found.is_sound
        if revalidate:
            values["revalidated"] = rows = _replayed(store, top or REPLAYED, output, threads, as_json)
            held = held and all(row["failure"] is None for row in rows)
    if as_json:
        print_json(values)
    return 0 if held else 1


def _replayed(
    store: RecordStore, top: int, output: str | None, threads: int | None, as_json: bool
) -> list[dict[str, Any]]:
    with only_json(as_json):
        from tuner.revalidation import revalidate

        with opened([output] if output else [], read_only=False) as outputs:
            rows = revalidate(store, outputs[0] if outputs else None, top=top, threads=threads)
        cells = [
            [
                row["workload"],
                row["plan_key"],
                seconds(row["before_seconds"]),
                seconds(row["seconds"]),
                times(row["ratio"]),
                row["failure"] or "holds",
            ]
            for row in rows
        ]
        columns = ["task", "record", ">recorded", ">now", ">moved", "outcome"]
        people(as_json).print(table(None, columns, cells))
    return rows
