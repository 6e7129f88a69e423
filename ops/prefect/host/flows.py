"""Finds the flows of a folder's modules, in a pool process: user code is imported there and nowhere else."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable

from prefect import Flow
from prefect.utilities.callables import parameter_schema


@dataclass(frozen=True)
class Found:
    """A flow and where it was found."""

    flow: Flow[..., Any]
    file: Path
    attribute: str

    def describe(self) -> dict[str, Any]:
        """What its registration needs, as JSON."""
        return {
            "flow": self.flow.name,
            "entrypoint": f"{self.file.name}:{self.attribute}",
            "path": str(self.file.parent),
            "description": self.flow.description,
            "version": self.flow.version,
            "schema": parameter_schema(self.flow).model_dump_for_openapi(),
        }


def _load(file: Path) -> ModuleType:
    name = file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    # Before it runs: tasks and models that are pickled look their module up by name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def discover(folders: Iterable[Path]) -> tuple[dict[str, Found], list[str]]:
    """The flows by name, and a sentence for each module that could not be used."""
    found: dict[str, Found] = {}
    problems: list[str] = []
    for folder in folders:
        sys.path.insert(0, str(folder))
        for file in sorted(folder.glob("*.py")):
            if file.name.startswith("_"):
                continue
            try:
                module = _load(file)
            except Exception as error:
                sys.modules.pop(file.stem, None)
                problems.append(f"{file} cannot be imported: {type(error).__name__}: {error}")
                continue
            for attribute, value in vars(module).items():
                # A flow imported from another module belongs to that one.
                if not isinstance(value, Flow) or value.fn.__module__ != module.__name__:
                    continue
                if value.name in found and found[value.name].flow is not value:
                    problems.append(f"{file}: flow {value.name!r} is also in {found[value.name].file}; that one is used")
                    continue
                found[value.name] = Found(value, file, attribute)
    return found, problems
