"""What a bank sees of its experiments: outcomes read from a file, the report as a page, the commands."""
