"""What machines that share a Redis tell each other: what their guards find out, and what people do by hand."""
