"""Pictures of the dashboards: a real cluster and Prometheus, drawn by Grafana's own components in Chromium. `make pictures`."""
