"""The application that peers cache."""
