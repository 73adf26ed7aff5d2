"""Measure this project against Celery's own fixtures, and its figures against their bounds.

Run ``python benchmarks/compare.py [--quick] [--json]``. Everything in the table is measured
in this one run; ends with status 1 when a bound does not hold.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version

from figures import contexts, digests, servers, sessions, simulation, startup
from figures.row import Row, table


def main() -> int:
    """Measure, print, and say whether all bounds hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, rougher figures")
    parser.add_argument("--json", action="store_true", help="write JSON instead of a table")
    options = parser.parse_args()
    quick: bool = options.quick

    families: dict[str, Callable[[], list[Row]]] = {
        "start-up": lambda: startup.rows(5 if quick else 21),
        "tests": lambda: sessions.rows(sessions.contest(quick=quick)),
        "simulation": lambda: simulation.rows(quick=quick),
        "servers": lambda: servers.rows(quick=quick),
        "contexts": lambda: contexts.rows(100 if quick else 1_000),
        "digests": lambda: digests.rows(5 if quick else 30),
    }
    rows: list[Row] = []
    for name, measure in families.items():
        print(f"measuring: {name} …", file=sys.stderr)
        rows += measure()

    machine = {
        "python": platform.python_version(),
        "celery": version("celery"),
        "pytest": version("pytest"),
        "machine": f"{platform.system()} {platform.machine()}",
        "quick": quick,
    }
    if options.json:
        told = [{**asdict(row), "holds": row.holds} for row in rows]
        print(json.dumps({**machine, "rows": told}, indent=2))
    else:
        print(", ".join(f"{name} {value}" for name, value in machine.items()))
        print()
        print(table(rows))
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
