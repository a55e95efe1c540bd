"""What is told of this process to those who watch: metrics and traces."""
