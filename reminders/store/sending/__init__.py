"""Texts on their way: the queue, claims, answers, and what became of each."""
