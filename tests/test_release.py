"""The files that a release needs agree with each other: version, citation, workflow, container."""

from __future__ import annotations

import re
import tomllib

import yaml

from tests.workspace import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CFF_REQUIRED = {"authors", "cff-version", "message", "title"}
CFF_KEYS = CFF_REQUIRED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url"),
    *("preferred-citation", "references", "repository", "repository-artifact", "repository-code", "type", "url"),
    "version",
}
"""Of the Citation File Format 1.2.0."""


def test_the_citation_has_the_keys_of_its_format_and_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert set(citation) >= CFF_REQUIRED
    assert set(citation) - CFF_KEYS == set()
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert all(set(author) <= {"name", "family-names", "given-names", "orcid"} for author in citation["authors"])


def test_the_workflow_runs_the_same_checks_on_every_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make setup", ".ci/run"]
    words = "Programming Language :: Python :: "
    versions = [line.removeprefix(words) for line in PROJECT["project"]["classifiers"] if line.startswith(words)]
    assert job["strategy"]["matrix"]["python"] == versions


def test_the_container_is_built_from_all_that_the_wheel_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    folders = {PROJECT["tool"]["setuptools"]["package-dir"].get(name, name) for name in ("dfer_cli",)}
    folders |= {name for name in PROJECT["tool"]["setuptools"]["packages"] if "." not in name and name != "dfer_cli"}
    files = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert sent == folders | files | {name for name in copied if name != "."}
    assert all((ROOT / name).exists() for name in sent)
