"""Features of schedules and the models that predict their run time from them; no compiler inside."""
