"""The numbers for Prometheus: drawn, and served over HTTP. Needs the extra `metrics`."""
