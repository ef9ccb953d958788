"""``skyproxy bench``: a load test with no other program."""
