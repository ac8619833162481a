"""Media content on the server: uploads, downloads, and the stores of their bytes."""
