"""The web server: one FastAPI application for media, queries and, later, the REST API. The page itself is in ``ui``."""
