"""Raw SDK clients under the same book: each SDK's own hook, and the steps one HTTP attempt goes through."""
