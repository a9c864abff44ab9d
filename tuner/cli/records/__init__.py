"""``tirtune records``: commands on tuning logs; none but export and import needs the compiler."""
