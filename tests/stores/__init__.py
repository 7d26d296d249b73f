"""The cellar: where entries and their ledger live."""
