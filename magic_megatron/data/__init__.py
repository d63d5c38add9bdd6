"""From an indexed pair to micro-batches: packing, packed dataset, global batches, context-parallel parts."""
