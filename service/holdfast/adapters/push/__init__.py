"""Where offline notifications go: the log, or a webhook."""
