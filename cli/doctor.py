"""`dfer doctor`: check what the commands need, with a fix for each problem."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from dataclasses import asdict
from typing import Any

import typer

from dfer_data.extras import install_command, pip_install
from dfer_data.processes import num_cores
from dfer_data.wording import counted

from ._support import console
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag

CORE = {
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "av": "av",
    "opencv-python-headless": "cv2",
    "onnxruntime": "onnxruntime",
    "dlib-bin": "dlib",
    "simplejpeg": "simplejpeg",
    "typer": "typer",
    "rich": "rich",
    "platformdirs": "platformdirs",
    "filelock": "filelock",
    "openpyxl": "openpyxl",
    "jinja2": "jinja2",
    "pyyaml": "yaml",
    "pydantic": "pydantic",
    "annotated-types": "annotated_types",
    "psutil": "psutil",
}
"""Distribution -> module of every core dependency."""


_PACKAGE_OF = {"decode": "av", "detect": "onnxruntime", "shard": "simplejpeg"}
"""Step -> the package that does most of its work."""
_OTHER_VERSION = "another version of {} may work"


def doctor(as_json: JsonFlag = False) -> None:
    """Check packages, devices and model files; try `prepare`.

    Decodes a rendered head that comes with dfer, detects its face, writes and reads a shard. Exit code 1 if something
    that the core needs is missing or a step fails; each line about a problem ends with its fix.
    """
    findings = examine()
    if as_json:
        console.print_json(findings)
    else:
        _render(findings)
    if not findings["ok"]:
        raise typer.Exit(ExitCode.FAILED)


def examine() -> dict[str, Any]:
    """Return all findings as JSON values; `ok`: the core can run."""
    packages = [_package(distribution, module) for distribution, module in CORE.items()]
    trials = _trials() if all(package["problem"] is None for package in packages) else []
    return {
        "ok": all(check["problem"] is None for check in (*packages, *trials)) and bool(trials),
        "dfer": importlib.metadata.version("dfer"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "num_cores": num_cores(),
        "packages": packages,
        "trials": trials,
        "devices": _devices(),
        "onnxruntime_providers": _providers(),
        "weights": _weights(),
    }


def _package(distribution: str, module: str) -> dict[str, str | None]:
    """Check the installed version and import the module: a wheel for another platform installs but does not load."""
    fix = pip_install(distribution)
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return {"name": distribution, "version": None, "problem": "missing", "fix": fix}
    try:
        importlib.import_module(module)
    except Exception as error:
        problem = f"cannot be imported: {' '.join(str(error).split())}"
        return {"name": distribution, "version": version, "problem": problem, "fix": f"{fix} --force-reinstall"}
    return {"name": distribution, "version": version, "problem": None, "fix": None}


def _trials() -> list[dict[str, str | None]]:
    """Run each step of `prepare` once."""
    from dfer_data.inspection.self_check import self_check

    return [asdict(trial) for trial in self_check()]


def _devices() -> dict[str, Any]:
    try:
        import torch
    except Exception:
        return {"torch": None, "names": ["cpu"], "fix": install_command("train")}
    names = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    names += ["mps"] if torch.backends.mps.is_available() else []
    return {"torch": torch.__version__, "names": [*names, "cpu"], "fix": None}


def _providers() -> list[str]:
    try:
        import onnxruntime
    except Exception:
        return []
    return list(onnxruntime.get_available_providers())


def _weights() -> dict[str, Any]:
    try:
        from dfer_data.weights.assets import assets
        from dfer_data.weights.fetch import cache_state, weights_folder

        folder = weights_folder()
        states = {asset.name: cache_state(asset.name) for asset in assets()}
    except ImportError:  # platformdirs is missing; `packages` reports it
        return {"cache": None, "writable": False, "states": {}}
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return {"cache": str(folder), "writable": os.access(existing, os.W_OK), "states": states}


def _render(findings: dict[str, Any]) -> None:
    say = console.say
    say(
        f"dfer {findings['dfer']}, Python {findings['python']}, {findings['platform']}, "
        f"{counted(findings['num_cores'], 'core')}"
    )
    for package in findings["packages"]:
        if package["problem"] is None:
            say(f"  ok       {package['name']} {package['version']}")
        else:
            say(f"  PROBLEM  {package['name']} {package['problem']}: {package['fix']}")
    for trial in findings["trials"]:
        if trial["skipped"] is not None:
            say(f"  skipped  {trial['name']}: {trial['skipped']}")
        elif trial["problem"] is not None:
            say(f"  PROBLEM  {trial['name']}: {trial['problem']}; {_OTHER_VERSION.format(_PACKAGE_OF[trial['name']])}")
        else:
            say(f"  works    {trial['name']}")
    devices = findings["devices"]
    if devices["torch"] is None:
        say(f"devices: CPU only, torch is not installed (needed to train): {devices['fix']}")
    else:
        say(f"devices: {', '.join(devices['names'])} (torch {devices['torch']})")
    say(f"onnxruntime: {', '.join(findings['onnxruntime_providers']) or 'none'}")
    weights = findings["weights"]
    for name, state in weights["states"].items():
        say(f"  {state:8} {name}" + ("" if state == "cached" else f": dfer weights fetch {name}"))
    say(
        f"cache: {weights['cache']}"
        + ("" if weights["writable"] else " (not writable: set DFER_CACHE to another folder)")
    )
    say(
        "everything the core needs is installed and works"
        if findings["ok"]
        else "the core is incomplete or fails, see PROBLEM above"
    )
