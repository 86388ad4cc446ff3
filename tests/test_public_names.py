import ast
from importlib import import_module
from pathlib import Path

import pytest

import streamseg


def test_all_is_sorted_and_says_what_homes_says() -> None:
    assert streamseg.__all__ == sorted(streamseg._HOMES)


@pytest.mark.parametrize("name", streamseg.__all__)
def test_every_name_can_be_imported_from_its_home(name: str) -> None:
    value = getattr(streamseg, name)
    assert getattr(import_module(streamseg._HOMES[name]), name) is value
    assert name in dir(streamseg)
    assert value.__doc__


def test_type_checkers_see_the_same_names_in_the_same_homes() -> None:
    tree = ast.parse(Path(streamseg.__file__).read_text())
    blocks = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        alias.asname or alias.name: statement.module
        for block in blocks
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == streamseg._HOMES


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'streamseg' has no attribute 'Manager'"):
        streamseg.Manager  # noqa: B018
