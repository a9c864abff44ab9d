"""What a batch is made of, who makes it, and what may be switched off."""

import tracemalloc

import numpy as np
import pytest

from search_space.candidate import Context
from tests.search_space.programs import context
from tuner.models import RunModel
from tuner.options import ABLATIONS
from tuner.search import EvolutionarySearch, Scorer, search_options
from tuner.search.batch import BatchOptions, Pool, choose
from tuner.search.evolution import EvolutionOptions
from tuner.search.operators import OPERATORS, Bandit

pytestmark = pytest.mark.tvm


@pytest.fixture(scope="module")
def ctx() -> Context:
    return context("gmm:1,32,48,64")


def search(ctx: Context, disable: tuple[str, ...] = (), seed: int = 0) -> EvolutionarySearch:
    scorer = Scorer(ctx.hardware, RunModel(ctx.hardware, seed, disable), 0, "draft" not in disable)
    return EvolutionarySearch(ctx.sketches, scorer, np.random.default_rng(seed), search_options(disable))


def tell(strategy: EvolutionarySearch, proposals: list, seconds: float = 1e-3) -> None:
    for p in proposals:
        strategy.observe(p.sketch, p.row[None], [seconds * (1 + float(p.row.sum()))])


def pool(seconds: list[float], spread: float = 0.0, origin: str = "move", first: int = 0) -> Pool:
    rows = 10 * (first + np.arange(len(seconds), dtype=np.int32))[:, None] * np.ones((1, 3), np.int32)
    size = len(seconds)
    return Pool(rows, np.array(seconds), np.full(size, origin, dtype="U10"), np.full(size, spread))


def test_the_most_promising_sketches_come_first_and_suggestions_find_room() -> None:
    pools = {name: pool([seconds]) for name, seconds in (("slow", 3.0), ("middle", 2.0), ("fast", 1.0))}
    suggested = {"slow": pool([9.0], origin="transfer", first=50)}
    (only,) = choose(pools, {}, {}, {}, [], 1, BatchOptions(), is_stalled=False)
    assert only.sketch == "fast"
    crowded = pools | {f"other{i}": pool([4.0 + i]) for i in range(8)}
    found = choose(crowded, {}, {}, suggested, [], 4, BatchOptions(), is_stalled=False)
    assert [p.sketch for p in found[:3]] == ["fast", "middle", "slow"]
    assert found[3].origin == "transfer"


def test_a_batch_holds_a_share_of_every_kind() -> None:
    sure, doubtful = pool([1.0] * 40), pool([3.0] * 4, spread=4.0, origin="jump", first=100)
    pools = {"a": sure.joined(doubtful)}
    near, random = (
        {"a": pool([2.0] * 9, origin="neighbour", first=200)},
        {"a": pool([9.0], 0.0, "random", 300)},
    )
    options = BatchOptions(explore=0.05, doubtful=0.2, descent=0.2, stalled_descent=0.5)
    found = [p.origin for p in choose(pools, near, random, {}, [], 20, options, is_stalled=False)]
    assert [found.count(kind) for kind in ("neighbour", "jump", "random", "move")] == [4, 0, 1, 15]
    stalled = [p.origin for p in choose(pools, near, random, {}, [], 20, options, is_stalled=True)]
    assert stalled.count("neighbour") == 9  # all there are
    assert stalled.count("jump") == 4
    assert not choose({}, {}, {}, {}, [], 5, options, is_stalled=False)


def test_what_is_alike_errs_alike_so_doubt_spreads_a_batch() -> None:
    rows = np.zeros((6, 3), np.int32)
    rows[:5, 0] = np.arange(5)
    rows[5] = 7
    origin = np.full(6, "move", dtype="U10")

    def found(doubt: float) -> list[int]:
        crowd = Pool(rows, np.linspace(1.0, 1.1, 6), origin, np.full(6, doubt))
        near = {"a": crowd.taken(np.zeros(0, np.intp))}
        chosen = choose({"a": crowd}, near, {}, {}, [], 3, BatchOptions(), False)
        return [int(p.row[0]) for p in chosen]

    assert found(doubt=0.0) == [0, 1, 2]
    assert found(doubt=1.0) == [0, 1, 7]


def test_a_sketch_that_is_owed_a_try_gets_it() -> None:
    pools = {"sure": pool([1.0] * 9), "other": pool([5.0, 6.0], first=50)}
    near = {"sure": pool([1.0], first=90)}
    for owed, expected in (([], 0), (["other"], 1), (["gone"], 0)):
        found = choose(pools, near, {}, {}, owed, 4, BatchOptions(), is_stalled=False)
        assert len(found) == 4
        assert [p.sketch for p in found].count("other") == expected


def test_the_operator_that_pays_gets_more_children() -> None:
    bandit = Bandit(OPERATORS)
    for _ in range(30):
        bandit.saw_children(np.full(5, 100.0), np.array([50.0, 1, 1, 1, 1]))
        bandit.saw_measurement("move", True)
        bandit.saw_measurement("sample", False)
    assert bandit.shares.sum() == pytest.approx(1)
    assert bandit.shares.argmax() == bandit.names.index("move")
    assert bandit.shares.min() >= 0.05


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_part_can_be_switched_off(ctx: Context, name: str) -> None:
    strategy = search(ctx, (name,))
    for _ in range(3):
        proposals = strategy.propose(8)
        assert len(proposals) == 8
        gone = {"crossover": "crossover", "descent": "neighbour"}.get(name)
        assert gone not in [p.origin for p in proposals]
        tell(strategy, proposals)


def test_without_packing_no_candidate_packs(ctx: Context) -> None:
    assert any(".pack." in slot for sketch in ctx.sketches.values() for slot in sketch.space.places)
    for sketch in ctx.sketches.values():
        held = sketch.without("pack")
        rows = held.sample(np.random.default_rng(0), 50)
        places = [place for slot, place in sketch.space.places.items() if ".pack." in slot]
        assert not rows[:, places].any()
        assert sketch.valid(rows).all()
        for left, right in zip(held.nests(rows).stages, sketch.nests(rows).stages, strict=True):
            np.testing.assert_array_equal(left.extents, right.extents)


def test_suggested_candidates_are_measured_early(ctx: Context) -> None:
    name = next(iter(ctx.sketches))
    rows = ctx.sketches[name].sample(np.random.default_rng(3), 2)
    strategy = search(ctx)
    strategy.suggest(name, rows)
    strategy.suggest("unknown", rows)
    origins = {p.key: p.origin for p in strategy.propose(16)}
    assert [origins.get((name, row.tobytes())) for row in rows] == ["transfer", "transfer"]


@pytest.mark.parametrize("disable", [(), ("pretrained",)])
@pytest.mark.parametrize("seed", range(3))
def test_a_stall_turns_to_the_neighbours_of_the_incumbent(
    ctx: Context, disable: tuple[str, ...], seed: int
) -> None:
    strategy = search(ctx, disable, seed)
    for _ in range(4):
        proposals = strategy.propose(16)
        tell(strategy, proposals)
        for p in proposals:
            strategy.observe(p.sketch, p.row[None], [1e-6])
    assert strategy.is_stalled
    origins = [p.origin for p in strategy.propose(16)]
    # Also where the search has measured nearly all of them: those of the next best follow.
    assert origins.count("neighbour") >= 6


def test_memory_does_not_grow_with_generations(ctx: Context) -> None:
    scorer = Scorer(ctx.hardware, RunModel(ctx.hardware, 0), 0)
    options = EvolutionOptions(population=256, generations=6)
    strategy = EvolutionarySearch(ctx.sketches, scorer, np.random.default_rng(0), options)
    tell(strategy, strategy.propose(8))
    strategy.propose(8)
    tracemalloc.start()
    strategy.propose(8)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(4):
        strategy.propose(8)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 200_000
