"""Entry point of ``tirtune``: runs a command and turns what goes wrong into a line and an exit code.

Exit codes: 0 good, 1 the job failed or a check did not hold, 2 bad usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from records.environment import distribution_version
from records.errors import RecordError
from search_space.error_text import first_line
from tuner.cli.lazy import LazyGroup
from tuner.cli.output import print_json
from tuner.errors import TirtuneError

INTERRUPTED = 130
"""What shells report for a process that SIGINT ended."""

COMMANDS = {
    "tune": ("tuner.cli.tune:tune", "Tune models or operators on this machine."),
    "compile": ("tuner.cli.compile:compile", "Compile a model with the best known schedules."),
    "run": ("tuner.cli.run:run", "Run or time a compiled model."),
    "bench": ("tuner.cli.bench:bench", "Compare tuned kernels with other frameworks."),
    "records": ("tuner.cli.records.group:records", "Look at, merge, check and exchange tuning logs."),
    "report": ("tuner.cli.report:report", "Write tuning curves and tables of a log as HTML."),
    "plan": ("tuner.cli.plan:plan", "Say what a log covers of a model, and what not."),
    "explain": ("tuner.cli.explain:explain", "Say how the best schedules differ and what failed."),
    "doctor": ("tuner.cli.doctor:doctor", "Check this machine and this installation."),
}


@click.group(
    "tirtune", cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(distribution_version("tirtune"), prog_name="tirtune")
def cli() -> None:
    """Tune tensor programs, keep the measurements, compile with them.

    WORKLOAD is a model file (.onnx, .pt2), an operator such as gmm:1,512,512,512, or file.py:function.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code.

    Args:
        arguments: The words after the program's name; those of the process when absent.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run a command.

    Args:
        words: The words after the program's name.

    Returns:
        The exit code. Expected errors are one line on standard error (and with ``--json`` an object with
        the key ``error`` on standard output); with ``--debug`` the traceback comes first.
    """
    try:
        code = cli.main(words, prog_name="tirtune", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _fail(words, "interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.UsageError as error:
        _trace(words)
        where = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
        return _fail(words, error.format_message().rstrip(".") + where, 2)
    except TirtuneError as error:
        _trace(words)
        return _fail(words, str(error), error.exit_code)
    except RecordError as error:
        _trace(words)
        return _fail(words, str(error), 2)
    except Exception as error:  # the last line of defence: still one line, and how to see more
        _trace(words)
        refusal = _refusal(error, words)
        if refusal:
            return _fail(words, refusal, 2)
        hint = "" if "--debug" in words else "; run again with --debug to see where"
        return _fail(words, f"internal error: {type(error).__name__}: {first_line(error)}{hint}", 1)


def _trace(words: list[str]) -> None:
    if "--debug" in words:
        import traceback

        traceback.print_exc()


def _refusal(error: Exception, words: list[str]) -> str:
    """Say which path on the command line the system refused; empty if it was none of them."""
    if not isinstance(error, OSError) or not error.filename:
        return ""
    path = str(error.filename)
    is_given = any(path in word for word in words)
    return f"cannot use {path!r}: {error.strerror}; give another path" if is_given else ""


def _fail(words: list[str], message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"tirtune: {line}", file=sys.stderr)
    if "--json" in words:
        print_json({"error": line, "exit_code": code})
    return code


if __name__ == "__main__":
    main()
