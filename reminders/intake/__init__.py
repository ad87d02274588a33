"""From a source of plans, in whatever format it comes, to a `PlanDocument`: every problem named, nothing half read."""

from reminders.intake.files import plan_files, read_bytes, read_file, read_json

__all__ = ["plan_files", "read_bytes", "read_file", "read_json"]
