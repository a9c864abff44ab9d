"""Records of measurements: a durable log, stores, look-up, merging and exchange with other tuners."""
