"""Runs that are compared with each other: studies of what a change does, and searches for what is best."""
