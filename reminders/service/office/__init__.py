"""Who may do what and where: sites, accounts, signing in, API keys, the audit."""
