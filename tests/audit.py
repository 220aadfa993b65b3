"""Known vulnerabilities of the locked packages, by pip-audit: `python -m tests.audit`.

Without a registry that knows them, as on a machine without a network, it says so and is content.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
_SECONDS = 60
_UNKNOWN = "known vulnerabilities were not looked up, as no registry that knows them answers"


def main() -> int:
    """Prints what is found; returns 1 if a package is known to be vulnerable, else 0."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK)]
    command += ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        found = []
    known = [package for package in found if "vulns" in package]
    if not known:
        print(_UNKNOWN)
        return 0
    vulnerable = 0
    for package in known:
        for each in package["vulns"]:
            vulnerable += 1
            fixed = ", ".join(each.get("fix_versions", [])) or "no version yet"
            print(f"{package['name']} {package['version']}: {each['id']}, mended in {fixed}")
    print(f"{len(known)} of {len(found)} packages looked up, {vulnerable} known vulnerabilities")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
