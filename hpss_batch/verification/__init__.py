"""Is a run directory what its records say?"""
