"""One limit for several members: each gets a share of it, and asks for another one when it needs more or less.

A limit is a number of units: permits, requests or tokens a minute, parts of a budget. Members are the workers of one
machine, or machines. Nothing here does any I/O, and all times are given. A request that its member's share can serve
asks nobody.
"""
