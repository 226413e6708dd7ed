"""The Python in docs/CLIENT.md runs, on images drawn in place of the demo's and on the toy."""

import os
import re
import subprocess
import sys
from pathlib import Path

from cli_runs import photo
from servers import serving

PAGE = Path(__file__).parents[2] / "docs" / "CLIENT.md"


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    for number, label in enumerate(("3", "8")):
        for seed in range(6):
            path = tmp_path / "demo-out" / "images" / label / f"{seed}.png"
            photo(path, 100 * number + seed, colour=(180 * number, 0, 90))
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    # The toy has three depths.
    script = re.sub(r"\b(9|17|33)\b", lambda found: str(int(found[1]) // 17 + 1), "\n".join(blocks))
    environment = {name: text for name, text in os.environ.items() if "ICECORE" not in name}
    with serving(tmp_path / "data") as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            cwd=tmp_path,
            env={**environment, "ICECORE_SERVER": server.address},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    batch, best, trained, predicted = done.stdout.splitlines()
    assert batch == f"{tuple(range(12))} (12, 6) []"
    assert best.startswith("{'codestransformer__layer': ")
    assert "/3:three/avg Accuracy(" in trained
    assert predicted.startswith("['3' '3'] [0.")
