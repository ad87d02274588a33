"""Who works here and what they did: accounts, API keys, the audit, jobs that ran, calls."""
