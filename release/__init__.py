"""What is published of a version, built and looked at."""
