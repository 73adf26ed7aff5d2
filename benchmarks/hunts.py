"""Measure how soon an exploration finds a bug: the four of `examples/exactly_once`, seed by seed.

Run ``python benchmarks/hunts.py [--seeds N] [--runs N]``; some minutes. Ends with status 1 when
a bug is not found within so many schedules for one of the seeds.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
from pathlib import Path

from figures.row import Row, table

EXAMPLE = Path(__file__).parent.parent / "examples" / "exactly_once"


def main() -> int:
    """Hunt each bug with each seed, print how many schedules it took, and whether all were found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="seeds, from 0")
    parser.add_argument("--runs", type=int, default=300, help="the most schedules for each")
    options = parser.parse_args()
    os.environ["EXACTLY_ONCE_DB"] = ":memory:"
    sys.path[:0] = [str(EXAMPLE), str(EXAMPLE / "tests")]
    logging.disable(logging.CRITICAL)  # of killed processes, which are part of it
    from hunts import HUNTS

    rows = []
    for hunt in HUNTS:
        took, missed = [], []
        for seed in range(options.seeds):
            found = hunt.run(runs=options.runs, seed=seed)
            if found.failure is None:
                missed.append(seed)
            else:
                took.append(found.schedules)
        said = f"median {statistics.median(took):g}, most {max(took)} schedules" if took else ""
        if missed:
            said += f"; missed by seeds {', '.join(map(str, missed))}"
        rows.append(Row(str(hunt), len(took), "seeds", at_least=options.seeds, note=said))
    print(table(rows))
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
