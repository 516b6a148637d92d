"""Tools for instructors: build labs from their source, toggle solutions, execute."""
