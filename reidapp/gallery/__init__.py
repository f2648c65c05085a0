"""What is searched: rows in SQLite, vectors in shards, crops in folders."""
