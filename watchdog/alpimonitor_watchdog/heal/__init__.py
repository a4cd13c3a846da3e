"""Putting the context back."""
