"""Whether a record says what its statement gives, so that mypy's word for a column is the schema's."""

from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import sqlalchemy as sa

_CHECKED: set[tuple[type, tuple[str, ...]]] = set()  # records, each with the names of columns that it is read from


def check_record(record: type[tuple[Any, ...]], names: tuple[str, ...], statement: sa.Executable) -> None:
    """Raise TypeError unless the fields of a NamedTuple are a statement's columns: by name, type, and place.

    A field that ends in an underscore stands for a column whose name is a word of Python's own. It is looked at once
    for each set of columns. What is in JSON has no type to compare with, and of what a statement computes it is not
    known whether it may be None.
    """
    if (record, names) in _CHECKED:
        return
    said = _said(record)
    if tuple(said) != tuple(name.removesuffix("_") for name in names):
        raise TypeError(f"{record.__name__} is of {', '.join(said)}; the statement gives {', '.join(names)}")
    for (name, types), column in zip(said.items(), getattr(statement, "exported_columns", ()), strict=False):
        given = _type_of(column.type)
        if given is not None and types - {NoneType} != {given}:
            raise TypeError(f"{record.__name__}.{name} is of {column.type!r}")
        if _may_be_none(column) and NoneType not in types:
            raise TypeError(f"{record.__name__}.{name} may be None")
    _CHECKED.add((record, names))


@cache
def _said(record: type[tuple[Any, ...]]) -> dict[str, set[Any]]:
    """The fields of a record, each with the types that it may be of."""
    fields = {}
    for name, hint in get_type_hints(record).items():
        one_of = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
        fields[name.removesuffix("_")] = {get_origin(one) or one for one in one_of}
    return fields


def _type_of(column_type: sa.types.TypeEngine[Any]) -> type | None:
    """What its values are in Python, where that is known."""
    return None if isinstance(column_type, sa.JSON | sa.types.NullType) else column_type.python_type


def _may_be_none(column: sa.ColumnElement[Any]) -> bool:
    source = column.element if isinstance(column, sa.Label) else column
    return isinstance(source, sa.Column) and bool(source.nullable)


def never_null(column: sa.Column[Any]) -> sa.Label[Any]:
    """A column that may be NULL in its table, where the statement gives no row in which it is."""
    return sa.type_coerce(column, column.type).label(column.name)
