"""A science gateway: users submit simulations over their files and are told of the results."""
