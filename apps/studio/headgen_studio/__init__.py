"""The studio: a face on the library, in the browser."""
