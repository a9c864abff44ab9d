"""Imports go one way, few modules know the compiler, and files stay short."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[1]
PACKAGES = ("search_space", "records", "cost_models", "tuner", "scripts")

ALLOWED = {
    "search_space": set(),
    "cost_models": {"search_space"},
    "records": {"search_space"},
    "tuner": {"search_space", "cost_models", "records"},
    "scripts": {"search_space", "cost_models", "records", "tuner"},
}
"""What each package may import of the others."""

RECORDS_WITH_COMPILER = {"records/apply.py", "records/interop/"}
"""The rest of ``records`` works on a laptop without the compiler."""

MAY_IMPORT_TVM = {
    "search_space/",
    "records/apply.py",
    "records/interop/",
    "tuner/api.py",
    "tuner/compilation.py",
    "tuner/compiled_model.py",
    "tuner/cpu_features.py",
    "tuner/doctor/installation.py",
    "tuner/extract.py",
    "tuner/frontends/",
    "tuner/graph/",
    "tuner/measure/",
    "tuner/peak.py",
    "tuner/runners.py",
    "tuner/machine.py",
    "tuner/tensor_place.py",
    "tuner/workloads/",
    "scripts/bench/",
}
"""Modules and folders that may name the compiler; everyone else goes through them."""

LAYERS = [
    {"tuner.cli"},
    {"tuner.api", "tuner.forecast", "tuner.revalidation", "tuner.doctor", "tuner.report"},
    {"tuner.acceptance.after_run"},
    {"tuner.session", "tuner.choice", "tuner.build_only", "tuner.acceptance.accept"},
    {
        "tuner.task_run",
        "tuner.machine",
        "tuner.resume",
        "tuner.result",
        "tuner.transfer",
        "tuner.scheduler",
        "tuner.search",
        "tuner.measure",
        "tuner.compilation",
        "tuner.compiled_model",
        "tuner.tensor_place",
        "tuner.profile",
        "tuner.acceptance.race",
        "tuner.acceptance.contestant",
        "tuner.acceptance.verdict",
        "tuner.models",
        "tuner.objective",
        "tuner.frontends",
        "tuner.graph",
        "tuner.extract",
        "tuner.workloads",
    },
    {"tuner.tasks", "tuner.options", "tuner.errors", "tuner.events", "tuner.units", "tuner.tensor_spec"},
]
"""Inside ``tuner`` a module imports its own layer and those below it."""

CEILING = 400


def sources():
    return sorted(
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def relative(path):
    return path.relative_to(ROOT).as_posix()


def imports(path, *, top_level_only=False):
    """Yield the names of imported modules, with the names taken from them; type-checking imports left out."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped |= {id(inner) for inner in ast.walk(node)}
        if top_level_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{relative(path)} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def permitted(name, allowed):
    return any(name == entry or (entry.endswith("/") and name.startswith(entry)) for entry in allowed)


def test_there_are_sources():
    assert len(sources()) > 50


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package):
    forbidden = set(PACKAGES) - ALLOWED[package] - {package}
    wrong = [
        f"{relative(path)} imports {name}"
        for path in sources()
        if path.is_relative_to(ROOT / package)
        for name in imports(path)
        if name.split(".")[0] in forbidden
    ]
    assert not wrong


def layer_of(module):
    for depth, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return depth
    return None


def test_tuner_imports_downwards():
    wrong = []
    for path in sources():
        module = relative(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        depth = layer_of(module)
        if depth is None:
            continue
        for name in imports(path):
            other = layer_of(name)
            if other is not None and other < depth:
                wrong.append(f"{module} imports {name}")
    assert not wrong


def importers():
    """Return the modules that import the compiler."""
    return {
        relative(path)
        for path in sources()
        for name in imports(path)
        if name.split(".")[0] in ("tvm", "tvm_ffi") or name.startswith("search_space.tvm_api")
    }


def test_only_listed_modules_import_the_compiler():
    wrong = sorted(name for name in importers() if not permitted(name, MAY_IMPORT_TVM))
    assert not wrong, f"import through another module or add to the list with a reason: {wrong}"


def test_the_list_names_only_what_imports_the_compiler():
    found = importers()
    listed = MAY_IMPORT_TVM | RECORDS_WITH_COMPILER
    assert [entry for entry in listed if not any(permitted(name, {entry}) for name in found)] == []


def test_layers_name_what_exists():
    paths = [ROOT / name.replace(".", "/") for names in LAYERS for name in names]
    assert [str(path) for path in paths if not path.is_dir() and not path.with_suffix(".py").exists()] == []


def test_records_work_without_the_compiler():
    wrong = [
        f"{relative(path)} imports {name}"
        for path in sources()
        if path.is_relative_to(ROOT / "records") and not permitted(relative(path), RECORDS_WITH_COMPILER)
        for name in imports(path)
        if name.split(".")[0] in ("tvm", "tvm_ffi", "search_space")
    ]
    assert not wrong


def test_files_stay_short():
    long = {relative(p): n for p in sources() if (n := len(p.read_text().splitlines())) > CEILING}
    assert not long


def test_nothing_is_called_utils():
    assert not [relative(p) for p in sources() if p.stem in ("utils", "util", "helpers", "misc", "common")]


def test_every_module_says_what_it_is():
    silent = [relative(p) for p in sources() if ast.get_docstring(ast.parse(p.read_text())) is None]
    assert not silent
