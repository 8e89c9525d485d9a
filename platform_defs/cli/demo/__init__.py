"""The demo: real flights and generated listeners sent through the front door, built, and shown in a table."""
