"""What an import knows without touching storage: the forms of the sources and how to read them."""
