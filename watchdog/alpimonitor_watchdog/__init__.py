"""The sidecar: notices lost rows, puts them back, proves it. Imports nothing of AlpiMonitor's API."""
