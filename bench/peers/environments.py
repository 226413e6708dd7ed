"""An environment of its own for each peer, from PyPI, with the versions of requirements/."""

import hashlib
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements"
ENVIRONMENTS = HERE / ".environments"
INSTALL_S = 900.0


class EnvironmentMissing(Exception):
    """It could not be made; the sentence has the end of what pip said."""


def python_of(peer: str, folder: Path = ENVIRONMENTS) -> Path:
    """Return the interpreter of a peer's environment, made first if it is not there.

    Made anew where the requirements have changed since.

    Raises:
        EnvironmentMissing: venv or pip failed.
    """
    requirements = REQUIREMENTS / f"{peer}.txt"
    place = folder / peer
    stamp = place / "requirements.sha256"
    python = place / "bin" / "python"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"{peer}: making an environment (once; some minutes)", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(place)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--requirement", str(requirements)])
    stamp.write_text(wanted)
    return python


def library_folder() -> str:
    """Return where the interpreter's own shared library lies; PyTriton's stubs need it."""
    return str(sysconfig.get_config_var("LIBDIR") or "")


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace")[-1500:]
        raise EnvironmentMissing(f"{' '.join(command)}: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentMissing(f"{' '.join(command)}: not done in {INSTALL_S:.0f} s") from error
