"""What is kept and exchanged: run folders now, file formats as they come."""
