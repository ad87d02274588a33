"""The database itself: its tables and migrations, transactions on both kinds, sealing, and the statements made fast."""
