"""Readers of the exports of apps, one a file."""
