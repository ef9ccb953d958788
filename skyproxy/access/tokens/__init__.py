"""Clients that bring a token of an identity provider (JWT) in place of a key of ours."""
