"""The always-on processor: Faust topology, one step per file, sources, dead letters."""
