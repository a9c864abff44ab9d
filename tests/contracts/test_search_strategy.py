"""Every search strategy keeps the contract of :class:`tuner.search.base.SearchStrategy`."""

from collections.abc import Callable

import numpy as np
import pytest

from search_space.candidate import Context
from tests.search_space.programs import context
from tuner.models import RunModel
from tuner.search import EvolutionarySearch, RandomSearch, Scorer, SearchStrategy
from tuner.search.evolution import EvolutionOptions

pytestmark = pytest.mark.tvm

Factory = Callable[[Context, int], SearchStrategy]


def evolution(ctx: Context, seed: int) -> SearchStrategy:
    scorer = Scorer(ctx.hardware, RunModel(ctx.hardware, seed), 0)
    options = EvolutionOptions(population=128, generations=2)
    return EvolutionarySearch(ctx.sketches, scorer, np.random.default_rng(seed), options)


def uniform(ctx: Context, seed: int) -> SearchStrategy:
    return RandomSearch(ctx.sketches, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def ctx() -> Context:
    return context("c2d:1,8,8,16,32,3,1,1")


@pytest.fixture(params=[evolution, uniform], ids=["evolution", "random"])
def make(request: pytest.FixtureRequest) -> Factory:
    return request.param


def test_proposals_are_valid_and_distinct(ctx: Context, make: Factory) -> None:
    proposals = make(ctx, 0).propose(12)
    assert len(proposals) == 12
    assert len({p.key for p in proposals}) == 12
    for proposal in proposals:
        sketch = ctx.sketches[proposal.sketch]
        sketch.space.check(proposal.row[None])
        assert sketch.valid(proposal.row[None]).all()
        assert proposal.plan["sketch"] == proposal.sketch


def test_the_same_seed_proposes_the_same(ctx: Context, make: Factory) -> None:
    one, two = make(ctx, 3), make(ctx, 3)
    for _ in range(2):
        left, right = one.propose(8), two.propose(8)
        assert [p.key for p in left] == [p.key for p in right]
        for strategy, proposals in ((one, left), (two, right)):
            for p in proposals:
                strategy.observe(p.sketch, p.row[None], [1e-3])


def test_nothing_measured_is_proposed_again(ctx: Context, make: Factory) -> None:
    strategy = make(ctx, 1)
    seen: set[tuple[str, bytes]] = set()
    for round_ in range(4):
        proposals = strategy.propose(8)
        assert not {p.key for p in proposals} & seen
        for p in proposals:
            strategy.observe(p.sketch, p.row[None], [None if round_ == 1 else 1e-3 / (1 + round_)])
            seen.add(p.key)


def test_foreign_measurements_are_taken_or_ignored(ctx: Context, make: Factory) -> None:
    strategy = make(ctx, 2)
    strategy.observe("a-sketch-of-another-generator", np.zeros((1, 3), np.int32), [1.0])
    name = next(iter(ctx.sketches))
    rows = ctx.sketches[name].sample(np.random.default_rng(9), 5)
    strategy.observe(name, rows, [1e-3] * len(rows))
    measured = {(name, row.tobytes()) for row in rows}
    assert not {p.key for p in strategy.propose(16)} & measured


def test_a_small_space_is_exhausted(make: Factory) -> None:
    small = context("nrm:1,4,4")
    strategy = make(small, 0)
    seen = 0
    for _ in range(60):
        proposals = strategy.propose(64)
        if not proposals:
            break
        for p in proposals:
            strategy.observe(p.sketch, p.row[None], [1e-6])
        seen += len(proposals)
    else:
        pytest.fail("an exhausted space still yields proposals")
    assert 0 < seen < 500


def test_evolution_finds_a_planted_optimum_sooner_than_chance(ctx: Context) -> None:
    """Told times that depend on the decisions alone, the search must use them."""

    def seconds(name: str, row: np.ndarray) -> float:
        sizes = ctx.sketches[name].space.sizes
        return 1e-3 * (1.0 + float(np.sum(row / np.maximum(1, sizes - 1))))

    best: dict[str, float] = {}
    for label, make in (("evolution", evolution), ("random", uniform)):
        strategy = make(ctx, 4)
        found = []
        for _ in range(6):
            for p in strategy.propose(12):
                value = seconds(p.sketch, p.row)
                found.append(value)
                strategy.observe(p.sketch, p.row[None], [value])
        best[label] = min(found)
    assert best["evolution"] < best["random"]
