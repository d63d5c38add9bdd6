"""Planning data with proofs: ``python -m data_synth`` makes rows, ``data_synth.export`` training files."""
