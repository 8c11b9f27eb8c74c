"""The embedded loopback server: the wire protocols of the real services over a pluggable engine."""
