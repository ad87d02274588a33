"""What happens to the people of a plan: consent, numbers, supporters, calls."""
