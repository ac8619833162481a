"""Media content on the server: uploads, downloads, and the places that hold the bytes."""
