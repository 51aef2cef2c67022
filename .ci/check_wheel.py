"""Check the archives of `make dist` against the checkout: python check_wheel.py DIST CHECKOUT_WHEEL.

The wheel in the folder DIST was built from the source archive there, CHECKOUT_WHEEL straight from the checkout.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cli", "dfer_data", "lstpnet")
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
ARCHIVE_FILES = {
    *("CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md"),
    *("constraints.txt", "pyproject.toml", "setup.cfg"),
}


def main(dist: Path, checkout_wheel: Path) -> None:
    """Exit with a message that names every file that is missing, superfluous or different."""
    (wheel,), (archive,) = dist.glob("dfer-*.whl"), dist.glob("dfer-*.tar.gz")
    with zipfile.ZipFile(wheel) as a, zipfile.ZipFile(checkout_wheel) as b:
        built, direct = ({name: file.read(name) for name in file.namelist()} for file in (a, b))
    with tarfile.open(archive) as tar:
        members = {member.name.partition("/")[2] for member in tar if member.isfile()}
    sources = _sources()
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    expected = {name.replace("cli/", "dfer_cli/", 1) if name.startswith("cli/") else name for name in sources}
    expected |= {f"{info}/{name}" for name in METADATA}
    faults = _differences("wheel", set(built), expected)
    faults += _differences("wheel of the checkout", set(direct), expected)
    faults += [f"{name} differs between the wheels" for name in built if built[name] != direct.get(name)]
    archived = {name for name in members if not name.startswith("dfer.egg-info/")}
    faults += _differences("source archive", archived, sources | ARCHIVE_FILES)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{wheel.name}: {len(built)} files, {archive.name}: {len(members)} files, as in the checkout")


def _sources() -> set[str]:
    """Return the files of the packages that git tracks, or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PACKAGES]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in names if (ROOT / name).is_file()}


def _differences(what: str, names: set[str], expected: set[str]) -> list[str]:
    missing = [f"{what}: {name} is missing" for name in sorted(expected - names)]
    return missing + [f"{what}: {name} is superfluous" for name in sorted(names - expected)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
