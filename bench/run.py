"""timim beside the floor: `make bench`, or `python -m bench.run --rounds 5 --scenarios ping,throughput`.

Runs are interleaved (A B C A B C …), each in a separate process with a fresh server and empty data, and medians are compared.
Only ratios within one run are meaningful, because machines differ and may be shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import micro
from bench.drivers import Driver
from bench.floor import FloorDriver
from bench.scenarios import SCENARIOS, Figures
from bench.timim_driver import TimimDriver, TimimMemoryDriver

DRIVERS: dict[str, type[Driver]] = {"floor": FloorDriver, "timim": TimimDriver, "timim-memory": TimimMemoryDriver}
LIMIT_S = 300
SMALLER_IS_BETTER = ("_ms", "_per_1000", "kib_", "_mib", "_us")


async def one(driver_name: str, scenario: str, n: int) -> Figures:
    run, size = SCENARIOS[scenario]
    with tempfile.TemporaryDirectory(prefix="timim-bench-", dir=os.environ.get("BENCH_DIR")) as folder:
        driver = DRIVERS[driver_name](folder)
        await driver.start()
        try:
            return await asyncio.wait_for(run(driver, n or size), LIMIT_S)
        finally:
            await driver.stop()


def in_a_process(driver: str, scenario: str, n: int) -> Figures:
    command = [sys.executable, "-m", "bench.run", "--one", driver, scenario, "--n", str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S + 60)
    if done.returncode:
        sys.exit(f"{driver} {scenario} failed:\n{done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def table(scenario: str, runs: dict[str, list[Figures]]) -> list[str]:
    """Return a Markdown table: a row for each figure, a column for each driver, and the factor against the floor."""
    names = list(runs)
    medians = {name: {key: statistics.median(run[key] for run in of) for key in of[0]} for name, of in runs.items()}
    lines: list[str] = []
    for key in medians[names[0]]:
        cells = []
        for name in names:
            value, floor = medians[name][key], medians[names[0]][key]
            better = (
                (floor / value if any(mark in key for mark in SMALLER_IS_BETTER) else value / floor) if value and floor else 0
            )
            cells.append(f"{value:,.2f}" if value < 100 else f"{value:,.0f}")
            if name != names[0]:
                cells[-1] += f" ({better:.2f} ×)"
        lines.append(f"| {scenario} {key} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("DRIVER", "SCENARIO"), help=argparse.SUPPRESS)
    parser.add_argument("--drivers", default=",".join(DRIVERS))
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n", type=int, default=0, help="number of messages; 0: the scenario's default")
    parser.add_argument("--no-micro", action="store_true", help="skip pictures, import time and local queries")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(asyncio.run(one(given.one[0], given.one[1], given.n))))
        return
    drivers = given.drivers.split(",")
    print(f"| medians of {given.rounds} runs | " + " | ".join(drivers) + " |", "|---" * (len(drivers) + 1) + "|", sep="\n")
    for scenario in given.scenarios.split(","):
        runs: dict[str, list[Figures]] = {name: [] for name in drivers}
        for _ in range(given.rounds):
            for name in drivers:
                runs[name].append(in_a_process(name, scenario, given.n))
        print("\n".join(table(scenario, runs)), flush=True)
    if not given.no_micro:
        print()
        for name, value in micro.all_of_it().items():
            print(f"| {name} | {value:,.2f} |", flush=True)


if __name__ == "__main__":
    main()
