//! The rule as a whole, on small systems of each family.
