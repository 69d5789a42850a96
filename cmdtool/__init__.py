"""Turn any command into an MCP tool that reports its progress truthfully."""

__version__ = "0.1.0"
