"""A bill of materials (CycloneDX 1.6, JSON) of one of our lock files: the same lock gives the same bytes.

python deploy/sbom.py requirements.lock 0.2.0 > dist/aftercare_reminders-0.2.0.cdx.json
"""

import json
import re
import sys
import uuid
from operator import itemgetter
from pathlib import Path
from typing import Any

NAME = "aftercare-reminders"
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill(lock: str, version: str) -> dict[str, Any]:
    """The bill of materials of a lock file's text. ValueError for a line that pins nothing, or has no hash."""
    parts: list[dict[str, Any]] = []
    for line in lock.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith((" ", "\t")):
            parts[-1]["_hashes"] += _HASH.findall(line)
        elif (found := _PINNED.match(line)) is not None:
            parts.append(_part(found["name"], found["version"], found["marker"]))
        else:
            raise ValueError(f"this line pins nothing: {line}")
    for part in parts:
        hashes = sorted(part.pop("_hashes"))
        if not hashes:
            raise ValueError(f"{part['name']} has no hash")
        # Of its files, one a platform: what is installed has one of these.
        part["hashes"] = [{"alg": "SHA-256", "content": one} for one in hashes]
    parts.sort(key=itemgetter("bom-ref"))
    root = f"pkg:pypi/{NAME}@{version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, root + lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": NAME,
                "version": version,
                "purl": root,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": parts,
        "dependencies": [{"ref": root, "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _part(name: str, version: str, marker: str | None) -> dict[str, Any]:
    name = re.sub(r"[-_.]+", "-", name).lower()
    purl = f"pkg:pypi/{name}@{version}"
    part: dict[str, Any] = {"type": "library", "name": name, "version": version, "purl": purl, "_hashes": []}
    # The same package may be pinned twice, for different Pythons.
    part["bom-ref"] = purl if marker is None else f"{purl}#{marker.strip()}"
    if marker is not None:
        part["properties"] = [{"name": "python:marker", "value": marker.strip()}]
    return part


if __name__ == "__main__":
    said = bill(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2])
    json.dump(said, sys.stdout, indent=2)
    sys.stdout.write("\n")
