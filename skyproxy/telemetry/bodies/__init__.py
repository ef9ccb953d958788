"""Bodies of requests and answers, kept for a while for who wants to know what was said."""
