"""Ask a model behind a server, on this machine, or a fake. Nothing heavy is imported until a function is called."""
