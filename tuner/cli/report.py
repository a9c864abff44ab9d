"""``tirtune report``: a page or a picture of a log."""

from __future__ import annotations

from pathlib import Path

import click

from records.opening import opened
from tuner.cli.output import print_json
from tuner.cli.parameters import with_debug, with_json
from tuner.cli.records.stores import tell_problems
from tuner.errors import UserError
from tuner.units import counted

PICTURES = (".svg", ".png", ".pdf")


@click.command("report", short_help="Write tuning curves and tables of a log as HTML.")
@click.argument("log", metavar="LOG")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    required=True,
    help="An .html page, or a picture of the curves: .svg, .png, .pdf.",
)
@with_json
@with_debug
def report(log: str, output: str, as_json: bool) -> None:
    """Write the tuning curves of LOG: best so far against trials and seconds, tables, failures.

    The page holds everything it needs: it can be mailed or kept.
    """
    path = Path(output)
    if path.suffix not in (".html", *PICTURES):
        raise UserError(f"--output {output} must end in .html, {', '.join(PICTURES)}")
    with opened([log]) as (store,):
        from tuner.report.curves import curves_of

        view = store.view()
        tell_problems(view.problems)
        curves = curves_of(view)
        if not curves:
            raise UserError(f"{log} holds no measurements to report: tune something with --log {log}")
        if path.suffix == ".html":
            from tuner.report.page import page_of

            try:
                path.write_text(page_of(store), encoding="utf-8")
            except OSError as error:
                raise UserError(f"cannot write {output!r}: {error.strerror or error}") from error
        else:
            from tuner.report.figures import save_figure

            save_figure(curves, path)
    trials = sum(len(curve.points) for curve in curves)
    if as_json:
        print_json({"log": log, "output": output, "tasks": len(curves), "trials": trials})
    else:
        click.echo(f"Wrote {output}: {counted(len(curves), 'task')}, {counted(trials, 'trial')}")
