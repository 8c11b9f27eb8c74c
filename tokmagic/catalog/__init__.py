"""What is known of each model, as core values: prices from genai-prices, our own facts in data files beside it."""
