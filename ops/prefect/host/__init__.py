"""Millrace's flow host: takes flow runs from JetStream and runs them in warm processes. See docs/flow-host.md."""
