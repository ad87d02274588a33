"""The worker: it runs the operations of `reminders.service` on a timer."""
