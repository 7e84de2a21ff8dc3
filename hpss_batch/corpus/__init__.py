"""Which recordings a job is about: folders, patterns and manifests become a list of tracks."""
