"""The ground floor: tools that know no domain."""
