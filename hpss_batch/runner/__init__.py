"""From a YAML file to a finished run."""
