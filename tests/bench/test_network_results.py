"""The results of whole networks: joined, kept after a kill, bounded in time."""

import json
import sys

import pytest

from scripts.bench import networks
from scripts.bench.whole.deadline import Deadline, TimeIsUp
from scripts.bench.whole.report import ratios
from scripts.bench.whole.results import NoResults, join_results, read_results, write_results

pytestmark = pytest.mark.tvm


def result(network, **seconds):
    values = {
        "network": network,
        "seconds": seconds,
        "reasons": {},
        "errors": {},
        "compiling": {},
        "curve": [],
    }
    return values | {"ratios": ratios(values), "layers": {}}


def document(*results, **notes):
    return {"results": list(results), **notes}


def test_the_last_time_of_a_network_counts_and_every_result_names_its_run():
    old = document(result("a", tirtune=1.0, openvino=2.0), result("b", tirtune=4.0, openvino=4.0), minutes=1)
    new = document(result("b", tirtune=2.0, openvino=4.0), result("a"), minutes=2)
    joined = join_results([old, new], ["b"])
    assert [(r["network"], r["seconds"].get("tirtune"), r["run"]) for r in joined["results"]] == [
        ("b", 2.0, 1),
        ("a", 1.0, 0),
    ]
    assert [run["minutes"] for run in joined["runs"]] == [1, 2]
    assert joined["summary"]["fastest_peer"]["geometric_mean"] == pytest.approx(2.0)
    again = join_results([joined, document(result("c", predicted=1.0), minutes=3)])
    assert [(r["network"], again["runs"][r["run"]]["minutes"]) for r in again["results"]] == [
        ("b", 2),
        ("a", 1),
        ("c", 3),
    ]


def test_a_host_that_is_slow_for_a_while_does_not_decide():
    turns = {"tirtune": (2.0, 2.0, 4.0, 4.0, 4.0), "openvino": (3.0, 3.0, 3.0, 6.0, 6.0), "torch": (9.0,) * 5}
    values = result("a", tirtune=4.0, openvino=3.0, torch=9.0)
    values["outcomes"] = {side: {"turns_seconds": seconds} for side, seconds in turns.items()}
    found = ratios(values)
    assert (found["openvino"], found["torch"]) == (1.5, 2.25)
    assert found["fastest_peer"] == 1.5
    assert found["onnxruntime"] is None


@pytest.mark.parametrize("text", ["", "[]", '{"results": 1}', '{"results": [{"name": "a"}]}'])
def test_what_holds_no_results_is_named(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(NoResults, match=r"x\.json"):
        read_results(path)


def test_a_failed_write_leaves_the_file_before(tmp_path):
    path = tmp_path / "deep" / "x.json"
    write_results(document(result("a")), path)
    with pytest.raises(TypeError):
        write_results({"results": [object()]}, path)
    assert read_results(path)["results"][0]["network"] == "a"


def test_time_is_up():
    now = [0.0]
    deadline = Deadline(120.0, lambda: now[0])
    assert deadline.left(30.0) == 30.0
    now[0] = 100.0
    assert deadline.left(30.0) == 20.0
    now[0] = 121.0
    with pytest.raises(TimeIsUp, match="2 minutes"):
        deadline.left()


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["networks.py", *map(str, words)])
    monkeypatch.setattr(networks.signal, "signal", lambda *_: None)  # pytest's own handlers stay
    networks.main()


def test_a_run_keeps_the_networks_of_an_older_one(tmp_path, monkeypatch, capsys):
    path = tmp_path / "all.json"
    write_results(document(result("vit", tirtune=1.0, torch=2.0)), path)

    def failing(work, threads, a):
        assert work.deadline.left() <= 60.0 * 3.0
        raise RuntimeError("no such luck")

    monkeypatch.setattr(networks, "_measured", failing)
    monkeypatch.setattr(networks, "describe", lambda threads: {})
    run(monkeypatch, "--networks", "tiny", "--limit", 3, "--json", path, "--folder", tmp_path / "f")
    found = json.loads(path.read_text())
    assert [r["network"] for r in found["results"]] == ["vit", "tiny"]
    assert found["results"][1]["reasons"] == {"all": "RuntimeError: no such luck"}
    assert found["summary"]["fastest_peer"]["geometric_mean"] == 2.0
    assert "tiny: all: RuntimeError: no such luck" in capsys.readouterr().out


def test_joining_measures_nothing(tmp_path, monkeypatch, capsys):
    write_results(document(result("vit", tirtune=1.0, torch=2.0)), tmp_path / "a.json")
    write_results(document(result("bert", tirtune=1.0, torch=8.0)), tmp_path / "b.json")
    monkeypatch.setattr(networks, "network", lambda *_: pytest.fail("measured"))
    files = [tmp_path / name for name in ("a.json", "b.json")]
    run(monkeypatch, "--join", *files, "--json", tmp_path / "c.json")
    assert [r["network"] for r in read_results(tmp_path / "c.json")["results"]] == ["bert", "vit"]
    assert '"geometric_mean": 4.0' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"absent\.json"):
        run(monkeypatch, "--join", tmp_path / "absent.json")
