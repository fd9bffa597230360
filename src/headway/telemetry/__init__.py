"""Metrics for Prometheus and traces for OpenTelemetry; `docs/how-to/monitoring.md`.

`of_app` is what one process says of a whole app, `of_group` what the processes of a worker or receiver have counted;
`names` has all metrics. `otel` puts an app's jobs into traces. Nothing here is loaded unless it is asked for.
"""
