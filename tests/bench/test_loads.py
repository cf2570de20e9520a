"""What the load generators say is read to the letter, and an answer that is not 200 voids a figure."""

from __future__ import annotations

from typing import Any

import pytest

from bench.loads import Hit, bombardier_outcome, due, percentile, wrk_outcome

WRK = """\
Running 3s test @ https://localhost:19001/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.85ms    0.92ms   9.97ms   91.12%
    Req/Sec    42.06k     2.51k   46.40k    80.00%
  Latency Distribution
     50%  695.00us
     75%    0.94ms
     90%    1.12ms
     99%    1.47s
{trouble}  126211 requests in 3.00s, 33.34MB read
Requests/sec:  42070.10
Transfer/sec:     11.11MB
"""


def bombardier(**changes: Any) -> dict[str, Any]:
    counts = {f"req{status}xx": 0 for status in range(1, 6)} | {"others": 0, "req2xx": 4000}
    latency = {"percentiles": {"50": 1910, "99": 2838}}
    return {"result": {**counts, "timeTakenSeconds": 2.0, "bytesRead": 3_000_000, "latency": latency, **changes}}


def test_wrk_is_read() -> None:
    outcome = wrk_outcome(WRK.format(trouble=""))
    assert (outcome.requests, outcome.void) == (126211, "")
    assert outcome.values == pytest.approx({"rate": 42070.1, "p50": 0.695, "p99": 1470.0, "bytes": 11.6497}, rel=1e-4)


@pytest.mark.parametrize(
    ("trouble", "void"),
    [
        ("  Non-2xx or 3xx responses: 7\n", "7 answers were not 200"),
        (
            "  Socket errors: connect 0, read 3, write 0, timeout 1\n",
            "socket errors: connect 0, read 3, write 0, timeout 1",
        ),
    ],
)
def test_what_wrk_holds_against_a_run_voids_it(trouble: str, void: str) -> None:
    assert wrk_outcome(WRK.format(trouble=trouble)).void == void


def test_bombardier_is_read() -> None:
    outcome = bombardier_outcome(bombardier())
    assert (outcome.requests, outcome.void) == (4000, "")
    assert outcome.values == {"rate": 2000.0, "bytes": 1.5, "p50": 1.91, "p99": 2.838}


@pytest.mark.parametrize("kind", ["req3xx", "req4xx", "req5xx", "others"])
def test_what_bombardier_holds_against_a_run_voids_it(kind: str) -> None:
    assert bombardier_outcome(bombardier(**{kind: 2})).void == "2 answers were not 200"


def test_a_run_without_an_answer_is_void() -> None:
    assert bombardier_outcome(bombardier(req2xx=0)).void == "no answer"


def test_a_late_sender_hides_no_wait() -> None:
    rows = [
        ["1000000000", "200", "1000000", "0", "0", "", "", "", "0"],
        ["1250000000", "503", "1000000", "0", "0", "", "", "", "1"],  # due at 1.1 s
        ["1260000000", "200", "1000000", "0", "0", "", "", "", "2"],  # due at 1.2 s
    ]
    first, second, third = due(rows, 10)
    assert first == Hit(1.0, pytest.approx(0.001), 200)
    assert second == Hit(1.1, pytest.approx(0.151), 503)
    assert third == Hit(1.2, pytest.approx(0.061), 200)


def test_percentiles() -> None:
    values = [float(each) for each in range(1000, 0, -1)]
    assert percentile(values, 50) == 501
    assert percentile(values, 99) == 991
    assert percentile([7.0], 99) == 7
