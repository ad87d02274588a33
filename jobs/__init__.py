"""The worker: runs the verbs of `reminders.service` on a timer."""
