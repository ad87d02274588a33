"""Aftercare reminders.

Reading order: `plans` (what was agreed) → `planner` (when to text) → `wording` (what a text says) → `lifecycle`
(where a text is) → `store` (where it all stands) → `sms` (the phone network) → `service` (the verbs) → `web` and
`cli` (who calls them). `jobs`, beside this package, runs the verbs on a timer. ARCHITECTURE.md has the picture.
"""

__version__ = "0.2.0"
