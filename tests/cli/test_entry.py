from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points


def test_a_worker_process_that_imports_the_script_loads_no_command() -> None:
    """Each worker of `dfer prepare` imports the script again, as `multiprocessing` does."""
    (script,) = entry_points(group="console_scripts", name="dfer")
    code = f"import sys, {script.module}; print(sorted({{'typer', 'dfer_data', 'numpy'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
