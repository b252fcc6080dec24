"""OpenAI: makes readable feedback of a coach's notes."""
