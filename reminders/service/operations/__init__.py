"""Whether it all works, and what keeps it working: health, jobs, backups, retention, figures."""
