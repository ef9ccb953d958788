"""Requests as spans of OpenTelemetry: made when a request is over, and sent by a thread of their own."""
