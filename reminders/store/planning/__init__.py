"""Plans, drafts, and the texts that are laid down for them."""
