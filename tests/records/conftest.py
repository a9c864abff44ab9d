"""What tests that replay records replay them on; the compiler is imported only where it is used."""

import pytest


@pytest.fixture(scope="session")
def workload():
    from record_programs import matmul

    from search_space.workload import workload_of

    return workload_of(matmul(), "gmm:1,32,32,32")


@pytest.fixture(scope="session")
def target():
    from search_space.hardware import resolve_target

    return resolve_target("llvm", threads=1)
