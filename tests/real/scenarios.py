"""What a real prefork worker does when something goes wrong: all scenarios.

Each publishes tasks, by label, and interferes; what became of each is an `Outcome`. The
outcomes were observed on Celery 5.7 and 5.4 with kombu 5.7, never derived, so that the same
list can be run elsewhere and compared.
"""

from __future__ import annotations

from tests.real.around import AROUND
from tests.real.away import AWAY
from tests.real.away_in_canvases import AWAY_IN_CANVASES
from tests.real.scenario import Scenario
from tests.real.within import ENDINGS, LIMITS, LOSSES

__all__ = ["SCENARIOS"]

SCENARIOS: tuple[Scenario, ...] = (ENDINGS, LIMITS, LOSSES, *AROUND, *AWAY, *AWAY_IN_CANVASES)
