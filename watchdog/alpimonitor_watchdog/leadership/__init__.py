"""Which of several sidecars heals, and the record of heals that they share in the guarded database."""

from .leader import Leadership

__all__ = ["Leadership"]
