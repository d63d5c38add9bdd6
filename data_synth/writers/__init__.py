"""Writers: from data rows to Megatron's indexed pair and verl's parquet."""
