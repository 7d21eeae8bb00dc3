"""Does a stage of this process do its work: asked by /readyz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from stream.intake import Intake


class StageReadiness:
    """Whether a stage reads its partitions and nothing holds it up."""

    def __init__(self) -> None:
        self._intake: Intake | None = None

    def begin(self, intake: Intake) -> None:
        """The stage is there. Before, its model may still be loading."""
        self._intake = intake

    def probe(self) -> str:
        """What it does, in one line. Raises GroundswellError saying what it waits for. May be asked from any thread."""
        from stream.intake import Phase

        if self._intake is None:
            raise TemporaryError("it is starting")
        health = self._intake.health
        if health.failed:
            raise PermanentError("it can't go on; its log says why")
        if health.blocked_by is not None:
            raise TemporaryError(f"it waits: {health.blocked_by}")
        if health.phase is Phase.JOINING:
            raise TemporaryError("it waits for its partitions")
        if health.phase is Phase.RELEASING:
            raise TemporaryError("it gives its partitions up")
        if not health.partitions:
            return "has no partitions: others have them all"
        return f"reads {health.partitions} partitions"
