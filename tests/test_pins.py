"""The compiler's two distributions belong together: another pair crashes in structural hashing."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from search_space.tvm_api import REQUIRED_PAIR, check_pinned_pair

pytestmark = pytest.mark.tvm

ROOT = Path(__file__).parents[1]


def test_installed_pair_is_the_required_one():
    assert {name: metadata.version(name) for name in REQUIRED_PAIR} == REQUIRED_PAIR


def test_pyproject_pins_the_required_pair():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {f"{name}=={version}" for name, version in REQUIRED_PAIR.items()} <= set(dependencies)


def test_every_other_dependency_is_bounded():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        assert "==" in requirement or (">=" in requirement and "<" in requirement), requirement


@pytest.mark.parametrize("name", sorted(REQUIRED_PAIR))
@pytest.mark.parametrize("found", ["0.1.15", "not installed"])
def test_another_pair_is_refused_with_the_remedy(name, found):
    with pytest.raises(ImportError, match=rf"needs {name}==.*found {found}.*pip install"):
        check_pinned_pair({**REQUIRED_PAIR, name: found})


def test_missing_distribution_is_refused():
    with pytest.raises(ImportError, match="found None"):
        check_pinned_pair({"apache-tvm": REQUIRED_PAIR["apache-tvm"]})


def test_the_pinned_xgboost_is_the_tested_range():
    from packaging.requirements import Requirement
    from packaging.version import Version

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (xgboost,) = [r for r in map(Requirement, project["dependencies"]) if r.name == "xgboost-cpu"]
    assert Version(metadata.version("xgboost-cpu")) in xgboost.specifier
