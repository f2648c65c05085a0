"""Data sets, caches, samplers and augmentation. Importing this package loads no torch."""
