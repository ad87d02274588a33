"""The first schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:  # ruff: ignore[too-many-statements]  one a table
    """The first schema."""
    op.create_table(
        "job_runs",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("last_success", INSTANT, nullable=True),
        sa.Column("last_error_at", INSTANT, nullable=True),
        sa.Column("last_error", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_runs")),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.CheckConstraint("purpose IN ('patient', 'index')", name=op.f("ck_keys_purpose")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
    )
    op.create_index(
        "uq_keys_one_index",
        "keys",
        ["purpose"],
        unique=True,
        sqlite_where=sa.text("purpose = 'index'"),
        postgresql_where=sa.text("purpose = 'index'"),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
    )
    op.create_table(
        "numbers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("phone_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("opted_out_at", INSTANT, nullable=True),
        sa.Column("verified_at", INSTANT, nullable=True),
        sa.Column("bad_since", INSTANT, nullable=True),
        sa.Column("bad_code", sa.Integer(), nullable=True),
        sa.Column("wrong_since", INSTANT, nullable=True),
        sa.Column("last_texted_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_numbers")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_numbers_fingerprint")),
        postgresql_with={"fillfactor": 75},
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_failures")),
    )
    op.create_index("ix_sign_in_failures_at", "sign_in_failures", ["at"], unique=False)
    op.create_index("ix_sign_in_failures_source", "sign_in_failures", ["source", "at"], unique=False)
    op.create_table(
        "sites",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("alias", sa.String(length=18), nullable=False),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("line24", sa.String(length=16), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=2), nullable=False),
        sa.Column("quiet_from", sa.String(length=5), nullable=False),
        sa.Column("quiet_to", sa.String(length=5), nullable=False),
        sa.Column("closures", sa.JSON(), nullable=False),
        sa.Column("added_closures", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("paused_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
        sa.UniqueConstraint("key", name=op.f("uq_sites_key")),
    )
    op.create_table(
        "staff",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("password", sa.String(length=200), nullable=True),
        sa.Column("totp_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=True),
        sa.Column("enrolled_at", INSTANT, nullable=True),
        sa.Column("invited", sa.String(length=64), nullable=True),
        sa.Column("invited_until", INSTANT, nullable=True),
        sa.Column("shortcuts", sa.Boolean(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("login", name=op.f("uq_staff_login")),
    )
    op.create_table(
        "tallied",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("hour", name=op.f("pk_tallied")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("prefix", sa.String(length=12), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("made_by", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=True),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("allowance", sa.Float(), server_default="0", nullable=False),
        sa.Column("counted_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["made_by"], ["staff.id"], name=op.f("fk_api_keys_made_by")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_api_keys_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("table", sa.String(length=32), nullable=False),
        sa.Column("row_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("patient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("where", sa.String(length=45), nullable=True),
        sa.Column("before_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("after_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("said", sa.LargeBinary(length=32), nullable=True),
        sa.Column("place", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_audit_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sa.UniqueConstraint("place", name=op.f("uq_audit_place")),
    )
    op.create_index(
        "ix_audit_patient",
        "audit",
        ["patient_id", "id"],
        unique=False,
        sqlite_where=sa.text("patient_id IS NOT NULL"),
        postgresql_where=sa.text("patient_id IS NOT NULL"),
    )
    op.create_index("ix_audit_row", "audit", ["table", "row_id"], unique=False)
    op.create_index(
        "ix_audit_unchained",
        "audit",
        ["id"],
        unique=False,
        sqlite_where=sa.text("place IS NULL"),
        postgresql_where=sa.text("place IS NULL"),
    )
    op.create_index("ix_audit_who", "audit", ["who", "id"], unique=False)
    op.create_table(
        "drafts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("staff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fields_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_drafts_site_id")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_drafts_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
    )
    op.create_index("ix_drafts_staff_id", "drafts", ["staff_id", "changed_at"], unique=False)
    op.create_table(
        "figures",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("what", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("many", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_figures_site_id")),
        sa.PrimaryKeyConstraint("hour", "site_id", "what", "name", name=op.f("pk_figures")),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("staff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.CheckConstraint(
            "role IN ('coordinator', 'clinician', 'ops', 'admin', 'read_only')", name=op.f("ck_grants_role")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_grants_site_id")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_grants_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sa.UniqueConstraint("staff_id", "site_id", name=op.f("uq_grants_staff_id_site_id")),
    )
    op.create_index(
        "uq_grants_everywhere",
        "grants",
        ["staff_id"],
        unique=True,
        sqlite_where=sa.text("site_id IS NULL"),
        postgresql_where=sa.text("site_id IS NULL"),
    )
    op.create_table(
        "patients",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ref", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("born_on_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("legal_hold", sa.Boolean(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_patients_key_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_patients_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
        sa.UniqueConstraint("site_id", "ref", name=op.f("uq_patients_site_id_ref")),
    )
    op.create_index("ix_patients_ref", "patients", ["ref"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("staff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_recovery_codes_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sa.UniqueConstraint("staff_id", "fingerprint", name=op.f("uq_recovery_codes_staff_id_fingerprint")),
    )
    op.create_table(
        "senders",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("address", sa.String(length=34), nullable=False),
        sa.Column("segments_per_second", sa.Float(), nullable=False),
        sa.Column("segments_per_day", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_free_at", INSTANT, nullable=True),
        sa.Column("heard_until", INSTANT, nullable=True),
        sa.Column("stopped_until", INSTANT, nullable=True),
        sa.Column("stopped_code", sa.Integer(), nullable=True),
        sa.Column("stops", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_senders_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_senders")),
        sa.UniqueConstraint("site_id", "address", name=op.f("uq_senders_site_id_address")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_sessions_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("site_id", "key", name=op.f("uq_sessions_site_id_key")),
    )
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("staff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("where", sa.String(length=45), nullable=True),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("proved_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_sign_ins_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_ins")),
        sa.UniqueConstraint("token", name=op.f("uq_sign_ins_token")),
    )
    op.create_index("ix_sign_ins_staff_id", "sign_ins", ["staff_id"], unique=False)
    op.create_table(
        "tallies",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("class", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=11), nullable=False),
        sa.Column("reason", sa.String(length=12), nullable=False),
        sa.Column("code", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("many", sa.Integer(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_tallies_site_id")),
        sa.PrimaryKeyConstraint("hour", "site_id", "class", "state", "reason", "code", name=op.f("pk_tallies")),
    )
    op.create_table(
        "api_answers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("api_key_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_api_answers_api_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_answers")),
        sa.UniqueConstraint("api_key_id", "key", name=op.f("uq_api_answers_api_key_id_key")),
    )
    op.create_index("ix_api_answers_made_at", "api_answers", ["made_at"], unique=False)
    op.create_table(
        "name_words",
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("patient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_name_words_patient_id")),
        sa.PrimaryKeyConstraint("fingerprint", "patient_id", name=op.f("pk_name_words")),
    )
    op.create_index("ix_name_words_patient_id", "name_words", ["patient_id"], unique=False)
    op.create_table(
        "plans",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("patient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("ref", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("ended_because", sa.String(length=16), nullable=True),
        sa.Column("discharged_on", sa.Date(), nullable=False),
        sa.Column("program", sa.String(length=400), nullable=True),
        sa.Column("alongside", sa.Boolean(), nullable=False),
        sa.Column("replaces", sa.String(length=64), nullable=True),
        sa.Column("document_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("laid_down_until", sa.Date(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.CheckConstraint("(status = 'ended') = (ended_because IS NOT NULL)", name=op.f("ck_plans_ended_because")),
        sa.CheckConstraint("status IN ('active', 'paused', 'ended')", name=op.f("ck_plans_status")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_plans_patient_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_plans_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
        sa.UniqueConstraint("site_id", "source", "ref", name=op.f("uq_plans_site_id_source_ref")),
    )
    op.create_index(
        "ix_plans_current",
        "plans",
        ["laid_down_until"],
        unique=False,
        sqlite_where=sa.text("status <> 'ended'"),
        postgresql_where=sa.text("status <> 'ended'"),
    )
    op.create_index("ix_plans_discharged_on", "plans", ["discharged_on", "id"], unique=False)
    op.create_index("ix_plans_patient_id", "plans", ["patient_id"], unique=False)
    op.create_index("ix_plans_ref", "plans", ["ref"], unique=False)
    op.create_index("ix_plans_site_id", "plans", ["site_id", "discharged_on", "id"], unique=False)
    op.create_table(
        "recipients",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("patient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("number_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("texting_from", sa.String(length=5), nullable=True),
        sa.Column("texting_to", sa.String(length=5), nullable=True),
        sa.Column("weekly_digest", sa.Boolean(), nullable=False),
        sa.Column("guessed_zones", sa.JSON(), nullable=False),
        sa.Column("part2_consent_on", sa.Date(), nullable=True),
        sa.Column("entered_at", INSTANT, nullable=False),
        sa.Column("consent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.CheckConstraint("role IN ('self', 'supporter', 'guardian')", name=op.f("ck_recipients_role")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_recipients_number_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_recipients_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipients")),
        sa.UniqueConstraint("patient_id", "key", name=op.f("uq_recipients_patient_id_key")),
    )
    op.create_index("ix_recipients_number_id", "recipients", ["number_id"], unique=False)
    op.create_table(
        "replies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("sid", sa.String(length=64), nullable=False),
        sa.Column("number_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sent_to", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("patient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("quoted", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("doubt_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("media", sa.SmallInteger(), nullable=False),
        sa.Column("meaning", sa.String(length=16), nullable=False),
        sa.Column("meanings", sa.JSON(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("lexicon", sa.String(length=32), nullable=False),
        sa.Column("heard_by", sa.String(length=8), nullable=False),
        sa.Column("sent_at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("mark_sealed", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("heard_by IN ('callback', 'list')", name=op.f("ck_replies_heard_by")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_replies_number_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_replies_patient_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_replies_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replies")),
        sa.UniqueConstraint("sid", name=op.f("uq_replies_sid")),
    )
    op.create_index("ix_replies_number_id", "replies", ["number_id", "received_at"], unique=False)
    op.create_index("ix_replies_received_at", "replies", ["received_at", "id"], unique=False)
    op.create_table(
        "consents",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("recipient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("said", sa.String(length=8), nullable=False),
        sa.Column("said_on", sa.Date(), nullable=False),
        sa.Column("how", sa.String(length=500), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("warned_of_risk", sa.Boolean(), nullable=False),
        sa.Column("wording", sa.String(length=64), nullable=True),
        sa.Column("per_day", sa.Integer(), nullable=True),
        sa.Column("per_week", sa.Integer(), nullable=True),
        sa.Column("alias_shown", sa.Boolean(), nullable=False),
        sa.Column("verified", sa.String(length=500), nullable=True),
        sa.Column("legal_basis", sa.String(length=500), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.CheckConstraint("said IN ('yes', 'no', 'revoked')", name=op.f("ck_consents_said")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_consents_number_id")),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipients.id"], name=op.f("fk_consents_recipient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    op.create_index("ix_consents_recipient_id", "consents", ["recipient_id"], unique=False)
    op.create_table(
        "series",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("starts", sa.String(length=19), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("repeats", sa.Text(), nullable=True),
        sa.Column("minutes", sa.Integer(), nullable=True),
        sa.Column("how", sa.String(length=9), nullable=False),
        sa.Column("place_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("with_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("session_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("recipients", sa.JSON(), nullable=False),
        sa.Column("joined", sa.JSON(), nullable=True),
        sa.Column("leads", sa.JSON(), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.CheckConstraint("how IN ('in_person', 'phone', 'video')", name=op.f("ck_series_how")),
        sa.CheckConstraint("status IN ('booked', 'tentative', 'cancelled')", name=op.f("ck_series_status")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_series_plan_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_series_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("plan_id", "key", name=op.f("uq_series_plan_id_key")),
    )
    op.create_index("ix_series_session_id", "series", ["session_id"], unique=False)
    op.create_table(
        "texts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sender_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("recipient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("class", sa.String(length=8), nullable=False),
        sa.Column("key", sa.String(length=160), nullable=False),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("state", sa.String(length=11), nullable=False),
        sa.Column("reason", sa.String(length=12), nullable=True),
        sa.Column("held", sa.String(length=16), nullable=True),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("opens_at", INSTANT, nullable=False),
        sa.Column("closes_at", INSTANT, nullable=False),
        sa.Column("leased_until", INSTANT, nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("resent", sa.Boolean(), nullable=False),
        sa.Column("waits_code", sa.Integer(), nullable=True),
        sa.Column("wording", sa.String(length=24), nullable=True),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("reply_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("released_at", INSTANT, nullable=True),
        sa.CheckConstraint("(state = 'sending') = (leased_until IS NOT NULL)", name=op.f("ck_texts_lease")),
        sa.CheckConstraint("(state = 'suppressed') = (reason IS NOT NULL)", name=op.f("ck_texts_reason")),
        sa.CheckConstraint("NOT ready OR (state = 'scheduled' AND held IS NULL)", name=op.f("ck_texts_ready")),
        sa.CheckConstraint(
            "class IN ('reminder', 'notice', 'answer', 'welcome', 'staff')", name=op.f("ck_texts_class")
        ),
        sa.CheckConstraint(
            "state IN ('scheduled', 'sending', 'sent', 'delivered', 'undelivered', 'unconfirmed', 'uncertain', 'expired', 'cancelled', 'suppressed')",
            name=op.f("ck_texts_state"),
        ),
        sa.CheckConstraint("opens_at < closes_at", name=op.f("ck_texts_window")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_texts_number_id")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_texts_plan_id")),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipients.id"], name=op.f("fk_texts_recipient_id")),
        sa.ForeignKeyConstraint(["reply_id"], ["replies.id"], name=op.f("fk_texts_reply_id")),
        sa.ForeignKeyConstraint(["sender_id"], ["senders.id"], name=op.f("fk_texts_sender_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_texts_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_texts"), postgresql_include=["opens_at", "site_id"]),
        sa.UniqueConstraint("recipient_id", "key", name=op.f("uq_texts_recipient_id_key")),
    )
    op.create_index(
        "ix_texts_class",
        "texts",
        ["class", "opens_at", "id"],
        unique=False,
        sqlite_where=sa.text("class <> 'reminder'"),
        postgresql_where=sa.text("class <> 'reminder'"),
    )
    op.create_index(
        "ix_texts_closing",
        "texts",
        ["closes_at"],
        unique=False,
        sqlite_where=sa.text("state = 'scheduled'"),
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index(
        "ix_texts_held",
        "texts",
        ["closes_at"],
        unique=False,
        sqlite_where=sa.text("held IS NOT NULL AND state = 'scheduled'"),
        postgresql_where=sa.text("held IS NOT NULL AND state = 'scheduled'"),
    )
    op.create_index(
        "ix_texts_in_flight",
        "texts",
        ["leased_until"],
        unique=False,
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index("ix_texts_opens_at", "texts", ["opens_at", "id"], unique=False)
    op.create_index(
        "ix_texts_answers",
        "texts",
        ["number_id", "opens_at"],
        unique=False,
        sqlite_where=sa.text("class <> 'reminder'"),
        postgresql_where=sa.text("class <> 'reminder'"),
    )
    op.create_index("ix_texts_plan_id", "texts", ["plan_id"], unique=False)
    op.create_index(
        "ix_texts_queued_for",
        "texts",
        ["number_id"],
        unique=False,
        sqlite_where=sa.text("state = 'scheduled'"),
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index(
        "ix_texts_ready",
        "texts",
        ["sender_id", "closes_at"],
        unique=False,
        sqlite_where=sa.text("ready"),
        postgresql_where=sa.text("ready"),
    )
    op.create_index(
        "ix_texts_reason",
        "texts",
        ["reason", "opens_at", "id"],
        unique=False,
        sqlite_where=sa.text("reason IS NOT NULL"),
        postgresql_where=sa.text("reason IS NOT NULL"),
    )
    op.create_index(
        "ix_texts_seldom",
        "texts",
        ["state", "opens_at", "id"],
        unique=False,
        sqlite_where=sa.text(
            "state IN ('sent', 'undelivered', 'unconfirmed', 'uncertain', 'expired', 'cancelled', 'suppressed')"
        ),
        postgresql_where=sa.text(
            "state IN ('sent', 'undelivered', 'unconfirmed', 'uncertain', 'expired', 'cancelled', 'suppressed')"
        ),
    )
    op.create_index(
        "ix_texts_uncertain",
        "texts",
        ["closes_at"],
        unique=False,
        sqlite_where=sa.text("state = 'uncertain'"),
        postgresql_where=sa.text("state = 'uncertain'"),
    )
    op.create_index(
        "ix_texts_unreadable",
        "texts",
        ["closes_at"],
        unique=False,
        sqlite_where=sa.text("held = 'unreadable'"),
        postgresql_where=sa.text("held = 'unreadable'"),
    )
    op.create_index(
        "ix_texts_waiting",
        "texts",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'scheduled' AND NOT ready AND held IS NULL"),
        postgresql_where=sa.text("state = 'scheduled' AND NOT ready AND held IS NULL"),
    )
    op.create_index(
        "uq_texts_to_nobody",
        "texts",
        ["number_id", "key"],
        unique=True,
        sqlite_where=sa.text("recipient_id IS NULL"),
        postgresql_where=sa.text("recipient_id IS NULL"),
    )
    op.create_table(
        "appointments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("recurrence_id", sa.String(length=10), nullable=False),
        sa.Column("wall", sa.String(length=19), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("agreed_wall", sa.String(length=19), nullable=False),
        sa.Column("agreed_status", sa.String(length=10), nullable=False),
        sa.Column("known_wall", sa.String(length=19), nullable=False),
        sa.Column("known_status", sa.String(length=10), nullable=False),
        sa.Column("entered_at", INSTANT, nullable=False),
        sa.Column("attendance", sa.String(length=8), nullable=True),
        sa.Column("marked_at", INSTANT, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("written_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "status IN ('booked', 'tentative', 'cancelled', 'attended', 'missed')", name=op.f("ck_appointments_status")
        ),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_appointments_series_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appointments")),
        sa.UniqueConstraint("series_id", "recurrence_id", name=op.f("uq_appointments_series_id_recurrence_id")),
    )
    op.create_index("ix_appointments_starts_at", "appointments", ["starts_at"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("text_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("ref", sa.String(length=32), nullable=False),
        sa.Column("sid", sa.String(length=64), nullable=True),
        sa.Column("sender_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("consent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("answered_at", INSTANT, nullable=True),
        sa.Column("answer", sa.String(length=8), nullable=True),
        sa.Column("what", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=True),
        sa.Column("error_code", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status_at", INSTANT, nullable=True),
        sa.Column("template", sa.String(length=40), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("segments", sa.SmallInteger(), nullable=False),
        sa.Column("encoding", sa.String(length=5), nullable=False),
        sa.Column("price", sa.String(length=16), nullable=True),
        sa.Column("look_at", INSTANT, nullable=True),
        sa.Column("looks", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("ask_at", INSTANT, nullable=True),
        sa.Column("asks", sa.SmallInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("answer IN ('accepted', 'refused', 'unknown')", name=op.f("ck_attempts_answer")),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"], name=op.f("fk_attempts_consent_id")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_attempts_number_id")),
        sa.ForeignKeyConstraint(["sender_id"], ["senders.id"], name=op.f("fk_attempts_sender_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_attempts_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("ref", name=op.f("uq_attempts_ref")),
        sa.UniqueConstraint("sid", name=op.f("uq_attempts_sid")),
        sa.UniqueConstraint("text_id", "number", name=op.f("uq_attempts_text_id_number")),
    )
    op.create_index(
        "ix_attempts_error_code",
        "attempts",
        ["error_code", "text_id"],
        unique=False,
        sqlite_where=sa.text("error_code <> 0"),
        postgresql_where=sa.text("error_code <> 0"),
    )
    op.create_index("ix_attempts_number_id", "attempts", ["number_id", "started_at"], unique=False)
    op.create_index(
        "ix_attempts_unasked",
        "attempts",
        ["ask_at"],
        unique=False,
        sqlite_where=sa.text("ask_at IS NOT NULL"),
        postgresql_where=sa.text("ask_at IS NOT NULL"),
    )
    op.create_index(
        "ix_attempts_unsettled",
        "attempts",
        ["look_at"],
        unique=False,
        sqlite_where=sa.text("look_at IS NOT NULL"),
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_table(
        "doubts",
        sa.Column("text_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("looks", sa.SmallInteger(), nullable=False),
        sa.Column("look_at", INSTANT, nullable=True),
        sa.Column("cleared", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_doubts_number_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_doubts_text_id")),
        sa.PrimaryKeyConstraint("text_id", name=op.f("pk_doubts")),
    )
    op.create_index("ix_doubts_number_id", "doubts", ["number_id"], unique=False)
    op.create_index(
        "ix_doubts_open",
        "doubts",
        ["look_at"],
        unique=False,
        sqlite_where=sa.text("look_at IS NOT NULL"),
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_table(
        "confirmations",
        sa.Column("appointment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("recipient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("confirmed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["appointment_id"], ["appointments.id"], name=op.f("fk_confirmations_appointment_id")),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipients.id"], name=op.f("fk_confirmations_recipient_id")),
        sa.PrimaryKeyConstraint("appointment_id", "recipient_id", name=op.f("pk_confirmations")),
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("attempt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("error_code", sa.Integer(), server_default="0", nullable=False),
        sa.Column("heard_at", INSTANT, nullable=False),
        sa.Column("heard_by", sa.String(length=8), nullable=False),
        sa.Column("raw_sealed", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("heard_by IN ('callback', 'asking', 'look-up')", name=op.f("ck_receipts_heard_by")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_receipts_attempt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipts")),
        sa.UniqueConstraint(
            "attempt_id", "status", "error_code", name=op.f("uq_receipts_attempt_id_status_error_code")
        ),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("urgency", sa.String(length=8), nullable=False),
        sa.Column("patient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("number_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("appointment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("text_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("acknowledged_at", INSTANT, nullable=True),
        sa.Column("closed_at", INSTANT, nullable=True),
        sa.Column("outcome", sa.String(length=24), nullable=True),
        sa.Column("rings", sa.SmallInteger(), nullable=False),
        sa.Column("rung_at", INSTANT, nullable=True),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("escalates_at", INSTANT, nullable=True),
        sa.CheckConstraint("urgency IN ('urgent', 'soon', 'normal')", name=op.f("ck_tasks_urgency")),
        sa.CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name=op.f("ck_tasks_outcome")),
        sa.ForeignKeyConstraint(["appointment_id"], ["appointments.id"], name=op.f("fk_tasks_appointment_id")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_tasks_number_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_tasks_patient_id")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_tasks_plan_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_tasks_site_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_tasks_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index(
        "ix_tasks_escalating",
        "tasks",
        ["escalates_at"],
        unique=False,
        sqlite_where=sa.text("escalates_at IS NOT NULL"),
        postgresql_where=sa.text("escalates_at IS NOT NULL"),
    )
    op.create_index("ix_tasks_key", "tasks", ["key"], unique=False)
    op.create_index("ix_tasks_number_id", "tasks", ["number_id"], unique=False)
    op.create_index(
        "ix_tasks_open",
        "tasks",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index("ix_tasks_patient_id", "tasks", ["patient_id"], unique=False)
    op.create_index(
        "uq_tasks_open",
        "tasks",
        ["key"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "text_items",
        sa.Column("text_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("appointment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tells", sa.String(length=32), nullable=True),
        sa.Column("was", sa.String(length=19), nullable=True),
        sa.ForeignKeyConstraint(["appointment_id"], ["appointments.id"], name=op.f("fk_text_items_appointment_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_text_items_text_id")),
        sa.PrimaryKeyConstraint("text_id", "appointment_id", name=op.f("pk_text_items")),
    )
    op.create_index("ix_text_items_appointment_id", "text_items", ["appointment_id"], unique=False)
    op.create_table(
        "pages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ring", sa.SmallInteger(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("contact", sa.String(length=80), nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("accepted_at", INSTANT, nullable=True),
        sa.Column("dropped_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_pages_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pages")),
        sa.UniqueConstraint("task_id", "ring", "step", "contact", name=op.f("uq_pages_task_id_ring_step_contact")),
    )
    op.create_index(
        "ix_pages_open",
        "pages",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("accepted_at IS NULL AND dropped_at IS NULL"),
        postgresql_where=sa.text("accepted_at IS NULL AND dropped_at IS NULL"),
    )
    op.create_table(
        "task_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("reply_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("text_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("detail", sa.String(length=200), nullable=True),
        sa.Column("note_sealed", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["reply_id"], ["replies.id"], name=op.f("fk_task_events_reply_id")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_events_task_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_task_events_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_events")),
    )
    op.create_index(
        "ix_task_events_reply_id",
        "task_events",
        ["reply_id"],
        unique=False,
        sqlite_where=sa.text("reply_id IS NOT NULL"),
        postgresql_where=sa.text("reply_id IS NOT NULL"),
    )
    op.create_index("ix_task_events_task_id", "task_events", ["task_id"], unique=False)
    op.create_table(
        "processes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("sealing_keys", sa.JSON(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )
    op.create_table(
        "forwarders",
        sa.Column("peer", sa.String(length=45), nullable=False),
        sa.Column("header", sa.String(length=24), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("peer", name=op.f("pk_forwarders")),
    )
    op.create_table(
        "former_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_keys")),
    )
    op.create_table(
        "shapes",
        sa.Column("revision", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_shapes")),
    )
