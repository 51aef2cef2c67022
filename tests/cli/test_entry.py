from __future__ import annotations

import subprocess
import sys
import tomllib

from tests.workspace import ROOT


def test_a_worker_process_that_imports_the_script_loads_no_command() -> None:
    """Each worker of `dfer prepare` imports the script again, as `multiprocessing` does."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module = scripts["dfer"].partition(":")[0]
    code = f"import sys, {module}; print(sorted({{'typer', 'dfer_data', 'numpy'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
