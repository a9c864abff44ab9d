"""Rewrites of whole models before they are cut into tasks."""
