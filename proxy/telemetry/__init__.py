"""What leaves as a record or a number: metrics · records · access."""
