"""Tools that plans are made of: curation to one schema, and the graphs between them."""
