"""Killed at any moment, the store has all that it acknowledged, and nothing by half."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np

import storing
from icecore.server.storage.opening import open_sqlite

N_IN_BATCH = 3
ROUNDS = 4

CHILD = """
import sys, threading
from pathlib import Path
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.records import OnDuplicate
from storing import batch_of, request

folder, round_, n_in_batch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
tenant = open_sqlite(folder).tenant("default")

def work(thread):
    for i in range(100_000):
        batch = f"{round_}-{thread}-{i}"
        names = [f"{batch}/{n}" for n in range(n_in_batch)]
        tenant.add_examples(
            "ants", batch_of(names), on_duplicate=OnDuplicate.REFUSE, mutation=request(batch)
        )
        sys.stdout.write(f"+ {batch}\\n")
        sys.stdout.flush()
        if i % 3 == 2:
            tenant.delete_examples("ants", names)
            sys.stdout.write(f"- {batch}\\n")
            sys.stdout.flush()

for thread in range(4):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
threading.Event().wait()
"""


def test_nothing_acknowledged_is_lost_and_nothing_is_there_by_half(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = open_sqlite(folder)
    storing.put_backbone(store)
    storing.make_collection(store.tenant("default"))
    store.close()
    chance = random.Random(3)
    added: set[str] = set()
    deleted: set[str] = set()
    for round_ in range(ROUNDS):
        for line in killed_after(folder, round_, n_lines=chance.randrange(5, 60)):
            sign, batch = line.split()
            (added if sign == "+" else deleted).add(batch)
        check(folder, added, deleted)


def killed_after(folder: Path, round_: int, *, n_lines: int) -> list[str]:
    """Let a child write until it has acknowledged so much; kill it; return what it said."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(round_), str(N_IN_BATCH)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(storing.__file__).parent)},
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(n_lines)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    # The last line may have been cut short: then it was never said.
    return [line for line in lines if line.endswith("\n")]


def check(folder: Path, added: set[str], deleted: set[str]) -> None:
    store = open_sqlite(folder)
    tenant = store.tenant("default")
    snapshot = tenant.snapshot("ants", list(storing.LAYERS))
    there: dict[str, int] = {}
    for example in snapshot.examples:
        batch = example.example_id.split("/")[0]
        there[batch] = there.get(batch, 0) + 1
    assert set(there.values()) <= {N_IN_BATCH}, "half a batch is there"
    # A deletion that was not acknowledged may have been done all the same.
    missing = added - deleted - there.keys()
    undecided = {batch for batch in missing if int(batch.split("-")[2]) % 3 == 2}
    assert missing == undecided, "acknowledged examples are lost"
    assert not deleted & there.keys(), "acknowledged deletions are undone"
    names = [example.example_id for example in snapshot.examples]
    for layer, wanted in storing.codes_of(names).items():
        np.testing.assert_array_equal(snapshot.codes[layer], wanted)
    assert tenant.collection("ants").n_examples == len(names)
    for batch in added:
        assert tenant.added_before(storing.request(batch)) is not None, "the answer is lost"
    if names:
        assert tenant.image("ants", names[0]) == f"image of {names[0]}".encode()
    store.close()
    with sqlite3.connect(folder / "icecore.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    raw.close()
