"""The rules of the house that no linter knows: imports stay light, the library never prints, the layers hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workspace import ROOT

LIBRARY = sorted([*(ROOT / "dfer_data").rglob("*.py"), *(ROOT / "lstpnet").rglob("*.py")])
HEAVY = "numpy pandas pyarrow av cv2 dlib onnxruntime torch rich"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_never_prints(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", sorted((ROOT / "cli").glob("*.py")), ids=lambda path: path.name)
def test_the_command_line_imports_itself_relatively(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    absolute = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    absolute |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert not [name for name in absolute if (name or "").split(".")[0] in ("cli", "dfer_cli")]


@pytest.mark.parametrize(
    "code",
    [
        "import dfer_data",
        "import dfer_data.errors, dfer_data.weights.fetch",
        "import lstpnet",
        "from dfer_cli.main import main; main(['--help'])",
        "from dfer_cli.main import main; main(['--version'])",
        "from dfer_cli.main import main; main(['synth', '--help'])",
    ],
)
def test_nothing_heavy_is_imported_early(code: str, tmp_path: Path) -> None:
    check = f"; import sys; print('heavy:', [m for m in {HEAVY.split()} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + check], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr == "heavy: []\n"
    assert not list(tmp_path.iterdir())


def test_the_import_direction_holds() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "tests/faults/README.md").read_text(encoding="utf-8"))
    assert len(named) > 40
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()]
    assert missing == []
