"""The root server that a command starts before it has loaded the compiler itself."""

import pytest

from tuner.measure import supervisor as supervisors
from tuner.measure.supervisor import Supervisor, start_ahead

pytestmark = pytest.mark.tvm


def test_the_next_supervisor_takes_what_was_started_ahead() -> None:
    start_ahead()
    start_ahead()
    (started,) = supervisors._AHEAD
    supervisor = Supervisor()
    try:
        assert supervisor.root().pid == started[0].pid
        assert not supervisors._AHEAD
    finally:
        supervisor.close()


def test_one_that_has_ended_is_not_taken() -> None:
    start_ahead()
    (started,) = supervisors._AHEAD
    started[0].kill()
    started[0].wait()
    supervisor = Supervisor()
    try:
        assert supervisor.root().pid != started[0].pid
    finally:
        supervisor.close()
