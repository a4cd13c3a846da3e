"""Statements, one module a resource, beside the route that uses them."""
