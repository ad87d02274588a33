"""What people text to us: heard, shown in the inbox, marked by clinicians."""
