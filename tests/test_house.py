"""The rules of the house that no linter knows: imports stay light, the library never prints, the layers hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

from tests.workspace import ROOT

LIBRARY = sorted([*(ROOT / "dfer_data").rglob("*.py"), *(ROOT / "lstpnet").rglob("*.py")])
HEAVY = "numpy pandas pyarrow av cv2 dlib onnxruntime torch rich"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_never_prints(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


TOP = {
    ".ci",
    ".dockerignore",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "benchmarks",
    "cli",
    "constraints.txt",
    "dfer_data",
    "docs",
    "examples",
    "lstpnet",
    "mkdocs.yml",
    "pyproject.toml",
    "requirements-docs.lock",
    "requirements-train.lock",
    "requirements.lock",
    "tests",
}


def test_nothing_that_a_command_wrote_is_kept_at_the_top() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no repository: an unpacked archive")
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {path.partition("/")[0] for path in kept} == TOP


MAX_LINES, MAX_PARAMETERS = 80, 12


@pytest.mark.parametrize("path", [*LIBRARY, *sorted((ROOT / "cli").rglob("*.py"))], ids=lambda path: str(path.stem))
def test_functions_are_short_and_take_few_parameters(path: Path) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    for function in (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, kinds)):
        taken = function.args
        names = [item.arg for item in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
        num_lines = (function.end_lineno or 0) - function.lineno + 1
        num_parameters = len([name for name in names if name not in ("self", "cls")])
        assert (num_lines <= MAX_LINES, num_parameters <= MAX_PARAMETERS) == (True, True), function.name


@pytest.mark.parametrize("path", sorted((ROOT / "cli").rglob("*.py")), ids=lambda path: path.stem)
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
    assert "4 kept, 0 broken" in done.stdout


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "tests/faults/README.md").read_text(encoding="utf-8"))
    assert len(named) > 40
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()]
    assert missing == []


def test_every_module_that_a_page_names_exists() -> None:
    pages = [page for page in [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")] if page.name != "CHANGELOG.md"]
    path = re.compile(r"`((?:cli|dfer_data|lstpnet|tests|benchmarks|examples)/[\w/]+\.py)\b")
    named = {(page.name, file) for page in pages for file in path.findall(page.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert sorted(item for item in named if not (ROOT / item[1]).is_file()) == []


def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("dfer_cli", "lstpnet", "dfer_data")


def test_no_circle_of_files_exists() -> None:
    """Imports inside functions and for type checkers count too."""
    graph = _graph()
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    while leaves := {name for name, others in imports.items() if not others}:
        imports = {name: others - leaves for name, others in imports.items() if name not in leaves}
    assert imports == {}, "each of these is part of a circle, or imports one"


@pytest.mark.parametrize("package", ["dfer_data", "lstpnet"])
def test_a_package_has_few_modules_at_its_top(package: str) -> None:
    assert len(list((ROOT / package).glob("*.py"))) <= 14


def test_no_folder_has_many_modules() -> None:
    folders = {path.parent for top in ("cli", "dfer_data", "lstpnet") for path in (ROOT / top).rglob("*.py")}
    assert {folder: number for folder in folders if (number := len(list(folder.glob("*.py")))) > 30} == {}


@pytest.mark.parametrize("package", ["cli", "dfer_data", "lstpnet"])
def test_tests_mirror_the_packages(package: str) -> None:
    """tests/X/test_NAME.py tests X/NAME.py; test_NAME_ASPECT.py is another file of tests for it."""
    strays = []
    for path in (ROOT / "tests" / package).rglob("test_*.py"):
        folder = ROOT / path.parent.relative_to(ROOT / "tests")
        name = path.stem.removeprefix("test_")
        modules = {module.stem for module in folder.glob("*.py")}
        if not any(name == module or name.startswith(f"{module}_") for module in modules):
            strays.append(path.relative_to(ROOT))
    assert strays == []


def test_every_package_is_installed() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        installed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    found = {
        path.parent.relative_to(ROOT)
        for top in ("dfer_data", "lstpnet", "cli")
        for path in (ROOT / top).rglob("__init__.py")
    }
    names = {".".join(path.parts) for path in found}
    assert installed == {f"dfer_{name}" if name.startswith("cli") else name for name in names}


def test_opening_a_dataset_loads_few_modules(crops: Path) -> None:
    code = f"import dfer_data, sys; dfer_data.open_dataset({str(crops)!r})"
    code += "; print(*sorted(name for name in sys.modules if name.startswith('dfer_data')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    print(f"{len(loaded)} modules: {done.stdout}")
    assert len(loaded) <= 21


def test_a_public_name_has_one_owner() -> None:
    """One word for one thing: names without an underscore at the top of a module, in both packages."""
    owners: dict[str, list[str]] = {}
    for path in LIBRARY:
        for name in _names_at_top(ast.parse(path.read_bytes())):
            owners.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in owners.items() if len(files) > 1} == {}


def _names_at_top(module: ast.Module) -> set[str]:
    names = {node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    targets = [target for node in module.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in module.body if isinstance(node, ast.AnnAssign)]
    names |= {leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}
    return {name for name in names if not name.startswith("_")}
