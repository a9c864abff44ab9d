"""``tirtune records import``: records of other tuners."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tuner.cli.output import only_json, print_json
from tuner.cli.parameters import with_debug, with_json
from tuner.cli.records.stores import opened, tell_problems
from tuner.errors import JobFailed, UserError

if TYPE_CHECKING:
    from records.interop.foreign import Imported
    from records.schema import Environment


@click.command("import", short_help="Read records of other tuners.")
@click.argument("source", metavar="SOURCE")
@click.option(
    "--output", "-o", metavar="LOG", required=True, help="The log to add to; made when it is missing."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["metaschedule", "ansor"]),
    help="A folder is a MetaSchedule database and a file an Ansor log when absent.",
)
@click.option(
    "--workload",
    "meanings",
    metavar="KEY=WORKLOAD",
    multiple=True,
    help="For Ansor: what a workload key means, such as matmul=gmm:1,512,512,512.",
)
@click.option("--threads", type=int, metavar="N", help="For Ansor: threads that its times were taken with.")
@click.option(
    "--measured-here",
    is_flag=True,
    help="The times are this machine's. Otherwise no look-up uses them before they are measured again.",
)
@with_json
@with_debug
def import_log(
    source: str,
    output: str,
    form: str | None,
    meanings: tuple[str, ...],
    threads: int | None,
    measured_here: bool,
    as_json: bool,
) -> None:
    """Add the records of SOURCE, a MetaSchedule JSON database or an Ansor log, to a log."""
    place = Path(source)
    if not place.exists():
        raise UserError(f"cannot read {source!r}: no such file or folder")
    form = form or ("metaschedule" if place.is_dir() else "ansor")
    with only_json(as_json):
        found = _read(place, form, meanings, threads, measured_here)
        tell_problems(found.problems)
        if not found.records:
            raise JobFailed(
                f"{source}: no record could be read as {form} ({len(found.problems)} were left out)"
            )
        with opened([output], read_only=False) as (store,):
            store.append(found.lines)
    if as_json:
        problems = [str(problem) for problem in found.problems]
        values = {"source": source, "output": output, "format": form, "records": found.records}
        print_json(values | {"problems": problems})
    else:
        click.echo(f"{output}: {found.records} records added, {len(found.problems)} left out")


def _read(place: Path, form: str, meanings: tuple[str, ...], threads: int | None, here: bool) -> Imported:
    session, now = f"import-{uuid.uuid4().hex[:12]}", time.time()
    if form == "metaschedule":
        from records.interop.metaschedule_import import import_database

        if meanings:
            raise UserError("--workload is for Ansor logs: a MetaSchedule database holds its workloads")
        if not place.is_dir():
            raise UserError(f"{str(place)!r} is a file: name the folder of the MetaSchedule database")
        return import_database(
            place, session=session, time_unix=now, environment=_environment(threads) if here else None
        )
    from records.environment import available_cores
    from records.interop.ansor_import import import_log as read_ansor
    from tuner.workloads import named_workload

    workloads = {}
    for meaning in meanings:
        key, separator, spec = meaning.rpartition("=")
        if not separator or not key or ":" not in spec:
            raise UserError(f"--workload {meaning!r} is not KEY=WORKLOAD, such as matmul=gmm:1,512,512,512")
        workloads[key] = named_workload(spec)
    if not workloads:
        raise UserError(
            "an Ansor log names its workloads by key only: say what they mean with --workload KEY=WORKLOAD"
        )
    count = threads or available_cores()
    environment = _environment(count) if here else None
    return read_ansor(
        place, workloads=workloads, threads=count, session=session, time_unix=now, environment=environment
    )


def _environment(threads: int | None) -> Environment:
    from records.environment import available_cores, capture_environment

    return capture_environment(threads or available_cores())
