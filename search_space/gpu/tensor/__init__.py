"""Matrix products on tensor cores: intrinsics, the normal form of a product, its kernel."""
