"""Alembic's entry point: runs the migrations on the connection that `database.upgrade` passes."""

from alembic import context

from reidapp.gallery.database import migrated
from reidapp.gallery.schema import Base

connection = context.config.attributes["connection"]
# SQLite too can take a change of its tables back, though Alembic would commit each by itself: all migrations or none.
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
    migrated(connection)
