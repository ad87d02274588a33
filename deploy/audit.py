"""Hold a lock file against the known vulnerabilities: `python deploy/audit.py requirements.lock`.

Ends with 0 where none is known, 1 where one is, 2 where pip-audit fails otherwise, and 3 where nothing was checked,
since no source of advisories could be reached or pip-audit is not there. 3 is no pass.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

_AWAY = re.compile(
    r"ConnectionError|ConnectTimeout|ConnectionResetError|Max retries|Name or service not known|Could not connect|"
    r"Temporary failure in name resolution|ProxyError|timed out|\b(?:403|407|50[234]) (?:Client|Server) Error",
)
NOT_CHECKED = 3


def audit(lock: Path) -> int:
    """Run pip-audit on the lock file; the exit code."""
    program = shutil.which("pip-audit", path=str(Path(sys.executable).parent)) or shutil.which("pip-audit")
    if program is None:
        print("Not checked: pip-audit is not installed (pip install pip-audit).", file=sys.stderr)
        return NOT_CHECKED
    command = [program, "--requirement", str(lock), "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    if done.returncode == 0:
        return 0
    if re.search(r"^Found \d+ known vulnerabilit", done.stderr, re.MULTILINE):
        return 1
    if _AWAY.search(done.stderr):
        print("Not checked: no source of advisories could be reached.", file=sys.stderr)
        return NOT_CHECKED
    return 2


if __name__ == "__main__":
    raise SystemExit(max(audit(Path(name)) for name in sys.argv[1:]))
