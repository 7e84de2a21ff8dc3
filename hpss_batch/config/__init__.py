"""The job: YAML in, checked settings out, and errors that name the key, the value, what is allowed and the line."""
