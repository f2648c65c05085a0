"""What is searched: rows in a database, vectors in shards, crops in folders."""
