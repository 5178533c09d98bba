"""Networks that train in seconds, their data and metrics, for the tables of docs/results."""
