"""Where updates go: an MCP client or a terminal."""
