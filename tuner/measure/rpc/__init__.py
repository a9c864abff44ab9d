"""Measurement on remote devices through TVM's RPC: build here, run there."""
