"""What runs inside the sandbox, with the standard library alone.

`server` forks two processes a program: `solution` runs the code that isn't trusted, `checking` runs the tests and
calls the solution through `channel`. `values` says what may pass between them, `system_calls` what the solution may
ask of the kernel.
"""
