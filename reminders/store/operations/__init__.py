"""What keeps it running: backups, retention, processes, proxies."""
