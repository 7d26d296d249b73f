"""The demo shop in a real browser: its own processes, its own servers, real logins."""
