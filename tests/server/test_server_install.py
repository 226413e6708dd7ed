"""A server started where only the light client is installed says what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "faiss", "sqlalchemy"])
def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path: Path, name: str) -> None:
    code = (
        f"import sys; sys.modules[{name!r}] = None; "
        f"from icecore.server.__main__ import main; sys.exit(main(['--data', {str(tmp_path)!r}]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"icecore.server: the server needs '{name}")
    assert ended.stderr.endswith("pip install 'icecore[server]'\n")
    assert ended.stderr.count("\n") == 1
