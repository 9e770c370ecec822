"""The hop to the model: a strict HTTP/1.1 client that never confuses two answers, and what is sent through it."""
