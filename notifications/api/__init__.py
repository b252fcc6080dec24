"""The API of messages, and the page behind a link in a mail."""
