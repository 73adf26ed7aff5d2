"""A shop whose orders must have each of their effects once, whatever fails: an example."""
