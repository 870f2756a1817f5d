"""A server that misbehaves as servers do, on loopback: for tests, for drills, and to try a command against."""
