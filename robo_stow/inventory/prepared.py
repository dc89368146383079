"""The bookings' statements, executed without what SQLAlchemy does anew at every use.

A booking is a handful of short statements; in SQLite each takes a few microseconds, and SQLAlchemy
ten times as many to get there. Here a statement is compiled once, and then goes to the driver's
cursor as text, inside the transaction of the SQLAlchemy connection it belongs to. With any other
database, and for results or parameters that need converting, SQLAlchemy executes as always.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.sql.compiler import SQLCompiler

Values = Mapping[str, Any]


class Rows:
    """Rows of a result, all read."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __iter__(self) -> Any:
        return iter(self._rows)

    def all(self) -> list[Any]:
        """All rows."""
        return self._rows

    def first(self) -> Any:
        """The first row; None when there is none."""
        return self._rows[0] if self._rows else None

    def one(self) -> Any:
        """The first row.

        Raises:
            NoResultFound: there is none.
        """
        if not self._rows:
            raise NoResultFound("no row was found where one is required")
        return self._rows[0]

    def scalar(self) -> Any:
        """The first column of the first row; None when there is none."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """The first column of the first row."""
        return self.one()[0]


class _Prepared:
    """A statement compiled for SQLite, for one set of parameter names."""

    def __init__(self, compiled: SQLCompiler, constants: dict[str, Any]) -> None:
        self.sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._constants = constants
        self._convert: list[tuple[str, Any]] = list(compiled._bind_processors.items())
        self.row: Any = None  # type of the rows, known from the first use

    def parameters(self, values: Values) -> list[Any]:
        """What goes to the driver, in order."""
        if self._constants or self._convert:
            values = {**self._constants, **values}
            for name, convert in self._convert:
                values[name] = convert(values[name])
        return [values[name] for name in self._names]


class Prepared:
    """Executes statements as ``connection`` does, within its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        self._known: dict[tuple[Executable, tuple[str, ...]], _Prepared | None] = {}

    def execute(
        self, statement: Executable, values: Values | Sequence[Values]
    ) -> Rows | CursorResult[Any]:
        """Execute ``statement`` with its parameters, or for each of several sets of them.

        Raises:
            DBAPIError: as SQLAlchemy does.
        """
        if not self._sqlite:
            return self._connection.execute(statement, values)
        many = None if isinstance(values, Mapping) else values
        first = values if isinstance(values, Mapping) else values[0]
        key = (statement, tuple(first))
        prepared = self._known.get(key)
        if prepared is None:
            if key not in self._known:
                prepared = self._known[key] = self._prepare(statement, first)
            if prepared is None:
                return self._connection.execute(statement, values)
        driver: Any = self._connection.connection.driver_connection
        try:
            if many is not None:
                driver.executemany(prepared.sql, [prepared.parameters(row) for row in many])
                return Rows([])
            cursor = driver.execute(prepared.sql, prepared.parameters(first))
            rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise DBAPIError.instance(
                prepared.sql, values, error, sqlite3.Error, dialect=self._connection.dialect
            ) from error
        if not rows:
            return Rows(rows)
        if prepared.row is None:
            names = [column[0] for column in cursor.description]
            prepared.row = namedtuple("Row", names)  # type: ignore[misc]
        return Rows([prepared.row._make(row) for row in rows])

    def _prepare(self, statement: Any, values: Values) -> _Prepared | None:
        """None: SQLAlchemy has to convert results, or to fill in defaults of columns."""
        dialect = self._connection.dialect
        compiled = statement.compile(dialect=dialect, column_keys=list(values))
        columns = getattr(compiled, "_result_columns", ())
        if (
            any(
                column.type.dialect_impl(dialect).result_processor(dialect, None)
                for column in columns
            )
            or compiled.insert_prefetch
            or compiled.update_prefetch
            or compiled.post_compile_params
        ):
            return None
        constants = {
            name: compiled.binds[name].value for name in compiled.positiontup if name not in values
        }
        return _Prepared(compiled, constants)
