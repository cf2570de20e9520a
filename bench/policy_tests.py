"""`ztproxy policy test` beside `opa test`, on one package of a thousand tests, in turns.

    python -m bench.policy_tests [--tests 1000] [--rounds 5]

The package is what access policies mostly are: a list of rules in data that is walked, groups, and owners. Each test
asks for one decision. What is told is the median of the rounds, process start included: `first` is with nothing known
of the package, `again` is every later run on the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPA = ROOT / ".tools" / "bin" / "opa"
METHODS = ("GET", "POST", "PUT", "DELETE")
GROUPS = tuple(f"team-{number}" for number in range(20))
RULES = 60
POLICY = """package bench.authz

import rego.v1

default allow := false

allow if {
	some rule in data.bench.rules
	rule.method == input.request.method
	rule.group in input.principal.groups
	glob.match(rule.path, ["/"], input.request.path)
}

allow if {
	input.request.path_segments[0] == "users"
	input.request.path_segments[1] == input.principal.id
}
"""


def rules(chance: random.Random) -> list[dict[str, str]]:
    """Return the rules of the data: who may do what below which path."""
    return [
        {"group": chance.choice(GROUPS), "method": chance.choice(METHODS), "path": f"/area-{number % 30}/**"}
        for number in range(RULES)
    ]


def write(folder: Path, tests: int) -> None:
    """Write a package with this many tests, all of which hold."""
    chance = random.Random(1)
    listed = rules(chance)
    texts = ["package bench.authz_test\n\nimport data.bench.authz\nimport rego.v1\n"]
    for number in range(tests):
        groups, method = chance.sample(GROUPS, 3), chance.choice(METHODS)
        path = f"/area-{number % 30}/{number}"
        holds = any(
            rule["method"] == method and rule["group"] in groups and path.startswith(rule["path"].removesuffix("**"))
            for rule in listed
        )
        document = {
            "principal": {"id": "ana", "groups": groups},
            "request": {"method": method, "path": path, "path_segments": path.split("/")[1:]},
        }
        verdict = "authz.allow" if holds else "not authz.allow"
        texts.append(f"test_{number} if {verdict} with input as {json.dumps(document)}\n")
    (folder / "bench").mkdir()
    (folder / "bench" / "data.json").write_text(json.dumps({"rules": listed}), encoding="utf-8")
    (folder / "authz.rego").write_text(POLICY, encoding="utf-8")
    (folder / "authz_test.rego").write_text("\n".join(texts), encoding="utf-8")


def run(command: list[str], environment: dict[str, str], tests: int) -> float:
    """Run a command whose tests must all pass; return the seconds that it took."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if f"PASS: {tests}/{tests}" not in done.stdout:
        raise SystemExit(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "policies")
        folder.mkdir()
        write(folder, asked.tests)
        ours = [sys.executable, "-m", "proxy", "policy", "test", str(folder)]
        took: dict[str, list[float]] = {"ztproxy, first": [], "ztproxy, again": [], "opa test": []}
        for number in range(asked.rounds):
            kept = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(Path(name, f"cache-{number}"))}
            took["ztproxy, first"].append(run(ours, kept, asked.tests))
            took["ztproxy, again"].append(run(ours, kept, asked.tests))
            took["opa test"].append(run([str(OPA), "test", str(folder)], kept, asked.tests))
    print(f"{asked.tests} tests, {RULES} rules walked for each, median of {asked.rounds}:")
    for who, seconds in took.items():
        print(f"  {who:16} {statistics.median(seconds) * 1000:6.0f} ms")


if __name__ == "__main__":
    main()
