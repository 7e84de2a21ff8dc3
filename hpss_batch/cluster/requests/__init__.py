"""What is a cluster asked for? Scripts of batch systems' jobs, manifests for Kubernetes, the memory of a worker."""
