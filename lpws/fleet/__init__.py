"""Process 2, the clients: `process` starts it, ``python -m lpws.fleet`` is it, `fleet` is what they share."""
