"""Translation only: HTTP, the command line, and what a server measures of itself."""
