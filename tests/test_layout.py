"""The four source roots share one namespace; these laws keep them importable together."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = [ROOT / name for name in ("proto", "client", "probes", "server")]


@pytest.mark.parametrize("root", ROOTS, ids=lambda path: path.name)
def test_no_root_hides_the_others(root: Path) -> None:
    """An `__init__.py` in one `icecore/` would end the namespace package there."""
    assert (root / "icecore").is_dir(), f"{root} is not a source root any more"
    assert not (root / "icecore" / "__init__.py").exists(), f"{root.name} hides the other roots"


def test_no_folder_is_named_after_a_standard_module() -> None:
    folders = {
        path.name for root in ROOTS for path in (root / "icecore").rglob("*") if path.is_dir()
    }
    clashes = folders & set(sys.stdlib_module_names)
    assert not clashes, f"these folders shadow the standard library when run from inside: {clashes}"


def test_every_package_has_an_init() -> None:
    """Below `icecore/` packages are ordinary, so that tools find them."""
    for root in ROOTS:
        for path in (root / "icecore").rglob("*.py"):
            if path.parent.name == "versions":
                continue
            assert (path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py"


def test_the_wire_package_imports_nothing_by_itself() -> None:
    """Pure values must stay importable where protobuf may not go."""
    text = (ROOT / "proto/icecore/wire/__init__.py").read_text()
    assert "import" not in text, "icecore/wire/__init__.py pulls its modules in"
