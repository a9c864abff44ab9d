"""The machine's description."""

import subprocess
import sys
from pathlib import Path

import pytest

from records import environment

pytestmark = pytest.mark.pure


def test_this_machine_describes_itself_the_same_way_twice():
    here = environment.capture_environment(3, llvm="22.1")
    assert here == environment.capture_environment(3, llvm="22.1")
    assert (here.threads, here.llvm) == (3, "22.1")
    assert here.cpu and here.cores >= 1 and here.tvm != "not installed"


def test_features_that_compilers_do_not_use_do_not_count(tmp_path, monkeypatch):
    digests = []
    for flags in ("fpu avx2 fma", "avx2 fma svm spec_ctrl", "avx2 fma avx512f"):
        file = tmp_path / "cpuinfo"
        file.write_text(f"processor\t: 0\nmodel name\t: Some CPU @ 3\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
        monkeypatch.setattr(environment, "_CPUINFO", file)
        assert environment.cpu_name() == "Some CPU @ 3"
        digests.append(environment.isa_digest(environment.isa_features()))
    assert digests[0] == digests[1] != digests[2]


def test_without_cpuinfo_there_is_still_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_CPUINFO", tmp_path / "none")
    assert environment.cpu_name()
    assert len(environment.isa_features()) == 1
    assert environment.distribution_version("no-such-distribution") == "not installed"


def test_logs_are_read_without_the_compiler():
    """A laptop without TVM merges and reports logs."""
    modules = "jsonl memory merge query ranking reports resume verify database environment building opening"
    imports = "".join(f"import records.{module}\n" for module in modules.split())
    script = f"import sys\n{imports}sys.exit('tvm' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, check=False).returncode == 0
