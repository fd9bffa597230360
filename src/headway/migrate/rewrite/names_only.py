"""Parts of Python that are names and no expressions: what stands for arq's name there is something else."""

from __future__ import annotations

import libcst as cst


class NamesOnly(cst.CSTTransformer):
    """Knows whether the walk is in one: an attribute's name, a keyword of a call, a parameter."""

    def __init__(self) -> None:
        """Begin outside of them."""
        super().__init__()
        self._depth = 0

    @property
    def in_name(self) -> bool:
        """Whether the node that is visited is a name only."""
        return self._depth > 0

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        """Leave imports alone: what is used of them is seen when all else is changed."""
        return False

    def visit_Import(self, node: cst.Import) -> bool:
        """As above."""
        return False

    def visit_Attribute_attr(self, node: cst.Attribute) -> None:
        """Enter one."""
        self._depth += 1

    def leave_Attribute_attr(self, node: cst.Attribute) -> None:
        """Leave it."""
        self._depth -= 1

    def visit_Arg_keyword(self, node: cst.Arg) -> None:
        """Enter one."""
        self._depth += 1

    def leave_Arg_keyword(self, node: cst.Arg) -> None:
        """Leave it."""
        self._depth -= 1

    def visit_Param_name(self, node: cst.Param) -> None:
        """Enter one."""
        self._depth += 1

    def leave_Param_name(self, node: cst.Param) -> None:
        """Leave it."""
        self._depth -= 1
