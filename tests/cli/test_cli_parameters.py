import click
import pytest

from tuner.cli.ledger import Ledger
from tuner.cli.parameters import Duration, InputShape
from tuner.events import RunProgress, TaskProgress
from tuner.options import TuneOptions
from tuner.units import bytes_text, per_cent, rate, seconds, times

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2 min", 120), ("500ms", 0.5)],
)
def test_durations(text, wanted):
    assert Duration().convert(text, None, None) == pytest.approx(wanted)


@pytest.mark.parametrize("text", ["", "s", "m5", "5m3", "1h-3m", "0", "0.0s", "nan", "inf", "1e3"])
def test_what_is_no_duration(text):
    with pytest.raises(click.BadParameter, match="1h30m"):
        Duration().convert(text, None, None)


def test_input_shapes():
    assert InputShape().convert("image=1,3,224,224", None, None) == ("image", (1, 3, 224, 224))
    assert InputShape().convert("a=b=7", None, None) == ("a=b", (7,))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.0, "0 us"),
        (1.234e-7, "0.123 us"),
        (1.234e-5, "12.3 us"),
        (4.567e-3, "4.57 ms"),
        (1.0, "1.00 s"),
        (99.99, "100.0 s"),
        (125.0, "2 min 05 s"),
        (3720.0, "1 h 02 min"),
    ],
)
def test_seconds(value, shown):
    assert seconds(value) == shown


def test_other_units():
    assert rate(123.4) == "123" and rate(None) == "-"
    assert times(12.345) == "12.3x" and per_cent(0.1234) == "12.3%"
    assert bytes_text(48 << 10) == "48.0 KiB" and bytes_text(512) == "512 B"


def progress(states, search, build, run):
    tasks = tuple(TaskProgress(str(i), 1, 1.0, 0, 0, None, False, None, s) for i, s in enumerate(states))
    return RunProgress(tasks, 0, None, 0.0, None, search, build, run)


def test_time_goes_to_the_task_at_work():
    ledger = Ledger()
    ledger.take(progress(["waiting", "waiting"], 0, 0, 0))
    ledger.take(progress(["searching", "waiting"], 0, 0, 0))
    ledger.take(progress(["measuring", "waiting"], 1, 0, 0))
    ledger.take(progress(["waiting", "waiting"], 1, 2, 3))
    ledger.take(progress(["waiting", "searching"], 1, 2, 3))
    ledger.take(progress(["waiting", "measuring"], 5, 2, 3))
    ledger.take(progress(["done", "waiting"], 5, 3, 4))
    ledger.take(progress(["done", "done"], 5, 3, 7))
    assert ledger.seconds == [{"search": 1, "build": 2, "run": 3}, {"search": 4, "build": 1, "run": 4}]


def test_a_password_does_not_get_into_logs():
    options = TuneOptions(log="postgresql://me:secret@host/records")
    assert options.to_dict()["log"] == "postgresql://me:***@host/records"
