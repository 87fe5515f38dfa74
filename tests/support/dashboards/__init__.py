"""The Grafana dashboards of the chart, made of the panels below: `python -m support.dashboards` writes them."""
