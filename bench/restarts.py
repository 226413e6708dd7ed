"""What do clients notice of a server that is ended and started again under load?

A server as a user starts it, with the default backbone, is ended by SIGTERM and started
again N times on the same port, some of the starts being ended too before they serve. All
the while clients embed (blocking and awaited, single calls and streams), add examples and
search without pause, with their own retries. Prints what they saw, how soon one who watches
the health is told, and how long a restart takes. The law: no error, NOT_SERVING within
100 ms, status 0, and every example that was added is there, once. Cut starts too end with
status 0; but while Python starts and nobody listens for signals yet, SIGTERM may kill them.

Usage: python bench/restarts.py [--restarts N] [--up SECONDS]
"""

import argparse
import signal
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from restarting import restarts
from servers import start

CUT_SHORT_S = (0.05, 0.4, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--up", type=float, default=1.5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        start(data, "--until-idle", "0.1").communicate()  # the default backbone is built once
        course = restarts(
            data, options.restarts, up_s=options.up, cut_short_s=CUT_SHORT_S[: options.restarts]
        )
    print(f"{'calls':>16} {'n':>6} {'median ms':>10} {'longest ms':>11}")
    for kind, ms in sorted(course.ms.items()):
        print(f"{kind:>16} {len(ms):6} {statistics.median(ms):10.1f} {max(ms):11.1f}")
    print(f"errors that clients saw: {len(course.errors)}   {course.errors[:5] or ''}")
    print(f"examples added, and there once: {course.n_added}")
    told, ended, started = course.told_ms, course.ended_s, course.started_s
    print(f"NOT_SERVING after ms: median {statistics.median(told):.1f}, most {max(told):.1f}")
    print(f"ended after s: median {statistics.median(ended):.2f}, most {max(ended):.2f}")
    print(f"serving after s: median {statistics.median(started):.2f}, most {max(started):.2f}")
    print(
        f"exit statuses: {dict(course.statuses)}; of cut starts: {dict(course.cut_short)}, "
        f"of those cut before they listened for signals: {dict(course.cut_unheard)}"
    )
    met = (
        not course.errors
        and max(told) <= 100
        and {*course.statuses, *course.cut_short} == {0}
        and {*course.cut_unheard} <= {0, -signal.SIGTERM}
    )
    print("met" if met else "NOT met")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
