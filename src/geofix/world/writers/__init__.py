"""What is written to disk: datasets in the layouts of the field."""
