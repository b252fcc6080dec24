"""Everything that writes money: one module a noun."""
