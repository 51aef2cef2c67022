"""The source of a custom model: its files are found and hashed without being run, and run from the hashed bytes.

Files are those of the named module and of every module in the working folder that they import by plain statements. An
installed module is never replaced by a file of the working folder.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType

from dfer_data.errors import UsageError
from dfer_data.storage.files import canonical_json

_DFER = ("dfer_cli", "dfer_data", "lstpnet")
"""Packages that are never part of a model's source, although a checkout of dfer as the working folder holds them."""


@dataclass(frozen=True)
class Module:
    """A module of the working folder; a folder without __init__.py has no content."""

    path: Path
    """Absolute path of its file."""
    content: bytes
    is_package: bool
    is_file: bool = True


@dataclass(frozen=True)
class ModelSource:
    """The files of a custom model, as they were read."""

    module: str
    """Name of the named module."""
    shown_path: str
    """Its file: relative to the working folder, or the absolute path of an installed one."""
    file_sha256: str
    """sha256 of that file; empty for a module without one."""
    sha256s: Mapping[str, str]
    """File relative to the working folder -> sha256; of an installed module, only its own file."""
    local: Mapping[str, Module]
    """Module name -> module of the working folder; empty for an installed one."""

    @property
    def sha256(self) -> str:
        """The hash of the only file, or the hash over names and hashes of all files."""
        if len(self.sha256s) < 2:
            return next(iter(self.sha256s.values()), "")
        return hashlib.sha256(canonical_json(dict(self.sha256s))).hexdigest()


def split_name(name: str) -> tuple[str, str]:
    """Return module and callable of `package.module:build`. Raises UsageError for another form."""
    module_name, _, attribute = name.partition(":")
    module = module_name.removeprefix("./").removesuffix(".py").replace("/", ".")  # of a file
    if module_name != module or not _is_name(module, attribute):
        example = f"{module}:{attribute}" if _is_name(module, attribute) else "my_models:build"
        raise UsageError(f"model {name!r}: expected package.module:build, such as {example}")
    return module_name, attribute


def _is_name(module: str, attribute: str) -> bool:
    return all(part.isidentifier() for part in [*module.split("."), attribute])


def named_file(name: str) -> tuple[str, str]:
    """Return path and sha256 of the named module's file, which is neither parsed nor run.

    Raises UsageError if there is no such module, or two of them.
    """
    source = _source(name, follows_imports=False)
    return source.shown_path, source.file_sha256


def find_source(name: str) -> ModelSource:
    """Read the files of a custom model without running them.

    Raises UsageError for a missing module, one that is both installed and in the working folder, and faulty syntax.
    """
    return _source(name, follows_imports=True)


def run_source(source: ModelSource) -> ModuleType:
    """Import the named module from the bytes of `source`; modules already run from the same bytes are kept."""
    if source.local:
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)
        if any(_FINDER.modules.get(name) != module for name, module in source.local.items()):
            for name in source.local:
                sys.modules.pop(name, None)
            _FINDER.modules |= source.local
    return importlib.import_module(source.module)


def _source(name: str, *, follows_imports: bool) -> ModelSource:
    module_name, _ = split_name(name)
    folder = Path.cwd()
    top = module_name.partition(".")[0]
    modules = {} if top in _DFER else _chain(folder, module_name)
    if module_name in modules:
        if installed := _installed(top, modules[top]):
            raise UsageError(
                f"model {name}: module {top} is in the working folder and installed ({installed}); rename one of them"
            )
        if follows_imports:
            modules = _with_imports(folder, module_name, modules)
        names = {key: _relative(module.path, folder) for key, module in modules.items() if module.is_file}
        sha256s = {names[key]: _sha256(modules[key].content) for key in sorted(names)}
        own = names.get(module_name, top)
        return ModelSource(module_name, own, sha256s.get(own, ""), sha256s, modules)
    spec = _spec_without_import(module_name)
    if spec is None:
        raise UsageError(f"model {name}: module {module_name!r} is neither in the working folder nor installed")
    path = Path(spec.origin) if spec.has_location and spec.origin else None
    sha256 = _sha256(path.read_bytes()) if path is not None else ""
    sha256s = {"/".join(module_name.split(".")) + path.suffix: sha256} if path is not None else {}
    return ModelSource(module_name, str(path or spec.origin or module_name), sha256, sha256s, {})


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _chain(folder: Path, name: str) -> dict[str, Module]:
    """Return a module of the working folder with its packages, as far as they have files: name -> module."""
    chain: dict[str, Module] = {}
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        base = folder.joinpath(*parts[:end])
        package, file = base / "__init__.py", base.with_name(f"{base.name}.py")
        if package.is_file():
            module = Module(package, package.read_bytes(), True)
        elif file.is_file():
            module = Module(file, file.read_bytes(), False)
        elif base.is_dir():
            module = Module(package, b"", True, is_file=False)
        else:
            break
        chain[".".join(parts[:end])] = module
    while chain and not chain[last := next(reversed(chain))].is_file:
        del chain[last]
    return chain


def _with_imports(folder: Path, module_name: str, modules: Mapping[str, Module]) -> dict[str, Module]:
    """Return the modules, completed by all modules of the working folder that they import."""
    found: dict[str, Module] = dict(modules)
    own_top = module_name.partition(".")[0]
    is_ours = dict.fromkeys(_DFER, False) | {own_top: True}
    pending = list(found)
    while pending:
        importer = pending.pop()
        for name in _imports(importer, found[importer], folder):
            top = name.partition(".")[0]
            chain = _chain(folder, name)
            if top not in is_ours:
                is_ours[top] = bool(chain) and not _installed(top, chain[top])
            new = [key for key in chain if key not in found] if is_ours[top] else []
            found |= {key: chain[key] for key in new}
            pending += new
    return found


def _imports(name: str, module: Module, folder: Path) -> Iterator[str]:
    """Yield the names of modules, and of what may be modules, in the import statements of a file."""
    try:
        tree = ast.parse(module.content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"model {name}: {_relative(module.path, folder)} is not valid Python: {error}") from error
    package = name if module.is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue  # a relative import that leaves the package: the import itself reports it
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _installed(top: str, local: Module) -> str:
    """Return where else a module of this top-level name is installed; empty if only the working folder has it."""
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return "Python's standard library"
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # a module in memory without a spec, such as a notebook's __main__
        return ""
    if spec is None or isinstance(spec.loader, _HashedLoader):
        return ""
    places = {Path(spec.origin).resolve()} if spec.origin and spec.has_location else set()
    places |= {Path(place).resolve() for place in spec.submodule_search_locations or ()}
    own = {local.path.resolve(), local.path.parent.resolve()} if local.is_package else {local.path.resolve()}
    return "" if places & own else str(spec.origin or ", ".join(map(str, places)))


def _spec_without_import(name: str) -> ModuleSpec | None:
    """Return the spec of an installed module; unlike importlib.util.find_spec, import none of its packages."""
    parts = name.split(".")
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return None
    for end in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(parts[:end]), list(spec.submodule_search_locations))
    return spec


class _HashedLoader(importlib.abc.InspectLoader):
    """Runs a module from bytes in memory: neither the file on disk nor a compiled one can differ from them."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def get_source(self, fullname: str) -> str:
        """Return the source text, for tracebacks."""
        return importlib.util.decode_source(self._module.content)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the bytes."""
        return self.source_to_code(self._module.content, str(self._module.path))

    def is_package(self, fullname: str) -> bool:
        """Return whether it is a package."""
        return self._module.is_package


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of custom models, and no other module of the working folder."""

    def __init__(self) -> None:
        self.modules: dict[str, Module] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of a custom model; None for any other."""
        module = self.modules.get(fullname)
        if module is None:
            return None
        spec = ModuleSpec(fullname, _HashedLoader(module), origin=str(module.path), is_package=module.is_package)
        spec.has_location = module.is_file
        return spec


_FINDER = _Finder()
