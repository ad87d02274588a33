"""The shape of a database: its tables, columns, types, constraints, indexes and triggers, as its own catalog has them.

`shapes/` has the shape that each released revision gives a database of either kind, written down by
`tests/dumps/make.py shapes`; what a database is compared with is never what the code of the day would make.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files

import sqlalchemy as sa
from sqlalchemy.engine import Connection

Shape = dict[tuple[str, str, str], str]
"""(table, kind, name) → its definition; a table itself has no name beside its own."""

_NAMED_IN_WORDS = 3
_EXPRESSION = re.compile(r"^CHECK | WHERE | default ")
_QUOTED_OR_MADE = re.compile(r"'(?:[^']|'')*'|::(?:character varying|double precision|[a-z_]+)(?:\[\])?|[()]")

_SQLITE = """
SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite@_%' ESCAPE '@'
"""

# PostgreSQL 18 lists NOT NULL among the constraints; here it stands with the column, as in every version. An index that
# its building left invalid finds no row and guards no key.
_POSTGRESQL = """
WITH of_ours AS (
  SELECT c.oid, c.relname, c.relpersistence, c.relkind FROM pg_class c
  WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'f')
    AND NOT EXISTS (
      SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT relname AS "table", 'table' AS kind, '' AS name,
       CASE WHEN relpersistence = 'p' AND relkind = 'r' THEN ''
       ELSE relkind::text || ' ' || relpersistence::text END AS definition
FROM of_ours
UNION ALL
SELECT t.relname, 'column', a.attname,
       format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
       || CASE WHEN a.attidentity <> '' THEN ' identity ' || a.attidentity::text ELSE '' END
       || CASE WHEN a.attgenerated <> '' THEN ' generated' ELSE '' END
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
FROM of_ours t JOIN pg_attribute a ON a.attrelid = t.oid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT t.relname, 'constraint', k.conname, pg_get_constraintdef(k.oid)
FROM of_ours t JOIN pg_constraint k ON k.conrelid = t.oid
WHERE k.contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL
SELECT t.relname, 'index', i.relname,
       replace(pg_get_indexdef(x.indexrelid), quote_ident(current_schema()) || '.', '')
       || CASE WHEN x.indisvalid THEN '' ELSE ' invalid' END
FROM of_ours t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT t.relname, 'trigger', g.tgname,
       replace(pg_get_triggerdef(g.oid), quote_ident(current_schema()) || '.', '')
FROM of_ours t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal
"""


def read(connection: Connection) -> Shape:
    """The shape of this database, in one pass over its catalog."""
    if connection.dialect.name == "postgresql":
        rows = connection.execute(sa.text(_POSTGRESQL))
        return {(row.table, row.kind, row.name): _bare(row.definition) for row in rows}
    found: Shape = {}
    for kind, name, table, sql in connection.exec_driver_sql(_SQLITE):
        if kind == "table":
            found |= {(table, *item): definition for *item, definition in _in_sqlite(sql)}
        elif kind in {"index", "trigger"}:
            found[table, kind, name] = _plain(sql)
    return found


def _bare(definition: str) -> str:
    """A definition of PostgreSQL's without the casts and parentheses of its expression.

    The same condition has others once pg_dump wrote it down and pg_restore read it, or in another version.
    """
    said = " ".join(definition.split())
    start = _EXPRESSION.search(said)
    if start is None:
        return said
    expression = _QUOTED_OR_MADE.sub(lambda found: found[0] if found[0].startswith("'") else "", said[start.end() :])
    return said[: start.end()] + " ".join(expression.split())


def _plain(sql: str) -> str:
    return " ".join(sql.replace('"', "").split())


def _in_sqlite(sql: str) -> Iterator[tuple[str, str, str]]:
    """What a CREATE TABLE says: (kind, name, definition) of the table, and of each column and constraint."""
    start, end = sql.find("("), sql.rfind(")")
    yield "table", "", _plain(sql[end + 1 :]) if start >= 0 else _plain(sql)
    for part in _parts(sql[start + 1 : end]):
        first, _, rest = part.partition(" ")
        if first == "CONSTRAINT":
            name, _, definition = rest.partition(" ")
            yield "constraint", name, definition
        elif first in {"PRIMARY", "FOREIGN", "UNIQUE", "CHECK"}:
            yield "constraint", f"({part})", part
        else:
            yield "column", first, rest


def _parts(inside: str) -> Iterator[str]:
    """Split at the commas that stand in no parentheses and no quotes."""
    depth, part = 0, ""
    for piece in re.findall(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[(),]|[^'\"(),]+|.", inside, re.DOTALL):
        depth += (piece == "(") - (piece == ")")
        if piece == "," and depth == 0:
            yield _plain(part)
            part = ""
        else:
            part += piece
    yield _plain(part)


def fingerprint(shape: Mapping[tuple[str, str, str], str]) -> str:
    """A digest of the whole shape."""
    return hashlib.sha256(written(shape).encode()).hexdigest()


def written(shape: Mapping[tuple[str, str, str], str]) -> str:
    """The shape as a file of `shapes/` has it: a line an item, in order."""
    return "".join("\t".join((*item, definition)) + "\n" for item, definition in sorted(shape.items()))


@cache
def recorded(revision: str, dialect: str) -> Shape:
    """The shape that this revision gives a database of that kind. Do not change it: it is kept."""
    said = (files("reminders.store.database") / "shapes" / f"{revision}.{dialect}.txt").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in said.splitlines())
    return {(table, kind, name): definition for table, kind, name, definition in lines}


def tables(shape: Iterable[tuple[str, str, str]]) -> set[str]:
    """The names of its tables."""
    return {table for table, _, _ in shape}


def of_tables(shape: Shape, wanted: set[str]) -> Shape:
    """The part of the shape that is about these tables."""
    return {item: definition for item, definition in shape.items() if item[0] in wanted}


def differences(found: Shape, wanted: Shape) -> list[str]:
    """What differs from what is wanted, each in words. Tables of others are left alone; ours are to be as they were."""
    said = [f"table {table} is missing" for table in sorted(tables(wanted) - tables(found))]
    there = of_tables(found, tables(wanted))
    for item in sorted(there.keys() | of_tables(wanted, tables(there)).keys()):
        if there.get(item) == wanted.get(item):
            continue
        what = _words(item)
        if item not in there:
            said.append(f"{what} is missing")
        elif item not in wanted:
            said.append(f"{what} is not of this schema")
        else:
            said.append(f"{what} is “{there[item]}”, not “{wanted[item]}”")
    return said


def in_words(said: list[str]) -> str:
    """The first few differences, and how many more there are."""
    more = len(said) - _NAMED_IN_WORDS
    return "; ".join(said[:_NAMED_IN_WORDS]) + (f"; and {more} more" if more > 0 else "")


def _words(item: tuple[str, str, str]) -> str:
    table, kind, name = item
    if kind == "table":
        return f"table {table}"
    return f"column {table}.{name}" if kind == "column" else f"{kind} {name} of {table}"
