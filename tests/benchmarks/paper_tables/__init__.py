"""The paper's tables: what they compare, trained, tested and written down."""
