"""A provider with limits, its guards and its clients, on a clock that only events move."""
