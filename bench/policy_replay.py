"""`ztproxy policy replay` on one core: decisions a second, against the default policy and one of a user's own.

    python -m bench.policy_replay [--records 50000]

The log is a working day of 500 people who open 4,000 pages of one application, in a record of 1.7 kB each. Against the
default policy hardly two requests read the same, but names that its data does not hold are alike to it; of one's own
policy that cannot be known, so there the share of what was asked before counts, and it is told. Time is the process's.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from proxy.errors import POLICY_DENIED, Refused  # noqa: E402 - the checkout is on the path now
from proxy.policy.record import Spelling, spell, told_result  # noqa: E402
from proxy.workbench.case import Case, Who  # noqa: E402
from proxy.workbench.desk import Desk  # noqa: E402
from proxy.workbench.replay import policy_of, replay  # noqa: E402

CONFIG = {
    "version": 1,
    "trust_domain": "example.org",
    "listeners": [{"name": "edge", "address": "127.0.0.1:8443", "tls": {"certificate": "edge.pem", "key": "edge.key"}}],
    "identity": {"issuers": {"corp": {"issuer": "https://idp.example.org", "bearer": {"audiences": ["ztproxy"]}}}},
    "upstreams": {"wiki": {"endpoints": ["http://127.0.0.1:8080"]}},
    "routes": [
        {"name": "wiki", "host": "wiki.example.org", "upstream": "wiki",
         "allow": [{"groups": ["team-1", "team-2"], "methods": ["GET"]}, {"groups": ["team-3"], "paths": ["/docs/"]}]}
    ],
}  # fmt: skip
OWN = """package wiki.authz

import rego.v1

decision := {"allow": true, "reasons": ["reads"]} if {
	some group in input.principal.groups
	group in {"team-1", "team-2"}
	input.request.method == "GET"
} else := {"allow": true, "reasons": ["docs"]} if {
	"team-3" in input.principal.groups
	startswith(input.request.path, "/docs/")
} else := {"allow": false, "reasons": ["no"]}
"""
HEADERS = (
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"),
    ("accept", "application/json"),
    ("accept-language", "de,en;q=0.8"),
    ("cookie", "theme=dark"),
)


def write_log(path: Path, desk: Desk, records: int) -> None:
    """Write a log of the decisions that a desk makes."""
    chance, spelling = random.Random(1), Spelling(desk.engine.revision)
    with path.open("wb") as log:
        for number in range(records):
            person = chance.randrange(500)
            who = Who(f"user-{person}", f"user-{person}@example.org", (f"team-{person % 10}",), {"jti": f"{number}"})
            url = f"https://wiki.example.org/{chance.choice(['docs', 'blog'])}/{chance.randrange(2000)}"
            case = Case(chance.choice(["GET", "GET", "PUT"]), url, who, HEADERS, time=1795512600 + number / 2)
            outcome = desk.decide(case)
            assert outcome.inquiry is not None
            result, at = told_result(outcome.decision), outcome.inquiry.time
            failure = None if outcome.code is None else Refused(POLICY_DENIED, ", ".join(outcome.reasons))
            ids = f"decision-{number}", f"request-{number}"
            log.write(spell(spelling, outcome.inquiry, *ids, at, outcome.point, result, 1, failure))


def main() -> None:
    """Write a log, replay it, and print how quick that was."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--records", type=int, default=50_000)
    records = options.parse_args().records
    with tempfile.TemporaryDirectory() as folder:
        config, own, log = Path(folder, "ztproxy.yaml"), Path(folder, "own.rego"), Path(folder, "log.jsonl")
        config.write_text(json.dumps(CONFIG), encoding="utf-8")
        own.write_text(OWN, encoding="utf-8")
        write_log(log, Desk.open(config), records)
        rules = {
            "default policy": policy_of(config, None, None),
            "own policy": policy_of(config, own, "wiki/authz/decision"),
        }
        for title, again in rules.items():
            began = time.process_time()
            found = replay(again, [log])
            seconds = time.process_time() - began
            evaluated = sum(asked.evaluated for asked in again.asked)
            print(f"{title:15} {found.decisions / seconds:8,.0f} decisions a second, {evaluated:,} evaluated")


if __name__ == "__main__":
    main()
