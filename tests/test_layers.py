"""Imports point one way: a module imports only from earlier layers, or from its own package folder."""

import ast
from collections.abc import Iterator
from pathlib import Path

import cmdtool

ROOT = Path(cmdtool.__file__).parent

# fmt: off
LAYERS = [
    "__init__", "errors", "values text vocabulary pseudo_terminal masking env_file trees",
    "template shellwords programs", "model", "records patterns schema features recording needs",
    "readings json_lines suggest nearly", "bars mining", "detect", "scanner", "progress manifest argv",
    "replay sandbox", "timeline", "library trust", "host process turns output spool made_files sinks",
    "reporter outcome", "run", "engine", "server", "commands", "cli", "__main__",
]
# fmt: on
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names.split()}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of cmdtool, without its name, that `tree` imports anywhere."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    for name in names:
        package, _, rest = name.partition(".")
        if package == "cmdtool":
            module = rest.partition(".")[0]
            yield module if module in LAYER or (ROOT / f"{module}.py").exists() else "__init__"


def test_imports_point_to_earlier_layers_only() -> None:
    wrong = []
    for file in sorted(ROOT.rglob("*.py")):
        module = file.relative_to(ROOT).with_suffix("").parts[0]
        assert module in LAYER, f"{file.name} has no layer"
        for name in imported(ast.parse(file.read_text("utf-8"))):
            same_folder = name == module and file.parent != ROOT
            if not same_folder and LAYER.get(name, len(LAYER)) >= LAYER[module]:
                wrong.append(f"{file.relative_to(ROOT)} imports {name}")
    assert wrong == []
