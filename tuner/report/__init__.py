"""Reports of tuning logs: curves, tables, pictures and pages; without the compiler."""
