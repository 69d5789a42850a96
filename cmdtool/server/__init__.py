"""The MCP server: manifest -> tools, calls -> runs, runs -> results."""
