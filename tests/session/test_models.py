"""Which model ranks before anything was measured, and what the user hears of it."""

import json

import pytest

from cost_models.pretrained import CARD_FILE, WEIGHTS_DIRECTORY
from search_space.hardware import Hardware
from tuner.models import RunModel

pytestmark = pytest.mark.tvm


def trained_on(**changes):
    (machine,) = json.loads((WEIGHTS_DIRECTORY / CARD_FILE).read_text())["hardware"]
    values = {**machine, "instruction_sets": tuple(machine["instruction_sets"]), **changes}
    return Hardware(**values)


def test_a_known_machine_needs_no_notice():
    assert RunModel(trained_on(), 0).notice == ""


def test_a_machine_that_the_weights_do_not_know_is_told():
    notice = RunModel(trained_on(name="haswell", vector_bytes=32, vector_registers=16), 0).notice
    assert notice.startswith("draft model: pre-trained weights know ")
    assert "haswell is another kind of machine" in notice


@pytest.mark.parametrize("part", ["pretrained", "draft"])
def test_who_switched_them_off_is_not_told(part):
    assert RunModel(trained_on(name="haswell", vector_bytes=32), 0, (part,)).notice == ""
