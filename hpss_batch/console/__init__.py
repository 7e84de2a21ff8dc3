"""How plans, runs and states look in a terminal."""
