"""Children that may be needed again: a duel need not build what was built for a trial."""

from __future__ import annotations

from tuner.measure.base import Plan
from tuner.measure.protocols import Build, Builder
from tuner.measure.replay import plan_key

HOLDER = "holder"
"""Who won the last duel of the task."""

CHALLENGER = "challenger"
"""The fastest candidate of the last batch that beat the incumbent in its race."""


class KeptBuilds:
    """Keeps the builds of one task's title holder and of its next challenger, and discards the others.

    Args:
        builder: Discards builds.
    """

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._builds: dict[str, Build] = {}

    def __contains__(self, build: Build) -> bool:
        """Report whether a build is kept."""
        return any(kept is build for kept in self._builds.values())

    def keep(self, role: str, build: Build) -> None:
        """Keep a build in a role; whoever had the role is discarded."""
        before = self._builds.get(role)
        self._builds[role] = build
        if before is not None and before not in self:
            self._builder.discard(before)

    def take(self, key: str, plan: Plan) -> Build | None:
        """Hand over the build of a plan if it is kept and can still run."""
        wanted = plan_key(plan)
        for role, build in self._builds.items():
            if build.key == key and plan_key(build.plan) == wanted:
                del self._builds[role]
                if build.code or (build.handle is not None and not build.handle.is_gone):
                    return build
                self._builder.discard(build)
                return None
        return None

    def clear(self, but: str = "") -> None:
        """Discard what is kept, except for one task."""
        for role, build in list(self._builds.items()):
            if build.key != but:
                del self._builds[role]
                self._builder.discard(build)
