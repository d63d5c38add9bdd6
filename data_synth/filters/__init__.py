"""What keeps a row out: near-duplicates, broken schemas, plans that don't say what the query asks."""
