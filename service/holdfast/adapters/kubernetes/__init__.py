"""The API server of Kubernetes, by its own client library."""
