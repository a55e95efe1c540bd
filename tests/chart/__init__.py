"""The chart: rendered over a matrix of values, validated, scored."""
