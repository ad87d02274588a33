"""From a source of plans, in whatever format it comes, to a `PlanDocument`: every problem named, nothing half read."""

from reminders.intake.files import plan_files, read_bytes, read_file

__all__ = ["plan_files", "read_bytes", "read_file"]
