"""What a reply was taken to mean, and why a plan ended, is sealed; so are the counts of replies by meaning"""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT_ONCE = 500
READING, WHY = 256, 32  # what is sealed is as long as these, or a multiple: its length tells nothing


def upgrade() -> None:
    """Seal every row in small batches, and take away what stood in the clear; all of it in one transaction."""
    op.add_column("replies", sa.Column("reading_sealed", sa.LargeBinary()))
    op.add_column("plans", sa.Column("ended_because_sealed", sa.LargeBinary()))
    op.create_table(
        "reply_counts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("site_id", ID, nullable=False),
        sa.Column("counts_sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_reply_counts_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reply_counts")),
        sa.UniqueConstraint("hour", "site_id", name=op.f("uq_reply_counts_hour_site_id")),
    )
    _attributes().setdefault("took_from", set()).update({"replies", "plans", "figures"})
    _seal_replies()
    _seal_plans()
    _seal_counts()
    with op.batch_alter_table("replies") as batch:
        batch.alter_column("reading_sealed", existing_type=sa.LargeBinary(), nullable=False)
        for column in ("meaning", "meanings", "rules"):
            batch.drop_column(column)
    why = op.f("ck_plans_ended_because")
    with op.batch_alter_table("plans") as batch:
        batch.drop_constraint(why, type_="check")
        batch.drop_column("ended_because")
        batch.create_check_constraint(why, "(status = 'ended') = (ended_because_sealed IS NOT NULL)")


def _attributes() -> dict[str, Any]:
    config = op.get_context().config
    assert config is not None
    return config.attributes


def _seals() -> Any:
    return _attributes()["seals"]


def _batches(query: sa.Select[Any], column: sa.ColumnClause[int]) -> Iterator[Any]:
    """The rows of a query by id, so many at once."""
    last = 0
    while rows := op.get_bind().execute(query.where(column > last).order_by(column).limit(AT_ONCE)).all():
        yield rows
        last = rows[-1].id


def _write(table: sa.TableClause, values: list[dict[str, Any]]) -> None:
    names = [name for name in values[0] if name != "the_id"]
    update = table.update().where(table.c.id == sa.bindparam("the_id"))
    op.get_bind().execute(update.values({name: sa.bindparam(name) for name in names}), values)


def _padded(text: str, size: int) -> str:
    return text + " " * (-len(text.encode()) % size)


def _seal_replies() -> None:
    replies = sa.table(
        "replies",
        sa.column("id", ID),
        sa.column("number_id", ID),
        sa.column("patient_id", ID),
        sa.column("body_sealed", sa.LargeBinary()),
        sa.column("doubt_sealed", sa.LargeBinary()),
        sa.column("mark_sealed", sa.LargeBinary()),
        sa.column("meaning", sa.String()),
        sa.column("meanings", sa.JSON()),
        sa.column("rules", sa.JSON()),
        sa.column("reading_sealed", sa.LargeBinary()),
    )
    patients = sa.table("patients", sa.column("id", ID), sa.column("key_id", ID))
    numbers = sa.table("numbers", sa.column("id", ID), sa.column("phone_sealed", sa.LargeBinary()))
    query = (
        sa.select(replies, patients.c.key_id, (numbers.c.phone_sealed == b"").label("erased"))
        .select_from(replies)
        .join(numbers, numbers.c.id == replies.c.number_id)
        .outerjoin(patients, patients.c.id == replies.c.patient_id)
    )
    for rows in _batches(query, replies.c.id):
        _write(replies, [_reply(row) for row in rows])


def _reply(row: Any) -> dict[str, Any]:
    seals = _seals()

    def seal(column: str, said: str) -> bytes:
        if row.key_id is None and row.erased:
            return b""
        sealed: bytes = seals.seal("replies", column, row.id, _padded(said, READING), row.key_id)
        return sealed

    doubt, mark = row.doubt_sealed, row.mark_sealed
    if row.body_sealed:  # else its words were cleared, and these with them
        because = seals.open("replies", "doubt_sealed", row.id, doubt) if doubt else "[]"
        doubt = seal("doubt_sealed", json.dumps(json.loads(because or "[]")))
    if mark:
        said = seals.open("replies", "mark_sealed", row.id, mark)
        mark = seal("mark_sealed", said) if said else mark
    return {
        "the_id": row.id,
        "reading_sealed": seal("reading_sealed", json.dumps([row.meaning, row.meanings, row.rules])),
        "doubt_sealed": doubt,
        "mark_sealed": mark,
    }


def _seal_plans() -> None:
    plans = sa.table(
        "plans",
        sa.column("id", ID),
        sa.column("patient_id", ID),
        sa.column("ended_because", sa.String()),
        sa.column("ended_because_sealed", sa.LargeBinary()),
    )
    patients = sa.table("patients", sa.column("id", ID), sa.column("key_id", ID))
    query = (
        sa.select(plans, patients.c.key_id)
        .select_from(plans)
        .join(patients, patients.c.id == plans.c.patient_id)
        .where(plans.c.ended_because.is_not(None))
    )
    for rows in _batches(query, plans.c.id):
        sealed = [
            _seals().seal("plans", "ended_because_sealed", row.id, _padded(row.ended_because, WHY), row.key_id)
            for row in rows
        ]
        values = zip(rows, sealed, strict=True)
        _write(plans, [{"the_id": row.id, "ended_because_sealed": one} for row, one in values])


def _seal_counts() -> None:
    figures = sa.table("figures", *(sa.column(name) for name in ("hour", "site_id", "what", "name", "many")))
    counts = sa.table(
        "reply_counts",
        sa.column("id", ID),
        sa.column("hour", sa.Integer()),
        sa.column("site_id", ID),
        sa.column("counts_sealed", sa.LargeBinary()),
    )
    of_replies = figures.c.what == "reply"
    found: dict[tuple[int, int], dict[str, int]] = {}
    for row in op.get_bind().execute(sa.select(figures).where(of_replies)):
        found.setdefault((row.hour, row.site_id), {})[row.name] = row.many
    rows = [
        {
            "id": number,
            "hour": hour,
            "site_id": site_id,
            "counts_sealed": _seals().seal(
                "reply_counts", "counts_sealed", number, _padded(json.dumps(of_hour), READING), None
            ),
        }
        for number, ((hour, site_id), of_hour) in enumerate(sorted(found.items()), 1)
    ]
    for start in range(0, len(rows), AT_ONCE):
        op.get_bind().execute(counts.insert(), rows[start : start + AT_ONCE])
    op.get_bind().execute(figures.delete().where(of_replies))
