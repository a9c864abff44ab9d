"""Children that may be needed again: a duel need not build what was built for a trial."""

from __future__ import annotations

from tuner.measure.base import Plan
from tuner.measure.protocols import Build, Builder
from tuner.measure.replay import plan_key

RIVALS = 2
"""How many of the fastest builds are kept besides the holder's: those that run against it once more."""


class KeptBuilds:
    """Keeps the builds of one task's title holder and of its fastest rivals, and discards the others.

    Args:
        builder: Discards builds.
    """

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._holder: Build | None = None
        self._rivals: list[tuple[float, Build]] = []

    def __contains__(self, build: Build) -> bool:
        """Report whether a build is kept."""
        return any(kept is build for kept in self._all())

    def crown(self, build: Build) -> None:
        """Keep the build of who won the last duel of the task instead of the one before."""
        before, self._holder = self._holder, build
        if before is not None and before not in self:
            self._builder.discard(before)

    def offer(self, build: Build, seconds: float) -> None:
        """Keep a build as long as no more than :data:`RIVALS` are faster."""
        self._rivals = sorted([*self._rivals, (seconds, build)], key=lambda rival: rival[0])
        for _, slowest in self._rivals[RIVALS:]:
            self._rivals.pop()
            if slowest not in self:
                self._builder.discard(slowest)

    def take(self, key: str, plan: Plan) -> Build | None:
        """Hand over the build of a plan if it is kept and can still run."""
        wanted = plan_key(plan)
        for build in self._all():
            if build.key == key and plan_key(build.plan) == wanted:
                self._drop(build)
                if build.code or (build.handle is not None and not build.handle.is_gone):
                    return build
                self._builder.discard(build)
        return None

    def clear(self, but: str = "") -> None:
        """Discard what is kept, except for one task."""
        for build in self._all():
            if build.key != but:
                self._drop(build)
                self._builder.discard(build)

    def _all(self) -> list[Build]:
        holder = [] if self._holder is None else [self._holder]
        return [*holder, *(build for _, build in self._rivals)]

    def _drop(self, build: Build) -> None:
        self._holder = None if self._holder is build else self._holder
        self._rivals = [rival for rival in self._rivals if rival[1] is not build]
