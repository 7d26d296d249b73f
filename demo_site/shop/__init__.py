"""The shop: diamonds, orders and what is cached of them."""
