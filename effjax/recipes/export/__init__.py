"""Exporting a trained run."""
