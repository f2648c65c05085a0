"""Training of embedding models. Importing this package loads no torch."""
