"""Bodies of the operators on NVIDIA GPUs: ``cuda/*.cu``, compiled at run time, launched on torch's stream."""
