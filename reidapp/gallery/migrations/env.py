"""Alembic's entry point: runs the migrations on the connection that `database.upgrade` passes."""

from alembic import context

from reidapp.gallery.database import migrated
from reidapp.gallery.schema import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
    migrated(connection)
