"""`make bench`: every figure a ratio between two things measured in the same run, on the same machine, interleaved."""
