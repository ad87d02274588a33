"""Only locked versions are installed: hashes are checked, a bill of materials lists them, an audit checks them."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"


def made() -> bytes:
    command = [sys.executable, ROOT / "deploy" / "sbom.py", LOCK, "1.2.3"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_s16_the_bill_of_materials_names_every_locked_package_by_its_hashes_and_is_the_same_each_time():
    first = made()
    assert first == made()
    bill = json.loads(first)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    assert {(one["name"], one["version"]) for one in bill["components"]} == {
        (re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in locked.items()
    }
    hashes = [one["content"] for part in bill["components"] for one in part["hashes"]]
    assert len(hashes) == LOCK.read_text(encoding="utf-8").count("--hash=sha256:")
    refs = [part["bom-ref"] for part in bill["components"]]
    assert len(set(refs)) == len(refs)
    assert bill["dependencies"][0]["dependsOn"] == refs


@pytest.mark.parametrize("lock", ["aiohttp\n", "aiohttp==1.0\n", "aiohttp @ file:///x\n"])
def test_s16_a_line_that_pins_nothing_or_has_no_hash_makes_no_bill(lock):
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "deploy" / "sbom.py")
    sbom = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sbom)
    with pytest.raises(ValueError, match=r"pins nothing|no hash"):
        sbom.bill(lock, "1")


@pytest.mark.parametrize(
    ("says", "ends", "code"),
    [
        ("No known vulnerabilities found", 0, 0),
        ("Found 2 known vulnerabilities in 1 package", 1, 1),
        ("requests.exceptions.ConnectionError: Max retries exceeded", 1, 3),
        ("HTTPError: 403 Client Error: Forbidden", 1, 3),
        ("yarl Dependency not found on PyPI and could not be audited: yarl\nNo known vulnerabilities found", 0, 3),
        ("Found 1 known vulnerability in 1 package, and yarl could not be audited", 1, 1),
        ("ERROR: the lock cannot be read", 1, 2),
        (None, 0, 3),
    ],
)
def test_s16_an_audit_that_could_not_ask_is_no_pass(tmp_path, says, ends, code):
    if says is not None:
        program = tmp_path / "pip-audit"
        program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {ends}\n", encoding="utf-8")
        program.chmod(0o755)
    script = (
        f"import sys; sys.executable = '{tmp_path}/python'; sys.path.insert(0, 'deploy'); import audit; "
        "from pathlib import Path; raise SystemExit(audit.audit(Path('requirements.lock')))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert ("Not checked" in done.stderr) is (code == 3)


def test_s16_the_readme_installs_what_is_locked():
    said = (ROOT / "README.md").read_text(encoding="utf-8")
    installs = re.findall(r"^pip install .*$|^.*&& pip install .*$", said, re.MULTILINE)
    assert installs == ["pip install --require-hashes -r requirements.lock && pip install --no-deps ."]
