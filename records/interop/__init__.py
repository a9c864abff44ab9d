"""Exchange with other tuners and with tables: each module reads or writes one foreign format."""
