"""The roles of AlpiMonitor's database: what each may do, the difference to what is there, and closing it."""
