"""A shop: orders are placed, paid, reserved and shipped."""
