"""How do people get at what a run directory holds? As labelled arrays, as audio, and chunk by chunk."""
