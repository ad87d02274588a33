"""Aftercare reminders.

Reading order: `plans` (what was agreed) → `planner` (when to text) → `wording` (what a text says) → `lifecycle` (the
states of a text) → `store` (the database) → `sms` (the phone network) → `service` (the operations) → `web` and `cli`
(their callers). The package `jobs` runs the operations on a timer. ARCHITECTURE.md has the picture.
"""

__version__ = "0.2.0"
