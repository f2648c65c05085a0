"""The web server: the REST API and all that guards it, as one FastAPI application. The page itself is in ``ui``."""
