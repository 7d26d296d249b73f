"""What goes with one database or one package."""
