"""``tirtune records import``: records of other tuners."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from records.errors import without_password
from records.logfile import LINE_START
from records.memory import MemoryStore
from records.merge import merge
from records.opening import names_database, opened
from records.plans import digest
from records.schema import Line, TuningRecord
from records.store import LogView
from tuner.cli.output import only_json, print_json
from tuner.cli.parameters import (
    THREADS,
    with_debug,
    with_json,
)
from tuner.cli.records.stores import tell_problems
from tuner.errors import JobFailed, UserError
from tuner.units import counted

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
@click.option(
    "--threads", type=THREADS, metavar="N", help="For Ansor: threads that its times were taken with."
)
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
    """Add the records of SOURCE, a MetaSchedule JSON database or an Ansor log, to a log.

    Importing again adds only what is new. Logs of tirtune itself are united with `records merge`.
    """
    place = Path(source)
    _refuse_own(source, place, output)
    form = form or ("metaschedule" if place.is_dir() else "ansor")
    if threads is not None and form == "metaschedule":
        raise UserError("--threads is for Ansor logs: a MetaSchedule database holds its thread counts")
    with only_json(as_json):
        found = _read(place, form, meanings, threads, measured_here)
        tell_problems(found.problems)
        if not found.records:
            raise JobFailed(
                f"{source}: no record could be read as {form} ({len(found.problems)} were left out)"
            )
        with opened([output], read_only=False) as (store,), MemoryStore() as read:
            read.append(_stamped(found.lines, store.view()))
            done = merge([read], store)
    target = without_password(output)
    if as_json:
        problems = [str(problem) for problem in found.problems]
        values = {"source": source, "output": target, "format": form, "records": found.records}
        counts = {"added": done.added, "duplicates": done.duplicates}
        print_json(values | counts | {"problems": problems})
    else:
        click.echo(
            f"{target}: {counted(done.added, 'record')} added, {done.duplicates} were there, "
            f"{len(found.problems)} left out"
        )


def _refuse_own(source: str, place: Path, output: str) -> None:
    """Refuse what is no file or folder, and what is not another tuner's."""
    merging = f"add it with tirtune records merge {without_password(source)} -o {without_password(output)}"
    if names_database(source):
        raise UserError(f"{without_password(source)} is a store of tirtune's records: {merging}")
    if not place.exists():
        raise UserError(f"cannot read {source!r}: no such file or folder")
    if place.is_file():
        from records.interop.metaschedule_import import RECORD_FILE, WORKLOAD_FILE

        if place.name in (WORKLOAD_FILE, RECORD_FILE):
            raise UserError(f"{source} is a part of a MetaSchedule database: name its folder {place.parent}")
        if _first_bytes(place).startswith(LINE_START):
            raise UserError(f"{source} is a log of tirtune itself: {merging}")


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.readline(1 << 20)
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error


def _stamped(lines: Iterable[Line], view: LogView) -> list[Line]:
    """Give records the time of an earlier import of the same source, so that equal ones are equal lines."""
    earlier: dict[str, float] = {}
    for summary in view.summaries:
        earlier.setdefault(summary.session, summary.time_unix)
    return [
        msgspec.structs.replace(line, time_unix=earlier[line.session])
        if isinstance(line, TuningRecord) and line.session in earlier
        else line
        for line in lines
    ]


def _read(
    place: Path,
    form: str,
    meanings: tuple[str, ...],
    threads: int | None,
    here: bool,
) -> Imported:
    if form == "metaschedule":
        from records.interop.metaschedule_import import RECORD_FILE, import_database

        if meanings:
            raise UserError("--workload is for Ansor logs: a MetaSchedule database holds its workloads")
        if not place.is_dir():
            raise UserError(f"{str(place)!r} is a file: name the folder of the MetaSchedule database")
        if not (place / RECORD_FILE).exists():
            raise UserError(f"{str(place)!r} is no MetaSchedule database: it has no {RECORD_FILE}")
        first = _first_bytes(place / RECORD_FILE)
        return import_database(
            place,
            session=_session(first),
            time_unix=place.stat().st_mtime,
            environment=_environment(None) if here else None,
        )
    if place.is_dir():
        raise UserError(f"{str(place)!r} is a folder: name the file of the Ansor log")
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
        place,
        workloads=workloads,
        threads=count,
        session=_session(_first_bytes(place)),
        time_unix=place.stat().st_mtime,
        environment=environment,
    )


def _session(first_line: bytes) -> str:
    """Return the same identifier for a source wherever it lies and however it grows."""
    return f"import-{digest(first_line)}"


def _environment(threads: int | None) -> Environment:
    from records.environment import available_cores, capture_environment

    return capture_environment(threads or available_cores())
