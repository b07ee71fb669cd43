"""The networks that come trained with the project."""
