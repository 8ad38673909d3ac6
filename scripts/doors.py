"""Import-linter contract: a room is entered by its door only, never by an inner module."""

from __future__ import annotations

from typing import Any

from importlinter import Contract, ContractCheck, fields, output


def _inside(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


class DoorsContract(Contract):
    """Every import into `rooms` from outside names the room itself, not a module in it.

    `roots` (the composition root) may also enter by a room's `http`. `side_doors` are packages in a
    room with a door of their own: extension points, and what loads heavy libraries.
    """

    rooms = fields.SetField(subfield=fields.StringField())
    side_doors = fields.SetField(subfield=fields.StringField(), required=False)
    roots = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: Any, verbose: bool) -> ContractCheck:  # noqa: FBT001
        """Return the imports that come in by a window."""
        broken = []
        for room in sorted(self.rooms):
            for imported in graph.find_descendants(room) - set(self.side_doors or ()):
                for importer in graph.find_modules_that_directly_import(imported):
                    if _inside(importer, room):
                        continue
                    is_http = _inside(imported, f"{room}.http")
                    if is_http and any(_inside(importer, root) for root in self.roots or ()):
                        continue
                    broken.append((importer, imported))
        return ContractCheck(kept=not broken, metadata={"broken": sorted(broken)})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each window."""
        for importer, imported in check.metadata["broken"]:
            output.print_error(f"{importer} enters by a window: {imported}", bold=False)
