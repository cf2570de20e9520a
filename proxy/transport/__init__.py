"""A byte stream with back-pressure and deadlines. It knows sockets and time, and no protocol."""
