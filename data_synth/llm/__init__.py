"""The models behind the data: one interface, a client for OpenAI-compatible endpoints, a scripted model."""
