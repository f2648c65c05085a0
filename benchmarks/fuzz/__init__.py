"""Inputs that nobody would make, for whatever reads files and requests: one file for each reader."""
