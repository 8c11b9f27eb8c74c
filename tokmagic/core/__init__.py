"""Foundation: values and arithmetic. No IO, no clock, no randomness; nothing here looks upstairs."""
