// Package monitoring holds tests only: Prometheus's own parser reads the queries of
// the dashboard and of the alert rules in host/monitoring.
package monitoring
